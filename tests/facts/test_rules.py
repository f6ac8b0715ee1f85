"""Rules that hold everywhere in Graph: paging, delta rounds, lost tokens, headers, errors, rights.

docs/facts-and-tests.md lists every fact with its test; those that are shown elsewhere are not
repeated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from m365.graph.client import Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ResyncNeeded
from tests.engine.world import ORG, World, calm_tenant
from tests.facts.stage import timed_world
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import mailbox, run
from tests.m365.wire_fake import Hostile, Reply, fails, says


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with timed_world(calm_tenant(seed=21), tmp_path) as one:
        yield one


# --- Paging ---


def test_headers_of_our_own_are_sent_again_with_every_page_of_the_directory() -> None:
    with Hostile() as fake:
        more = f"{fake.origin}/v1.0/users?$skiptoken=2"
        fake.on("/v1.0/users", says({"value": [], "@odata.nextLink": more}), says({"value": []}))
        headers = {"ConsistencyLevel": "eventual", "Prefer": "return=minimal"}
        pages = follow(fake.reader(), "/users", headers=headers, scope=Scope.directory())
        assert len(list(pages)) == 2
        for heard in fake.heard:
            assert heard.headers["consistencylevel"] == "eventual"
            assert heard.headers["prefer"] == "return=minimal"
            assert heard.headers["x-ms-throttle-priority"] == "low"


def test_query_options_go_with_the_first_request_of_a_round_only() -> None:
    with Hostile() as fake:
        next_link = f"{fake.origin}/v1.0/users/delta()?$skiptoken=a%2Bb"
        delta_link = f"{fake.origin}/v1.0/users/delta?$deltatoken=c%2Fd"
        fake.on("/v1.0/users/delta", says({"value": [], "@odata.nextLink": next_link}))
        fake.on("/v1.0/users/delta()", says({"value": [], "@odata.deltaLink": delta_link}))
        params = {"$select": "id,displayName"}
        *_, last = follow(fake.reader(), "/users/delta", params, scope=Scope.directory())
        assert last.link == delta_link
        first, second = fake.paths()
        assert first == "/v1.0/users/delta?$select=id,displayName"
        assert second == "/v1.0/users/delta()?$skiptoken=a%2Bb"  # as it came, not spelled anew


def test_no_page_of_more_than_a_thousand_is_ever_wished_for() -> None:
    graph = ScriptedGraph(mailbox())
    run(graph)
    wishes = [re.search(r"maxpagesize=(\d+)", text) for text in graph.page_sizes.values()]
    sizes = [int(wish[1]) for wish in wishes if wish]
    assert sizes
    assert all(1 <= size <= 1000 for size in sizes)
    tops = [int(n) for call in graph.calls for n in re.findall(r"\$top=(\d+)", call)]
    assert all(1 <= top <= 1000 for top in tops)


# --- Delta rounds ---


@pytest.mark.parametrize(
    "liberty",
    [
        {"p_empty_page": 0.5},
        {"p_short_page": 1.0},
        {"p_duplicate": 1.0},
        {"removed_in_first_round": True},
        {"odd_link_spellings": True},
    ],
    ids=lambda liberty: "+".join(liberty),
)
def test_a_round_may_bring_empty_pages_short_ones_repeats_and_removals_from_the_first_on(
    tmp_path: Path, liberty: dict[str, Any]
) -> None:
    tenant = calm_tenant(seed=22)
    for name, value in liberty.items():
        setattr(tenant.quirks, name, value)
    with timed_world(tenant, tmp_path) as made:
        assert made.back_up()["state"] == "green"
        _change_a_little(made)
        assert made.back_up()["state"] == "green"
        assert made.mail_in_vault() == made.mail_in_tenant()
        assert made.files_in_vault() == made.files_in_tenant()


def test_a_message_that_moves_is_removed_here_and_new_there_in_either_order_of_the_feeds(
    made: World,
) -> None:
    made.back_up()
    box = made.mailbox
    inbox, archive = box.folder("inbox"), box.folder("archive")
    to_archive, *_ = inbox.messages.values()
    if not archive.messages:
        box.move_message([*inbox.messages.values()][-1], archive)
        made.back_up()
    to_inbox, *_ = archive.messages.values()
    box.move_message(to_archive, archive)
    box.move_message(to_inbox, inbox)
    downloads = made.requests("$value")

    made.back_up()

    assert made.mail_in_vault() == made.mail_in_tenant()
    assert made.requests("$value") == downloads  # its immutable id is the same: nothing is new


@pytest.mark.parametrize("reason", ["changed", "deleted"])
def test_both_reasons_of_a_removal_take_a_message_out_of_its_folder(
    made: World, reason: str
) -> None:
    made.back_up()
    victim = next(iter(made.mailbox.folder("inbox").messages.values()))
    key = made.mailbox.message_id(victim, immutable=True)
    made.mailbox.delete_message(victim, for_good=True)
    log = made.mailbox.folder("inbox").log
    log.record(victim.number, made.mailbox._next(), reason)  # type: ignore[arg-type]

    made.back_up()

    assert key not in made.mail_in_vault()
    assert made.mail_in_vault() == made.mail_in_tenant()


# --- Lost tokens ---


@pytest.mark.parametrize("status", [400, 404, 409, 410])
@pytest.mark.parametrize(
    "code", ["SyncStateNotFound", "syncStateNotFound", "SYNCSTATEINVALID", "resyncRequired"]
)
def test_a_lost_token_of_outlook_is_known_by_its_code_in_any_spelling_and_status(
    status: int, code: str
) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/u/mailFolders/f/messages/delta", fails(status, code))
        with pytest.raises(ResyncNeeded):
            fake.reader().get("/users/u/mailFolders/f/messages/delta", scope=Scope.mailbox("u"))
        assert len(fake.heard) == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_lost_token_is_known_by_a_code_nested_in_inner_errors(depth: int) -> None:
    error: dict[str, Any] = {"code": "SyncStateNotFound"}
    for _ in range(depth):
        error = {"code": "BadRequest", "message": "no contract", "innerError": error}
    with Hostile() as fake:
        fake.on("/v1.0/users/delta", says({"error": error}, 400))
        with pytest.raises(ResyncNeeded):
            fake.reader().get("/users/delta", scope=Scope.directory())


def test_after_a_lost_token_nothing_counts_as_deleted_before_the_reading_is_finished(
    tmp_path: Path,
) -> None:
    with timed_world(calm_tenant(seed=23), tmp_path, step_items=3) as made:
        made.back_up()
        before = set(made.mail_in_vault())
        victim = next(iter(made.mailbox.folder("inbox").messages.values()))
        gone = made.mailbox.message_id(victim, immutable=True)
        made.mailbox.delete_message(victim, for_good=True)
        made.lose_tokens()
        # The feeds answer once, then fail: every reading breaks off in the middle.
        rule = made.tenant.faults.map(r"/messages/delta", ".." + "e" * 500)

        assert made.back_up()["state"] != "green"
        assert set(made.mail_in_vault()) == before

        made.tenant.faults.rules.remove(rule)
        made.back_up()
        assert set(made.mail_in_vault()) == before - {gone}


# --- Errors and rights ---


@pytest.mark.parametrize("status", [402, 405, 406, 415, 501])
def test_what_is_refused_for_good_is_told_at_once_and_not_repeated(status: int) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", fails(status, "PaymentRequired"))
        with pytest.raises(GraphProblem) as refused:
            fake.reader().get("/users", scope=Scope.directory())
        assert (refused.value.status_code, len(fake.heard)) == (status, 1)


def test_the_text_of_an_error_is_no_contract_and_goes_nowhere() -> None:
    with Hostile() as fake:
        body = {"error": {"code": "Weird", "message": "SyncStateNotFound for Anna Karenina"}}
        fake.on("/v1.0/users", Reply(400, str(body).replace("'", '"').encode()))
        with pytest.raises(GraphProblem) as refused:
            fake.reader().get("/users", scope=Scope.directory())
        assert not isinstance(refused.value, ResyncNeeded)
        assert "Anna" not in str(refused.value.to_json())


def test_a_mailbox_that_rbac_keeps_from_us_leaves_the_others_backed_up(made: World) -> None:
    kept, refused, *_ = made.tenant.mailboxes
    made.tenant.faults.map(rf"^GET /users/{refused}/", "p", loop=True)

    made.back_up()

    assert made.mail_in_vault(f"mailbox:{kept}") == made.mail_in_tenant(made.tenant.mailboxes[kept])
    rows = [row for row in made.app.resources.all(ORG, "mail") if refused in row.facts["owner"]]
    assert [row.reason for row in rows] == ["forbidden"]


def test_no_request_is_for_me(made: World) -> None:
    made.back_up()
    assert made.requests() > 20
    assert made.tenant.counters.statuses[400] == 0  # what /me is answered to an application


def _change_a_little(made: World) -> None:
    box = made.mailbox
    first, second, third, *_ = box.folder("inbox").messages.values()
    box.change_message(first, isRead=not first.properties.get("isRead"))
    box.move_message(second, box.folder("archive"))
    box.delete_message(third, for_good=True)
