"""What was found out about the mailboxes and drives of people, and when to ask again.

Rule 1: what somebody has is asked once. That it vanished is noticed by the step that reads it.
Rule 2: what somebody lacks is asked again when the directory says that the person changed, or that
        there is a site for the OneDrive. Else it is asked for after a month without a licence;
        otherwise at the next run, then after pauses that double; of few people a night, so that
        thousands who never had a OneDrive cost next to nothing. Another right is another question.
Rule 3: answers are kept as they come in, so planning may stop at any time and go on later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from base.clock import parse_iso
from engine.assembly import App
from engine.directory import Known, may, personal_name
from m365.archive import archives_of
from m365.directory import Person
from m365.graph.client import GraphReader
from m365.graph.errors import GatewayTimeout, TransientFailure
from m365.holdings import (
    NO_DRIVE,
    NO_MAILBOX,
    PURPOSE_PERMISSION,
    Found,
    drives_of,
    mailbox_right,
    mailboxes_of,
    purposes_of,
)
from state.directory import Kept, Record

NAME = "holdings"  # of the records
GUEST = "guest"
NO_LICENCE = "no-licence"
NOT_PROVISIONED = "not-provisioned"
_MONTH, _WEEK = timedelta(days=30), timedelta(days=7)
_EARLY = timedelta(
    hours=6
)  # so much sooner than yesterday's a run may be, and still be a day later
_AGAIN_MAX = 100  # people a night who are looked at again without a reason: five requests
_AT_ONCE = 200  # people between two looks at the clock: ten requests
_NOTHING = (NO_MAILBOX, NO_DRIVE)
_FLEETING = (
    TransientFailure.code,
    GatewayTimeout.code,
)  # no answer at all: the next run asks again
_PURPOSE = "purpose"

ASK: Mapping[str, Callable[[GraphReader, Sequence[str]], dict[str, Found]]] = {
    "mailbox": mailboxes_of,
    "drive": drives_of,
    "archive": archives_of,
}


class MoreToAsk(Exception):
    """The step's time is up, or the service asks for a pause; what was asked is kept."""

    def __init__(self, retry_after_s: float = 0.0) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class Holdings:
    """What each person has, by kind of resource. `began`: when the run began."""

    def __init__(
        self,
        app: App,
        org: str,
        reader: GraphReader | None,
        deadline: float = 0,
        began: datetime | None = None,
    ) -> None:
        self._app, self._org, self._reader, self._deadline = app, org, reader, deadline
        self._began = began.isoformat() if began else ""
        self._kept = app.directory.read(org, NAME)
        self._records: dict[str, Record] = dict(self._kept.records)
        self._now = app.clock.now()
        self._right = mailbox_right(reader) if reader else ""
        self.answers = 0  # that this step has brought

    def ask(
        self, kind: str, people: Sequence[Person], vanished: Collection[str], known: Known
    ) -> None:
        """Finds out who has a resource of a kind. `vanished`: people whose resource was not there
        when a step wanted to read it. Raises Throttled, MoreToAsk.
        """
        asked = [one for one in people if not _is_plain_guest(one)]
        due = [one.id for one in asked if one.id in vanished or self._is_news(kind, one, known)]
        again = [one for one in asked if self._is_due(kind, one)]
        again.sort(key=lambda one: str(self._records[one.id][kind]["asked"]))
        due += [one.id for one in again[:_AGAIN_MAX]]
        self._ask_in_parts(list(dict.fromkeys(due)), lambda ids: self._note(kind, ids))

    def ask_purposes(self, people: Iterable[Person]) -> None:
        """Finds out what mailboxes are for, where that may be asked."""
        assert self._reader is not None, "asked with a reader only"
        if may(self._reader, PURPOSE_PERMISSION):
            due = [one.id for one in people if self._purpose_is_due(one)]
            self._ask_in_parts(due, self._note_purposes)

    def found(self, kind: str, person: Person) -> Found | None:
        """What a person has, or why not, in the words of coverage; None where nobody asked."""
        if _is_plain_guest(person):
            return Found(reason=GUEST)
        held = self._records.get(person.id, {}).get(kind)
        if held is None:
            return None
        return Found(held["id"], _reason(person, held["reason"]))

    def believe(self, kind: str, person_id: str, graph_id: str) -> None:
        """Takes over what an earlier run found, where nobody remembers the question."""
        if kind not in self._records.get(person_id, {}):
            self._set(person_id, kind, {"id": graph_id, "reason": "", **self._asked(None)})

    def personal_sites(self) -> set[str]:
        """The names of the sites in which people's OneDrives lie, as far as they were asked for."""
        held = (record.get("drive") or {} for record in self._records.values())
        return {str(one["site"]) for one in held if one.get("site")}

    def drives(self) -> set[str]:
        """The ids of people's OneDrives, as far as they were asked for."""
        held = (record.get("drive") or {} for record in self._records.values())
        return {str(one["id"]) for one in held if one.get("id")}

    def purpose(self, person_id: str) -> str:
        """What a person's mailbox is for: user, shared, room, equipment, …; "" where unknown."""
        return str(self._records.get(person_id, {}).get(_PURPOSE, {}).get("is", ""))

    def save(self, known: Known) -> None:
        """Keeps the answers; those about who is not in the directory any more go."""
        records = {key: one for key, one in self._records.items() if key in known.people}
        if records != self._kept.records:
            after = Kept(records, whole_at=self._now)
            self._app.directory.write(self._org, NAME, self._kept, after)
            self._kept = self._app.directory.read(self._org, NAME)

    def _ask_in_parts(self, ids: list[str], note: Callable[[list[str]], None]) -> None:
        waiting = iter(ids)
        while some := list(islice(waiting, _AT_ONCE)):
            note(some)
            if self._app.clock.monotonic() >= self._deadline:
                raise MoreToAsk

    def _note(self, kind: str, ids: list[str]) -> None:
        assert self._reader is not None, "asked with a reader only"
        for person_id, answer in ASK[kind](self._reader, ids).items():
            before = self._records.get(person_id, {}).get(kind) or {}
            same = (before.get("id"), before.get("reason")) == (answer.id, answer.reason)
            held: dict[str, Any] = {"id": answer.id, "reason": answer.reason}
            if personal_name(answer.url):
                held["site"] = personal_name(answer.url)
            if kind == "mailbox" and not answer.id:
                held["right"] = self._right
            held |= self._asked(before if same else None)
            if before.get("id") or before.get("had"):
                held["had"] = True
            self._set(person_id, kind, held)

    def _note_purposes(self, ids: list[str]) -> None:
        assert self._reader is not None, "asked with a reader only"
        for person_id, purpose in purposes_of(self._reader, ids).items():
            self._set(person_id, _PURPOSE, {"is": purpose, **self._asked(None)})

    def _asked(self, before: Mapping[str, Any] | None) -> dict[str, str]:
        now = self._now.isoformat()
        return {"since": before["since"] if before else now, "asked": now}

    def _set(self, person_id: str, kind: str, held: dict[str, Any]) -> None:
        self.answers += 1
        self._records[person_id] = {**self._records.get(person_id, {}), kind: held}

    def _is_news(self, kind: str, person: Person, known: Known) -> bool:
        """Whether nobody asked yet, or something has happened since."""
        held = self._records.get(person.id, {}).get(kind)
        if held is None or held["id"]:
            return held is None
        if kind == "mailbox" and held.get("right") != self._right:
            return True
        happened = max(person.changed, known.onedrive_since(person) if kind == "drive" else "")
        return happened > held["asked"] or held["reason"] in _FLEETING

    def _is_due(self, kind: str, person: Person) -> bool:
        """Whether it is time to look again for what was missing."""
        held = self._records.get(person.id, {}).get(kind)
        if held is None or held["id"] or held["asked"] >= self._began > "":
            return False  # or this very run has looked
        asked = parse_iso(held["asked"])
        if held["reason"] in _NOTHING and person.licensed is False and not held.get("had"):
            return self._now - asked >= _MONTH
        longest = _MONTH if held["reason"] in _NOTHING else _WEEK
        return self._now - asked >= min(asked - parse_iso(held["since"]), longest) - _EARLY

    def _purpose_is_due(self, person: Person) -> bool:
        record = self._records.get(person.id, {})
        if not record.get("mailbox", {}).get("id"):
            return False
        held = record.get(_PURPOSE)
        if held is None or person.changed > held["asked"]:
            return True
        return self._now - parse_iso(held["asked"]) >= _WEEK


def _is_plain_guest(person: Person) -> bool:
    """Whether a guest cannot have anything here, which need not be asked."""
    return person.is_guest and person.licensed is False


def _reason(person: Person, reason: str) -> str:
    if reason not in _NOTHING:
        return reason
    if person.is_guest:
        return GUEST
    if person.licensed is None:
        return reason
    return NOT_PROVISIONED if person.licensed else NO_LICENCE
