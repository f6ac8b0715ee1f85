"""What a night may bring: minutes of throttling, storms, cut answers, lost tokens, odd people."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import simulator
from base.item import Change
from engine import connection
from m365.graph.client import BatchRequest, Scope
from m365.mail import PAGE_ITEMS, MailSource
from simulator.content import Letter, Person
from simulator.contoso import build
from simulator.contoso_mail import some_message
from simulator.faults import HOSTILE
from simulator.mailbox import Mailbox
from tests.engine.world import ORG, calm_tenant
from tests.facts.stage import TimedWorld, timed_world
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import BOX, feed_of, message, only_inbox
from tests.m365.test_batch import answering
from tests.m365.wire_fake import Hostile


@pytest.fixture
def made(tmp_path: Path) -> Iterator[TimedWorld]:
    with timed_world(calm_tenant(seed=31), tmp_path) as one:
        yield one


def whole(made: TimedWorld) -> None:
    """Everything is in the vault, and nobody was pestered."""
    assert made.mail_in_vault() == made.mail_in_tenant()
    assert made.files_in_vault() == made.files_in_tenant()
    assert made.tenant.counters.offences == {}
    assert made.tenant.counters.violations == []


# --- The service ---


@pytest.mark.parametrize("letter", ["t", "T", "n"], ids=["seconds", "date", "without"])
def test_a_mailbox_that_answers_429_for_ten_minutes_is_waited_for_and_backed_up(
    made: TimedWorld, letter: str
) -> None:
    made.tenant.limits.retry_after_s = 60
    ends_s = made.tenant.clock.seconds() + 600
    probes = "mailFolders/inbox$|mailboxSettings|drive$"  # of the directory, another lane
    refused = _Until(made.tenant, f"/users/[^/]+/(?!{probes})", letter, ends_s)
    made.back_up()
    assert made.tenant.clock.seconds() >= ends_s
    assert refused.rule not in made.tenant.faults.rules

    whole(made)
    # Ten minutes at a minute's pause each, for every lane that asked: not a request a second.
    assert made.tenant.counters.faults[letter] <= 120


def test_a_batch_that_is_refused_without_a_time_backs_off_like_a_request() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: {"status": 429, "body": {}}))
        reader, waits = fake.reader(), list[float]()
        while len(waits) < 40 and (not waits or waits[-1] < 225):
            requests = [BatchRequest(f"/users/{number}") for number in range(20)]
            found = reader.batch(requests, Scope.directory())
            waits.append(max(answer.retry_after_s for answer in found))
            fake.clock.sleep(waits[-1])
        assert fake.clock.slept[0] <= 1.25  # twenty refusals of one call are one
        assert 225 <= waits[-1] <= 375  # about five minutes is the longest
        assert len(fake.heard) <= 20


class _Until:
    """A fault that ends when the tenant's time has come: the rule takes itself away."""

    def __init__(self, tenant: simulator.Tenant, pattern: str, letter: str, ends_s: float) -> None:
        self.rule = tenant.faults.map(pattern, letter, loop=True)
        plain = tenant.clock.advance

        def advance(seconds: float) -> None:
            plain(seconds)
            if tenant.clock.seconds() >= ends_s and self.rule in tenant.faults.rules:
                tenant.faults.rules.remove(self.rule)

        tenant.clock.advance = advance  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "letters",
    ["uuUuUUuu" * 3, "gdgdgg" * 3, "ewewew" * 2, "hxhxXXhx" * 2],
    ids=["503 storm", "504 storm", "500 and 502", "truncated and cut answers"],
)
def test_a_storm_passes_and_everything_is_backed_up(made: TimedWorld, letters: str) -> None:
    made.tenant.faults.map("/messages/delta|/mailFolders|/drives/", letters)

    runs = 1
    while made.back_up()["state"] != "green":
        runs += 1
        assert runs < 5

    whole(made)
    made.verify()


def test_a_token_that_ends_in_the_middle_of_a_page_is_replaced(made: TimedWorld) -> None:
    made.tenant.faults.map(
        r"/\$value|/attachments|/content|delta", ("...a" + "." * 30 + "c" + "." * 30) * 2
    )
    made.tenant.token_lifetime_s = 5

    assert made.back_up()["state"] == "green"
    whole(made)


def test_all_tokens_revoked_during_a_run_cost_one_more_sign_in_each(made: TimedWorld) -> None:
    _then(made, after=40, act=made.tenant.tokens.revoke_all)

    assert made.back_up()["state"] == "green"
    whole(made)
    assert made.tenant.counters.statuses[401] <= 8  # of those that were in flight


def test_the_connection_test_is_right_however_often_the_service_stumbles(tmp_path: Path) -> None:
    tenant = build("tiny", 33)
    tenant.quirks = simulator.hostile()
    with timed_world(tenant, tmp_path) as made:
        tenant.faults.chances = {name: 6 * chance for name, chance in HOSTILE.items()}
        for _ in range(4):
            found = connection.test(made.app, ORG)
            assert found["ok"], found
            assert not [one for one in found["warnings"] if one["level"] == "warning"]
        tenant.backup_app.roles -= {"Files.Read.All", "Sites.Read.All"}
        for _ in range(4):
            found = connection.test(made.app, ORG)
            missing = [one["permission"] for one in found["backup"]["checks"] if not one["granted"]]
            assert missing == ["Files.Read.All"]
        assert tenant.counters.offences == {}


