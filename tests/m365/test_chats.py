"""Chats read from the simulated tenant: every message as it is, once, whatever the tenant does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from engine.entries import encode_raw
from m365.chat_reading import FULL_EVERY, MARKS_MAX, OVERLAP
from m365.graph.errors import Forbidden
from m365.service import Resource
from simulator.chat_message import hosted, hosted_link, message_json, user_identity
from simulator.chats import Chat, add_chat, chats, home_of, refuse_export, seen_by
from simulator.contoso import month
from tests.m365.cases_chats import ChatsCase, name_of
from tests.m365.mirror import Mirror
from tests.m365.service_suite import ServiceSuite
from tests.m365.stage import Stage, stage


class TestChats(ServiceSuite):
    """The suite for every service."""

    @pytest.fixture
    def case(self) -> ChatsCase:
        return ChatsCase()


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ChatsCase()) as found:
        yield found


def expected(on: Stage, user_id: str = "") -> dict[str, Any]:
    """Every message a person sees, as Graph shows it."""
    return {
        f"{chat.id}:{one.id}": {
            key: value
            for key, value in message_json(
                one, home_of(on.tenant, chat), f"{on.running.url}/v1.0"
            ).items()
            if key != "etag"
        }
        for chat, one in seen_by(on.tenant, user_id or on.resource.graph_id)
    }


def held(mirror: Mirror) -> dict[str, Any]:
    return {
        key: dict(kept.change.raw)
        for key, kept in mirror.items.items()
        if kept.change.kind == "chat-message"
    }


def read(on: Stage, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    assert mirror.round(on.source())
    return mirror


def group(on: Stage) -> Chat:
    return next(one for one in chats(on.tenant).values() if one.topic == "Lunch / crane 🏗️")


def requests(on: Stage, pattern: str) -> int:
    seen = on.tenant.counters.requests
    return sum(count for route, count in seen.items() if pattern in route)


def write(on: Stage, chat: Chat, words: str = "<p>x</p>", ago_s: float = 0, **facts: Any) -> Any:
    at = on.tenant.clock.now() - timedelta(seconds=ago_s)
    sender = user_identity(next(iter(chat.members)), "Somebody")
    return chat.talk.post(sender, {"contentType": "html", "content": words}, at, **facts)


# --- What is in it ---


@pytest.mark.parametrize("refused", [0, 402, 403, 404])
@pytest.mark.parametrize("hostile", [False, True])
def test_every_message_is_held_as_graph_shows_it(refused: int, hostile: bool) -> None:
    with stage(ChatsCase(), hostile=hostile) as on:
        refuse_export(on.tenant, refused)
        mirror = Mirror()
        for _ in range(3):
            read(on, mirror)
            wanted = expected(on)
            if refused:  # chat by chat nothing is told of chats elsewhere, or that one left
                mine = {one.id for one in chats(on.tenant).values() if not one.federated}
                mine = {
                    key for key in mine if on.resource.graph_id in chats(on.tenant)[key].members
                }
                wanted = {k: v for k, v in wanted.items() if k.rpartition(":")[0] in mine}
            assert {key: held(mirror)[key] for key in wanted} == wanted
            assert set(held(mirror)) == set(wanted)
            month(on.tenant)


def test_a_chat_is_a_folder_named_by_its_topic_or_by_who_else_is_in_it(on: Stage) -> None:
    mirror = read(on)
    for chat in chats(on.tenant).values():
        if on.resource.graph_id not in chat.members:
            continue
        kept = mirror.items[chat.id].change
        name = chat.id if chat.federated else name_of(on.tenant, chat, on.resource.graph_id)
        assert (kept.kind, kept.parent, kept.name) == ("folder", "chats", name)
        assert chat.federated or kept.raw["chatType"] == chat.kind
    assert mirror.items["chats"].change.parent == ""


def test_many_members_are_counted_in_the_name(on: Stage) -> None:
    people = [on.resource.graph_id, *(on.tenant.add_user(f"Person {n}").id for n in range(8))]
    chat = add_chat(on.tenant, "group", people, on.tenant.clock.now())
    write(on, chat)
    name = read(on).items[chat.id].change.name
    assert name == "Person 0, Person 1, Person 2, Person 3, Person 4 and 3 more"


def test_a_renamed_chat_is_a_renamed_folder(on: Stage) -> None:
    mirror, chat = read(on), group(on)
    chat.topic = "Dinner"
    chat.talk.event(on.tenant.clock.now(), "chatRenamed", None, chatDisplayName="Dinner")
    assert read(on, mirror).items[chat.id].change.name == "Dinner"


def test_a_deleted_message_stays_as_a_tombstone(on: Stage) -> None:
    mirror, chat = read(on), group(on)
    message = write(on, chat, "<p>secret</p>")
    key = f"{chat.id}:{message.id}"
    assert "secret" in str(read(on, mirror).items[key].change.raw)
    chat.talk.delete(message, on.tenant.clock.now())
    raw = read(on, mirror).items[key].change.raw
    assert raw["deletedDateTime"]
    assert "secret" not in str(raw)


def test_what_two_people_see_of_a_chat_is_the_same_to_the_byte(on: Stage) -> None:
    first = read(on)
    other = next(one for one in group(on).members if one != on.resource.graph_id)
    second = Mirror()
    assert second.round(on.case.service.source(on.reader, Resource("user", other)))
    shared = [key for key in held(first) if key in held(second)]
    assert len(shared) > 10
    for key in shared:
        mine, theirs = first.items[key], second.items[key]
        assert encode_raw(mine.change.raw) == encode_raw(theirs.change.raw)
        assert mine.parts == theirs.parts


def test_somebody_sees_what_was_written_while_he_was_there(on: Stage) -> None:
    newcomer = on.tenant.add_user("Late Comer").id
    chat = group(on)
    chat.members[newcomer] = on.tenant.clock.now() - timedelta(hours=3)
    before, after = write(on, chat, ago_s=4 * 3600), write(on, chat, ago_s=3600)
    found = Mirror()
    assert found.round(on.case.service.source(on.reader, Resource("user", newcomer)))
    assert f"{chat.id}:{after.id}" in found.items
    assert f"{chat.id}:{before.id}" not in found.items


def test_a_reaction_or_an_edit_downloads_no_picture_again(on: Stage) -> None:
    picture = hosted(7, b"\x89PNG\r\n\x1a\n" + bytes(50))
    chat = group(on)
    message = write(on, chat, f'<img src="{hosted_link(picture)}">', hosted=(picture,))
    mirror = read(on)
    on.tenant.counters.requests.clear()
    chat.talk.react(message, user_identity("x", "X"), "🎉", on.tenant.clock.now())
    read(on, mirror)
    assert requests(on, "hostedContents") == 0
    assert mirror.items[f"{chat.id}:{message.id}"].change.row["reactions"] == 1


def test_pictures_of_a_chat_elsewhere_are_troubles_of_their_messages(on: Stage) -> None:
    picture = hosted(7, b"x")
    chat = next(one for one in chats(on.tenant).values() if one.federated)
    message = write(on, chat, f'<img src="{hosted_link(picture)}">', hosted=(picture,))
    kept = read(on).items[f"{chat.id}:{message.id}"]
    assert kept.parts == []
    assert [(one.part, one.cause, one.retry) for one in kept.troubles] == [
        (f"hosted:{picture.id}", "no-content", False)
    ]


# --- How often it asks ---


def test_a_person_who_writes_nothing_costs_one_request_a_night(on: Stage) -> None:
    mirror = read(on)
    for _ in range(3):
        on.tenant.clock.advance(86_400)
        on.tenant.counters.requests.clear()
        pages = list(on.source().changes(mirror.links, frozenset()))
        asked = on.tenant.counters.requests
        asked = {route: count for route, count in asked.items() if "{directory}" not in route}
        assert asked == {"GET /users/{user}/chats/getAllMessages": 1}
        assert [page.entries for page in pages] == [()]


def test_news_of_twenty_chats_cost_one_batch(on: Stage) -> None:
    mirror = read(on)
    for number in range(20):
        write(on, add_chat(on.tenant, "group", [on.resource.graph_id], on.tenant.clock.now(),
                           f"Chat {number}"))  # fmt: skip
    on.tenant.counters.requests.clear()
    read(on, mirror)
    assert requests(on, "getAllMessages") == 1
    assert requests(on, "/$batch") == 1


def test_what_shows_up_late_within_the_hour_is_found(on: Stage) -> None:
    mirror, chat = read(on), group(on)
    on.tenant.clock.advance(7_200)
    message = write(on, chat, ago_s=OVERLAP.total_seconds() / 2)
    chat.late.add(message.id)
    read(on, mirror)
    assert f"{chat.id}:{message.id}" not in mirror.items
    chat.late.clear()
    read(on, mirror)
    assert f"{chat.id}:{message.id}" in mirror.items


def test_a_clock_of_ours_that_is_far_ahead_loses_nothing(on: Stage) -> None:
    """The service's clock stands in the past: what it calls new is older than our hour."""
    mirror, chat = read(on), group(on)
    on.tenant.clock.advance(86_400)  # ours goes on; messages are dated by another clock
    message = write(on, chat, ago_s=86_000)
    assert f"{chat.id}:{message.id}" in read(on, mirror).items
    chat.talk.edit(message, "<p>y</p>", on.tenant.clock.now() - timedelta(seconds=85_000))
    read(on, mirror)
    assert held(mirror) == expected(on)


