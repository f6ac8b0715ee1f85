"""Teams: what Microsoft documents of channels and their messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine import coverage, policies
from m365 import SERVICES
from m365.graph.permissions import can_change
from simulator.contoso import month
from simulator.teams import Channel, teams
from simulator.teams_messages import WINDOW
from tests.engine.world import ORG, calm_tenant
from tests.facts.stage import timed_world
from tests.facts.test_calendar import asked
from tests.m365.cases_teams import TeamsCase, readable
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(TeamsCase()) as staged:
        yield staged


def general(on: Stage) -> Channel:
    return next(iter(teams(on.tenant)[on.resource.graph_id].channels.values()))


def ids(mirror: Mirror) -> set[str]:
    return {
        str(one.change.raw["id"])
        for one in mirror.items.values()
        if one.change.kind == "channel-message"
    }


def test_messages_are_asked_for_by_the_fifty_with_their_replies_and_with_nothing_else(
    on: Stage,
) -> None:
    heard, mirror = asked(on), Mirror()
    mirror.round(on.source())
    month(on.tenant)
    mirror.round(on.source())
    for target in heard:
        parts = urlsplit(target.partition(" ")[2])
        options = parse_qs(parts.query)
        if parts.path.endswith(("/messages", "/messages/delta")) and "$skiptoken" not in options:
            assert set(options) <= {"$top", "$expand", "$deltatoken"}
            assert options.get("$top", ["50"]) == ["50"]
    assert not [target for target in heard if "getAllMessages" in target or "model=" in target]


def test_the_feed_tells_of_eight_months_and_the_list_of_all_before(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    told = ids(mirror)
    edge = on.tenant.clock.now() - WINDOW - timedelta(days=1)
    old = {one.id for one in general(on).talk.messages.values() if one.modified < edge}
    assert old
    assert old <= told


def test_a_team_is_asked_four_times_a_second_at_most(on: Stage) -> None:
    mirror = Mirror()
    for _ in range(2):
        mirror.round(on.source())
        month(on.tenant)
    assert on.tenant.counters.requests["GET /teams/{team}/allChannels"] == 2
    assert on.tenant.counters.throttled["team-requests"] == 0
    assert not on.tenant.counters.offences


def test_a_changed_reply_shows_its_root_and_is_read_below_it(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    talk = general(on).talk
    reply = min((one for one in talk.messages.values() if one.reply_to), key=lambda one: one.id)
    talk.edit(reply, "<p>another</p>", on.tenant.clock.now())
    mirror.round(on.source())
    found = next(one for one in mirror.items.values() if one.change.raw.get("id") == reply.id)
    assert found.change.raw["body"]["content"] == "<p>another</p>"


def test_hosted_contents_are_asked_for_below_the_message_that_shows_them(on: Stage) -> None:
    heard, mirror = asked(on), Mirror()
    mirror.round(on.source())
    values = [one for one in heard if "hostedContents" in one]
    place = re.compile(r"/messages/\d+(/replies/\d+)?/hostedContents/[^/]+/\$value")
    assert values
    assert all(place.search(one) for one in values)


def test_files_of_messages_are_links_and_are_not_fetched(on: Stage) -> None:
    heard, mirror = asked(on), Mirror()
    mirror.round(on.source())
    kinds = {
        entry["contentType"]
        for one in mirror.items.values()
        for entry in one.change.raw.get("attachments", ())
    }
    assert "reference" in kinds
    assert not [one for one in heard if "/drives/" in one or "download" in one]


def test_no_permission_to_write_is_asked_for_to_read_teams() -> None:
    service = SERVICES["teams"]
    assert not any(map(can_change, service.reads))
    assert "Teamwork.Migrate.All" in service.writes_with(("migration",))
    assert "Teamwork.Migrate.All" not in service.writes_with(())


def test_migration_is_a_choice_and_its_banner_and_its_limits_are_said_before() -> None:
    service = SERVICES["teams"]
    assert service.page_unless == "migration"
    said = service.options["migration"]
    assert "banner" in said
    assert "undo" in said
    assert any("Reactions" in one for one in service.not_restorable)


def test_a_tenant_that_has_not_approved_messages_is_a_row_of_coverage(tmp_path: Path) -> None:
    tenant = calm_tenant(seed=31)
    tenant.faults.map("GET /teams/.*/messages", "p", loop=True)
    with timed_world(tenant, tmp_path) as made:
        policies.change(made.app, ORG, {"services": ["teams"], "protection": "full"}, 1)
        made.back_up()
        rows = [row for row in made.app.resources.all(ORG) if row.service == "teams"]
        assert [row.reason for row in rows] == ["refused-by-tenant"]
        assert coverage.statement(made.app, ORG)["reasons"]["refused-by-tenant"] == 1


def test_every_readable_channel_of_every_kind_has_its_messages(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    channels = readable(teams(on.tenant)[on.resource.graph_id])
    assert {one.membership for one in channels} == {"standard", "private", "shared"}
    parents = {
        one.change.parent for one in mirror.items.values() if one.change.kind == "channel-message"
    }
    assert parents == {one.id for one in channels if one.talk.messages}
