"""Exported streams of mailbox items as files: what they are called, and that they are whole."""

from __future__ import annotations

import pytest

from base.item import StoredItem, StoredPart
from formats import ContentMissing, file_of

STREAM = b"\x01\x00\x00\x00stream"


def item(name: str, *parts: StoredPart) -> StoredItem:
    raw = {"lastModifiedDateTime": "2026-11-20T10:00:00Z"}
    row = {"type": "IPM.Contact"}
    return StoredItem("f|i", "f", "mailbox-item", name, row, raw, parts)


def stream() -> StoredPart:
    return StoredPart("export", len(STREAM), {}, lambda: iter((STREAM[:4], STREAM[4:])))


def test_the_name_says_that_only_an_import_opens_it() -> None:
    found = file_of(item("Offer: 12/2026", stream()))
    assert found.name == "Offer_ 12_2026.import-only.fts"
    assert b"".join(found.blocks()) == STREAM
    assert found.size == len(STREAM)
    assert found.modified is not None
    assert found.modified.year == 2026


def test_an_item_without_a_name_is_called_by_its_type() -> None:
    assert file_of(item("", stream())).name == "IPM.Contact.import-only.fts"


def test_an_item_that_could_not_be_exported_is_no_file() -> None:
    with pytest.raises(ContentMissing):
        file_of(item("Offer"))
