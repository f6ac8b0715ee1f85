"""What lies in the calendars of Contoso, ordinary and odd, and what a month does to them.

Rules: the same tenant lives the same months; every change goes through the verbs of Calendars, so
that the feeds tell of it; nothing of a series is changed that would break its exceptions.
"""

import random
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from simulator import calendar_create
from simulator.calendar_recurrence import checked
from simulator.calendar_state import Calendar, Calendars, Event, calendars_of
from simulator.calendar_zones import CUSTOM
from simulator.filebytes import SeededBytes
from simulator.mail_create import attachment_from
from simulator.mailbox import Attachment
from simulator.prose import paragraph
from simulator.tenant import Tenant
from simulator.web import Json

_ZONES = (
    "W. Europe Standard Time", "Pacific Standard Time", "UTC", "Nepal Standard Time",
    "Lord Howe Standard Time",
)  # fmt: skip
_WORDS = ("Weekly", "Harbour", "Budget", "Crane", "Dock", "Safety", "Kunden", "Projekt 2", "設計")
_GUESTS = (
    ("Nora O'Hara, Ships", "nora@ships.example", "required", "accepted"),
    ("Пётр Иванов", "petr@suppliers.example", "optional", "tentativelyAccepted"),
    ("Meeting Room 3", "room3@contoso.example", "resource", "none"),
)


def fill_calendars(
    tenant: Tenant, user: str, count: int, dice: random.Random, now: datetime, *, special: bool
) -> None:
    """Calendars, groups and `count` ordinary events; special: everything odd as well."""
    store = calendars_of(tenant, user)
    store.add_calendar("Birthdays", can_edit=False, removable=False)
    work = store.add_calendar("Projekt / Hafen 🚢", store.add_group("Projects"))
    today = now.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(count):
        _ordinary(store, dice.choice((store.default, store.default, work)), dice, today)
    if special:
        tenant.room["further event properties"] = ("futureProperty",)
        _Odd(store, work, dice, today).fill()


def calendar_month(
    tenant: Tenant, user: str, dice: random.Random, now: datetime, done: Counter[str]
) -> None:
    """A month of one mailbox's calendars."""
    store = calendars_of(tenant, user)
    today = now.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    begin, finish = today - timedelta(days=330), today + timedelta(days=600)
    mine = [
        one for one in store.events.values()
        if one.calendar.owner == store.owner
        and (one.days_between(begin, finish) if one.is_series else one.overlaps(begin, finish))
    ]  # fmt: skip
    singles = [one for one in mine if not one.is_series]
    for event in _some(dice, singles, 2):
        store.change_event(event, subject=f"{event.properties['subject']} (moved)", showAs="oof")
        later = timedelta(days=1) if event.properties["isAllDay"] else timedelta(hours=1)
        store.move_in_time(event, event.start + later, event.end + later)
        done["events changed"] += 1
    for event in _some(dice, singles, 2):
        store.delete_event(event)
        done["events deleted"] += 1
    singles = [one for one in singles if one.number in store.events]
    for event in _some(dice, singles, 1):
        target = next(iter(_some(dice, _writable(store), 1)), store.default)
        if target is not event.calendar:
            store.move_event(event, target)
            done["events moved"] += 1
    for event in _some(dice, singles, 1):
        number = max(event.attachments, default=0) + 1
        event.attachments[number] = file_of(dice, number, 3_000)
        store.touch(event)
        done["event attachments added"] += 1
    for event in _some(dice, [one for one in mine if one.is_series], 3):
        _live_on(store, event, dice, today, done)
    calendar = store.add_calendar(f"Calendar of month {tenant.room['months']}")
    for _ in range(2):
        _ordinary(store, dice.choice((store.default, calendar)), dice, today)
        done["events made"] += 1


