"""Sticky notes of the simulated tenant."""

import base64
import random

import pytest

from simulator import Tenant, hostile, serve
from simulator.notes import fill_notes, notes_of, notes_truth, offer
from tests.simulator.wire import Wire, settled


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    made = tenant.add_user("Adele Vance").id
    fill_notes(tenant, made, random.Random(1), 12)
    return made


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def test_the_feed_tells_of_new_changed_and_deleted_notes(wire, tenant, user):
    tenant.quirks = hostile()
    pages, link = wire.walk(f"/users/{user}/notes/delta")
    held = settled(pages)
    assert {one["id"] for one in notes_truth(tenant)[user]} == set(held)
    book = notes_of(tenant, user)
    first, second, *_ = book.notes.values()
    book.change(first, subject="New title")
    book.delete(second)
    pages, _ = wire.walk(link)
    entries = {one["id"]: one for page in pages for one in page}
    assert entries[book.id_of(first.number, immutable=True)]["subject"] == "New title"
    gone = entries[book.id_of(second.number, immutable=True)]
    assert gone["@removed"] == {"reason": "deleted"}


def test_a_note_is_made_with_pictures_and_nothing_but_pictures(wire, tenant, user):
    body = {"contentType": "text", "content": "x"}
    made = wire.post(f"/users/{user}/notes", {"subject": "New", "body": body})
    path = f"/users/{user}/notes/{made['id']}/attachments"
    data = base64.b64encode(b"\x89PNG").decode()
    picture = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "p"}
    wire.post(path, {**picture, "contentType": "image/png", "contentBytes": data})
    assert wire.code("POST", path, {"name": "p", "contentType": "text/plain"})[0] == 400
    (one,) = wire.get(path)["value"]
    assert wire.get(f"{path}/{one['id']}")["contentBytes"] == data
    assert wire.get(f"/users/{user}/notes/{made['id']}")["hasAttachments"]


def test_a_tenant_may_not_have_notes_at_all_and_roles_are_asked_for(wire, tenant, user):
    nobody = Wire(wire.running, tenant.add_app("Nobody", ("Mail.Read",)))
    assert nobody.code("GET", f"/users/{user}/notes/delta")[0] == 403
    offer(tenant, offered=False)
    assert wire.code("GET", f"/users/{user}/notes/delta") == (404, "ResourceNotFound")
