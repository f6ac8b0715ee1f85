"""Calendars and events: lists, one by one, by window, creation and changes."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from simulator import calendar_create
from simulator.calendar_json import (
    calendar_json,
    calendar_select,
    event_json,
    group_json,
    headers_of,
    view_of,
    window_of,
)
from simulator.calendar_state import Calendar, Calendars, Event, calendars_of
from simulator.extended import key
from simulator.mail import check_size
from simulator.mail_query import page_bounds
from simulator.mailbox import not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Calendars.ReadBasic.All", "Calendars.Read", "Calendars.ReadWrite")
CONTENT = ("Calendars.Read", "Calendars.ReadWrite")
WRITE = ("Calendars.ReadWrite",)
_TERM = re.compile(r"([A-Za-z/]+)\s+(eq|ne|ge|gt|le|lt)\s+('(?:[^']|'')*'|[^\s()']+)")
_ANY = re.compile(
    r"singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\1/id\s+eq\s+'([^']*)'\s+and\s+"
    r"\1/value\s+eq\s+'((?:[^']|'')*)'\s*\)",
    re.IGNORECASE,
)
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "lt": lambda a, b: a < b,
}  # fmt: skip
_FILTERED = ("lastModifiedDateTime", "createdDateTime", "type", "iCalUId", "subject")


def list_groups(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET …/calendarGroups."""
    store = calendars_of(tenant, user)
    values = [group_json(store, group) for group in store.groups.values()]
    return _page(tenant, request, f"/users/{user}/calendarGroups", values)