# --- People ---


def test_a_user_converted_to_a_shared_mailbox_during_the_run_stays_protected(
    made: TimedWorld,
) -> None:
    user = made.mailbox.user_id

    def convert() -> None:
        made.tenant.users[user].purpose = "shared"
        made.tenant.change_user(user, accountEnabled=False, assignedLicenses=[])

    _then(made, after=30, act=convert)
    assert made.back_up()["state"] == "green"
    made.back_up()

    row = made.app.resources.get(ORG, "mail", made.mailbox_id)
    assert row is not None
    assert (row.state, row.reason) == ("protected", "")
    whole(made)


def test_a_user_deleted_during_the_run_is_gone_and_the_others_are_backed_up(
    made: TimedWorld,
) -> None:
    leaver, other, *_ = made.tenant.mailboxes
    _then(made, after=30, act=lambda: made.tenant.remove_user(leaver))

    made.back_up()

    kept = made.mail_in_vault(f"mailbox:{other}")
    assert kept == made.mail_in_tenant(made.tenant.mailboxes[other])
    made.back_up()
    row = made.app.resources.get(ORG, "mail", f"mailbox:{leaver}")
    assert row is not None
    assert (row.state, row.reason) == ("skipped", "left-the-directory")


def _then(made: TimedWorld, *, after: int, act: Callable[[], object]) -> None:
    """Something happens in the tenant when so many more requests were answered."""
    tenant = made.tenant
    plain, left = tenant.faults.letter, [after]

    def letter(operation: str, target: str, *, by_chance: bool = True) -> str:
        left[0] -= 1
        if left[0] == 0:
            with tenant.lock:
                act()
        return plain(operation, target, by_chance=by_chance)

    tenant.faults.letter = letter  # type: ignore[method-assign]


# --- Size ---


def bare(messages: int, folders: int) -> simulator.Tenant:
    """One mailbox with so many messages in its inbox and so many folders, some of them deep."""
    tenant = simulator.Tenant(77, quirks=simulator.calm())
    user = tenant.add_user("Ada Large")
    mailbox = tenant.mailboxes[user.id]
    parents = ["inbox"]
    for number in range(folders):
        parent = parents[number // 3 if number % 2 else 0]
        parents.append(mailbox.add_folder(f"Folder {number}", parent).id)
    _fill(mailbox, messages)
    return tenant


def _fill(mailbox: Mailbox, messages: int) -> None:
    ada = Person("Ada Large", "ada@contoso.example")
    dice, began = Random(5), datetime(2025, 1, 1, tzinfo=UTC)
    letter = Letter(dice, ada, (ada,), began)
    for number in range(messages):
        at = began + timedelta(minutes=number)
        mailbox.deliver(some_message(replace(letter, at=at)), "inbox")


def test_a_mailbox_of_a_thousand_folders_costs_one_request_for_each(tmp_path: Path) -> None:
    with timed_world(bare(20, 1_000), tmp_path) as made:
        made.back_up()
        assert made.mail_in_vault() == made.mail_in_tenant()
        view = made.view("mail", made.mailbox_id)
        kinds = [entry.kind for entry in view.catalog.items()]
        assert kinds.count("folder") >= 1_000
        before = made.requests()

        made.back_up()

        known = len(made.mailbox.folders)
        assert made.requests() - before <= known + 30
        assert made.tenant.counters.offences == {}


def test_a_folder_is_read_page_by_page_whatever_its_size(tmp_path: Path) -> None:
    with timed_world(bare(700, 0), tmp_path, step_items=200) as made:
        run = made.back_up()

        assert run["state"] == "green"
        assert len(made.mail_in_vault()) == 700
        assert run["counts"]["pages"] >= 3
        deltas = made.requests("/messages/delta")
        assert deltas <= 700 // 200 + len(made.mailbox.folders) + 6


class _Endless(ScriptedGraph):
    """A mailbox whose inbox has so many messages, made page by page when they are asked for."""

    def __init__(self, messages: int) -> None:
        super().__init__(only_inbox())
        self.pages = messages // PAGE_ITEMS
        self.most_alive = 0

    def get(self, path: str, **options: Any) -> dict[str, Any]:
        if not path.startswith((feed_of("in"), "page-")):
            return super().get(path, **options)
        number = int(path.partition("-")[2]) if path.startswith("page-") else 0
        if number % 100 == 99:
            alive = sum(isinstance(one, Change) for one in gc.get_objects())
            self.most_alive = max(self.most_alive, alive)
        self.calls.append(f"GET {path}")
        last = number == self.pages - 1
        link = "@odata.deltaLink" if last else "@odata.nextLink"
        ids = range(number * PAGE_ITEMS, (number + 1) * PAGE_ITEMS)
        return {"value": [message(f"m{one}") for one in ids], link: f"page-{number + 1}"}


def test_a_folder_of_two_hundred_thousand_messages_is_read_with_a_page_or_two_in_memory() -> None:
    graph = _Endless(200_000)
    seen = 0
    for page in MailSource(graph, BOX).changes({}, frozenset()):
        seen += sum(isinstance(one, Change) and one.kind == "message" for one in page.entries)
    assert seen == 200_000
    assert graph.count("GET page-") + graph.count(f"GET {feed_of('in')}") == graph.pages
    assert 0 < graph.most_alive <= 3 * PAGE_ITEMS
