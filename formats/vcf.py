"""Contacts as vCard 3.0 (.vcf): the version that Outlook, Apple and Google all import.

Rules
- Every property that Outlook shows of a contact is in the file: in vCard's own words where it has
  any (RFC 2426, IMPP from RFC 4770), else as the X- properties other programs know.
- The photo is inside, base64. Text is UTF-8, whatever the alphabet.
- Nothing is invented: a birthday is a day, an address is as many lines as there are.
- The same contact gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from base.item import StoredItem
from formats.content_lines import address, encoded, line, text, texts
from formats.files import safe_name
from formats.item_file import ItemFile, moment

_TEXTS = (  # property of Graph, property of vCard
    ("nickName", "NICKNAME"),
    ("jobTitle", "TITLE"),
    ("profession", "ROLE"),
    ("fileAs", "SORT-STRING"),
    ("personalNotes", "NOTE"),
    ("initials", "X-INITIALS"),
    ("officeLocation", "X-OFFICE-LOCATION"),
    ("assistantName", "X-ASSISTANT"),
    ("manager", "X-MANAGER"),
    ("spouseName", "X-SPOUSE"),
    ("yomiGivenName", "X-PHONETIC-FIRST-NAME"),
    ("yomiSurname", "X-PHONETIC-LAST-NAME"),
    ("yomiCompanyName", "X-PHONETIC-ORG"),
)
_PHONES = (
    ("businessPhones", "TEL;TYPE=WORK,VOICE"),
    ("homePhones", "TEL;TYPE=HOME,VOICE"),
)
_ADDRESSES = (
    ("businessAddress", "ADR;TYPE=WORK"),
    ("homeAddress", "ADR;TYPE=HOME"),
    ("otherAddress", "ADR"),
)
_PLACE = ("street", "city", "state", "postalCode", "countryOrRegion")
_PHOTO_TYPES = {"image/png": "PNG", "image/gif": "GIF"}


def contact_file(item: StoredItem) -> ItemFile:
    """The contact as a file named after the person."""
    photo = item.part("photo")
    size = None if photo is not None else sum(map(len, _card(item)))
    return ItemFile(
        name=safe_name(item.name, "contact", ".vcf"),
        media_type="text/vcard; charset=utf-8",
        size=size,
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: _card(item),
    )


def _card(item: StoredItem) -> Iterator[bytes]:
    yield line("BEGIN", "VCARD")
    yield line("VERSION", "3.0")
    yield line("PRODID", "-//Holdfast//Contacts//EN")
    yield line("UID", text(item.id))
    yield from _names(item)
    yield from _reach(item.raw)
    yield from _others(item.raw)
    photo = item.part("photo")
    if photo is not None:
        kind = _PHOTO_TYPES.get(str(photo.meta.get("contentType")), "JPEG")
        yield from encoded(f"PHOTO;ENCODING=b;TYPE={kind}", photo.open())
    yield line("END", "VCARD")


def _names(item: StoredItem) -> Iterator[bytes]:
    raw = item.raw
    parts = ("surname", "givenName", "middleName", "title", "generation")
    yield line("N", texts((raw.get(name) for name in parts), ";"))
    yield line("FN", text(raw.get("displayName") or item.name))
    firm = [raw.get("companyName") or "", raw.get("department") or ""]
    if any(firm):
        yield line("ORG", texts(firm if firm[1] else firm[:1], ";"))


def _reach(raw: Mapping[str, Any]) -> Iterator[bytes]:
    """Mail, telephones, messengers, places."""
    for place, one in enumerate(one for one in raw.get("emailAddresses") or () if one):
        if one.get("address"):
            preferred = ",PREF" if place == 0 else ""
            yield line(f"EMAIL;TYPE=INTERNET{preferred}", text(one["address"]))
    if raw.get("mobilePhone"):
        yield line("TEL;TYPE=CELL", text(raw["mobilePhone"]))
    for name, prop in _PHONES:
        for number in raw.get(name) or ():
            yield line(prop, text(number))
    for one in raw.get("imAddresses") or ():
        yield line("IMPP", address(one if ":" in str(one) else f"im:{one}"))
    for name, prop in _ADDRESSES:
        place_of = raw.get(name) or {}
        if any(place_of.get(part) for part in _PLACE):
            yield line(prop, ";;" + texts((place_of.get(part) for part in _PLACE), ";"))
    if raw.get("businessHomePage"):
        yield line("URL;TYPE=WORK", address(raw["businessHomePage"]))


def _others(raw: Mapping[str, Any]) -> Iterator[bytes]:
    for name, prop in _TEXTS:
        if raw.get(name):
            yield line(prop, text(raw[name]))
    for child in raw.get("children") or ():
        yield line("X-CHILD", text(child))
    if raw.get("birthday"):
        yield line("BDAY", text(str(raw["birthday"])[:10]))
    if raw.get("categories"):
        yield line("CATEGORIES", texts(raw["categories"]))
    if raw.get("lastModifiedDateTime"):
        yield line("REV", text(raw["lastModifiedDateTime"]))
