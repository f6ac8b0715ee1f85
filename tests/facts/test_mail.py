"""Mail: what Microsoft documents of folders, messages, their MIME, attachments and ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from m365.graph.client import Scope
from m365.graph.errors import Corrupt, TransientFailure
from tests.engine.world import ORG, World, calm_tenant
from tests.facts.stage import timed_world
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import mailbox, run
from tests.m365.wire_fake import Hostile, fails


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with timed_world(calm_tenant(seed=51), tmp_path) as one:
        yield one


@pytest.mark.parametrize(
    "code", ["ErrorCorruptData", "ErrorCannotOpenFileAttachment", "ErrorInvalidRecipients"]
)
def test_what_exchange_cannot_open_is_final_although_it_says_500(code: str) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/u/messages/m/$value", fails(500, code))
        with pytest.raises(Corrupt) as failed:
            fake.reader().get_raw("/users/u/messages/m/$value", scope=Scope.mailbox("u"))
        assert not isinstance(failed.value, TransientFailure)
        assert len(fake.heard) == 1


def test_a_corrupt_message_is_in_the_ledger_and_the_others_in_the_vault(made: World) -> None:
    broken = next(iter(made.mailbox.folder("inbox").messages.values()))
    key = made.mailbox.message_id(broken, immutable=True)
    broken.broken = "ErrorCorruptData"
    before = made.mail_in_tenant()

    made.back_up()

    found = made.mail_in_vault()
    del before[key]
    assert {one: facts for one, facts in found.items() if one != key} == before
    rows = [row for row in made.app.ledger.all(ORG) if row.item == key]
    assert {row.cause for row in rows} == {"corrupt-in-service"}


def test_no_filter_and_no_order_is_put_on_a_feed_of_messages() -> None:
    graph = ScriptedGraph(mailbox())
    run(graph)
    feeds = [call for call in graph.calls if "/messages/delta" in call]
    assert feeds
    options = {name for call in feeds for name in re.findall(r"(\$\w+)=", call)}
    assert options <= {"$expand", "$select"}


def test_a_message_that_goes_away_and_comes_back_between_two_backups_is_the_same(
    made: World,
) -> None:
    made.back_up()
    box = made.mailbox
    message = next(iter(box.folder("inbox").messages.values()))
    downloads = made.requests("$value")
    for where in ("archive", "deleteditems", "inbox"):
        box.move_message(message, box.folder(where))

    made.back_up()

    assert made.mail_in_vault() == made.mail_in_tenant()
    assert made.requests("$value") == downloads


def test_a_message_that_goes_there_and_back_with_a_backup_in_between_is_the_same(
    made: World,
) -> None:
    box = made.mailbox
    message = next(iter(box.folder("inbox").messages.values()))
    key = box.message_id(message, immutable=True)
    made.back_up()
    downloads = made.requests("$value")
    for where in ("archive", "inbox", "archive"):
        box.move_message(message, box.folder(where))
        made.back_up()
        assert made.mail_in_vault()[key][0] == tuple(box.folder(where).names())

    assert made.mail_in_vault() == made.mail_in_tenant()
    assert made.requests("$value") == downloads


def test_a_flag_a_category_and_a_read_state_are_kept_beside_the_mime(made: World) -> None:
    box = made.mailbox
    message = next(iter(box.folder("inbox").messages.values()))
    key = box.message_id(message, immutable=True)
    made.back_up()
    downloads = made.requests("$value")
    flag = {"flagStatus": "flagged"}
    box.change_message(message, categories=["Blue category"], flag=flag, isRead=True)

    made.back_up()

    raw = made.view("mail", made.mailbox_id).item(key).raw
    assert (raw["categories"], raw["flag"]["flagStatus"]) == (["Blue category"], "flagged")
    assert raw["isRead"] is True
    assert made.requests("$value") == downloads