def _live_on(
    store: Calendars, event: Event, dice: random.Random, today: datetime, done: Counter[str]
) -> None:
    """A month of a series: one day differs, another falls out; sometimes it ends altogether."""
    if dice.random() < 0.15:
        store.delete_event(event)
        done["series deleted"] += 1
        return
    days = event.days_between(today, today + timedelta(days=120))
    free = [day for day in days if day not in event.changed]
    for day in _some(dice, free, 1):
        start = event.times(day)[0] + timedelta(minutes=30)
        length = event.end - event.start
        later = {} if event.properties["isAllDay"] else {"start": start, "end": start + length}
        store.change_occurrence(event, day, subject="This time later", bodyPreview="", **later)
        done["occurrences changed"] += 1
    free = [day for day in free if day not in event.changed]
    for day in _some(dice, free, 1):
        store.cancel_occurrence(event, day)
        done["occurrences cancelled"] += 1


def _writable(store: Calendars) -> list[Calendar]:
    return [one for one in store.calendars.values() if one.can_edit and one.owner == store.owner]


def _some(dice: random.Random, found: list[Any], count: int) -> list[Any]:
    return dice.sample(found, min(count, len(found)))


def _ordinary(store: Calendars, calendar: Calendar, dice: random.Random, today: datetime) -> Event:
    """An appointment, or a weekly meeting."""
    start = today + timedelta(days=dice.randint(-300, 200), hours=dice.randint(8, 16))
    series = dice.random() < 0.25
    pattern: Json | None = None
    if series:
        days = [("monday", "tuesday", "wednesday", "thursday", "friday")[min(start.weekday(), 4)]]
        start -= timedelta(days=max(start.weekday() - 4, 0))
        pattern = {"type": "weekly", "interval": dice.choice((1, 2)), "daysOfWeek": days}
    event = make(
        store, calendar, dice, f"{dice.choice(_WORDS)} {dice.choice(_WORDS)}", start,
        zone=dice.choice(_ZONES), pattern=pattern,
        span={"type": "numbered", "numberOfOccurrences": 12}, guests=dice.randint(0, 3),
    )  # fmt: skip
    if dice.random() < 0.3:
        event.attachments[1] = file_of(dice, 1, dice.randint(100, 30_000))
    return event


def make(
    store: Calendars,
    calendar: Calendar,
    dice: random.Random,
    subject: str,
    start: datetime,
    *,
    minutes: int = 45,
    zone: str = "W. Europe Standard Time",
    pattern: Json | None = None,
    span: Json | None = None,
    guests: int = 0,
    **properties: Any,
) -> Event:
    """One event as the service itself would keep it, in its calendar."""
    facts = calendar_create.blank(store)
    text = paragraph(dice)
    facts |= {
        "subject": subject, "bodyPreview": text[:255],
        "body": {"contentType": "html", "content": f"<html><body>{text}</body></html>"},
        "location": {"displayName": "Pier 7", "locationType": "default", "uniqueId": "Pier 7",
                     "uniqueIdType": "private"},
    }  # fmt: skip
    facts["locations"] = [facts["location"]]
    facts["attendees"] = [
        {"type": kind, "status": {"response": response, "time": "2026-01-02T03:04:05Z"},
         "emailAddress": {"name": name, "address": address}}
        for name, address, kind, response in _GUESTS[:guests]
    ]  # fmt: skip
    event = Event(
        0, calendar, facts | properties, start, start + timedelta(minutes=minutes), zone, zone
    )
    if pattern is not None:
        day = (span or {}).get("startDate") or start.date().isoformat()
        whole = {"pattern": pattern, "range": {"type": "noEnd", **(span or {}), "startDate": day}}
        event.repeat(checked(whole, zone))
    return store.add_event(calendar, event)


def file_of(dice: random.Random, number: int, size: int, name: str = "") -> Attachment:
    """A file attached to an event."""
    data = SeededBytes(f"event file {dice.getrandbits(40)}", size, "random")
    facts: Json = {
        "@odata.type": "#microsoft.graph.fileAttachment", "name": name or f"agenda {number}.pdf",
        "lastModifiedDateTime": "2026-03-04T05:06:07Z", "contentType": "application/pdf",
        "size": size + 200, "isInline": False, "contentId": None, "contentLocation": None,
        "@odata.mediaContentType": "application/pdf",
    }  # fmt: skip
    return Attachment(number, facts, data)


