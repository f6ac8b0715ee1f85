"""The simulated chats against what Microsoft documents of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from simulator import hostile, serve
from simulator.chat_message import stamp
from simulator.chats import TOMBSTONES, Chat, chats, lose_exports, refuse_export, seen_by
from simulator.contoso import build, month
from tests.simulator.wire import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serve(build("tiny", 5)) as running:
        yield Wire(running, running.tenant.backup_app)


def user(wire: Wire) -> str:
    return next(iter(wire.tenant.users))


def group(wire: Wire) -> Chat:
    return next(one for one in chats(wire.tenant).values() if one.topic == "Lunch / crane 🏗️")


def everything(wire: Wire, url: str) -> list[dict[str, Any]]:
    pages, link = wire.walk(url)
    assert link == "", "there is no delta"
    return [entry for page in pages for entry in page]


def keys(values: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["chatId"], one["id"]) for one in values}


def seen(wire: Wire) -> set[tuple[str, str]]:
    return {(chat.id, one.id) for chat, one in seen_by(wire.tenant, user(wire))}


@pytest.mark.parametrize("spelled", ["getAllMessages", "getAllMessages()", "getallMessages"])
def test_the_export_tells_of_every_message_however_it_is_cut(wire: Wire, spelled: str) -> None:
    wire.tenant.quirks = hostile()
    wire.tenant.quirks.p_duplicate = 0.5
    values = everything(wire, f"/users/{user(wire)}/chats/{spelled}?$top=3")
    assert keys(values) == seen(wire)
    assert len(values) > len(keys(values)), "some come twice"
    assert len({one[0] for one in keys(values)}) > 3


def test_the_export_takes_a_filter_of_when_something_was_modified(wire: Wire) -> None:
    chat, now = group(wire), wire.tenant.clock.now()
    message = next(iter(chat.talk.messages.values()))
    chat.talk.edit(message, "new", now)
    base = f"/users/{user(wire)}/chats/getAllMessages?$filter=lastModifiedDateTime"
    after = stamp(now - timedelta(minutes=1))
    assert keys(everything(wire, f"{base} gt {after}")) == {(chat.id, message.id)}
    both = f"{base} gt {after} and lastModifiedDateTime lt {after}"
    assert everything(wire, both) == []
    assert wire.code("GET", f"{base} ge {after}")[0] == 400
    assert wire.code("GET", f"{base.replace('lastModified', 'created')} gt {after}")[0] == 400


def test_a_tombstone_is_in_the_export_for_three_weeks(wire: Wire) -> None:
    chat, clock = group(wire), wire.tenant.clock
    message = next(one for one in chat.talk.messages.values() if not one.deleted)
    chat.talk.delete(message, clock.now())
    url = f"/users/{user(wire)}/chats/getAllMessages"
    found = next(one for one in everything(wire, url) if one["id"] == message.id)
    assert found["deletedDateTime"] == stamp(message.deleted or clock.now())
    assert found["body"]["content"] == ""
    clock.advance(TOMBSTONES.total_seconds() + 1)
    wire.login()
    assert (chat.id, message.id) not in keys(everything(wire, url))


def test_who_left_keeps_what_he_saw(wire: Wire) -> None:
    month(wire.tenant)
    chat = next(one for one in chats(wire.tenant).values() if one.left)
    leaver = next(iter(chat.left))
    found = {one[1] for one in keys(everything(wire, f"/users/{leaver}/chats/getAllMessages"))}
    assert found & set(chat.talk.messages)
    listed = everything(wire, f"/users/{leaver}/chats")
    assert chat.id not in {one["id"] for one in listed}


def test_pages_are_of_fifty_at_most(wire: Wire) -> None:
    for url in (f"/users/{user(wire)}/chats/getAllMessages", f"/chats/{group(wire).id}/messages"):
        assert wire.code("GET", f"{url}?$top=51")[0] == 400
        assert len(wire.get(f"{url}?$top=2")["value"]) == 2


def test_a_forgotten_token_is_a_bad_request(wire: Wire) -> None:
    page = wire.get(f"/users/{user(wire)}/chats/getAllMessages?$top=2")
    lose_exports(wire.tenant)
    assert wire.code("GET", page["@odata.nextLink"])[0] == 400


@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_tenant_may_refuse_the_export_and_give_the_chats(wire: Wire, status: int) -> None:
    refuse_export(wire.tenant, status)
    assert wire.code("GET", f"/users/{user(wire)}/chats/getAllMessages")[0] == status
    assert everything(wire, f"/users/{user(wire)}/chats")


def test_a_chat_tells_its_members_when_asked(wire: Wire) -> None:
    chat = group(wire)
    assert "members" not in wire.get(f"/chats/{chat.id}")
    for shown in (
        wire.get(f"/chats/{chat.id}?$expand=members")["members"],
        wire.get(f"/chats/{chat.id}/members")["value"],
        next(
            one["members"]
            for one in everything(wire, f"/users/{user(wire)}/chats?$expand=members&$top=50")
            if one["id"] == chat.id
        ),
    ):
        assert [one["userId"] for one in shown] == list(chat.members)


def test_a_chat_of_another_tenant_is_in_exports_only(wire: Wire) -> None:
    chat = next(one for one in chats(wire.tenant).values() if one.federated)
    assert chat.id in {one[0] for one in seen(wire)}
    assert wire.code("GET", f"/chats/{chat.id}") == (404, "NotFound")
    listed = everything(wire, f"/users/{user(wire)}/chats")
    assert chat.id not in {one["id"] for one in listed}


def test_messages_of_one_chat_come_newest_first_by_either_time(wire: Wire) -> None:
    chat = group(wire)
    url = f"/chats/{chat.id}/messages"
    for name in ("createdDateTime", "lastModifiedDateTime"):
        listed = everything(wire, f"{url}?$top=4&$orderby={name} desc")
        times = [datetime.fromisoformat(one[name]) for one in listed]
        assert len(times) == len(chat.talk.messages)
        assert times == sorted(times, reverse=True)
    assert wire.code("GET", f"{url}?$orderby=createdDateTime asc")[0] == 400
    assert wire.code("GET", f"{url}?$filter=lastModifiedDateTime gt 2026-01-01T00:00:00Z")[0] == 400


def test_a_picture_comes_with_its_type_and_only_while_its_message_is_there(wire: Wire) -> None:
    chat = group(wire)
    message = next(one for one in chat.talk.messages.values() if one.hosted)
    base = f"/chats/{chat.id}/messages/{message.id}"
    (listed, *_) = wire.get(f"{base}/hostedContents")["value"]
    answer = wire.send("GET", f"{base}/hostedContents/{listed['id']}/$value")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert f"{base}/hostedContents/" in wire.get(base)["body"]["content"]
    chat.talk.delete(message, wire.tenant.clock.now())
    assert wire.get(f"{base}/hostedContents")["value"] == []
    assert wire.code("GET", f"{base}/hostedContents/{listed['id']}/$value")[0] == 404


def test_messages_need_the_permission_to_read_them(wire: Wire) -> None:
    basic = wire.tenant.add_app("Basic", ("Chat.ReadBasic.All",))
    other = Wire(wire.running, basic)
    assert other.get(f"/users/{user(wire)}/chats")["value"]
    assert other.code("GET", f"/users/{user(wire)}/chats/getAllMessages")[0] == 403
    assert other.code("GET", f"/chats/{group(wire).id}/messages")[0] == 403


def test_more_than_twenty_messages_a_second_are_too_many(wire: Wire) -> None:
    url = f"/chats/{group(wire).id}/messages?$top=1"
    answers = [wire.send("GET", url) for _ in range(25)]
    refused = [one for one in answers if one.status == 429]
    assert refused
    assert all(int(one.headers["Retry-After"]) >= 1 for one in refused)
