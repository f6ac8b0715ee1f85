"""Contacts and To Do: what Microsoft documents of folders, lists and what may be missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator.contacts import book_of
from simulator.todo import todo_of
from tests.m365.cases_people import ContactsCase, TasksCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage


@pytest.fixture
def people() -> Iterator[Stage]:
    with stage(ContactsCase()) as on:
        yield on


@pytest.fixture
def todo() -> Iterator[Stage]:
    with stage(TasksCase()) as on:
        yield on


def test_a_contact_that_moves_to_another_folder_and_back_is_the_same(people: Stage) -> None:
    book, mirror = book_of(people.tenant, people.resource.graph_id), Mirror()
    mirror.round(people.source())
    with people.tenant.lock:
        there = book.add_folder("Suppliers")
        contact = next(one for one in book.contacts.values() if one.folder is not there)
        home = contact.folder
    for target in (there, home, there):
        with people.tenant.lock:
            book.move(contact, target)
        mirror.round(people.source())
        assert people.found(mirror) == people.truth()


def test_a_task_that_moves_to_another_list_is_in_that_list_alone(todo: Stage) -> None:
    lists, mirror = todo_of(todo.tenant, todo.resource.graph_id), Mirror()
    mirror.round(todo.source())
    with todo.tenant.lock:
        there = lists.add_list("Elsewhere")
        task = next(one for found in lists.lists.values() for one in found.tasks.values())
        lists.move(task, there)
    mirror.round(todo.source())
    assert todo.found(mirror) == todo.truth()