class _Odd:
    """Everything a calendar may hold that a backup stumbles over."""

    def __init__(
        self, store: Calendars, work: Calendar, dice: random.Random, today: datetime
    ) -> None:
        self.store, self.work, self.dice, self.today = store, work, dice, today
        self.home = store.default

    def fill(self) -> None:
        self.store.add_calendar("empty")
        boss = {"name": "Jörg Müller", "address": "boss@contoso.example"}
        shared = self.store.add_calendar("Jörg Müller", owner=boss)
        twin = self.store.add_calendar("Calendar", self.work.group, owner=boss, can_edit=False)
        self._make("Not ours to keep", -3, calendar=shared)
        self._make("Not ours either", -2, calendar=twin)
        self._patterns()
        self._exceptions()
        self._days()
        self._attached()
        self._words()
        self._far()

    def _make(
        self, subject: str, days: int = 3, calendar: Calendar | None = None, hour: int = 9,
        **facts: Any,
    ) -> Event:  # fmt: skip
        start = self.today + timedelta(days=days, hours=hour)
        return make(self.store, calendar or self.home, self.dice, subject, start, **facts)

    def _patterns(self) -> None:
        end = {"type": "endDate", "endDate": (self.today + timedelta(days=200)).date().isoformat()}
        numbered = {"type": "numbered", "numberOfOccurrences": 20}
        self._make("Daily to a date", -30, pattern={"type": "daily", "interval": 3}, span=end)
        weekly = {"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "thursday"],
                  "firstDayOfWeek": "monday"}  # fmt: skip
        self._make("Two days a fortnight", -90, pattern=weekly, span=numbered, guests=2)
        monthly = {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}
        self._make("On the 31st", -200, pattern=monthly, zone="Pacific Standard Time")
        relative = {"type": "relativeMonthly", "interval": 2, "daysOfWeek": ["friday"],
                    "index": "last"}  # fmt: skip
        self._make("Last Friday", -100, pattern=relative, span=numbered, zone="Nepal Standard Time")
        yearly = {"type": "absoluteYearly", "interval": 1, "month": 2, "dayOfMonth": 29}
        self._make("Leap day", -400, pattern=yearly, span=numbered)
        thanks = {"type": "relativeYearly", "interval": 1, "month": 11, "daysOfWeek": ["thursday"],
                  "index": "fourth"}  # fmt: skip
        self._make("Thanksgiving", -500, pattern=thanks, zone="Eastern Standard Time")

    def _exceptions(self) -> None:
        """A series over both clock changes, with a day moved, a day renamed, and days gone."""
        daily = {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday", "wednesday"]}
        event = self._make("Stand-up", -120, pattern=daily, guests=3, hour=7)
        days = event.days_between(self.today - timedelta(days=110), self.today + timedelta(days=60))
        moved, renamed, other_file, *gone = days[2], days[4], days[6], days[8], days[9]
        start = event.times(moved)[0] + timedelta(hours=2, days=1)
        self.store.change_occurrence(event, moved, start=start, end=start + timedelta(minutes=5))
        self.store.change_occurrence(
            event, renamed, subject="Stand-up with cake 🎂", sensitivity="private",
            body={"contentType": "html", "content": "<html><body>cake</body></html>"},
            bodyPreview="cake", categories=["Red category"], reminderMinutesBeforeStart=60,
        )  # fmt: skip
        event.attachments[1] = file_of(self.dice, 1, 5_000)
        own = {1: event.attachments[1], 2: file_of(self.dice, 2, 900, "only today.txt")}
        event.own_attachments[other_file] = own
        self.store.change_occurrence(event, other_file, subject="Stand-up with papers")
        for day in gone:
            self.store.cancel_occurrence(event, day)

    def _days(self) -> None:
        facts: Json = {"isAllDay": True, "showAs": "free", "isReminderOn": False, "hour": 0}
        self._make("Holiday", 20, minutes=1440, zone="Pacific Standard Time", **facts)
        self._make("Three days off", 40, minutes=3 * 1440, **facts)
        yearly = {"type": "absoluteYearly", "interval": 1, "month": 5, "dayOfMonth": 7}
        birthday = self._make(
            "Birthday of Nora", -900, minutes=1440, pattern=yearly, zone="Samoa Standard Time",
            **facts,
        )  # fmt: skip
        day = next(iter(birthday.days(date(9000, 1, 1))))
        self.store.change_occurrence(birthday, day, subject="Birthday of Nora (30)")
        night = self._make("Night shift over the clock change", 0, hour=0)
        start = datetime(2026, 10, 25, 1, 30)
        self.store.move_in_time(night, start, start + timedelta(hours=3))
        flight = self._make("Flight", 12, zone="Tokyo Standard Time")
        flight.end_zone = "Hawaiian Standard Time"
        self._make("Old desktop zone", 5, zone=CUSTOM)
        self._make("No time at all", 6, minutes=0)

    def _attached(self) -> None:
        event = self._make("Papers", 8, guests=1)
        event.attachments[1] = file_of(self.dice, 1, 40_000, "Größe & Maß.pdf")
        event.attachments[2] = file_of(self.dice, 2, 3_300_000, "large plan.pdf")
        event.attachments[3] = Attachment(
            3,
            {"@odata.type": "#microsoft.graph.referenceAttachment", "name": "shared plan.docx",
             "contentType": None, "size": 0, "isInline": False,
             "lastModifiedDateTime": "2026-03-04T05:06:07Z"},
        )  # fmt: skip
        message = {"@odata.type": "#microsoft.graph.message", "subject": "The question",
                   "body": {"contentType": "text", "content": "When?"}}  # fmt: skip
        item = {"@odata.type": "#microsoft.graph.itemAttachment", "name": "The question",
                "item": message}  # fmt: skip
        event.attachments[4] = attachment_from(4, item, "2026-03-04T05:06:07Z")
        picture = self._make("With a picture", 9)
        picture.properties["body"] = {
            "contentType": "html", "content": '<html><body><img src="cid:pic@1"></body></html>',
        }  # fmt: skip
        inline = file_of(self.dice, 1, 700, "pic.png")
        inline.properties |= {"isInline": True, "contentId": "pic@1", "contentType": "image/png"}
        picture.attachments[1] = inline

    def _words(self) -> None:
        join = {"joinUrl": "https://teams.microsoft.com/l/meetup-join/19%3ameeting", "conferenceId":
                "177513992", "tollNumber": "+1 425 555 0123", "phones": []}  # fmt: skip
        self._make(
            "Online", 2, guests=2, isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness",
            onlineMeeting=join,
        )  # fmt: skip
        self._make("", 4, sensitivity="confidential", importance="high", showAs="tentative")
        self._make("Twice", 5)
        self._make("Twice", 5)
        long = "<html><body>" + "<p>minutes of the meeting</p>" * 12_000 + "</body></html>"
        self._make("Huge", 7, body={"contentType": "html", "content": long})
        invited = self._make("Somebody else's meeting", 6, guests=2, isOrganizer=False)
        invited.properties |= {
            "organizer": {"emailAddress": {"name": "Nora", "address": "nora@ships.example"}},
            "responseStatus": {"response": "accepted", "time": "2026-02-03T04:05:06Z"},
        }  # fmt: skip
        self._make("Called off", 3, isCancelled=True, isOrganizer=False, showAs="free")
        self._make("Plain text", 3, body={"contentType": "text", "content": "just a line\r\n"},
                   bodyPreview="just a line", categories=["Blue category", "Größe, Maß"],
                   futureProperty={"@odata.type": "#microsoft.graph.x", "value": 1})  # fmt: skip

    def _far(self) -> None:
        """What lies outside of any window, and a series that began before it."""
        self._make("Long ago", -1500)
        self._make("Far ahead", 1500)
        old = {"type": "weekly", "interval": 4, "daysOfWeek": ["monday"]}
        self._make("Since ever", -2000, pattern=old)
        ended = {"type": "numbered", "numberOfOccurrences": 10}
        event = self._make("Ended long ago", -1400, pattern=old, span=ended)
        day = next(iter(event.days(date(9000, 1, 1))))
        self.store.change_occurrence(event, day, subject="Ended long ago, differently")
