"""A restore that writes conversations as pages goes over them as over any item."""

from __future__ import annotations

from dataclasses import replace

from engine.pages import PAGE, Chosen, PageView, as_restored
from engine.restore_plan import RestoreRequest, batches, selected
from m365.service import Service
from m365.tasks import SERVICE as TASKS
from tests.engine.test_export_folders import filled, message, view_of

SERVICE = replace(TASKS, page_unless="messages", options={"messages": "Writes messages."})


def restored(service: Service = SERVICE, options: tuple[str, ...] = (), **wanted: object) -> object:
    view = view_of(filled(message(1), message(2), message(3), message(4, "other")))
    request = RestoreRequest("chats", "user:ada", options=options, **wanted)  # type: ignore[arg-type]
    chosen = Chosen(request.items, request.folders)
    view = as_restored(view, service, options, chosen)
    return view, list(selected(view, request))


def test_a_page_stands_for_the_messages_of_each_folder() -> None:
    view, entries = restored()
    kinds = [entry.kind for entry in entries]
    assert kinds == ["folder", "folder", "file", PAGE, PAGE]
    assert {one.name for one in entries[-2:]} == {"Budget_ talk.html", "Other.html"}
    pages = [entry for entry in entries if entry.kind == PAGE]
    assert {entry.parent for entry in pages} == {"talk", "other"}
    for entry in pages:
        assert view.entry(entry.id) == entry
        item = view.item(entry.id)
        content = item.part("content")
        data = content.read()
        assert content.size == len(data)
        assert data == content.read(), "the same at every reading"
        assert data.startswith(b"<!doctype html>")
    times = [view.item(page.id).raw["fileSystemInfo"]["lastModifiedDateTime"] for page in pages]
    assert sorted(times) == ["2026-03-03T10:00:00Z", "2026-03-04T10:00:00Z"]


def test_messages_chosen_one_by_one_are_all_a_page_holds() -> None:
    view, entries = restored(items=("talk/m1", "talk/m3"))
    [page] = entries
    html = view.item(page.id).part("content").read().decode()
    assert html.count("<article>") == 2
    view, entries = restored(items=("talk/m1",), folders=("talk",))
    html = view.item(entries[-1].id).part("content").read().decode()
    assert html.count("<article>") == 3


def test_a_page_of_messages_is_a_batch_of_its_own() -> None:
    _, entries = restored()
    found = list(batches(iter(entries), ()))
    assert [len(batch) for batch in found][-2:] == [1, 1]


def test_with_its_option_the_messages_themselves_are_restored() -> None:
    for service, options in ((SERVICE, ("messages",)), (TASKS, ())):
        view, entries = restored(service, options)
        assert not isinstance(view, PageView)
        assert {entry.kind for entry in entries} == {"folder", "file", "chat-message"}
