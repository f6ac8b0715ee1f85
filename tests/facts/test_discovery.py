"""Finding who and what there is: what Microsoft documents of users, groups, sites and mailboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from m365.directory import FEEDS, Feed, read_feed
from m365.holdings import mailboxes_of
from tests.engine.world import ORG, World, calm_tenant
from tests.facts.stage import timed_world
from tests.m365.test_batch import answering
from tests.m365.wire_fake import Hostile, says


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with timed_world(calm_tenant(seed=41), tmp_path) as one:
        yield one


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_delta_of_the_directory_is_asked_with_nothing_but_select(feed: Feed) -> None:
    with Hostile() as fake:
        end = f"{fake.origin}/v1.0{feed.path}?$deltatoken=x"
        fake.on("/v1.0" + feed.path, says({"value": [], "@odata.deltaLink": end}))
        read_feed(fake.reader(), feed, "", {}, fake.clock.now())
        (asked,) = fake.paths()
        assert set(parse_qs(urlsplit(asked).query)) <= {"$select"}


def test_no_property_kept_outside_entra_is_asked_of_the_directory(made: World) -> None:
    made.back_up()
    assert made.requests("/users/delta") > 0
    assert made.tenant.counters.statuses[501] == 0


@pytest.mark.parametrize("purpose", ["shared", "room", "equipment"])
def test_a_mailbox_of_no_person_is_an_ordinary_user_and_protected(
    made: World, purpose: str
) -> None:
    with made.tenant.lock:
        user = made.tenant.add_user(f"Some {purpose}", purpose=purpose)
    made.back_up()
    row = made.app.resources.get(ORG, "mail", f"mailbox:{user.id}")
    assert row is not None
    assert (row.state, row.reason) == ("protected", "")


def test_a_disabled_user_with_a_mailbox_stays_protected(made: World) -> None:
    user = made.mailbox.user_id
    with made.tenant.lock:
        made.tenant.change_user(user, accountEnabled=False)
    made.back_up()
    assert made.mail_in_vault() == made.mail_in_tenant()


@pytest.mark.parametrize(
    "code",
    ["MailboxNotEnabledForRESTAPI", "ErrorInvalidUser", "ResourceNotFound",
     "Request_ResourceNotFound"],
)  # fmt: skip
def test_nobody_without_a_mailbox_is_an_error_whatever_the_words(code: str) -> None:
    with Hostile() as fake:
        missing = {"status": 404, "body": {"error": {"code": code, "message": "any"}}}
        fake.on("/v1.0/$batch", answering(lambda item: missing))
        found = mailboxes_of(fake.reader(), ["a", "b"])
        assert {one.id for one in found.values()} == {""}
        assert all(one.reason.startswith("no-") for one in found.values())
