"""Long restores of messages into channels: how often a channel is read, and who dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from base.messages import RestoreRun, WriteBatch
from base.settings import Settings
from engine import policies, restore, restore_plan, runs
from engine.assembly import App
from engine.restore_plan import BATCH_ITEMS, RestoreRequest
from simulator import sites
from simulator.teams import Channel, Team, add_team, teams
from tests.engine.mortal import Death, Killed, MortalStore
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, world
from tests.m365.stage import TenantClock
from vault import Store

READ = "GET /teams/{team}/channels/{channel}/messages"


class Dying(App):
    """The app of a process that dies at a write of its vault; waiting takes none of our time."""

    def __init__(self, settings: Settings, clock: TenantClock, death: Death) -> None:
        self._death = death
        super().__init__(settings, clock=clock, scrypt_n=SCRYPT_N)

    def _make_store(self, org: str) -> Store:
        return MortalStore(super()._make_store(org), self._death)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=29), tmp_path) as one:
        version = policies.show(one.app, ORG)["version"]
        policies.change(one.app, ORG, {"services": ["teams"], "protection": "full"}, version)
        one.app = app(one)
        yield one


def app(made: World, death: Death | None = None) -> App:
    clock, settings = TenantClock(made.tenant), settings_for(made.running, made.folder)
    if death is not None:
        return Dying(settings, clock, death)
    return App(settings, clock=clock, scrypt_n=SCRYPT_N)


def team(made: World) -> Team:
    return next(iter(teams(made.tenant).values()))


def general(of: Team) -> Channel:
    return next(iter(of.channels.values()))


def fill(made: World, threads: int, replies: int) -> None:
    """So many threads of so many replies, and nothing else in General."""
    talk = general(team(made)).talk
    sender = next(one.sender for one in talk.roots() if one.sender)
    talk.messages.clear()
    at = made.tenant.clock.now() - timedelta(days=90)
    for number in range(threads):
        body = {"contentType": "text", "content": f"thread {number}"}
        root = talk.post(sender, body, at + timedelta(minutes=number))
        for reply in range(replies):
            body = {"contentType": "text", "content": f"reply {number} {reply}"}
            when = root.created + timedelta(seconds=reply + 1)
            talk.post(sender, body, when, reply_to=root.id)


def target_of(made: World) -> Team:
    group = made.tenant.add_group("Target", made.tenant.groups[team(made).id].members)
    return add_team(made.tenant, group.id, made.tenant.clock.now())


def wanted(made: World, target: Team, **facts: Any) -> RestoreRequest:
    return RestoreRequest(
        "teams", f"team:{team(made).id}", target=f"team:{target.id}", options=("migration",),
        folders=(general(team(made)).id,), **facts,
    )  # fmt: skip


def said(of: Team) -> list[tuple[str, str]]:
    """What is said in General, and the words each reply answers."""
    messages = general(of).talk.messages
    living = [one for one in messages.values() if not one.deleted]
    above = {one.id: str(one.body["content"]) for one in messages.values()}
    return sorted((str(one.body["content"]), above.get(one.reply_to or "", "")) for one in living)


def ask(made: World, request: RestoreRequest) -> str:
    """A restore that was asked for and planned; its run."""
    settled, counted = restore_plan.prepare(made.app, ORG, request)
    run = runs.request_restore(made.app, ORG, "test", settled, counted).id
    restore.plan_restore(made.app, RestoreRun(ORG, run))
    return run


@pytest.mark.parametrize("place", ["original", "folder"])
def test_a_restore_of_many_batches_reads_a_channel_once(made: World, place: str) -> None:
    fill(made, threads=101, replies=2)
    made.back_up()
    before = said(team(made))
    talk = general(team(made)).talk
    for key in [one.id for one in talk.messages.values() if one.reply_to][::5]:
        del talk.messages[key]
    pages = 3  # of fifty threads
    request = wanted(made, team(made), place=place)
    look, run = made.requests(READ), ask(made, request)
    look = made.requests(READ) - look
    first = made.requests(READ)
    result = made.finish_restore(run)
    assert look <= pages
    assert made.requests(READ) - first == pages
    batches = sum(1 for _ in made.app.vault(ORG).list_records(f"restore/{run}/done/"))
    assert batches == -(-len(before) // BATCH_ITEMS) > pages
    assert said(team(made)) == before
    assert result["counts"]["created"] == 41


def test_a_thread_goes_on_in_the_next_batch_below_a_message_that_had_to_move(made: World) -> None:
    fill(made, threads=2, replies=BATCH_ITEMS + 10)
    made.back_up()
    target = target_of(made)
    roots = general(team(made)).talk.roots()
    talk = general(target).talk
    taken = talk.post(roots[0].sender, {"contentType": "text", "content": "?"}, roots[0].created)
    talk.delete(taken, made.tenant.clock.now())
    before = made.requests(READ)
    made.restore(wanted(made, target))
    assert made.requests(READ) - before == 1
    assert said(target) == said(team(made))


@pytest.mark.parametrize("arrives", [True, False])
def test_a_process_that_dies_at_any_write_of_the_vault_leaves_nothing_double(
    made: World, arrives: bool
) -> None:
    fill(made, threads=9, replies=6)
    made.back_up()
    for nth in range(1, 20):
        target = target_of(made)
        run = ask(made, wanted(made, target))
        death = Death(nth, arrives=arrives)
        healthy, made.app = made.app, app(made, death)
        try:
            made.finish_restore(run)
        except Killed:
            made.app = healthy
            made.tenant.clock.advance(60)  # its lease is over
            assert made.finish_restore(run)["state"] in ("green", "amber")
        assert said(target) == said(team(made))
        made.app = healthy
        if not death.came:
            break
    assert not death.came


def test_two_restores_into_one_channel_write_each_message_once(made: World) -> None:
    fill(made, threads=40, replies=2)
    made.back_up()
    target = target_of(made)
    one, other = ask(made, wanted(made, target)), ask(made, wanted(made, target))
    for run in (one, other, other, other, one, one):
        batch = sum(1 for _ in made.app.vault(ORG).list_records(f"restore/{run}/done/"))
        assert restore.write_batch(made.app, WriteBatch(ORG, run, batch)).state == "done"
    assert said(target) == said(team(made))
    assert {one.created for one in general(target).talk.messages.values()} == {
        one.created for one in general(team(made)).talk.messages.values()
    }


def test_the_page_of_a_private_channel_lands_in_the_site_of_the_channel_only(made: World) -> None:
    private = next(one for one in team(made).channels.values() if one.membership == "private")
    group = made.tenant.groups[team(made).id]
    site = sites.add_channel_site(made.tenant, group, private.name)
    own = made.tenant.drives[made.tenant.room[sites.DRIVES_ROOM][site][0]]
    private.folder = (own.id, own.root.id)
    made.back_up()
    request = RestoreRequest("teams", f"team:{team(made).id}", folders=(private.id,))
    assert made.restore(request)["counts"]["created"] == 1
    with_page = [
        drive.id
        for drive in made.tenant.drives.values()
        if any(drive.path(one)[-1:] == [f"{private.name}.html"] for one in drive.living())
    ]
    assert with_page == [own.id]