def create_group(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST …/calendarGroups {"name"}."""
    store = calendars_of(tenant, user)
    return Answer(201, group_json(store, store.add_group(_name(request.json()))))


def get_group(tenant: Tenant, request: Request, user: str, group: str) -> Answer:
    """GET …/calendarGroups/{group}."""
    store = calendars_of(tenant, user)
    if group not in store.groups:
        raise not_found()
    return Answer(200, group_json(store, store.groups[group]))


def list_calendars(tenant: Tenant, request: Request, user: str, group: str = "") -> Answer:
    """GET …/calendars: all of them, or those of one group."""
    store = calendars_of(tenant, user)
    if group and group not in store.groups:
        raise not_found()
    select = calendar_select(request)
    values = [
        calendar_json(store, one, select)
        for one in store.calendars.values()
        if group in ("", one.group.id)
    ]
    path = f"/users/{user}/calendarGroups/{group}" if group else f"/users/{user}"
    return _page(tenant, request, f"{path}/calendars", values)


def create_calendar(tenant: Tenant, request: Request, user: str, group: str = "") -> Answer:
    """POST …/calendars {"name", "color"}."""
    store = calendars_of(tenant, user)
    if group and group not in store.groups:
        raise not_found()
    body = request.json()
    made = store.add_calendar(_name(body), store.groups[group] if group else None)
    made.color = str(body.get("color") or "auto")
    return Answer(201, calendar_json(store, made, None))


def get_calendar(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/calendars/{calendar}, or the default one."""
    store = calendars_of(tenant, user)
    found = store.calendar(calendar) if calendar else store.default
    return Answer(200, calendar_json(store, found, calendar_select(request)))


def patch_calendar(tenant: Tenant, request: Request, user: str, calendar: str) -> Answer:
    """PATCH …/calendars/{calendar}."""
    store = calendars_of(tenant, user)
    found, body = store.calendar(calendar), request.json()
    found.name = str(body.get("name") or found.name)
    found.color = str(body.get("color") or found.color)
    store.sequence += 1
    found.change = store.sequence
    return Answer(200, calendar_json(store, found, None))


def delete_calendar(tenant: Tenant, request: Request, user: str, calendar: str) -> Answer:
    """DELETE …/calendars/{calendar}."""
    store = calendars_of(tenant, user)
    found = store.calendar(calendar)
    if not found.removable:
        raise GraphError(403, "ErrorDeleteDistinguishedFolder", "This calendar cannot be deleted.")
    store.delete_calendar(found)
    return Answer(204)


def list_events(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/events: single events and masters, no occurrences."""
    store = calendars_of(tenant, user)
    found = store.calendar(calendar) if calendar else store.default
    view = view_of(tenant, request)
    if view.attachments and tenant.quirks.delta_expand == "refused":
        raise GraphError(400, "ErrorInvalidUrlQuery", "$expand is not supported here.")
    if tenant.quirks.delta_expand == "ignored":  # the $select inside of it: bytes come along
        view = replace(view, attachment_select=None)
    events = [one for one in store.events.values() if one.calendar is found]
    if "$filter" in request.query:
        test = _matcher(request.query["$filter"])
        events = [one for one in events if test(one)]
    path = f"/users/{user}/calendars/{found.id}/events" if calendar else f"/users/{user}/events"
    return _page(tenant, request, path, events, lambda one: event_json(store, one, view))


def count_events(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/events/$count."""
    store = calendars_of(tenant, user)
    found = store.calendar(calendar) if calendar else store.default
    count = sum(one.calendar is found for one in store.events.values())
    return Answer(200, str(count).encode("ascii"), {"Content-Type": "text/plain"})


def create_event(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """POST …/events."""
    store = calendars_of(tenant, user)
    check_size(tenant, request)
    target = store.calendar(calendar) if calendar else store.default
    made = calendar_create.from_json(tenant, store, target, request.json())
    return Answer(201, event_json(store, made, view_of(tenant, request)), headers_of(request))


def find(store: Calendars, reference: str, calendar: str = "") -> tuple[Event, date | None]:
    """An event or occurrence by id, and, when the path says so, in that calendar."""
    event, day, file = store.find(reference)
    if file or (calendar and event.calendar is not store.calendar(calendar)):
        raise not_found()
    return event, day


def refuse_lagging(event: Event) -> None:
    """What is just created is, for one request, not there yet."""
    if event.lag:
        event.lag = False
        raise not_found()


def get_event(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """GET …/events/{event}."""
    store = calendars_of(tenant, user)
    found, day = find(store, event, calendar)
    body = event_json(store, found, view_of(tenant, request), day, whole_id=True)
    context = f"{request.url_base}/$metadata#users('{user}')/events/$entity"
    return Answer(200, {"@odata.context": context} | body, headers_of(request))


def calendar_of_event(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """GET …/events/{event}/calendar."""
    store = calendars_of(tenant, user)
    found, _ = find(store, event, calendar)
    return Answer(200, calendar_json(store, found.calendar, calendar_select(request)))


def patch_event(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """PATCH …/events/{event}."""
    store = calendars_of(tenant, user)
    check_size(tenant, request)
    found, day = find(store, event, calendar)
    refuse_lagging(found)
    calendar_create.patch(tenant, store, found, day, request.json())
    return Answer(200, event_json(store, found, view_of(tenant, request), day))


def delete_event(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """DELETE …/events/{event}."""
    store = calendars_of(tenant, user)
    found, day = find(store, event, calendar)
    calendar_create.remove(tenant, store, found, day)
    return Answer(204)


def list_instances(
    tenant: Tenant, request: Request, user: str, event: str, calendar: str = ""
) -> Answer:
    """GET …/events/{event}/instances in a window."""
    store = calendars_of(tenant, user)
    found, _ = find(store, event, calendar)
    refuse_lagging(found)
    window, view = window_of(request), view_of(tenant, request)
    path = f"/users/{user}/events/{event}/instances"
    days = sorted(found.days_between(*window))
    return _page(tenant, request, path, days, lambda day: event_json(store, found, view, day))


def calendar_view(tenant: Tenant, request: Request, user: str, calendar: str = "") -> Answer:
    """GET …/calendarView: what lies in a window, series as their occurrences."""
    store = calendars_of(tenant, user)
    target = store.calendar(calendar) if calendar else store.default
    window, view = window_of(request), view_of(tenant, request)
    values = in_window(store, target, *window)
    path = f"/users/{user}/calendars/{target.id}/calendarView"
    return _page(tenant, request, path, values, lambda one: event_json(store, one[0], view, one[1]))


def in_window(
    store: Calendars, calendar: Calendar, begin: datetime, finish: datetime
) -> list[tuple[Event, date | None]]:
    """Single events, occurrences and exceptions that lie in a window."""
    found: list[tuple[Event, date | None]] = []
    for event in store.events.values():
        if event.calendar is not calendar:
            continue
        if event.is_series:
            found += [(event, day) for day in event.days_between(begin, finish)]
        elif event.overlaps(begin, finish):
            found.append((event, None))
    return found


def _page(
    tenant: Tenant,
    request: Request,
    path: str,
    values: list[Any],
    shown: Callable[[Any], Json] | None = None,
) -> Answer:
    """One page of a plain list; it may be short or empty and still lead on."""
    skip, size = page_bounds(request)
    quirks = tenant.quirks
    empty = "$skiptoken" not in request.query and tenant.rng.random() < quirks.p_empty_page
    if empty:
        size = 0
    elif size > 1 and tenant.rng.random() < quirks.p_short_page:
        size = tenant.rng.randint(1, size - 1)
    part = values[skip : skip + size]
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(event)"}
    body["value"] = [shown(one) if shown else one for one in part]
    if empty or skip + size < len(values):
        query = {k: v for k, v in request.query.items() if k != "$skiptoken"}
        query["$skip"] = str(skip + size)
        if empty:
            query["$skiptoken"] = "again"
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    return Answer(200, body, headers_of(request))


def _matcher(text: str) -> Callable[[Event], bool]:
    tests: list[Callable[[Event], bool]] = []
    rest = text.strip()
    while rest:
        match = _ANY.match(rest)
        if match is not None:
            tests.append(_has(match[2], match[3].replace("''", "'")))
        else:
            match = _TERM.match(rest)
            if match is None or match[1] not in _FILTERED:
                raise _bad_filter(text)
            tests.append(_term(match[1], match[2], match[3]))
        rest = rest[match.end() :].strip()
        if rest and not rest.lower().startswith("and "):
            raise _bad_filter(text)
        rest = rest[4:].strip()
    return lambda event: all(test(event) for test in tests)


def _has(name: str, value: str) -> Callable[[Event], bool]:
    return lambda event: event.extended.get(key(name)) == value


def _term(name: str, op: str, value: str) -> Callable[[Event], bool]:
    expected = value[1:-1].replace("''", "'") if value.startswith("'") else value

    def test(event: Event) -> bool:
        actual = str(event.properties.get(name) or "")
        if name == "type":
            actual = "seriesMaster" if event.is_series else "singleInstance"
        return _COMPARE[op](actual, expected)

    return test


def _bad_filter(text: str) -> GraphError:
    return GraphError(400, "ErrorInvalidUrlQueryFilter", f"Invalid filter near '{text}'.")


def _name(body: Json) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise GraphError(400, "ErrorInvalidProperty", "A name is required.")
    return name


_Handler = Callable[..., Answer]
_U, _C, _G = "/users/{user}", "/users/{user}/calendars/{calendar}", "/users/{user}/calendarGroups"
BASES = (_U, f"{_U}/calendar", _C)
_OF_EVENTS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "/events", list_events, READ),
    ("POST", "/events", create_event, WRITE),
    ("GET", "/events/$count", count_events, READ),
    ("GET", "/events/{event}/calendar", calendar_of_event, READ),
    ("GET", "/events/{event}", get_event, READ),
    ("PATCH", "/events/{event}", patch_event, WRITE),
    ("DELETE", "/events/{event}", delete_event, WRITE),
    ("GET", "/events/{event}/instances", list_instances, READ),
    ("GET", "/calendarView", calendar_view, READ),
)
_OTHERS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _G, list_groups, READ),
    ("POST", _G, create_group, WRITE),
    ("GET", f"{_G}/{{group}}", get_group, READ),
    ("GET", f"{_G}/{{group}}/calendars", list_calendars, READ),
    ("POST", f"{_G}/{{group}}/calendars", create_calendar, WRITE),
    ("GET", f"{_U}/calendars", list_calendars, READ),
    ("POST", f"{_U}/calendars", create_calendar, WRITE),
    ("GET", f"{_U}/calendar", get_calendar, READ),
    ("GET", _C, get_calendar, READ),
    ("PATCH", _C, patch_calendar, WRITE),
    ("DELETE", _C, delete_calendar, WRITE),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, base + pattern, handler, permissions, "outlook")
    for base in BASES
    for method, pattern, handler, permissions in _OF_EVENTS
) + tuple(Route(*operation, limits="outlook") for operation in _OTHERS)
