"""The feeds of a calendar: calendarView/delta over a window, and beta's events/delta without one.

A window's feed tells of single events, of series as their occurrences and exceptions, and of the
masters; the window is part of the token. When anything of a series changed, the occurrences that
lie in the window come again. A hostile service leaves the master out where only one day changed.
"""

import json
import random
from datetime import date, datetime
from typing import cast

from simulator.calendar import BASES, READ
from simulator.calendar_json import (
    View,
    event_json,
    headers_of,
    occurrence_json,
    view_of,
    window_of,
)
from simulator.calendar_state import Calendar, Calendars, Event, calendars_of
from simulator.feed import Plan, Position, Variant
from simulator.mail_folders import add_links, delta_size, id_options
from simulator.quirks import Quirks
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_PAGE = 10
_REFUSED = ("$select", "$expand", "$filter", "$orderby", "$search", "$top", "$skip")
_BETA = ("id", "type", "start", "end")

_Window = tuple[datetime, datetime]
_Entries = list[tuple[str, Variant]]


def view_delta(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/calendarView/delta: one page of a round."""
    return _delta(tenant, request, user, calendar, "calendarView")


def events_delta(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/events/delta: v1.0 needs a window; beta knows none and gives few properties."""
    windowed = request.version != "beta" or "startDateTime" in request.query
    return _delta(tenant, request, user, calendar, "calendarView" if windowed else "events")


def _delta(tenant: Tenant, request: Request, user: str, calendar: str, kind: str) -> Answer:
    store = calendars_of(tenant, user)
    target = store.calendar(calendar) if calendar else store.default
    token = request.query.get("$skiptoken") or request.query.get("$deltatoken")
    name = f"{kind}/{store.mailbox.user_id}/{target.id}"
    if token is None:
        position = _first(tenant, request, name, store, target, kind)
    else:
        position = cast("Position[str]", tenant.feeds.find(name, token, tenant.quirks))
        if position.round.options["immutable"] != id_options(request)["immutable"]:
            if tenant.quirks.mixed_id_types == "refused":
                raise GraphError(400, "SyncStateInvalid", "The sync state has other ids.")
        if position.offset < 0:
            position = _later(tenant, name, position, store, target, kind)
    page = tenant.feeds.page(position, delta_size(request, _PAGE), tenant.quirks)
    view = view_of(tenant, request)
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(event)"}
    path = f"/users/{store.mailbox.user_id}/calendars/{target.id}/{kind}/delta"
    if tenant.quirks.odd_link_spellings:
        path = f"/users('{store.mailbox.user_id}')/calendars('{target.id}')/{kind}/delta()"
    add_links(body, request, path, page.next_token, page.delta_token)
    shown = (_entry(store, target, *entry, view, kind) for entry in page.entries)
    body["value"] = [one for one in shown if one is not None]
    return Answer(200, body, headers_of(request))


def _first(
    tenant: Tenant, request: Request, name: str, store: Calendars, target: Calendar, kind: str
) -> Position[str]:
    refused = [option for option in _REFUSED if option in request.query]
    if refused:
        raise GraphError(
            400, "ErrorInvalidUrlQuery", f"The query parameter '{refused[0]}' is not supported."
        )
    window = window_of(request) if kind == "calendarView" else None
    options = id_options(request)
    options["window"] = json.dumps([one.isoformat() for one in window] if window else [])
    entries: _Entries = []
    for key in target.log.present():
        if ":" not in key:
            entries += _whole(store.events.get(int(key)), window)
    if tenant.quirks.removed_in_first_round:
        entries += [(key, reason) for key, reason in target.log.removed() if ":" not in key]
    entries = _replayed(entries, tenant.quirks, tenant.rng)
    return tenant.feeds.start(name, Plan(entries, store.sequence), options)


def _later(
    tenant: Tenant,
    name: str,
    position: Position[str],
    store: Calendars,
    target: Calendar,
    kind: str,
) -> Position[str]:
    options = position.round.options
    stored = json.loads(options["window"])
    begin, finish = (datetime.fromisoformat(one) for one in stored or ("0001-01-01", "9999-01-01"))
    window = (begin, finish) if stored else None
    since = target.log.since(position.round.plan.sequence)
    days = {key.split(":")[0] for key, _ in since if ":" in key}
    entries: _Entries = []
    for key, change in since:
        event = store.events.get(int(key.split(":")[0]))
        gone = change in ("deleted", "changed")
        if ":" in key:
            day = date.fromordinal(int(key.split(":")[1]))
            if window is not None and (event is None or event.overlaps(*window, day)):
                entries.append((key, "deleted" if gone else "now"))
        elif gone:
            entries += _removed(target.gone.get(int(key)), window)
        elif tenant.quirks.p_duplicate and key in days and tenant.rng.random() < 0.5:
            continue  # only the day that changed is told of
        else:
            entries += _whole(event, window)
    entries = _replayed(entries, tenant.quirks, tenant.rng)
    return tenant.feeds.start(name, Plan(entries, store.sequence), options)


def _whole(event: Event | None, window: _Window | None) -> _Entries:
    """An event as the window shows it: itself, or its occurrences and their master."""
    if event is None:
        return []
    key = str(event.number)
    if window is None:
        return [(key, "now")]
    if not event.is_series:
        if event.overlaps(*window):
            return [(key, "now")]
        return [(key, "deleted")] if event.left(*window) else []
    days = [f"{key}:{day.toordinal()}" for day in event.days_between(*window)]
    return [(one, "now") for one in (key, *days)] if days else []


def _removed(event: Event | None, window: _Window | None) -> _Entries:
    if event is None:
        return []
    key = str(event.number)
    if window is not None and not event.is_series and not event.overlaps(*window):
        return []  # nobody was ever told of it
    days = event.days_between(*window) if window is not None and event.is_series else []
    entries: _Entries = [(f"{key}:{day.toordinal()}", "deleted") for day in days]
    return [(key, "deleted"), *entries]


def _replayed(entries: _Entries, quirks: Quirks, dice: random.Random) -> _Entries:
    """Some entries twice, the other time anywhere: replays are allowed."""
    if not quirks.p_duplicate:
        return entries
    result = list(entries)
    for key, variant in entries:
        if variant == "now" and dice.random() < quirks.p_duplicate:
            result.insert(dice.randint(0, len(result)), (key, variant))
    return result


def _entry(
    store: Calendars, target: Calendar, key: str, variant: Variant, view: View, kind: str
) -> Json | None:
    number, _, ordinal = key.partition(":")
    day = date.fromordinal(int(ordinal)) if ordinal else None
    event = store.events.get(int(number))
    away = event is None or event.calendar is not target or (day and day in event.cancelled)
    if variant in ("deleted", "changed") or event is None or away:
        known = event or target.gone.get(int(number))
        if known is None:
            return None
        removed = store.event_id(known, day, immutable=view.immutable, salt=view.salt)
        reason = "changed" if variant == "changed" else "deleted"
        shown: Json = {"id": removed, "@removed": {"reason": reason}}
    elif kind == "events":
        whole = event_json(store, event, view)
        shown = {name: whole[name] for name in (*_BETA, "@odata.etag") if name in whole}
    elif day is not None and day not in event.changed:
        shown = occurrence_json(store, event, view, day)
    else:
        shown = event_json(store, event, view, day)
    return {"@odata.type": "#microsoft.graph.event"} | shown


_OPERATIONS = (("/calendarView/delta", view_delta), ("/events/delta", events_delta))
ROUTES: tuple[Route, ...] = tuple(
    Route("GET", base + pattern, handler, READ, "outlook")
    for base in BASES
    for pattern, handler in _OPERATIONS
)
