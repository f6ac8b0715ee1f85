"""Contacts as vCard: everything Outlook shows, in a form every other program reads."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from base.item import StoredItem
from formats import file_of
from tests.formats.content_reader import properties, split, unescaped, values
from tests.formats.items import part

PLACE = {"street": "10 Way\r\nDoor 2", "city": "Redmond; WA", "postalCode": "98075"}


def contact(photo: bytes | None = None, kind: str = "image/png", **raw: Any) -> StoredItem:
    parts = () if photo is None else (part("photo", photo, {"contentType": kind}, step=7),)
    name = str(raw.get("displayName") or "")
    return StoredItem("AAkA=", "folder", "contact", name, {}, raw, parts)


def card(item: StoredItem) -> bytes:
    return b"".join(file_of(item).blocks())


def test_a_card_is_version_3_with_the_names_in_their_places() -> None:
    data = card(
        contact(
            displayName="Dr Garth Émile Fort III", surname="Fort; Sr", givenName="Garth",
            middleName="Émile", title="Dr", generation="III", companyName="Contoso, Inc.",
            department="Sales & Marketing",
        )
    )  # fmt: skip
    names = [name for name, _, _ in properties(data)]
    assert names[:3] == ["BEGIN", "VERSION", "PRODID"]
    assert names[-1] == "END"
    assert values(data, "VERSION") == ["3.0"]
    assert split(values(data, "N")[0], ";") == ["Fort; Sr", "Garth", "Émile", "Dr", "III"]
    assert values(data, "FN") == ["Dr Garth Émile Fort III"]
    assert split(values(data, "ORG")[0], ";") == ["Contoso, Inc.", "Sales & Marketing"]


def test_every_address_and_number_is_there() -> None:
    data = card(
        contact(
            emailAddresses=[{"address": "a@x.example"}, {"name": "no address"},
                            {"address": "b@x.example"}],
            businessPhones=["1", "2"], homePhones=["3"], mobilePhone="4",
            imAddresses=["sip:g@x.example", "garth"], businessHomePage="https://x.example/a,b;c",
            homeAddress=PLACE, businessAddress={}, otherAddress=None,
        )
    )  # fmt: skip
    mail = [(p["TYPE"], v) for n, p, v in properties(data) if n == "EMAIL"]
    assert mail == [("INTERNET,PREF", "a@x.example"), ("INTERNET", "b@x.example")]
    phones = [(p["TYPE"], v) for n, p, v in properties(data) if n == "TEL"]
    assert phones == [("CELL", "4"), ("WORK,VOICE", "1"), ("WORK,VOICE", "2"), ("HOME,VOICE", "3")]
    assert values(data, "IMPP") == ["sip:g@x.example", "im:garth"]
    assert values(data, "URL") == ["https://x.example/a,b;c"]
    ((_, parameters, value),) = [one for one in properties(data) if one[0] == "ADR"]
    assert parameters == {"TYPE": "HOME"}
    assert split(value, ";") == ["", "", "10 Way\nDoor 2", "Redmond; WA", "", "98075", ""]


def test_notes_keep_their_lines_and_cannot_become_other_properties() -> None:
    notes = "Line one;\r\nTEL:666\nback\\slash, 好的 🚢" * 30
    data = card(contact(displayName="X\r\nTEL:1", personalNotes=notes))
    assert unescaped(values(data, "NOTE")[0]) == notes.replace("\r\n", "\n")
    assert values(data, "TEL") == []


def test_a_birthday_is_a_day_and_categories_are_a_list() -> None:
    data = card(contact(birthday="1974-07-22T11:59:00Z", categories=["Blue, dark", "Kunden"]))
    assert values(data, "BDAY") == ["1974-07-22"]
    assert split(values(data, "CATEGORIES")[0], ",") == ["Blue, dark", "Kunden"]


@pytest.mark.parametrize(("kind", "word"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
def test_the_photo_lies_inside_byte_for_byte(kind: str, word: str) -> None:
    photo = bytes(range(256)) * 9
    data = card(contact(photo, kind, displayName="X"))
    ((_, parameters, value),) = [one for one in properties(data) if one[0] == "PHOTO"]
    assert parameters == {"ENCODING": "b", "TYPE": word}
    assert base64.b64decode(value, validate=True) == photo


def test_what_graph_left_null_or_out_is_left_out() -> None:
    data = card(contact(displayName=None, emailAddresses=None, businessPhones=None, jobTitle=None))
    assert [n for n, _, _ in properties(data)] == [
        "BEGIN", "VERSION", "PRODID", "UID", "N", "FN", "END",
    ]  # fmt: skip


def test_the_file_is_named_after_the_person_and_its_size_is_right_where_it_is_said() -> None:
    found = file_of(
        contact(displayName="Ann / O'Hara", lastModifiedDateTime="2026-01-02T03:04:05Z")
    )
    assert found.name == "Ann _ O'Hara.vcf"
    assert found.size == len(b"".join(found.blocks()))
    assert found.modified is not None
    assert found.modified.year == 2026
