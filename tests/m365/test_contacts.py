"""Contacts: what is asked, how often, and what becomes of every oddity of folders and photos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base.item import Change, StoredItem
from m365.contact_folders import ROOT
from m365.contacts_writer import ContactsWriter, contact_body, differing
from m365.graph.errors import TransientFailure
from m365.service import Resource
from simulator.contacts import ContactBook, book_of
from tests.m365.cases_people import ContactsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, TenantClock, stage

CASE = ContactsCase()


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as found:
        yield found


@pytest.fixture
def book(on: Stage) -> ContactBook:
    return book_of(on.tenant, on.resource.graph_id)


@pytest.fixture
def target(on: Stage) -> ContactBook:
    return book_of(on.tenant, CASE.fresh_target(on.tenant).graph_id)


def writer(on: Stage, target: ContactBook) -> ContactsWriter:
    return ContactsWriter(on.writer, Resource("mailbox", target.user_id), TenantClock(on.tenant))


def asked(on: Stage, pattern: str) -> int:
    return sum(count for route, count in on.tenant.counters.requests.items() if pattern in route)


def read(on: Stage) -> Mirror:
    mirror = Mirror()
    mirror.round(on.source())
    return mirror


def contacts(mirror: Mirror) -> list[Change]:
    found = (kept.change for kept in mirror.items.values())
    return [change for change in found if change.kind == "contact"]


# Reading


def test_a_contact_costs_one_request_and_a_page_of_five_hundred_one_more(
    on: Stage, book: ContactBook
) -> None:
    mirror = read(on)
    assert asked(on, "/photo/$value") == len(book.contacts) == len(contacts(mirror))
    assert asked(on, "contacts/delta") == len(book.folders)
    assert on.reader.counters.requests == len(book.contacts) + len(book.folders) + 2


def test_only_a_contact_that_changed_is_asked_for_its_photo(on: Stage, book: ContactBook) -> None:
    mirror = read(on)
    before = asked(on, "/photo/")
    one, other, third = list(book.contacts.values())[:3]
    book.set_photo(one, b"\x89PNG new")
    book.change(other, jobTitle="Pilot")
    book.move(third, book.add_folder("Moved to"))
    mirror.round(on.source())
    assert asked(on, "/photo/") == before + 3
    kept = mirror.items[book.id_of(one.number, 0, immutable=True)]
    assert [(role, data, meta["contentType"]) for role, data, meta in kept.parts] == [
        ("photo", b"\x89PNG new", "image/png")
    ]


def test_a_photo_taken_away_is_gone_from_the_next_restore_point(
    on: Stage, book: ContactBook
) -> None:
    one = next(contact for contact in book.contacts.values() if contact.photo)
    mirror = read(on)
    book.set_photo(one, None)
    mirror.round(on.source())
    assert mirror.items[book.id_of(one.number, 0, immutable=True)].parts == []


def test_a_photo_that_cannot_be_had_costs_the_photo_and_not_the_contact(on: Stage) -> None:
    on.tenant.faults.map(r"/photo/", "eee")
    mirror = read(on)
    assert on.found(mirror) == on.truth()
    troubled = [kept.troubles for kept in mirror.items.values() if kept.troubles]
    assert [trouble.part for troubles in troubled for trouble in troubles] == ["photo"]
    assert troubled[0][0].retry


@pytest.mark.parametrize("listed", [True, False])
def test_an_empty_default_folder_costs_one_request_a_round_and_is_found_with_its_first_contact(
    on: Stage, book: ContactBook, listed: bool
) -> None:
    on.tenant.quirks.default_contact_folder_listed = listed
    for contact in list(book.default.contacts.values()):
        book.delete(contact)
    mirror = read(on)
    family = 3  # the folder in it, and the one beside
    before = on.reader.counters.requests
    mirror.round(on.source())
    assert on.reader.counters.requests - before == 1 + 1 + family + listed
    book.add(book.default, {"displayName": "First"})
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    (default,) = [
        kept.change for kept in mirror.items.values() if kept.change.row.get("role") == "default"
    ]
    assert (default.id, default.parent, default.name) == (book.default.id, ROOT, "Contacts")
    before = on.reader.counters.requests
    mirror.round(on.source())
    assert on.reader.counters.requests - before == 1 + 1 + family


@pytest.mark.parametrize("listed", [True, False])
def test_an_empty_default_folder_that_has_its_name_costs_what_its_feed_costs(
    on: Stage, book: ContactBook, listed: bool
) -> None:
    on.tenant.quirks.default_contact_folder_listed = listed
    on.tenant.quirks.default_contact_folder_named = True
    for contact in list(book.default.contacts.values()):
        book.delete(contact)
    mirror = read(on)
    before = on.reader.counters.requests
    mirror.round(on.source())
    assert on.reader.counters.requests - before == 1 + len(book.folders)
    book.add(book.default, {"displayName": "First"})
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()


def test_a_lost_tree_keeps_the_default_folder_that_no_list_shows(
    on: Stage, book: ContactBook
) -> None:
    on.tenant.quirks.default_contact_folder_listed = False
    mirror = read(on)
    for contact in list(book.default.contacts.values()):
        book.delete(contact)
    on.tenant.feeds.lose(lambda name: name.startswith("contactFolders/"))
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    assert book.default.id in mirror.items


def test_a_feed_without_a_link_starts_from_nothing(on: Stage, book: ContactBook) -> None:
    mirror = read(on)
    part = f"folder:{book.default.id}"
    victim = next(iter(book.default.contacts.values()))
    book.delete(victim)
    mirror.links[part] = ""
    pages = list(on.source().changes(mirror.links, frozenset()))
    assert [page.part for page in pages if page.reset] == [part]
    for page in pages:
        mirror.apply(on.source(), page)
    assert on.found(mirror) == on.truth()


def test_a_later_page_that_is_too_heavy_starts_the_folder_anew_in_small_pages(
    on: Stage, book: ContactBook
) -> None:
    for number in range(1100):
        book.add(book.default, {"displayName": f"Nr {number}"})
    on.tenant.faults.map(r"/contacts/delta", ".ggg")
    pages = [
        page
        for page in on.source().changes({}, frozenset())
        if page.part == f"folder:{book.default.id}"
    ]
    assert [page.reset for page in pages[:3]] == [True, False, True]
    assert {len(page.entries) for page in pages[3:-1]} == {25}
    assert len({entry.id for page in pages[3:] for entry in page.entries}) == len(
        book.default.contacts
    )


def test_a_piece_is_merged_and_one_that_nobody_knows_is_completed(
    on: Stage, book: ContactBook
) -> None:
    mirror = read(on)
    change = contacts(mirror)[0]
    piece = Change(change.id, change.parent, "contact", raw={"id": change.id, "title": "Sir"})
    merged = on.source().merge(change.raw, piece)
    assert (merged.raw["title"], merged.partial) == ("Sir", False)
    assert merged.raw["emailAddresses"] == change.raw["emailAddresses"]
    assert on.source().complete(change.id).raw == change.raw


def test_counts_are_what_each_folder_holds(on: Stage, book: ContactBook) -> None:
    counted = {count.scope: count.items for count in on.source().counts()}
    assert counted == {folder.id: len(folder.contacts) for folder in book.folders.values()}


# Restoring


def test_a_killed_attempt_is_known_as_unfinished_by_its_mark(
    on: Stage, target: ContactBook
) -> None:
    item = _pictured(read(on))
    on.tenant.faults.map(r"PATCH .*/contacts/", "eee")
    to = writer(on, target)
    with pytest.raises(TransientFailure):
        to.write(item, to.root(), "run:1", None, new_name=False)
    (found,) = to.existing(to.root())
    assert (found.marker, found.complete) == ("run:1", False)
    to.remove(found.id)
    to.write(item, to.root(), "run:1", None, new_name=False)
    (found,) = to.existing(to.root())
    assert (found.marker, found.complete) == ("run:1", True)


def test_a_contact_whose_answer_was_lost_is_not_written_twice(
    on: Stage, target: ContactBook
) -> None:
    item = _pictured(read(on))
    on.tenant.faults.map(r"POST .*/contacts$", "d")
    to = writer(on, target)
    to.write(item, to.root(), "run:1", None, new_name=False)
    (found,) = to.existing(to.root())
    assert found.complete


def test_nothing_is_replaced_by_a_contact_that_lacks_something(
    on: Stage, target: ContactBook
) -> None:
    item = _pictured(read(on))
    to = writer(on, target)
    to.write(item, to.root(), "run:1", None, new_name=False)
    (old,) = to.existing(to.root())
    on.tenant.faults.map(r"PUT .*/photo/", "eee")
    second = to.write(item, to.root(), "run:2", old, new_name=False)
    assert second.outcome == "copied"
    assert "old-one-kept" in {trouble.cause for trouble in second.troubles}
    assert len(target.contacts) == 2


def test_a_contact_that_is_refused_whole_comes_back_property_by_property(
    on: Stage, target: ContactBook
) -> None:
    item = _stored(displayName="Ann", jobTitle="Pilot", birthday="22 July", mobilePhone="1")
    to = writer(on, target)
    made = to.write(item, to.root(), "run:1", None, new_name=False)
    (contact,) = target.contacts.values()
    facts = contact.properties
    assert (facts["displayName"], facts["jobTitle"], facts["mobilePhone"]) == ("Ann", "Pilot", "1")
    assert [(one.cause, one.detail) for one in made.troubles] == [("not-set", "birthday")]


def test_a_folder_is_found_in_place_or_by_name_and_made_once(
    on: Stage, book: ContactBook, target: ContactBook
) -> None:
    mirror = read(on)
    stored = {kept.change.name: kept.stored() for kept in mirror.items.values()}
    here = ContactsWriter(on.writer, on.resource)
    family = here.original_folder(stored["Family"])
    assert family is not None
    assert family.path[-1] == "Family"
    default = mirror.items[book.default.id].stored()
    assert here.original_folder(default) == here.root()
    book.delete_folder(book.folders[family.id])
    assert ContactsWriter(on.writer, on.resource).original_folder(stored["Family"]) is None
    there = writer(on, target)
    made = [there.ensure_folder(there.root(), name, None).id for name in ("Kin", "KIN", " ")]
    assert made[0] == made[1] != made[2]
    assert there.original_folder(stored["Family"]) is None


def test_what_is_empty_or_computed_is_not_sent_and_a_day_becomes_a_moment() -> None:
    body = contact_body(
        {
            "id": "x", "changeKey": "k", "parentFolderId": "f", "createdDateTime": "2020",
            "birthday": "1974-07-22", "displayName": "Ann", "surname": None, "children": [],
            "homeAddress": {}, "otherAddress": {"city": "Kiel", "street": None},
            "primaryEmailAddress": {"address": "a@x.example", "name": None},
        }
    )  # fmt: skip
    assert body == {
        "birthday": "1974-07-22T11:59:00Z", "displayName": "Ann",
        "otherAddress": {"city": "Kiel"}, "emailAddresses": [{"address": "a@x.example"}],
    }  # fmt: skip


def test_what_a_contact_took_is_compared_as_a_person_would() -> None:
    wanted = {
        "displayName": "Ann", "birthday": "1974-07-22T11:59:00Z", "categories": ["b", "a"],
        "emailAddresses": [{"name": "Ann", "address": "A@x.example"}],
        "homeAddress": {"city": "Kiel"}, "jobTitle": "Pilot",
    }  # fmt: skip
    answer = {
        "displayName": "Ann", "birthday": "1974-07-22T00:00:00Z", "categories": ["a", "b"],
        "emailAddresses": [{"name": "a@x.example", "address": "a@x.example"}],
        "homeAddress": {"city": "Kiel", "street": None, "state": ""},
    }  # fmt: skip
    assert differing(wanted, answer) == {}  # a title the answer does not show may well be there
    assert differing(wanted, {**answer, "jobTitle": None}) == {"jobTitle": "Pilot"}


def test_contacts_collide_by_name_and_first_address_whatever_their_case(
    on: Stage, target: ContactBook
) -> None:
    to = writer(on, target)
    mail = [{"address": "A@x.example"}, {"address": "b@x.example"}]
    one = to.identity(_stored(displayName="Ann  Lind", emailAddresses=mail))
    same = to.identity(_stored(displayName="ann lind", emailAddresses=[{"address": "a@X.example"}]))
    other = to.identity(_stored(displayName="Ann Lind", emailAddresses=[]))
    assert one.key == same.key != other.key


def _stored(**raw: Any) -> StoredItem:
    return StoredItem("AAkA", "f", "contact", str(raw.get("displayName")), {}, raw, ())


def _pictured(mirror: Mirror) -> StoredItem:
    return next(kept.stored() for kept in mirror.items.values() if kept.parts)
