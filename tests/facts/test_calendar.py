"""Calendar: what Microsoft documents of windows; the rest is shown where calendars are tested."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.m365.cases_calendar import CalendarCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage


def asked(on: Stage) -> list[str]:
    """The targets of all requests from now on, as "METHOD /path?query"."""
    plain, heard = on.tenant.faults.letter, list[str]()

    def letter(operation: str, target: str, *, by_chance: bool = True) -> str:
        heard.append(target)
        return plain(operation, target, by_chance=by_chance)

    on.tenant.faults.letter = letter  # type: ignore[method-assign]
    return heard


def test_a_window_is_asked_with_both_its_ends_and_nothing_else_and_never_of_beta() -> None:
    with stage(CalendarCase()) as on:
        heard, mirror = asked(on), Mirror()
        mirror.round(on.source())
        mirror.round(on.source())
        windows = [parse_qs(urlsplit(one).query) for one in heard if "calendarView" in one]
        first = [one for one in windows if "$skiptoken" not in one and "$deltatoken" not in one]
        assert first
        assert all(set(one) == {"startDateTime", "endDateTime"} for one in first)
        assert not [one for one in heard if "/beta/" in one]
