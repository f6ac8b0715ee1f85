"""Tasks: what is asked, how often, and what becomes of every oddity of lists, parts and files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.item import Change, StoredItem
from m365.graph.errors import Forbidden, ItemGone, TransientFailure, Unauthorized
from m365.service import Resource
from m365.task_json import differing
from m365.tasks import ROOT
from m365.tasks_writer import TasksWriter
from simulator.filebytes import SeededBytes
from simulator.todo import Task, ToDo, todo_of
from tests.m365.cases_people import TasksCase, task_facts, tasks_of
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, TenantClock, stage

CASE = TasksCase()
VIEW = {"immutable": True, "salt": 0}


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as found:
        yield found


@pytest.fixture
def todo(on: Stage) -> ToDo:
    return todo_of(on.tenant, on.resource.graph_id)


@pytest.fixture
def target(on: Stage) -> ToDo:
    return todo_of(on.tenant, CASE.fresh_target(on.tenant).graph_id)


def writer(on: Stage, target: ToDo) -> TasksWriter:
    return TasksWriter(on.writer, Resource("mailbox", target.user_id), TenantClock(on.tenant))


def asked(on: Stage, pattern: str) -> int:
    return sum(count for route, count in on.tenant.counters.requests.items() if pattern in route)


def read(on: Stage) -> Mirror:
    mirror = Mirror()
    mirror.round(on.source())
    return mirror


def stored(mirror: Mirror, todo: ToDo, task: Task) -> StoredItem:
    return mirror.items[todo.id_of(task.number, 0, VIEW)].stored()


def with_file(todo: ToDo) -> Task:
    return next(task for task in tasks_of(todo) if task.files)


# Reading


def test_a_task_costs_nothing_and_a_file_one_request(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    files = sum(len(task.files) for task in tasks_of(todo))
    assert asked(on, "/attachments/{attachment}") == files > 0
    assert on.reader.counters.requests == 1 + len(todo.lists) + files
    assert on.found(mirror) == on.truth()


@pytest.mark.parametrize("how", ["ignored", "refused"])
def test_where_expand_does_not_work_the_parts_are_asked_for_twenty_at_a_time(
    on: Stage, todo: ToDo, how: Any
) -> None:
    on.tenant.quirks.todo_expand = how
    mirror = read(on)
    tasks = tasks_of(todo)
    assert asked(on, "GET /users/{user}/todo/lists/{tasklist}/tasks/{task}/checklist") == len(tasks)
    assert asked(on, "tasks/{task}/attachments") == 2 * sum(bool(task.files) for task in tasks)
    assert asked(on, "$batch") <= len(todo.lists) + len(tasks) * 3 // 20
    assert on.found(mirror) == on.truth()
    before = on.reader.counters.requests
    mirror.round(on.source())
    assert on.reader.counters.requests - before == 1 + len(todo.lists)


def test_an_edited_or_completed_task_downloads_nothing_again(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    before = asked(on, "/attachments")
    task = with_file(todo)
    todo.change(task, title="New", status="completed")
    todo.add_step(task, {"displayName": "More"})
    mirror.round(on.source())
    assert asked(on, "/attachments") == before
    assert on.found(mirror) == on.truth()


def test_a_new_file_is_read_with_its_task(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    task = with_file(todo)
    todo.add_file(task, "large.bin", "application/octet-stream", SeededBytes("large", 4_000_000))
    mirror.round(on.source())
    parts = {part.meta["name"]: part for part in stored(mirror, todo, task).parts}
    assert parts["large.bin"].size == 4_000_000
    assert len(parts) == len(task.files)


def test_a_file_that_cannot_be_had_costs_the_file_and_not_the_task(on: Stage, todo: ToDo) -> None:
    on.tenant.faults.map(r"GET .*/attachments/", "m")
    mirror = read(on)
    assert on.found(mirror) == on.truth()
    troubles = [trouble for kept in mirror.items.values() for trouble in kept.troubles]
    assert [(one.part[:11], one.cause, one.retry) for one in troubles] == [
        ("attachment:", "item-gone", True)
    ]


def test_a_task_that_vanished_after_its_page_raises_item_gone(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    task = with_file(todo)
    change = mirror.items[todo.id_of(task.number, 0, VIEW)].change
    todo.delete(task)
    with pytest.raises(ItemGone):
        on.source().fetch(change)


def test_a_task_is_completed_from_whichever_list_has_it(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    for task in (with_file(todo), next(iter(todo.default.tasks.values()))):
        item = stored(mirror, todo, task)
        assert on.source().complete(item.id).raw == item.raw
        piece = Change(item.id, item.parent, "task", raw={"id": item.id}, partial=True)
        assert on.source().merge(item.raw, piece).raw == item.raw


def test_lists_lie_below_one_folder_with_their_roles(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    folders = {
        kept.change.name: kept.change
        for kept in mirror.items.values()
        if kept.change.kind == "folder"
    }
    assert folders["To Do"].id == ROOT
    assert folders["Tasks"].row["role"] == "defaultList"
    assert folders["Flagged Emails"].row["role"] == "flaggedEmails"
    assert {folder.parent for folder in folders.values()} == {"", ROOT}


def test_a_feed_without_a_link_starts_from_nothing(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    part = f"list:{todo.default.id}"
    todo.delete(next(iter(todo.default.tasks.values())))
    mirror.links[part] = mirror.links["lists"] = ""
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [page.part for page in pages if page.reset] == [part]
    for page in pages:
        mirror.apply(on.source(), page)
    assert on.found(mirror) == on.truth()


def test_counts_are_what_each_list_holds(on: Stage, todo: ToDo) -> None:
    counted = {count.scope: count.items for count in on.source().counts()}
    assert counted == {found.id: len(found.tasks) for found in todo.lists.values()}


@pytest.mark.parametrize(
    ("how", "kind"), [("unauthorized", Unauthorized), ("forbidden", Forbidden)]
)
def test_a_refusal_of_everything_is_handed_up_as_what_it_is(on: Stage, how: Any, kind: Any) -> None:
    on.tenant.quirks.todo_for_applications = how
    with pytest.raises(kind):
        list(on.source().changes({}, frozenset()))


# Restoring


def test_a_task_comes_back_with_checklist_links_and_large_files(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    task = with_file(todo)
    todo.add_file(task, "large.bin", "image/png", SeededBytes("large", 9_000_000))
    todo.add_file(task, "empty.txt", "text/plain", SeededBytes("empty", 0))
    item = stored(read(on), todo, task)
    to = writer(on, target)
    written = to.write(item, to.root(), "run:1", None, new_name=False)
    (made,) = target.default.tasks.values()
    assert task_facts(made)[1:] == task_facts(task)[1:]
    assert written.troubles == ()
    assert on.tenant.counters.violations == []


def test_a_killed_attempt_is_known_as_unfinished_by_its_mark(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    item = stored(read(on), todo, with_file(todo))
    to = writer(on, target)
    on.tenant.faults.map(r"PATCH .*/extensions/", "eee")
    with pytest.raises(TransientFailure):
        to.write(item, to.root(), "run:1", None, new_name=False)
    (found,) = to.existing(to.root())
    assert (found.marker, found.complete) == ("run:1", False)
    writer(on, target).remove(found.id)  # another process, which knows nothing of its list
    to.write(item, to.root(), "run:1", None, new_name=False)
    (found,) = to.existing(to.root())
    assert (found.marker, found.complete) == ("run:1", True)


def test_a_task_whose_answer_was_lost_is_not_written_twice(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    task = with_file(todo)
    item = stored(read(on), todo, task)
    on.tenant.faults.map(r"POST .*/tasks$", "d")
    to = writer(on, target)
    to.write(item, to.root(), "run:1", None, new_name=False)
    (made,) = target.default.tasks.values()
    assert task_facts(made) == (made.list.name, *task_facts(task)[1:])


def test_a_tenant_without_extensions_gets_the_task_without_its_mark(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    on.tenant.quirks.todo_extensions = "refused"
    task = with_file(todo)
    to = writer(on, target)
    item = stored(read(on), todo, task)
    written = to.write(item, to.root(), "run:1", None, new_name=False)
    (made,) = target.default.tasks.values()
    assert task_facts(made)[1:] == task_facts(task)[1:]
    assert (written.outcome, written.troubles) == ("created", ())
    (found,) = to.existing(to.root())
    assert (found.same, found.marker) == (to.identity(item).same, "")


def test_a_completed_task_of_a_series_makes_no_next_one(on: Stage, target: ToDo) -> None:
    raw = {
        "title": "Water", "status": "completed",
        "recurrence": {"pattern": {"type": "daily", "interval": 1},
                       "range": {"type": "noEnd", "startDate": "2027-01-04"}},
        "dueDateTime": {"dateTime": "2027-01-04T00:00:00.0000000", "timeZone": "UTC"},
        "completedDateTime": {"dateTime": "2027-01-05T00:00:00.0000000", "timeZone": "UTC"},
    }  # fmt: skip
    to = writer(on, target)
    item = StoredItem("AAkA", "l", "task", "Water", {}, raw, ())
    written = to.write(item, to.root(), "run:1", None, new_name=False)
    (made,) = target.default.tasks.values()
    assert made.properties["completedDateTime"]["dateTime"] == "2027-01-05T00:00:00.0000000"
    assert [trouble.cause for trouble in written.troubles] == ["left-out-of-a-done-task"]


def test_what_a_task_took_is_compared_day_by_day() -> None:
    due = {"dateTime": "2027-01-04T00:00:00", "timeZone": "UTC"}
    wanted: dict[str, Any] = {
        "title": "Call", "dueDateTime": due, "reminderDateTime": due, "status": "completed",
        "completedDateTime": due, "categories": ["b", "a"], "extensions": [{}],
    }  # fmt: skip
    answer = {
        **wanted, "dueDateTime": {**due, "dateTime": "2027-01-04T08:00:00.0000000"},
        "categories": ["a", "b"], "extensions": None,
    }  # fmt: skip
    assert differing(wanted, answer) == {}
    later = {**due, "dateTime": "2027-01-05T08:00:00"}
    changed = {**answer, "completedDateTime": later, "reminderDateTime": answer["dueDateTime"]}
    assert set(differing(wanted, changed)) == {"completedDateTime", "reminderDateTime"}


def test_a_day_of_completion_the_tenant_sets_itself_is_said_and_leaves_the_restore_whole(
    on: Stage, target: ToDo
) -> None:
    on.tenant.quirks.todo_completes_today = True
    done = {"dateTime": "2026-01-05T00:00:00.0000000", "timeZone": "UTC"}
    raw = {"title": "Call", "status": "completed", "completedDateTime": done}
    to = writer(on, target)
    item = StoredItem("AAkA", "l", "task", "Call", {}, raw, ())
    written = to.write(item, to.root(), "run:1", None, new_name=False)
    assert [(one.cause, one.detail) for one in written.troubles] == [
        ("derived", "completedDateTime")
    ]
    assert [task.properties["status"] for task in tasks_of(target)] == ["completed"]


def test_the_list_of_flagged_mail_is_kept_and_never_written(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    task = todo.add(todo.flagged, {"title": "Re: the crane"})
    mirror = read(on)
    item = stored(mirror, todo, task)
    flagged = mirror.items[todo.flagged.id].stored()
    to = writer(on, target)
    for place in (to.original_folder(flagged), to.ensure_folder(to.root(), "Flagged", flagged)):
        assert place is not None
        assert list(to.existing(place)) == []
        written = to.write(item, place, "run:1", None, new_name=False)
        assert (written.outcome, written.troubles[0].cause) == ("skipped", "derived")
    assert tasks_of(target) == []


def test_a_folder_made_for_a_restore_begins_the_names_of_its_lists(
    on: Stage, todo: ToDo, target: ToDo
) -> None:
    mirror = read(on)
    errands = next(
        kept.stored() for kept in mirror.items.values() if kept.change.name == "Errands 🛒"
    )
    to = writer(on, target)
    top = to.ensure_folder(to.root(), "Back again", None)
    assert {found.name for found in target.lists.values()} == {"Tasks", "Flagged Emails"}
    assert list(to.existing(top)) == []
    folder = to.ensure_folder(top, "Errands 🛒", errands)
    assert target.lists[folder.id].name == "Back again - Errands 🛒"
    assert writer(on, target).ensure_folder(top, "errands 🛒", errands).id == folder.id
    item = stored(mirror, todo, with_file(todo))
    to.write(item, top, "run:1", None, new_name=False)
    (made,) = [found for found in target.lists.values() if found.name == "Back again"]
    assert len(made.tasks) == 1


def test_a_list_is_found_by_its_id_or_role_and_not_where_it_is_gone(on: Stage, todo: ToDo) -> None:
    mirror = read(on)
    by_name = {kept.change.name: kept.stored() for kept in mirror.items.values()}
    to = TasksWriter(on.writer, on.resource)
    found = to.original_folder(by_name["Errands 🛒"])
    assert found is not None
    assert found.id == by_name["Errands 🛒"].id
    assert to.original_folder(by_name["Tasks"]) == to.root()
    todo.delete_list(todo.lists[found.id])
    assert TasksWriter(on.writer, on.resource).original_folder(by_name["Errands 🛒"]) is None


def test_a_mailbox_without_a_default_list_gets_one_of_its_own(on: Stage, target: ToDo) -> None:
    target.default.well_known, target.default.name = "none", "Something"
    root = writer(on, target).root()
    assert target.lists[root.id].name == "Tasks"
    assert writer(on, target).root() == root