def test_somebody_without_messages_yet_is_read_from_the_beginning_of_time(on: Stage) -> None:
    newcomer = Resource("user", on.tenant.add_user("Late Comer").id)
    mirror = Mirror()
    for _ in range(2):
        assert mirror.round(on.case.service.source(on.reader, newcomer))
        source = on.case.service.source(on.reader, newcomer)
        pages = list(source.changes(mirror.links, frozenset()))
        assert not any(page.entries or page.reset for page in pages)
    chat = add_chat(on.tenant, "group", [newcomer.graph_id], on.tenant.clock.now(), "New")
    message = write(on, chat, ago_s=5 * 86_400)
    assert mirror.round(on.case.service.source(on.reader, newcomer))
    assert f"{chat.id}:{message.id}" in mirror.items


def test_what_was_told_within_the_hour_is_not_told_again(on: Stage) -> None:
    mirror, chat = read(on), group(on)
    for number in range(30):
        write(on, chat, ago_s=number)
    read(on, mirror)
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [entry for page in pages for entry in page.entries] == []
    edited = next(reversed(chat.talk.messages.values()))
    chat.talk.edit(edited, "<p>y</p>", on.tenant.clock.now())
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [e.id for page in pages for e in page.entries if e.id != chat.id] == [
        f"{chat.id}:{edited.id}"
    ]


