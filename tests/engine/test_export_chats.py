"""Chats through the whole engine: opted in, backed up, exported; what an export of them holds."""

from __future__ import annotations

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.messages import ExportRun
from engine import browse, export, policies, recovery, runs
from engine.assembly import ExportOnly
from engine.restore_plan import RestoreRequest
from formats.zip import MANIFEST
from simulator.chats import Chat, chats, seen_by
from simulator.chats_content import chats_truth
from simulator.contoso import month
from tests.engine.world import ORG, World, calm_tenant, world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("chats")
    with world(calm_tenant(seed=5), folder) as found:
        policies.change(found.app, ORG, {"services": ["chats"]}, 1)
        assert found.back_up()["state"] in ("green", "amber")
        yield found


def person(made: World) -> str:
    return f"user:{next(iter(made.tenant.users))}"


def lunch(made: World) -> Chat:
    return next(one for one in chats(made.tenant).values() if one.topic == "Lunch / crane 🏗️")


def exported(made: World, **selection: Any) -> zipfile.ZipFile:
    request = RestoreRequest("chats", person(made), **selection)
    run = runs.request_export(made.app, ORG, "test", request.to_json()).id
    assert export.write_export(made.app, ExportRun(ORG, run)).state == "done"
    export.close_export(made.app, ExportRun(ORG, run))
    data = b"".join(export.read_archive(made.app, ORG, run))
    return zipfile.ZipFile(io.BytesIO(data))


def test_chats_are_read_only_where_a_policy_names_them(tmp_path: Path) -> None:
    with world(calm_tenant(seed=6), tmp_path) as found:
        found.back_up()
        assert found.requests("chats") == 0
        assert "chats" not in policies.DEFAULT["services"]
        policies.change(found.app, ORG, {"services": ["mail", "chats"]}, 1, by="ada")
        kept = found.app.policies.current(ORG)
        assert kept is not None
        assert (kept.changed_by, kept.document["services"]) == ("ada", ["mail", "chats"])
        found.back_up()
        assert found.requests("chats") > 0


def test_every_chat_is_a_page_and_a_json(made: World) -> None:
    archive = exported(made)
    names = [name for name in archive.namelist() if name != MANIFEST]
    pages = [name for name in names if name.endswith(".html")]
    assert len(names) == 2 * len(pages)
    seen = list(seen_by(made.tenant, person(made).removeprefix("user:")))
    assert len(pages) == len({chat.id for chat, _ in seen})
    held = {
        (one["raw"]["chatId"], one["raw"]["id"])
        for name in names
        if name.endswith(".json")
        for one in json.loads(archive.read(name))["messages"]
    }
    assert held == {(chat.id, one.id) for chat, one in seen}
    page = archive.read("Lunch _ crane 🏗️.html").decode()
    assert page.count('src="data:image/png;base64,') == 4
    lines = json.loads(archive.read(MANIFEST))["items"]
    assert sum("within" in line for line in lines) == len(seen)


def test_a_chat_or_some_of_its_messages_can_be_exported(made: World) -> None:
    chat = lunch(made)
    archive = exported(made, folders=(chat.id,))
    assert len(archive.namelist()) == 3
    view = made.view("chats", person(made))
    some = [entry.id for entry in view.list(chat.id).entries][:2]
    archive = exported(made, items=tuple(some))
    (name,) = [one for one in archive.namelist() if one.endswith("🏗️.json")]
    assert {one["id"] for one in json.loads(archive.read(name))["messages"]} == set(some)


def test_one_message_downloads_as_json(made: World) -> None:
    view = made.view("chats", person(made))
    entry = view.list(lunch(made).id).entries[0]
    file = browse.as_file(view.item(entry.id))
    assert file.name.endswith(".json")
    assert json.loads(b"".join(file.blocks()))["chatId"] == lunch(made).id


def test_recovery_without_the_server_gives_the_same_pages(made: World, tmp_path: Path) -> None:
    done = recovery.extract(made.app.vault(ORG), tmp_path / "out", service="chats")
    archive = exported(made)
    base = tmp_path / "out" / "chats" / person(made).replace(":", "_")
    for name in archive.namelist():
        if name != MANIFEST:
            assert (base / name).read_bytes() == archive.read(name)
    assert done.files > 4


def test_chats_are_not_written_back(made: World) -> None:
    with pytest.raises(ExportOnly):
        made.restore(RestoreRequest("chats", person(made)))


def test_a_quiet_night_asks_once_for_each_person_and_writes_nothing(made: World) -> None:
    made.back_up()
    points = len(browse.snapshots(made.app, ORG, "chats", person(made)))
    made.tenant.counters.requests.clear()
    assert made.back_up()["state"] in ("green", "amber")
    rows = [row for row in made.app.resources.all(ORG) if row.service == "chats" and row.head > 0]
    assert made.requests("chats/getAllMessages") == len(rows) > 1
    assert made.requests("/chats/{chat}") == made.requests("$batch") == 0
    assert len(browse.snapshots(made.app, ORG, "chats", person(made))) == points


def test_pictures_are_stored_once_for_all_who_see_them(made: World) -> None:
    chat = lunch(made)
    places = defaultdict(set)
    pictures = 0
    for user in chat.members:
        view = made.view("chats", f"user:{user}")
        for entry in view.list(chat.id, limit=500).entries:
            for content in entry.contents:
                if content.role == "hosted":
                    pictures += 1
                    places[entry.id, content.meta["id"]].add(content.refs[0].place.location)
    assert pictures == len(places) * len(chat.members) > len(places) > 3
    assert {len(one) for one in places.values()} == {1}


def test_a_month_later_the_restore_points_hold_what_everybody_sees(made: World) -> None:
    month(made.tenant)
    made.back_up()
    told = chats_truth(made.tenant)
    for row in made.app.resources.all(ORG):
        if row.service != "chats" or row.head <= 0:
            continue
        user = row.resource.removeprefix("user:")
        kinds = made.view("chats", row.resource).catalog.items()
        held = {entry.id for entry in kinds if entry.kind == "chat-message"}
        assert held == {
            f"{chat['id']}:{one['id']}"
            for chat in told
            for one in chat["messages"]
            if user in one["seen_by"]
        }
    made.verify()
