"""Group conversations beyond the suite: what lists tell, what they hide, and odd answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from base.item import Change, FeedPage, Gone
from m365 import SERVICES
from m365.conversations import FULL_EVERY, ConversationSource
from m365.graph.errors import (
    GatewayTimeout,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
    TransientFailure,
)
from m365.service import Resource
from simulator.conversations import group_mailbox, post_json
from simulator.mail_json import View
from tests.m365.mirror import Mirror
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.stage import Stage, stage
from tests.m365.test_services import CASES

CASE = CASES["conversations"]
AT = datetime(2026, 11, 20, tzinfo=UTC)
G = "/groups/g"
GONE = ItemGone("gone", graph_code="ErrorItemNotFound", status_code=404)
POSTS = f"GET {G}/threads/t1/posts"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


def read(on: Stage) -> Mirror:
    mirror = Mirror()
    assert mirror.round(on.source())
    return mirror


class Group(ScriptedGraph):
    """A scripted group, at a fixed time."""

    @property
    def clock(self) -> Any:
        class Fixed:
            def now(self) -> datetime:
                return AT

        return Fixed()


def group(**changes: Any) -> Group:
    """A group with one conversation of one thread of one post."""
    script = {
        f"GET {G}/conversations": {"value": [conversation("c1")]},
        f"GET {G}/conversations/c1/threads": {"value": [thread("t1")]},
        POSTS: {"value": [post("p1")]},
    }
    return Group({**script, **changes})


def conversation(key: str, told: str = "first") -> dict[str, Any]:
    return {"id": key, "topic": "Plans", "preview": told, "lastDeliveredDateTime": "2026-11-01"}


def thread(key: str, told: str = "first") -> dict[str, Any]:
    return {"id": key, "topic": "Plans", "preview": told, "isLocked": False}


def post(key: str) -> dict[str, Any]:
    return {"id": key, "receivedDateTime": "2026-11-01T08:00:00Z", "hasAttachments": False,
            "body": {"contentType": "html", "content": "hello"}}  # fmt: skip


def run(graph: Group, links: dict[str, str] | None = None) -> list[FeedPage]:
    return list(ConversationSource(graph, Resource("group", "g")).changes(links or {}, frozenset()))


def links_of(pages: list[FeedPage]) -> dict[str, str]:
    links: dict[str, str] = {}
    for page in pages:
        links[page.part] = page.link
        for part in page.dropped_parts:
            links.pop(part, None)
    return links


def told(pages: list[FeedPage]) -> list[str]:
    return [entry.id for page in pages for entry in page.entries]


# What is kept


def test_every_post_is_kept_as_graph_sent_it_below_its_thread(on: Stage) -> None:
    mirror, found = read(on), {}
    box = group_mailbox(on.tenant, on.resource.graph_id)
    for one in box.conversations:
        for at in one.threads:
            folder = mirror.items[at.id].change
            assert folder.raw["conversation"]["id"] == one.id
            for message in at.posts:
                raw = post_json(box, at, message, View(immutable=True, salt=0))
                found[f"{at.id}:{raw['id']}"] = at.id
                kept = mirror.items[f"{at.id}:{raw['id']}"].change
                assert {**kept.raw, **kept.volatile} == raw
    posts = {key: kept.change.parent for key, kept in mirror.items.items() if ":" in key}
    assert posts == found


def test_attachments_of_every_sort_are_parts_and_a_broken_one_is_a_note(on: Stage) -> None:
    mirror = read(on)
    parts = [part for kept in mirror.items.values() for part in kept.parts]
    kinds = {meta["@odata.type"].rpartition(".")[2] for role, _, meta in parts if role != "raw"
             and "@odata.type" in meta}  # fmt: skip
    assert kinds == {"fileAttachment", "itemAttachment", "referenceAttachment"}
    assert {role for role, _, _ in parts} == {"attachment", "attachment-item"}
    (trouble,) = [one for kept in mirror.items.values() for one in kept.troubles]
    assert (trouble.cause, trouble.retry) == ("corrupt-in-service", False)
    assert trouble.item_id in mirror.items


def test_a_list_of_attachments_that_ends_too_early_is_a_note_of_its_post(on: Stage) -> None:
    on.tenant.quirks.attachment_paging_broken = True
    box = group_mailbox(on.tenant, on.resource.graph_id)
    message = next(
        p for one in box.conversations for t in one.threads for p in t.posts
        if any(not a.broken for a in p.attachments.values()) and len(p.attachments) == 1
    )  # fmt: skip
    (one,) = message.attachments.values()
    message.attachments |= {number: replace(one, number=number) for number in range(2, 15)}
    mirror = read(on)
    post_id = box.mailbox.message_id(message, immutable=True)
    kept = next(kept for key, kept in mirror.items.items() if key.endswith(f":{post_id}"))
    assert [note.cause for note in kept.troubles] == ["attachments-incomplete"]
    assert sum(role == "attachment" for role, _, _ in kept.parts) == 10


def test_a_topic_without_end_is_cut_in_names_only(on: Stage) -> None:
    mirror = read(on)
    (folder,) = (
        kept.change
        for kept in mirror.items.values()
        if len(str(kept.change.raw.get("topic", ""))) > 1000
    )
    assert len(folder.name) == 255
    assert folder.raw["topic"].startswith(folder.name[:-1])


def test_posts_come_whole_when_they_are_asked_for_one_by_one(on: Stage) -> None:
    mirror = read(on)
    for key in [key for key in mirror.items if ":" in key]:
        again = on.source().complete(key)
        kept = mirror.items[key].change
        assert (again.raw, again.name, again.parent) == (kept.raw, kept.name, kept.parent)


# What a round asks


def test_one_answer_in_one_thread_costs_the_list_the_thread_and_its_posts(on: Stage) -> None:
    mirror = read(on)
    box = group_mailbox(on.tenant, on.resource.graph_id)
    at = box.conversations[0].threads[0]
    at.posts.append(box.mailbox.copy_message(at.posts[0], at.posts[0].folder))
    at.posts[-1].properties["receivedDateTime"] = "2026-12-01T08:00:00Z"
    before = on.reader.counters.requests
    mirror.fetched.clear()
    assert mirror.round(on.source())
    assert mirror.fetched["post"] == 1
    attached = len(at.posts[-1].attachments)
    assert on.reader.counters.requests - before <= 3 + (1 + attached if attached else 0)


def test_a_post_deleted_from_the_middle_is_found_by_the_monthly_look_at_everything(
    on: Stage,
) -> None:
    mirror = read(on)
    box = group_mailbox(on.tenant, on.resource.graph_id)
    at = next(t for one in box.conversations for t in one.threads if len(t.posts) > 10)
    post_id = box.mailbox.message_id(at.posts.pop(5), immutable=True)
    assert mirror.round(on.source())
    assert f"{at.id}:{post_id}" in mirror.items  # nothing told of it
    on.tenant.clock.advance(FULL_EVERY.total_seconds())
    mirror.fetched.clear()
    assert mirror.round(on.source())
    assert f"{at.id}:{post_id}" not in mirror.items
    assert not mirror.fetched["post"]
    before = on.reader.counters.requests
    assert mirror.round(on.source())
    assert on.reader.counters.requests - before == 1


def test_a_conversation_that_a_moving_list_hid_is_not_taken_for_gone() -> None:
    links = links_of(run(group()))
    graph = group()
    graph.script[f"GET {G}/conversations"] = {"value": []}
    graph.script[f"GET {G}/conversations/c1"] = conversation("c1")
    assert told(run(graph, links)) == []
    graph.script[f"GET {G}/conversations/c1"] = GONE
    pages = run(graph, links)
    assert [entry for page in pages for entry in page.entries] == [Gone("t1")]
    assert pages[0].dropped_parts == ("thread:t1",)


def test_only_threads_that_tell_something_else_are_read_again() -> None:
    first = group()
    first.script[f"GET {G}/conversations/c1/threads"] = {"value": [thread("t1"), thread("t2")]}
    first.script[f"GET {G}/threads/t2/posts"] = {"value": [post("p2")]}
    links = links_of(run(first))
    graph = group()
    graph.script[f"GET {G}/conversations"] = {"value": [conversation("c1", "second")]}
    threads = [thread("t1"), thread("t2", "second")]
    graph.script[f"GET {G}/conversations/c1/threads"] = {"value": threads}
    graph.script[f"GET {G}/threads/t2/posts"] = {"value": [post("p2"), post("p3")]}
    pages = run(graph, links)
    assert told(pages) == ["t1", "t2", "t2:p2", "t2:p3"]
    assert graph.count(POSTS) == 0
    graph.calls.clear()
    assert told(run(graph, links_of([*pages]) | {})) == []
    assert len(graph.calls) == 1


def test_a_thread_that_is_gone_takes_its_posts_along_and_ends_its_feed() -> None:
    links = links_of(run(group()))
    graph = group()
    graph.script[f"GET {G}/conversations"] = {"value": [conversation("c1", "second")]}
    graph.script[f"GET {G}/conversations/c1/threads"] = {"value": [thread("t2")]}
    graph.script[f"GET {G}/threads/t2/posts"] = {"value": []}
    pages = run(graph, links)
    assert Gone("t1") in [entry for page in pages for entry in page.entries]
    assert "thread:t1" not in links_of(pages)


# Odd answers


@pytest.mark.parametrize("code", ["MailboxNotEnabledForRESTAPI", "SomethingElse"])
def test_a_group_without_a_mailbox_is_gone_whatever_the_code(code: str) -> None:
    answer = ItemGone("no", graph_code=code, status_code=404)
    with pytest.raises(ResourceGone):
        run(group(**{f"GET {G}/conversations": answer}))


def test_a_security_group_of_the_tenant_is_told_apart_from_a_failure(on: Stage) -> None:
    plain = on.tenant.add_group("Security", [], groupTypes=[], mailEnabled=False)
    source = SERVICES["conversations"].source(on.reader, Resource("group", plain.id))
    with pytest.raises(ResourceGone):
        list(source.changes({}, frozenset()))


def test_a_list_that_is_too_heavy_is_asked_for_in_smaller_pages() -> None:
    graph = group()
    graph.script[f"{POSTS}?$top=50"] = GatewayTimeout("slow")
    assert told(run(graph))[-1] == "t1:p1"
    assert f"{POSTS}?$top=5" in graph.calls


def test_a_round_that_died_in_a_thread_goes_on_where_it_was() -> None:
    graph = group()
    graph.script[POSTS] = {"value": [post("p2")], "@odata.nextLink": "next"}
    graph.script["GET next"] = TransientFailure("down")
    source = ConversationSource(graph, Resource("group", "g"))
    pages: list[FeedPage] = []
    with pytest.raises(TransientFailure):
        pages.extend(source.changes({}, frozenset()))
    graph.script["GET next"] = {"value": [post("p1")]}
    graph.calls.clear()
    rest = list(source.changes(links_of(pages), frozenset({"conversations"})))
    assert told(rest) == ["t1:p1"]
    assert graph.calls == ["GET next"]
    graph.script["GET next"] = ResyncNeeded("forgotten", status_code=410)
    graph.script[POSTS] = {"value": [post("p2"), post("p1")]}
    rest = list(source.changes(links_of(pages), frozenset({"conversations"})))
    assert rest[0].reset
    assert told(rest) == ["t1:p2", "t1:p1"]


def test_a_round_that_died_while_announcing_announces_the_rest_and_tells_every_folder() -> None:
    graph = group()
    graph.script[f"GET {G}/conversations/c1/threads"] = {"value": [thread("t1"), thread("t2")]}
    graph.script[f"GET {G}/threads/t2/posts"] = {"value": [post("p2")]}
    source = ConversationSource(graph, Resource("group", "g"))
    first = next(iter(source.changes({}, frozenset())))
    assert (first.part, first.reset) == ("thread:t1", True)
    rest = run(graph, {first.part: first.link})
    assert [page.part for page in rest if page.reset] == ["thread:t2"]
    assert told(rest) == ["conversations", "t1", "t2", "t1:p1", "t2:p2"]


def test_one_bad_thread_does_not_keep_the_others_away() -> None:
    graph = group()
    graph.script[f"GET {G}/conversations/c1/threads"] = {"value": [thread("t1"), thread("t2")]}
    graph.script[f"GET {G}/threads/t2/posts"] = {"value": [post("p2")]}
    graph.script[POSTS] = TransientFailure("down")
    pages: list[FeedPage] = []
    with pytest.raises(TransientFailure):
        pages.extend(ConversationSource(graph, Resource("group", "g")).changes({}, frozenset()))
    assert told(pages)[-1] == "t2:p2"
    assert not json.loads(links_of(pages)["thread:t1"])["is_read"]


def test_a_thread_deleted_between_list_and_read_is_gone_and_an_odd_404_is_not() -> None:
    graph = group(**{POSTS: GONE, f"GET {G}/threads/t1": GONE})
    assert run(graph)[-1].entries == (Gone("t1"),)
    graph = group(**{POSTS: GONE, f"GET {G}/threads/t1": thread("t1")})
    with pytest.raises(ItemGone):
        run(graph)


def test_entries_without_an_id_and_posts_without_anything_do_no_harm() -> None:
    graph = group()
    graph.script[f"GET {G}/conversations"] = {"value": [{"topic": "x"}, conversation("c1")]}
    graph.script[POSTS] = {"value": [{"id": "p1", "body": None, "from": None, "inReplyTo": None}]}
    (entry,) = [one for page in run(graph) for one in page.entries if one.id == "t1:p1"]
    assert isinstance(entry, Change)
    assert entry.row["from"] == ""
