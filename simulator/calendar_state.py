"""The calendars of a mailbox: groups, calendars, events, and the log of what changed in each.

Rules
- Every change goes through a method here, so that feeds, change keys and dates stay true.
- An event is a single one or the master of a series. What differs in a series is kept by the day
  its pattern names: `changed` (exceptions) and `cancelled`; both live in the master, so a change of
  either changes the master too ([MS-OXOCAL] 2.2.1.44).
- The log of a calendar speaks of events by "number" and of occurrences by "number:day".
- Times are wall-clock times of the event's own zone; who shows them converts.
"""

import base64
import binascii
import random
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from simulator.calendar_recurrence import days_of
from simulator.calendar_zones import to_utc
from simulator.feed import ChangeLog
from simulator.mailbox import Attachment, Mailbox, not_found
from simulator.mailids import folder_id
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_ID = struct.Struct(">16sIIIIII8s")
_IMMUTABLE, _REGULAR, _MARK = "AAkAL", "AAMkA", 0x45


@dataclass(slots=True)
class CalendarGroup:
    """A group calendars are shown in."""

    id: str
    name: str
    class_id: str
    change: int = 0


@dataclass(slots=True)
class Calendar:
    """A calendar; `owner` differs from the mailbox's own address where it is shared in."""

    id: str
    name: str
    group: CalendarGroup
    owner: Json
    default: bool = False
    can_edit: bool = True
    removable: bool = True
    can_share: bool | None = None
    """None: as its owner says."""
    color: str = "auto"
    change: int = 0
    log: ChangeLog[str] = field(default_factory=ChangeLog)
    gone: dict[int, "Event"] = field(default_factory=dict)
    """Events that were here once, as they were then."""


@dataclass(slots=True)
class Event:
    """A single event or the master of a series; properties are Graph's, without times."""

    number: int
    calendar: Calendar
    properties: Json
    start: datetime
    end: datetime
    zone: str
    end_zone: str
    recurrence: Json | None = None
    changed: dict[date, Json] = field(default_factory=dict)
    """What an exception has that its series has not; "start" and "end" are datetimes."""
    cancelled: set[date] = field(default_factory=set)
    attachments: dict[int, Attachment] = field(default_factory=dict)
    own_attachments: dict[date, dict[int, Attachment]] = field(default_factory=dict)
    """Of exceptions that have others than their series."""
    extended: dict[str, str] = field(default_factory=dict)
    extended_lists: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, Json] = field(default_factory=dict)
    before: tuple[datetime, datetime] | None = None
    """When it took place until its times were changed last."""
    moves: int = 0
    change: int = 0
    lag: bool = False

    @property
    def is_series(self) -> bool:
        return self.recurrence is not None

    def repeat(self, recurrence: Json) -> None:
        """Makes a series of it, which begins on the first day its pattern names."""
        self.recurrence = recurrence
        first = next(days_of(recurrence, date(9000, 1, 1)), self.start.date())
        later = first - self.start.date()
        self.start, self.end = self.start + later, self.end + later

    def days(self, until: date) -> Iterator[date]:
        """The days of the series that are not cancelled."""
        if self.recurrence is not None:
            yield from (day for day in days_of(self.recurrence, until) if day not in self.cancelled)

    def times(self, day: date | None = None) -> tuple[datetime, datetime]:
        """Start and end, of the event or of one occurrence."""
        if day is None:
            return self.start, self.end
        start = datetime.combine(day, self.start.time())
        changed = self.changed.get(day, {})
        start = changed.get("start", start)
        return start, changed.get("end", start + (self.end - self.start))

    def overlaps(self, begin: datetime, finish: datetime, day: date | None = None) -> bool:
        """Whether it lies in a window given in UTC."""
        return self._overlaps(begin, finish, *self.times(day))

    def left(self, begin: datetime, finish: datetime) -> bool:
        """Whether it lay in that window until its times were changed last."""
        return self.before is not None and self._overlaps(begin, finish, *self.before)

    def _overlaps(self, begin: datetime, finish: datetime, start: datetime, end: datetime) -> bool:
        starts, ends = to_utc(start, self.zone), to_utc(end, self.end_zone)
        return starts < finish and (ends > begin or starts == ends == begin)

    def days_between(self, begin: datetime, finish: datetime) -> list[date]:
        """The days whose occurrences lie in a window given in UTC."""
        until = (finish + timedelta(days=2)).date()
        days = [day for day in self.days(until) if self.overlaps(begin, finish, day)]
        later = [day for day in self.changed if day > until and self.overlaps(begin, finish, day)]
        return days + later

    def files(self, day: date | None = None) -> dict[int, Attachment]:
        """Attachments of the event or of one occurrence, which has its series' or its own."""
        return self.own_attachments.get(day, self.attachments) if day else self.attachments


