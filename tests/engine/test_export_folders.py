"""Channels and chats leave a restore point as files of their own: in an export and in recovery."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from engine import recovery
from engine.browse import View
from engine.entries import encode_raw
from engine.gathering import LEFT_OUT, Gathering
from engine.restore_plan import RestoreRequest, selected
from formats import archive_entry
from formats.zip import MANIFEST, zip_stream
from tests.vault.world import DamagedStore, StillClock, close, new_vault, open_vault
from vault import Entry, Repository, VaultDamaged
from vault.box import blob_name
from vault.stores.memory import MemoryStore

CHAIN = "chats/user:ada"
SENT = "2026-03-0{}T10:00:00Z"


def message(number: int, parent: str = "talk", **raw: Any) -> tuple[Entry, dict[str, Any]]:
    """A message of the n-th day; a listing shows the newest first."""
    row = {"sort": f"{9 - number}", "created": SENT.format(number)}
    entry = Entry(f"{parent}/m{number}", parent, "chat-message", f"Message {number}", row)
    return entry, {"id": f"m{number}", "createdDateTime": SENT.format(number), **raw}


def filled(
    *items: tuple[Entry, dict[str, Any]], store: MemoryStore | None = None, apart: bool = False
) -> Repository:
    """A vault with two chats and a file; `apart`: each message in a pack of its own."""
    repository = new_vault(store)
    step = repository.round(CHAIN, 1).step()
    for entry in (
        Entry("root", "", "folder", "Ada"),
        Entry("talk", "root", "folder", "Budget: talk"),
        Entry("other", "root", "folder", "Other"),
    ):
        step.put(entry, "root")
    content = step.add("content", b"a file")
    step.put(Entry("file", "talk", "file", "a.txt", contents=(content,)), "root")
    for entry, raw in items:
        if apart:
            step = step.commit(complete=False).step()
        contents = (step.add("raw", encode_raw(raw)),)
        step.put(Entry(entry.id, entry.parent, entry.kind, entry.name, entry.row, {}, contents), "")
    step.link("root", "link", finished=True)
    close(step.commit(complete=True))
    return repository


def view_of(repository: Repository) -> View:
    snapshot = repository.head(CHAIN)
    assert snapshot is not None
    return View(repository, snapshot)


def exported(
    view: View, items: tuple[str, ...] = (), folders: tuple[str, ...] = ()
) -> tuple[bytes, zipfile.ZipFile, list[dict[str, Any]]]:
    """The archive of a selection, as engine/export.py puts it together."""
    wanted = RestoreRequest("chats", "user:ada", items=items, folders=folders)

    def entries() -> Any:
        gathering = Gathering(view, lambda entry: [one.name for one in view.path(entry)][1:])
        for entry in selected(view, wanted):
            if entry.kind != "folder" and not gathering.takes(entry, alone=entry.id in items):
                yield archive_entry(view.item(entry.id), ["Files"])
        yield from gathering.entries()

    data = b"".join(zip_stream(entries(), left_out=LEFT_OUT))
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return data, archive, json.loads(archive.read(MANIFEST))["items"]


def numbers(archive: zipfile.ZipFile, name: str = "Budget_ talk.json") -> list[str]:
    return [one["raw"].get("id") for one in json.loads(archive.read(name))["messages"]]


def test_a_chat_is_files_beside_its_place_with_the_oldest_message_first() -> None:
    view = view_of(filled(message(3), message(1), message(2), message(4, "other")))
    data, archive, lines = exported(view)
    assert numbers(archive) == ["m1", "m2", "m3"]
    assert numbers(archive, "Other.json") == ["m4"]
    assert archive.read("Files/a.txt") == b"a file"
    assert exported(view)[0] == data, "the same selection gives the same bytes"
    of_talk = [one for one in lines if one.get("within") == "talk"]
    assert {one["name"] for one in of_talk} == {"Message 1", "Message 2", "Message 3"}
    assert all("path" not in one for one in of_talk)
    files = [one for one in lines if one["kind"] == "folder"]
    assert {one["path"].split(".")[0] for one in files} == {"Budget_ talk", "Other"}
    assert {one["id"] for one in files} == {"talk", "other"}


def test_messages_chosen_one_by_one_are_all_their_file_holds() -> None:
    view = view_of(filled(message(1), message(2), message(3)))
    _, archive, lines = exported(view, items=("talk/m3", "talk/m1"))
    assert numbers(archive) == ["m1", "m3"]
    assert [one["id"] for one in lines if "within" in one] == ["talk/m3", "talk/m1"]


def test_a_folder_chosen_as_well_gives_the_whole() -> None:
    view = view_of(filled(message(1), message(2), message(3)))
    _, archive, _ = exported(view, items=("talk/m3",), folders=("talk",))
    assert numbers(archive) == ["m1", "m2", "m3"]


def damaged() -> Repository:
    """A vault that has lost the pack of one message."""
    store = MemoryStore(StillClock())
    whole = filled(message(1), message(2), message(3), store=store, apart=True)
    [content] = view_of(whole).entry("talk/m2").contents
    location = content.refs[0].place.location
    spoiled = DamagedStore(store)
    spoiled.spoil(blob_name(location.pack), location.at + 20)
    return open_vault(spoiled.copied())


def test_a_damaged_message_costs_itself_and_not_its_chat() -> None:
    _, archive, lines = exported(view_of(damaged()))
    messages = json.loads(archive.read("Budget_ talk.json"))["messages"]
    assert [one["raw"].get("id") for one in messages] == ["m1", None, "m3"]
    assert messages[1]["missing"] == [f"item: {VaultDamaged.code}"]
    problems = {one["id"]: one["problem"] for one in lines if "problem" in one}
    assert problems == {"talk/m2": VaultDamaged.code}


def test_recovery_writes_the_same_files_and_names_what_is_lost(tmp_path: Path) -> None:
    done = recovery.extract(damaged(), tmp_path / "out")
    found = json.loads((tmp_path / "out/chats/user_ada/Budget_ talk.json").read_text())
    assert [one["raw"].get("id") for one in found["messages"]] == ["m1", None, "m3"]
    lost = "chats/user:ada/Budget: talk/Message 2"
    assert done.lost == [(lost, VaultDamaged.code)]
    assert (tmp_path / "out/chats/user_ada/Budget_ talk/a.txt").read_bytes() == b"a file"
