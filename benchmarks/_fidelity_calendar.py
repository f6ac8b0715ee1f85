"""Events and series that together use every property, and what became of them.

An exception of a series is an item of its own here: only exceptions have originalStart and
seriesMasterId.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from benchmarks._fidelity import Scene, Shown, mailboxes
from benchmarks._fidelity_files import kept_files, shown_files
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant, extended
from simulator.calendar_create import preview
from simulator.calendar_json import PROPERTIES
from simulator.calendar_state import Calendars, calendars_of
from simulator.contoso_calendar import fill_calendars, make

_NOW = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
_TEXT = "String {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Project"
_WORDS = "StringArray {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Keywords"
_EXTENSION = "com.contoso.referral"
_SELECT = ",".join(("id", *PROPERTIES, "cancelledOccurrences", "exceptionOccurrences"))
_FILES = "attachments($select=id)"
_EXPAND = (
    f"exceptionOccurrences,{_FILES},"
    f"singleValueExtendedProperties($filter=id eq '{_TEXT}'),"
    f"multiValueExtendedProperties($filter=id eq '{_WORDS}'),"
    f"extensions($filter=id eq '{_EXTENSION}')"
)
_WINDOW = {"startDateTime": "2026-06-01T00:00:00Z", "endDateTime": "2027-06-01T00:00:00Z"}
_OF_THE_MAILBOX = frozenset((
    "id", "changeKey", "createdDateTime", "lastModifiedDateTime", "iCalUId", "webLink",
    "seriesMasterId", "@odata.etag", "@odata.context", "attendees", "organizer", "isOrganizer",
    "responseStatus", "isCancelled", "isDraft", "isOnlineMeeting", "onlineMeeting",
    "onlineMeetingProvider", "onlineMeetingUrl", "transactionId", "attachments", "size",
    "contentBytes", "@odata.mediaContentType", "@odata.type",
))  # fmt: skip
_LOOKS = ("body", "end", "showAs", "importance", "categories", "hasAttachments")


class Events:
    """The calendar among the subjects of the measurement."""

    service = "calendar"

    def furnish(self, tenant: Tenant) -> Scene:
        scene, dice = mailboxes(tenant), random.Random("fidelity")
        fill_calendars(tenant, scene.source, 4, dice, _NOW, special=True)
        store = calendars_of(tenant, scene.source)
        full = make(
            store, store.default, dice, "Everything an event can hold",
            datetime(2026, 12, 3, 10, 0), guests=2,
            allowNewTimeProposals=False, hideAttendees=True, isDraft=True, responseRequested=False,
            sensitivity="private", showAs="oof", importance="low", categories=["Blue category"],
            onlineMeetingUrl="https://meet.contoso.example/7", transactionId="a-request",
            reminderMinutesBeforeStart=90,
        )  # fmt: skip
        full.extended[extended.key(_TEXT)] = "Harbour"
        full.extended_lists[extended.key(_WORDS)] = ["pier", "crane"]
        full.extensions[_EXTENSION] = {"id": _EXTENSION, "extensionName": _EXTENSION, "stars": 5}
        with_event_previews(store)
        return scene

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        store = calendars_of(tenant, where)
        found = []
        for event in list(store.events.values()):
            if event.calendar.owner != store.owner:
                continue  # protected in the mailbox of its owner
            key = store.event_id(event, immutable=True)
            path = f"/users/{where}/events/{quote(key)}"
            raw = graph.get(path, select=_SELECT, expand=_EXPAND)
            raw["attachments"] = shown_files(graph, path, raw["attachments"])
            if event.is_series:
                raw["instances"] = _instances(graph, path)
            for one in raw.get("exceptionOccurrences", ()):
                at = f"/users/{where}/events/{quote(one['id'])}"
                listed = graph.get(at, expand=_FILES)["attachments"]
                one["attachments"] = shown_files(graph, at, listed)
            found.append(_comparable(raw, event.calendar.name))
        return {"event": _named(found)}

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        view = installation.view(self.service, f"mailbox:{where}")
        found = []
        for entry in view.catalog.items():
            if entry.kind == "folder":
                continue
            item = view.item(entry.id)
            raw = {**item.raw, **entry.facts.get("volatile", {})}
            raw["attachments"] = kept_files(item.parts)
            for one in raw.get("exceptionOccurrences", ()):
                own = kept_files(item.parts, str(one.get("originalStart")))
                one["attachments"] = own or raw["attachments"]
            found.append(_comparable(raw, view.path(entry)[-1].name))
        return {"event": _named(found)}


def with_event_previews(store: Calendars) -> None:
    """Gives every event the preview of its body; what a month changes does not always."""
    for event in store.events.values():
        event.properties["bodyPreview"] = preview(event.properties["body"])
        for changed in event.changed.values():
            changed.pop("bodyPreview", None)
            if "body" in changed:
                changed["bodyPreview"] = preview(changed["body"])


def _comparable(raw: Mapping[str, Any], calendar: str) -> dict[str, Any]:
    """An event with its exceptions, without what belongs to the mailbox it lies in."""
    facts = _own(raw, calendar)
    whole = [  # a change of an exception shows in the changeKey of its series
        {k: v for k, v in one.items() if k != "changeKey"}
        for one in raw.get("exceptionOccurrences") or ()
    ]
    facts["exceptions"] = [_own(one, calendar) for one in whole]
    facts["exceptionOccurrences"] = sorted(
        ({k: v for k, v in one.items() if k not in _OF_THE_MAILBOX} for one in whole),
        key=lambda one: str(one["originalStart"]),
    )
    days = raw.get("cancelledOccurrences") or ()
    facts["cancelledOccurrences"] = sorted(str(one).rpartition(".")[2] for one in days)
    return facts


def _own(raw: Mapping[str, Any], calendar: str) -> dict[str, Any]:
    facts = {"@odata.type": "#microsoft.graph.event", **raw, "calendar": calendar}
    if facts.get("onlineMeetingProvider") == "unknown":
        facts["onlineMeetingProvider"] = None  # there is no online meeting
    return facts


def _named(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By subject, start, calendar and number; exceptions by their series and their day."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for facts in found:
        start = facts["start"]["dateTime"]
        by_name.setdefault(f"{facts['subject']} {start} {facts['calendar']}", []).append(facts)
    named: dict[str, dict[str, Any]] = {}
    for name, copies in by_name.items():
        copies.sort(key=lambda one: str([one.get(fact) for fact in _LOOKS]))
        for number, facts in enumerate(copies):
            for one in facts.pop("exceptions"):
                named[f"{name} {number} on {one['originalStart']}"] = one
            named[f"{name} {number}"] = facts
    return named


def _instances(graph: Graph, path: str) -> list[tuple[Any, ...]]:
    rows = graph.all(f"{path}/instances", **_WINDOW)
    return sorted((one["start"]["dateTime"], one["end"]["dateTime"], one["type"]) for one in rows)
