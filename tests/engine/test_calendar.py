"""Calendars through the whole engine: nobody is invited, and attendees come back as words only
where somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.errors import InvalidInput
from engine import policies
from engine.restore_plan import RestoreRequest
from simulator.calendar_truth import calendar_truth
from tests.engine.world import ORG, World, calm_tenant, world


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=4), tmp_path) as it:
        policies.change(it.app, ORG, {"services": ["calendar"]}, 1)
        assert it.back_up()["state"] == "green"
        yield it
        assert sum(it.tenant.counters.meeting_mail.values()) == 0


def restored(made: World, *options: str) -> list[dict[str, Any]]:
    """The events that a restore into another mailbox made, which have attendees in the first."""
    owner, other = list(made.tenant.mailboxes)[:2]
    held = {event["id"] for event in calendar_truth(made.tenant, other)["events"]}
    request = RestoreRequest(
        "calendar", f"mailbox:{owner}", target=f"mailbox:{other}", options=options
    )
    assert made.restore(request)["state"] in ("green", "amber")
    met = {
        event["subject"]
        for event in calendar_truth(made.tenant, owner)["events"]
        if event["attendees"]
    }
    events = calendar_truth(made.tenant, other)["events"]
    return [one for one in events if one["id"] not in held and one["subject"] in met]


def test_a_restored_meeting_names_nobody(made: World) -> None:
    events = restored(made)
    assert events
    assert not any(event["attendees"] for event in events)


def test_attendees_are_listed_below_the_text_where_somebody_asks_for_it(made: World) -> None:
    plain = {event["subject"]: len(event["body"]["content"]) for event in restored(made)}
    listed = restored(made, "list_attendees")
    assert listed
    assert not any(event["attendees"] for event in listed)
    assert all(len(one["body"]["content"]) > plain[one["subject"]] for one in listed)


def test_an_option_no_service_has_is_refused(made: World) -> None:
    with pytest.raises(InvalidInput) as refused:
        restored(made, "send_invitations")
    assert "list_attendees" in refused.value.hint
