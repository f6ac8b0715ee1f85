"""Calendar in the suite: the simulated mailbox with every odd event."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import simulator
from m365.calendar import SERVICE
from m365.mail_attachments import LISTED
from m365.service import Resource, Service
from simulator.calendar_json import PROPERTIES, View, event_json
from simulator.calendar_state import Calendars, Event, calendars_of
from simulator.calendar_truth import event_truth
from simulator.calendar_zones import CUSTOM
from tests.m365.stage import RAW, Truth, canonical

_LEFT_OUT = ("@odata.etag", "@odata.type", "@odata.context", "changeKey")
_KEPT = (
    "subject", "importance", "sensitivity", "showAs", "isAllDay", "isReminderOn",
    "reminderMinutesBeforeStart", "responseRequested", "allowNewTimeProposals", "hideAttendees",
)  # fmt: skip


class CalendarCase:
    """Calendar: a mailbox whose calendars hold all the oddities."""

    service: Service = SERVICE

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", next(iter(tenant.mailboxes)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        return Resource("mailbox", tenant.add_user("Empty Target").id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        found: Counter[Truth] = Counter()
        store = calendars_of(tenant, resource.graph_id)
        for event in _own(store):
            data = canonical(_as_kept(store, event))
            calendar = event.calendar
            path = (calendar.group.name, calendar.name, event.properties["subject"])
            found[Truth(path, len(data), hashlib.sha256(data).hexdigest())] += 1
        return found

    def main_part(self) -> str:
        return RAW

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.feeds.lose(lambda feed: True)

    def idle_requests_max(self, folders: int) -> int:
        return folders  # the list, and one for each own calendar: of groups and the root none

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        store = calendars_of(tenant, resource.graph_id)
        store.delete_event(store.find(item_id)[0])

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.mailboxes[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/attachments"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        assert not tenant.counters.meeting_mail  # whatever is restored, nobody is mailed
        return _facts(calendars_of(tenant, target.graph_id))

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return _facts(calendars_of(tenant, resource.graph_id))


def _own(store: Calendars) -> list[Event]:
    return [one for one in store.events.values() if one.calendar.owner == store.owner]


def _as_kept(store: Calendars, event: Event) -> dict[str, Any]:
    """The object as Graph gives it, with all that is told of a series, in a fixed order."""
    plain = View(True, 0, attachments=True, attachment_select=frozenset(LISTED.split(",")))
    raw = event_json(store, event, plain)
    if event.is_series:
        names = frozenset((*PROPERTIES, "cancelledOccurrences", "exceptionOccurrences"))
        more = event_json(store, event, View(True, 0, select=names, exceptions=True), whole_id=True)
        exceptions = more["exceptionOccurrences"]
        raw["exceptionOccurrences"] = sorted(
            (_without(one) for one in exceptions), key=lambda one: one["originalStart"]
        )
        raw["cancelledOccurrences"] = sorted(more["cancelledOccurrences"])
    files = raw.pop("attachments")
    if files:
        raw["attachments"] = sorted(files, key=lambda one: one["id"])
    return _without(raw)


def _without(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in _LEFT_OUT}


def _facts(store: Calendars) -> Counter[tuple[Any, ...]]:
    """Of every event what a person would miss, and of every exception of a series."""
    found: Counter[tuple[Any, ...]] = Counter()
    for event in _own(store):
        whole = event_truth(store, event)
        days = tuple(
            (one["day"], _seen({**whole, **one["changed"], **one})) for one in whole["exceptions"]
        )
        recurrence = str(whole["recurrence"]).replace(CUSTOM, "UTC")
        found[(tuple(whole["calendar"]), _seen(whole), recurrence, *whole["cancelled"], days)] += 1
    return found


def _seen(facts: dict[str, Any]) -> tuple[Any, ...]:
    zones = tuple(str(facts[name]).replace(CUSTOM, "UTC") for name in ("start_zone", "end_zone"))
    files = sorted(
        (one["name"], one["kind"], one["isInline"], one["contentId"] or "", _content(one))
        for one in facts["attachments"]
    )
    return (
        *(facts[name] for name in _KEPT),
        facts["start"],
        facts["end"],
        zones,
        tuple(facts["categories"]),
        re.sub(r"<[^>]*>|\s", "", facts["body"]["content"]),  # the service wraps bodies
        tuple(place.get("displayName") for place in facts["locations"]),
        tuple(files),
    )


def _content(attachment: dict[str, Any]) -> str:
    """What a file holds; the service writes the MIME of attached items anew."""
    return str(attachment["sha256"]) if attachment["kind"] == "fileAttachment" else ""
