"""Contacts and tasks through the whole engine: backed up, restored in place and beside, undone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import simulator
from base.messages import RestoreRun, WriteBatch
from engine import policies, restore, restore_plan, runs
from engine.restore_plan import RestoreRequest
from m365.service import Resource
from simulator import contoso_people
from simulator.contacts import book_of
from simulator.todo import todo_of
from tests.engine.mortal import Killed
from tests.engine.test_restore import dying
from tests.engine.world import ORG, World, calm_tenant, world
from tests.m365.cases_people import ContactsCase, task_facts, tasks_of

SERVICES = ("contacts", "tasks")
WRITES_MAX = 30


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path) as found:
        policies.change(found.app, ORG, {"services": list(SERVICES)}, 1)
        assert found.back_up()["state"] == "green"
        yield found


@pytest.mark.parametrize("service", SERVICES)
def test_what_was_thrown_away_comes_back_where_it_lay_and_once(made: World, service: str) -> None:
    before = held(made.tenant, made.mailbox.user_id)
    throw_everything_away(made.tenant, made.mailbox.user_id)
    wanted = RestoreRequest(service, made.mailbox_id, place="original")
    assert made.restore(wanted)["state"] == "green"
    assert held(made.tenant, made.mailbox.user_id)[service] == before[service]
    again = made.restore(wanted)
    assert again["state"] == "green"
    assert held(made.tenant, made.mailbox.user_id)[service] == before[service]


@pytest.mark.parametrize("service", SERVICES)
def test_a_restore_into_a_folder_of_its_own_changes_nothing_else_and_can_be_undone(
    made: World, service: str
) -> None:
    user = list(made.tenant.mailboxes)[1]
    before = held(made.tenant, user)[service]
    wanted = RestoreRequest(
        service, made.mailbox_id, target=f"mailbox:{user}", folder_name="Back again"
    )
    run = made.restore(wanted)
    assert run["state"] == "green"
    after = held(made.tenant, user)[service]
    assert not before - after
    assert sum((after - before).values()) == sum(
        held(made.tenant, made.mailbox.user_id)[service].values()
    ) - (service == "tasks")  # the mirrored mail
    places = {place for place, *_ in after - before}
    assert all("Back again" in (place if service == "tasks" else place[0]) for place in places)

    undone = runs.request_undo(made.app, ORG, "test", run["id"])
    made.finish_restore(undone.id)
    assert held(made.tenant, user)[service] == before


@pytest.mark.parametrize("service", SERVICES)
def test_a_restore_killed_at_any_write_and_repeated_writes_everything_once(
    made: World, service: str
) -> None:
    user = list(made.tenant.mailboxes)[1]
    item, facts = richest(made, service)
    for writes in range(1, WRITES_MAX):
        before = held(made.tenant, user)[service]
        run = started(made, service, item, user, f"Back {writes}")
        restore.plan_restore(made.app, RestoreRun(ORG, run))
        survived = False
        with suppress(Killed):
            answer = restore.write_batch(dying(made, writes), WriteBatch(ORG, run, 0))
            survived = answer.state == "done"
        assert made.finish_restore(run)["state"] == "green"
        new = held(made.tenant, user)[service] - before
        assert [one[1:] for one in new.elements()] == [facts[1:]], writes
        if survived:
            assert writes > 3  # folder, item, its parts, its mark
            return
    raise AssertionError("the batch never survived")


def test_a_vault_of_contacts_and_tasks_checks_clean_and_follows_a_month(made: World) -> None:
    contoso_people.month(made.tenant, made.mailbox.user_id, random.Random(1), 1, Counter())
    assert made.back_up()["state"] == "green"
    for service, count in (
        ("contacts", len(book_of(made.tenant, made.mailbox.user_id).contacts)),
        ("tasks", len(tasks_of(todo_of(made.tenant, made.mailbox.user_id)))),
    ):
        items = made.view(service, made.mailbox_id).catalog.items()
        assert sum(entry.kind != "folder" for entry in items) == count
    made.verify()


def held(tenant: simulator.Tenant, user: str) -> dict[str, Counter[tuple[Any, ...]]]:
    """Contacts and tasks as facts, without the mirrored mail."""
    todo = todo_of(tenant, user)
    return {
        "contacts": ContactsCase().restored(tenant, Resource("mailbox", user)),
        "tasks": Counter(task_facts(task) for task in tasks_of(todo)),
    }


def richest(made: World, service: str) -> tuple[str, tuple[Any, ...]]:
    """The id of an item with everything, and its facts."""
    user = made.mailbox.user_id
    if service == "contacts":
        book = book_of(made.tenant, user)
        garth = next(one for one in book.contacts.values() if one.properties["nickName"] == "Gaz")
        facts = next(one for one in held(made.tenant, user)["contacts"] if b"Gaz" in one[1])
        return book.id_of(garth.number, 0, immutable=True), facts
    todo = todo_of(made.tenant, user)
    task = next(task for task in tasks_of(todo) if task.files and task.properties.get("recurrence"))
    return todo.id_of(task.number, 0, {"immutable": True, "salt": 0}), task_facts(task)


def started(made: World, service: str, item: str, user: str, folder: str) -> str:
    """A planned restore of one item into somebody else's mailbox; its run's id."""
    request = RestoreRequest(
        service, made.mailbox_id, items=(item,), target=f"mailbox:{user}", folder_name=folder
    )
    wanted, counted = restore_plan.prepare(made.app, ORG, request)
    return runs.request_restore(made.app, ORG, "test", wanted, counted).id


def throw_everything_away(tenant: simulator.Tenant, user: str) -> None:
    """Contacts with their folders and tasks with their lists; the mirrored mail stays."""
    book, todo = book_of(tenant, user), todo_of(tenant, user)
    for contact in list(book.contacts.values()):
        book.delete(contact)
    for folder in list(book.default.children):
        book.delete_folder(folder)
    for found in list(todo.lists.values()):
        if found.well_known == "none":
            todo.delete_list(found)
    for task in list(todo.default.tasks.values()):
        todo.delete(task)