def test_the_link_stays_small_in_a_busy_hour(on: Stage) -> None:
    chat = group(on)
    for number in range(MARKS_MAX + 300):
        write(on, chat, ago_s=number)
    mirror = read(on)
    assert len(mirror.links["messages"]) < 32 * MARKS_MAX + 300
    assert held(read(on, mirror)) == expected(on)


def test_all_is_read_anew_after_a_month_and_finds_what_left_no_tombstone(on: Stage) -> None:
    mirror = read(on)
    victim = min(held(mirror))
    on.case.vanish(on.tenant, on.resource, victim)
    assert victim in read(on, mirror).items
    on.tenant.clock.advance(FULL_EVERY.total_seconds())
    assert victim not in read(on, mirror).items
    assert held(mirror) == expected(on)


# --- Cut and refused ---


def test_a_reading_cut_after_any_page_goes_on_where_it_was(on: Stage) -> None:
    for number in range(400):
        write(on, group(on), ago_s=86_400 + number)
    mirror, steps = Mirror(), 1
    while not mirror.round(on.source(), pages_max=1):
        steps += 1
    assert steps >= 9
    assert requests(on, "getAllMessages") <= steps + 2
    assert held(mirror) == expected(on)


@pytest.mark.parametrize("hostile", [False, True])
def test_chat_by_chat_a_reading_goes_on_after_any_page(hostile: bool) -> None:
    with stage(ChatsCase(), hostile=hostile) as on:
        refuse_export(on.tenant, 403)
        for number in range(120):
            write(on, group(on), ago_s=86_400 + number)
        mirror = Mirror()
        for _ in range(200):
            if mirror.round(on.source(), pages_max=1):
                break
        else:
            raise AssertionError("the reading does not come to its end")
        whole = read(on)
        assert held(mirror) == held(whole)
        assert len(held(mirror)) > 120


