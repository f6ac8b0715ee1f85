"""Contacts: folders, feeds, photos, extended properties and extensions, with a plain client."""

import pytest

from simulator import Tenant, hostile, serve
from simulator.contacts import book_of
from tests.simulator.wire import IMMUTABLE, Wire

MARK = "String {8d0f9f1c-3c5e-4d0b-9a53-5f1c7b2e6a41} Name Mark"
PNG = b"\x89PNG\r\n\x1a\nnot really"


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def book(tenant, user):
    return book_of(tenant, user)


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


def feed(user, folder):
    return f"/users/{user}/contactFolders/{folder.id}/contacts/delta"


def ids(pages):
    return [entry["id"] for page in pages for entry in page]


def test_the_default_folder_is_reached_without_its_id_and_told_by_any_contact(wire, user, book):
    book.add(book.default, {"displayName": "Ann"})
    book.add(book.add_folder("Family"), {"displayName": "Bo"})
    (ann,) = wire.get(f"/users/{user}/contacts")["value"]
    assert ann["displayName"] == "Ann"
    assert ann["parentFolderId"] == book.default.id
    (same,) = wire.get(f"/users/{user}/contactFolders/{book.default.id}/contacts")["value"]
    assert same == ann


def test_folders_nest_and_the_feed_names_them_flat(tenant, wire, user, book):
    made = wire.post(f"/users/{user}/contactFolders", {"displayName": "Family"})
    assert made["parentFolderId"] == book.default.id
    path = f"/users/{user}/contactFolders/{made['id']}/childFolders"
    below = wire.post(path, {"displayName": "Close"})
    assert [one["id"] for one in wire.get(path)["value"]] == [below["id"]]
    pages, link = wire.walk(f"/users/{user}/contactFolders/delta")
    assert set(ids(pages)) == {book.default.id, made["id"], below["id"]}
    assert wire.code("POST", path, {"displayName": "close"}) == (409, "ErrorFolderExists")
    wire.send("DELETE", f"/users/{user}/contactFolders/{made['id']}")
    pages, _ = wire.walk(link)
    gone = {entry["id"]: entry["@removed"]["reason"] for page in pages for entry in page}
    assert gone == {made["id"]: "changed", below["id"]: "changed"}
    tenant.quirks.default_contact_folder_listed = False
    assert wire.walk(f"/users/{user}/contactFolders/delta")[0] == [[]]


def test_a_feed_tells_what_is_new_changed_moved_and_gone(wire, user, book):
    family = book.add_folder("Family")
    ann, bo, cy = (book.add(book.default, {"displayName": name}) for name in ("Ann", "Bo", "Cy"))
    pages, link = wire.walk(feed(user, book.default))
    first = ids(pages)
    assert len(first) == 3
    book.change(ann, jobTitle="Pilot")
    book.move(bo, family)
    book.delete(cy, for_good=True)
    pages, link = wire.walk(link)
    entries = {entry["id"]: entry for page in pages for entry in page}
    assert set(entries) == set(first)
    assert entries[first[0]]["jobTitle"] == "Pilot"
    assert [entries[key].get("@removed") for key in first[1:]] == [{"reason": "deleted"}] * 2
    assert ids(wire.walk(feed(user, family))[0]) == [first[1]]  # an immutable id stays
    assert wire.walk(link)[0] == [[]]


def test_lost_tokens_answer_in_every_documented_spelling(tenant, wire, user, book):
    tenant.quirks = hostile()
    tenant.quirks.p_empty_page = tenant.quirks.p_duplicate = 0
    _, link = wire.walk(feed(user, book.default))
    tenant.feeds.lose(lambda name: name.startswith("contacts/"))
    answers = {wire.code("GET", link) for _ in range(6)}
    assert {status for status, _ in answers} == {400, 404, 410}
    assert {code.lower() for _, code in answers} == {
        "syncstatenotfound", "resyncrequired", "syncstateinvalid",
    }  # fmt: skip


def test_a_photo_is_set_read_and_missed(wire, user, book):
    ann = book.add(book.default, {"displayName": "Ann"})
    before = wire.get(f"/users/{user}/contacts")["value"][0]
    path = f"/users/{user}/contacts/{before['id']}/photo/$value"
    assert wire.code("GET", path) == (404, "ErrorItemNotFound")
    assert wire.send("PUT", path, PNG, Content_Type="image/png").status == 200
    answer = wire.send("GET", path)
    assert (answer.data, answer.headers["content-type"]) == (PNG, "image/png")
    after = wire.get(f"/users/{user}/contacts")["value"][0]
    assert after["changeKey"] != before["changeKey"]
    assert wire.send("PUT", path, b"x" * 5_000_000, Content_Type="image/png").status == 413
    assert ann.photo == PNG


def test_ids_are_volatile_unless_immutable_ones_are_asked_for(wire, user, book):
    book.add(book.default, {"displayName": "Ann"})
    plain = [wire.get(f"/users/{user}/contacts", Prefer="")["value"][0]["id"] for _ in range(2)]
    assert len(set(plain)) == 2
    same = [wire.get(f"/users/{user}/contacts")["value"][0]["id"] for _ in range(2)]
    assert len(set(same)) == 1
    _, link = wire.walk(feed(user, book.default), Prefer=IMMUTABLE)
    assert wire.code("GET", link, Prefer="") == (400, "SyncStateInvalid")


def test_extended_properties_and_extensions_are_shown_to_who_names_them(wire, user):
    body = {
        "givenName": "Ann", "surname": "Lind",
        "singleValueExtendedProperties": [{"id": MARK, "value": "m1"}],
        "extensions": [{"@odata.type": "microsoft.graph.openTypeExtension",
                        "extensionName": "Com.Example", "level": 3}],
    }  # fmt: skip
    made = wire.post(f"/users/{user}/contacts", body)
    assert made["displayName"] == "Ann Lind"
    assert "singleValueExtendedProperties" not in made
    query = f"$expand=singleValueExtendedProperties($filter=id eq '{MARK}')"
    (seen,) = wire.get(f"/users/{user}/contacts?{query}".replace(" ", "%20"))["value"]
    assert seen["singleValueExtendedProperties"] == [{"id": MARK, "value": "m1"}]
    found = wire.get(f"/users/{user}/contacts/{made['id']}/extensions/Com.Example")
    assert found["level"] == 3
    assert wire.code("GET", f"/users/{user}/contacts?$expand=photo")[0] == 400


def test_reading_does_not_suffice_to_write_and_mail_not_to_read(tenant, user, book):
    book.add(book.default, {"displayName": "Ann"})
    with serve(tenant) as running:
        reader = Wire(running, tenant.add_app("Reader", ("Contacts.Read",)))
        assert reader.get(f"/users/{user}/contacts")["value"]
        assert reader.code("POST", f"/users/{user}/contacts", {})[0] == 403
        mailer = Wire(running, tenant.add_app("Mailer", ("Mail.ReadWrite",)))
        assert mailer.code("GET", f"/users/{user}/contacts") == (403, "ErrorAccessDenied")
