"""Teams beyond the suite: what the feed of a channel hides, refuses and forgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from base.item import Cause, Change
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphReader, Place
from m365.graph.errors import Forbidden
from m365.graph.throttle import Limiter
from m365.teams import TeamSource
from m365.teams_link import BACK_EVERY, DETAILS_EVERY, FULL_EVERY
from simulator.chat_message import ChatMessage, Home, message_json, user_identity
from simulator.contoso import month
from simulator.teams import Channel, Team, add_channel, add_team, teams
from tests.m365.cases_teams import readable, shown
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_services import CASES

CASE = CASES["teams"]
ANNA = user_identity("1", "Anna")
Raw = Mapping[str, Any]


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


@pytest.fixture
def hostile() -> Iterator[Stage]:
    with stage(CASE, hostile=True) as staged:
        yield staged


def read(on: Stage, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    assert mirror.round(on.source())
    return mirror


def team(on: Stage) -> Team:
    return teams(on.tenant)[on.resource.graph_id]


def channel(on: Stage, name: str = "General") -> Channel:
    return next(one for one in team(on).channels.values() if one.name == name)


def say(on: Stage, words: str, root: str | None = None, name: str = "General") -> ChatMessage:
    body = {"contentType": "text", "content": words}
    return channel(on, name).talk.post(ANNA, body, on.tenant.clock.now(), reply_to=root)


def pass_time(on: Stage, period: timedelta) -> None:
    on.tenant.clock.advance(period.total_seconds() + 1)


def stored(mirror: Mirror, one: ChatMessage) -> Change | None:
    found = [kept.change for kept in mirror.items.values() if kept.change.raw.get("id") == one.id]
    assert len(found) < 2
    return found[0] if found else None


def raws(mirror: Mirror) -> dict[tuple[str, str], Raw]:
    """Every message by channel and id."""
    return {
        (kept.change.parent, str(kept.change.raw["id"])): kept.change.raw
        for kept in mirror.items.values()
        if kept.change.kind == "channel-message"
    }


def truth(on: Stage) -> dict[tuple[str, str], Raw]:
    """The same as the tenant has it, as Graph shows it, without its version."""
    base = f"{on.running.url}/v1.0"
    found: dict[tuple[str, str], Raw] = {}
    for one in readable(team(on)):
        home = Home(f"/teams/{team(on).id}/channels/{one.id}", on.tenant.id, team(on).id, one.id)
        for message in one.talk.messages.values():
            shows = message_json(message, home, base)
            del shows["etag"]
            found[one.id, message.id] = shows
    return found


def asked(on: Stage) -> int:
    return sum(n for route, n in on.tenant.counters.requests.items() if "/teams/" in route)


@pytest.mark.parametrize("difficult", [False, True])
def test_every_message_and_reply_is_stored_as_graph_sent_it_also_months_later(
    difficult: bool,
) -> None:
    with stage(CASE, hostile=difficult) as on:
        mirror = read(on)
        assert raws(mirror) == truth(on)
        oldest = min(raw["createdDateTime"] for raw in raws(mirror).values())
        assert datetime.fromisoformat(oldest) < on.tenant.clock.now() - timedelta(days=300)
        for _ in range(2):
            month(on.tenant)
            read(on, mirror)
            assert raws(mirror) == truth(on)


def test_a_quiet_team_costs_one_request_and_one_for_each_channel(on: Stage) -> None:
    on.tenant.room["teams"][team(on).id].channels = {
        key: one
        for key, one in team(on).channels.items()
        if not one.unprovisioned and not one.delta_refused
    }
    mirror = read(on)
    before = asked(on)
    read(on, mirror)
    assert asked(on) - before == 1 + len(team(on).channels)


def test_a_late_answer_to_an_old_message_is_found(on: Stage) -> None:
    mirror = read(on)
    root = min(channel(on).talk.roots(), key=lambda one: int(one.id))
    late = say(on, "late", root.id)
    read(on, mirror)
    found = stored(mirror, late)
    assert found is not None
    assert found.raw["replyToId"] == root.id
    assert found.row["thread"] == root.id


def test_an_answer_that_the_feed_does_not_tell_of_is_found_within_a_week(on: Stage) -> None:
    mirror = read(on)
    channel(on).replies_unnoticed = True
    missed = say(on, "unnoticed", channel(on).talk.roots()[0].id)
    read(on, mirror)
    assert stored(mirror, missed) is None
    pass_time(on, BACK_EVERY)
    read(on, mirror)
    assert stored(mirror, missed) is not None


def test_what_a_retention_policy_took_away_is_found_gone_within_a_month(on: Stage) -> None:
    mirror = read(on)
    gone = next(one for one in channel(on).talk.roots() if not channel(on).talk.replies(one.id))
    del channel(on).talk.messages[gone.id]
    read(on, mirror)
    assert stored(mirror, gone) is not None
    pass_time(on, FULL_EVERY)
    read(on, mirror)
    assert stored(mirror, gone) is None
    assert raws(mirror) == truth(on)


def test_a_feed_that_refuses_its_own_link_leaves_the_list(on: Stage) -> None:
    mirror = read(on)
    root = channel(on, "Quiet").talk.roots()[0]
    late = say(on, "late", root.id, name="Quiet")
    before = asked(on)
    read(on, mirror)
    assert stored(mirror, late) is not None
    assert asked(on) - before <= on.folders(mirror) + 1


def test_a_deleted_message_stays_without_its_text_and_an_edit_replaces_it(on: Stage) -> None:
    mirror = read(on)
    one, other = say(on, "wrong"), say(on, "frist")
    read(on, mirror)
    channel(on).talk.delete(one, on.tenant.clock.now())
    channel(on).talk.edit(other, "first", on.tenant.clock.now())
    read(on, mirror)
    gone, edited = stored(mirror, one), stored(mirror, other)
    assert gone is not None
    assert gone.raw["deletedDateTime"]
    assert (gone.raw["body"]["content"], gone.name) == ("", "(deleted)")
    assert edited is not None
    assert (edited.raw["body"]["content"], edited.name) == ("first", "first")


def test_a_reaction_downloads_nothing(on: Stage) -> None:
    mirror = read(on)
    one = next(one for one in channel(on).talk.messages.values() if shown(one))
    channel(on).talk.react(one, ANNA, "🎉", on.tenant.clock.now())
    mirror.fetched.clear()
    read(on, mirror)
    found = stored(mirror, one)
    assert found is not None
    assert found.row["reactions"] == 1
    assert not mirror.fetched


def test_a_picture_that_is_lost_in_teams_is_a_row_of_the_ledger(on: Stage) -> None:
    one = next(one for one in channel(on).talk.messages.values() if shown(one))
    lost = next(iter(one.hosted))
    del one.hosted[lost]
    mirror = read(on)
    kept = mirror.items[next(k for k, v in mirror.items.items() if v.change.raw["id"] == one.id)]
    assert [(t.part, t.cause, t.retry) for t in kept.troubles] == [
        (f"hosted:{lost}", Cause.NO_CONTENT, False)
    ]
    assert len(kept.parts) == 1


class TestChannels:
    """Which channels there are, and what becomes of those that cannot be read."""

    def test_the_team_and_its_channels_come_with_members_tabs_and_the_folder_of_files(
        self, on: Stage
    ) -> None:
        for app in on.tenant.apps.values():
            app.roles |= {"Files.Read.All"} if app.display_name == "Reader" else set()
        drive = next(iter(on.tenant.drives))
        channel(on).folder = (drive, on.tenant.drives[drive].root.id)
        mirror = read(on)
        root = mirror.items[team(on).id].change
        assert root.raw["summary"]["membersCount"] == len(root.raw["members"]) - 1
        general = mirror.items[channel(on).id].change
        assert "members" not in general.raw
        assert general.raw["tabs"][0]["teamsApp"]["displayName"] == "Notes"
        assert general.raw["filesFolder"]["parentReference"] == {"driveId": drive}
        private = mirror.items[channel(on, "Budget").id].change
        assert [one["userId"] for one in private.raw["members"]]

    def test_a_channel_of_another_tenant_is_told_of_with_the_reason(self, on: Stage) -> None:
        mirror = read(on)
        foreign = mirror.items[team(on).foreign[0].id]
        assert [(t.cause, t.retry) for t in foreign.troubles] == [(Cause.NOT_SUPPORTED, False)]
        assert on.tenant.counters.statuses[403] == 0

    def test_a_channel_of_another_team_is_read_with_that_team_only(self, on: Stage) -> None:
        other = on.tenant.add_group("Other", on.tenant.groups[team(on).id].members)
        host = add_team(on.tenant, other.id, on.tenant.clock.now())
        shared = add_channel(
            on.tenant, host, "Ours", on.tenant.clock.now(), "shared", shared_with={team(on).id}
        )
        shared.talk.post(ANNA, {"contentType": "text", "content": "x"}, on.tenant.clock.now())
        mirror = read(on)
        assert mirror.items[shared.id].troubles == []
        assert not [place for place in raws(mirror) if place[0] == shared.id]

    def test_a_channel_that_is_not_ready_is_told_once_and_read_when_it_is(self, on: Stage) -> None:
        mirror = read(on)
        unready = channel(on, "Not ready")
        assert [t.cause for t in mirror.items[unready.id].troubles] == ["item-gone"]
        for _ in range(2):
            pages = list(on.source().changes(mirror.links, frozenset()))
            assert not [page for page in pages if page.entries or page.reset]
        unready.unprovisioned = False
        late = say(on, "ready", name="Not ready")
        read(on, mirror)
        assert mirror.items[unready.id].troubles == []
        assert stored(mirror, late) is not None

    def test_a_deleted_channel_takes_its_messages_along_and_others_stay(self, on: Stage) -> None:
        mirror = read(on)
        gone = channel(on, "Suppliers")
        gone.deleted = True
        read(on, mirror)
        assert gone.id not in mirror.items
        assert raws(mirror) == truth(on)
        assert f"channel:{gone.id}" not in mirror.links

    def test_a_channel_that_a_list_leaves_out_is_asked_for_before_it_is_gone(
        self, on: Stage
    ) -> None:
        mirror = read(on)
        left_out = team(on).channels.pop(channel(on, "Suppliers").id)

        class Unlisted(TeamSource):
            def _channels(self) -> Iterator[dict[str, Any]]:
                yield from [*super()._channels()]
                team(on).channels[left_out.id] = left_out

        source = Unlisted(on.reader, on.resource)
        assert mirror.round(source)
        assert left_out.id in mirror.items
        assert raws(mirror) == truth(on)

    def test_a_channel_is_renamed_at_once_and_its_details_follow_an_event(self, on: Stage) -> None:
        mirror = read(on)
        one = channel(on, "Budget")
        one.name, one.members = "Money", one.members[:1]
        one.talk.event(on.tenant.clock.now(), "membersDeleted", ANNA, members=[])
        on.tenant.groups[team(on).id].members.pop()
        read(on, mirror)
        assert mirror.items[one.id].change.name == "Money"
        members = len(mirror.items[team(on).id].change.raw["members"])
        read(on, mirror)
        assert len(mirror.items[team(on).id].change.raw["members"]) == members - 1

    def test_members_and_tabs_are_asked_for_again_after_a_week(self, on: Stage) -> None:
        mirror = read(on)
        channel(on).tabs = []
        read(on, mirror)
        assert mirror.items[channel(on).id].change.raw["tabs"]
        pass_time(on, DETAILS_EVERY)
        read(on, mirror)
        assert mirror.items[channel(on).id].change.raw["tabs"] == []

    def test_without_the_right_to_read_messages_the_team_is_refused_with_the_reason(
        self, on: Stage
    ) -> None:
        roles = tuple(one for one in CASE.service.reads if one != "ChannelMessage.Read.All")
        app = on.tenant.add_app("Half", roles)
        clock = TenantClock(on.tenant)
        secret = ClientSecret(on.tenant.id, app.app_id, next(iter(app.secrets)))
        place = Place(on.running.url, on.running.url, on.running.ca)
        reader = GraphReader(place, secret, Limiter(clock=clock), clock)
        with pytest.raises(Forbidden) as refused:
            Mirror().round(TeamSource(reader, on.resource))
        assert "permission" in str(refused.value)

    @pytest.mark.parametrize("name", ["Budget", "General"])
    def test_one_channel_that_is_refused_does_not_keep_the_others_away(
        self, on: Stage, name: str
    ) -> None:
        private = channel(on, name)
        on.tenant.faults.map(f"{private.id}/messages", "p", loop=True)
        mirror = read(on)
        assert [t.cause for t in mirror.items[private.id].troubles] == [Cause.FORBIDDEN]
        assert {key for key, _ in raws(mirror)} == {
            one.id for one in readable(team(on)) if one.talk.messages and one is not private
        }


class TestOddAnswers:
    """Lost links, heavy pages, feeds that break in the middle."""

    def test_a_page_that_is_too_heavy_is_asked_for_in_small_ones(self, on: Stage) -> None:
        on.tenant.faults.map(f"GET /teams/.*{channel(on).id}/messages$", "g" * 18)
        assert raws(read(on)) == truth(on)
        pages = on.tenant.counters.requests["GET /teams/{team}/channels/{channel}/messages"]
        assert pages - 18 >= len(channel(on).talk.roots()) // 5 + len(readable(team(on))) - 1

    def test_a_failure_in_a_whole_list_deletes_nothing(self, on: Stage) -> None:
        for number in range(60):
            say(on, f"word {number}")
        mirror = read(on)
        before = raws(mirror)
        pass_time(on, FULL_EVERY)
        on.tenant.faults.map(f"{channel(on).id}/messages$", ".m")
        read(on, mirror)
        assert raws(mirror) == before
        assert [t.cause for t in mirror.items[channel(on).id].troubles] == ["item-gone"]
        late = say(on, "late")
        read(on, mirror)
        assert set(raws(mirror)) == {*before, (channel(on).id, late.id)}
        assert mirror.items[channel(on).id].troubles == []
