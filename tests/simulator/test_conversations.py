"""Group conversations of the simulated tenant."""

import base64
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from simulator import Tenant, hostile, serve
from simulator.conversations import group_mailbox
from simulator.conversations_content import conversations_month, fill_conversations
from tests.simulator.wire import Wire

UNTIL = datetime(2026, 11, 20, 17, tzinfo=UTC)


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def group(tenant):
    members = [tenant.add_user(name).id for name in ("Adele Vance", "Jörg Müller")]
    group = tenant.add_group("Harbour Project", members)
    fill_conversations(tenant, group.id, random.Random(1), 4, UNTIL)
    return group.id


@pytest.fixture
def wire(tenant, group):
    with serve(tenant) as running:
        yield Wire(running, tenant.backup_app)


def everything(wire, url):
    pages, _ = wire.walk(url)
    return [entry for page in pages for entry in page]


def test_conversations_hold_threads_and_threads_hold_posts(wire, tenant, group):
    tenant.quirks = hostile()
    found = {}
    for one in everything(wire, f"/groups/{group}/conversations"):
        for thread in everything(wire, f"/groups/{group}/conversations/{one['id']}/threads"):
            posts = everything(wire, f"/groups/{group}/threads/{thread['id']}/posts")
            newest = max(post["receivedDateTime"] for post in posts)
            assert thread["lastDeliveredDateTime"] == newest
            assert thread["topic"] == one["topic"]
            found[thread["id"]] = [post["id"] for post in posts]
    assert found == {
        thread.id: [p["id"] for p in everything(wire, f"/groups/{group}/threads/{thread.id}/posts")]
        for one in group_mailbox(tenant, group).conversations
        for thread in one.threads
    }
    assert {t["id"] for t in everything(wire, f"/groups/{group}/threads")} == set(found)


def test_attachments_of_a_post_come_with_their_bytes_or_fail_for_ever(wire, tenant, group):
    seen = Counter()
    for one in group_mailbox(tenant, group).conversations:
        for thread in one.threads:
            for post in everything(wire, f"/groups/{group}/threads/{thread.id}/posts"):
                base = f"/groups/{group}/threads/{thread.id}/posts/{post['id']}/attachments"
                for item in wire.get(f"{base}?$select=id,name,size")["value"]:
                    answer = wire.send("GET", f"{base}/{item['id']}")
                    if answer.status == 500:
                        seen["broken"] += 1
                        continue
                    whole = answer.json()
                    seen[whole["@odata.type"].rpartition(".")[2]] += 1
                    if "contentBytes" in whole:
                        raw = wire.send("GET", f"{base}/{item['id']}/$value").data
                        assert base64.b64decode(whole["contentBytes"]) == raw
    assert set(seen) == {"broken", "fileAttachment", "itemAttachment", "referenceAttachment"}


def test_a_post_tells_which_one_it_answers_when_asked(wire, tenant, group):
    thread = next(
        t for one in group_mailbox(tenant, group).conversations for t in one.threads if t.answers
    )
    url = f"/groups/{group}/threads/{thread.id}/posts"
    newest = wire.get(url)["value"][0]
    assert "inReplyTo" not in newest
    earlier = wire.get(f"{url}/{newest['id']}?$expand=inReplyTo")["inReplyTo"]
    assert earlier["receivedDateTime"] < newest["receivedDateTime"]


def test_an_application_can_start_and_answer_nothing(wire, tenant, group):
    thread = group_mailbox(tenant, group).conversations[0].threads[0].id
    for path in ("conversations", "threads", f"threads/{thread}/reply"):
        assert wire.code("POST", f"/groups/{group}/{path}", {})[0] == 403


def test_a_group_without_a_mailbox_says_so(wire, tenant):
    plain = tenant.add_group("Security", [], groupTypes=[], mailEnabled=False)
    url = f"/groups/{plain.id}/conversations"
    assert wire.code("GET", url) == (404, "MailboxNotEnabledForRESTAPI")
    assert wire.code("GET", "/groups/nobody/conversations")[0] == 404


def test_what_a_conversation_tells_changes_with_its_posts(wire, tenant, group):
    before = {one["id"]: one for one in everything(wire, f"/groups/{group}/conversations")}
    done = Counter()
    conversations_month(tenant, group, random.Random(2), UNTIL.replace(month=12), done)
    after = {one["id"]: one for one in everything(wire, f"/groups/{group}/conversations")}
    assert set(done) == {"posts deleted", "conversations deleted", "threads deleted",
                         "posts written", "conversations started"}  # fmt: skip
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()
    assert [key for key in before.keys() & after.keys() if before[key] != after[key]]


def test_a_group_mailbox_has_limits_of_its_own(wire, tenant, group):
    tenant.limits.outlook_requests = 3
    statuses = [wire.send("GET", f"/groups/{group}/threads").status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