class Calendars:
    """All calendars of one mailbox."""

    def __init__(self, mailbox: Mailbox, owner: Json, stamp: Callable[[], str], seed: str) -> None:
        self.mailbox = mailbox
        self.owner = owner
        self.groups: dict[str, CalendarGroup] = {}
        self.calendars: dict[str, Calendar] = {}
        self.events: dict[int, Event] = {}
        self.sequence = 0
        self._stamp = stamp
        self._numbers = 0x40000000  # far from those of messages and folders
        self._dice = random.Random(seed)
        group = self.add_group("My Calendars", "0006f0b7-0000-0000-c000-000000000046")
        self.default = self.add_calendar("Calendar", group)
        self.default.default, self.default.removable = True, False

    def add_group(self, name: str, class_id: str = "") -> CalendarGroup:
        """A new group; names are unique."""
        if any(group.name.lower() == name.lower() for group in self.groups.values()):
            raise _exists()
        made = class_id or str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        group = CalendarGroup(folder_id(self.mailbox.guid, self._number()), name, made)
        self.groups[group.id] = group
        group.change = self._next()
        return group

    def add_calendar(
        self, name: str, group: CalendarGroup | None = None, owner: Json | None = None, **facts: Any
    ) -> Calendar:
        """A new calendar; the mailbox's own ones need names of their own."""
        group = group or self.default.group
        mine = [one for one in self.calendars.values() if one.owner == self.owner]
        if owner is None and any(one.name.lower() == name.lower() for one in mine):
            raise _exists()
        made = folder_id(self.mailbox.guid, self._number())
        calendar = Calendar(made, name, group, owner or self.owner, **facts)
        self.calendars[made] = calendar
        calendar.change = self._next()
        return calendar

    def delete_calendar(self, calendar: Calendar) -> None:
        """With every event in it."""
        for event in [one for one in self.events.values() if one.calendar is calendar]:
            self.delete_event(event)
        del self.calendars[calendar.id]

    def calendar(self, reference: str) -> Calendar:
        """A calendar by id; Exchange's 404 else."""
        found = self.calendars.get(reference)
        if found is None:
            raise not_found()
        return found

    def add_event(self, calendar: Calendar, event: Event) -> Event:
        """Takes an event in."""
        self._numbers += 1
        event.number, event.calendar = self._numbers, calendar
        now = self._stamp()
        uid = f"040000008200E00074C5B7101A82E008{self._dice.getrandbits(128):032X}"
        event.properties = (
            {"createdDateTime": now, "lastModifiedDateTime": now, "iCalUId": uid} | event.properties
        )  # fmt: skip
        self.events[event.number] = event
        self._record(event)
        return event

    def change_event(self, event: Event, **properties: Any) -> None:
        """Changes properties of a single event or of a whole series."""
        event.properties.update(properties)
        self.touch(event)

    def move_in_time(self, event: Event, start: datetime, end: datetime) -> None:
        """Gives a single event other times."""
        event.before = (event.start, event.end)
        event.start, event.end = start, end
        self.touch(event)

    def change_occurrence(self, event: Event, day: date, **properties: Any) -> None:
        """Makes an exception of one occurrence, or changes one."""
        self._in_series(event, day)
        kept = event.changed.setdefault(day, {"createdDateTime": self._stamp()})
        kept.update(properties)
        kept["lastModifiedDateTime"] = self._stamp()
        self.touch(event)
        event.calendar.log.record(_key(event, day), self._next(), "full")

    def cancel_occurrence(self, event: Event, day: date) -> None:
        """Takes one occurrence out of a series."""
        self._in_series(event, day)
        event.changed.pop(day, None)
        event.own_attachments.pop(day, None)
        event.cancelled.add(day)
        self.touch(event)
        event.calendar.log.record(_key(event, day), self._next(), "deleted")

    def delete_event(self, event: Event) -> None:
        """Into Deleted Items, which is no calendar."""
        del self.events[event.number]
        event.calendar.gone[event.number] = event
        event.calendar.log.record(_key(event), self._next(), "deleted")

    def move_event(self, event: Event, target: Calendar) -> None:
        """To another calendar; the old one reports a removal."""
        source = event.calendar
        source.gone[event.number] = event
        source.log.record(_key(event), self._next(), "deleted")
        event.calendar = target
        event.moves += 1
        self.touch(event)

    def touch(self, event: Event) -> None:
        """Something about an event changed."""
        event.properties["lastModifiedDateTime"] = self._stamp()
        self._record(event)

    # Ids

    def event_id(
        self,
        event: Event,
        day: date | None = None,
        *,
        immutable: bool,
        salt: int = 0,
        file: int = 0,
    ) -> str:
        """The id of an event, an occurrence, or an attachment of either."""
        ordinal = day.toordinal() if day else 0
        moves, salt = (0, 0) if immutable else (event.moves, salt & 0xFFFFFFFF)
        packed = _ID.pack(
            self.mailbox.guid, _MARK, event.number, moves, salt, ordinal, file, bytes(8)
        )
        kind = _IMMUTABLE if immutable else _REGULAR
        return kind + base64.urlsafe_b64encode(packed).decode("ascii")

    def find(self, reference: str) -> tuple[Event, date | None, int]:
        """(event, day of the occurrence, number of the attachment) of an id."""
        try:
            raw = base64.urlsafe_b64decode(reference[5:])
            guid, mark, number, moves, _, ordinal, file, _ = _ID.unpack(raw)
        except (binascii.Error, struct.error, ValueError):
            raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.") from None
        event = self.events.get(number)
        if guid != self.mailbox.guid or mark != _MARK or event is None:
            raise not_found()
        if not reference.startswith(_IMMUTABLE) and moves != event.moves:
            raise not_found()
        day = date.fromordinal(ordinal) if ordinal else None
        if day is not None and day not in event.changed and day not in event.days(day):
            raise not_found()
        return event, day, file

    # Inside

    def _in_series(self, event: Event, day: date) -> None:
        if day not in event.changed and day not in event.days(day):
            raise not_found()

    def _record(self, event: Event) -> None:
        event.change = self._next()
        event.calendar.log.record(_key(event), event.change, "full")

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def calendars_of(tenant: Tenant, user: str) -> Calendars:
    """The calendars of a user's mailbox; Exchange's 404s where there is none."""
    mailbox = tenant.mailbox(user)
    known: dict[str, Calendars] = tenant.room.setdefault("calendars", {})
    found = known.get(mailbox.user_id)
    if found is None or found.mailbox is not mailbox:
        facts = tenant.users[mailbox.user_id].properties
        owner = {"name": facts["displayName"], "address": facts["mail"]}
        found = Calendars(mailbox, owner, tenant.clock.stamp, f"calendars {mailbox.guid.hex()}")
        known[mailbox.user_id] = found
    return found


def _key(event: Event, day: date | None = None) -> str:
    return f"{event.number}:{day.toordinal()}" if day else str(event.number)


def _exists() -> GraphError:
    text = "A folder with the specified name already exists."
    return GraphError(409, "ErrorFolderExists", text)