def test_a_forgotten_next_link_begins_the_reading_again(on: Stage) -> None:
    for number in range(200):
        write(on, group(on), ago_s=86_400 + number)
    mirror = Mirror()
    mirror.round(on.source(), pages_max=2)
    on.tenant.room["chat exports"] = {}
    assert mirror.round(on.source())
    assert held(mirror) == expected(on)
    assert requests(on, "/chats/{chat}/messages") == requests(on, "hostedContents")


def test_a_refused_export_is_asked_for_again_a_month_later(on: Stage) -> None:
    refuse_export(on.tenant, 402)
    mirror = read(on)
    assert requests(on, "getAllMessages") == 1
    read(on, mirror)
    assert requests(on, "getAllMessages") == 1
    refuse_export(on.tenant, 0)
    on.tenant.clock.advance(FULL_EVERY.total_seconds())
    read(on, mirror)
    assert requests(on, "getAllMessages") > 1
    assert held(mirror) == expected(on)


def test_chat_by_chat_a_quiet_night_tells_nothing(on: Stage) -> None:
    refuse_export(on.tenant, 403)
    mirror = read(on)
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [entry for page in pages for entry in page.entries] == []
    assert not any(page.reset for page in pages)


def test_a_chat_whose_messages_are_refused_is_a_row_and_the_others_are_read(on: Stage) -> None:
    refuse_export(on.tenant, 403)
    chat = group(on)
    chat.closed = True
    mirror = read(on)
    [trouble] = mirror.items[chat.id].troubles
    assert (trouble.part, trouble.cause, trouble.retry) == ("messages", "forbidden", False)
    others = {one.change.parent for one in mirror.items.values()} - {"", "chats"}
    assert len(others) >= 3
    assert chat.id not in others
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [entry for page in pages for entry in page.entries] == []


def test_a_chat_deleted_while_the_list_is_read_is_passed_over(on: Stage) -> None:
    refuse_export(on.tenant, 403)
    chat = min(chats(on.tenant).values(), key=lambda one: one.id)
    mirror = Mirror()
    mirror.round(on.source(), pages_max=1)
    chat.deleted = True
    assert mirror.round(on.source())
    assert chat.id not in mirror.items


def test_somebody_without_teams_costs_two_requests_and_loses_nothing(on: Stage) -> None:
    mirror = read(on)
    before = held(mirror)
    refuse_export(on.tenant, 404)
    on.tenant.room["without teams"] = {on.resource.graph_id}
    for days in (1, 31, 31):
        on.tenant.clock.advance(days * 86_400)
        read(on, mirror)
        assert held(mirror) == before
    on.tenant.counters.requests.clear()
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert not any(page.entries or page.reset for page in pages)
    assert requests(on, "/chats") <= 2


def test_a_tenant_that_gives_no_chats_at_all_says_forbidden(on: Stage) -> None:
    for app in on.tenant.apps.values():
        app.roles.discard("Chat.Read.All")
    with pytest.raises(Forbidden):
        list(on.source().changes({}, frozenset()))


def test_chats_are_protected_only_where_a_policy_names_them() -> None:
    service = ChatsCase.service
    assert service.optional
    assert service.refusable
    assert service.writer is None
    assert service.reads == ("Chat.Read.All",)
