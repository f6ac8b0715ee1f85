"""Between what a service says of an item (base.item) and what the vault keeps of it
(vault.Entry).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from base.item import Change, StoredItem, StoredPart, Trouble
from engine.backlog import LATER
from vault import Content, Entry, Repository

MIME = "mime"  # the role of a message as RFC 5322 has it, attachments and all
RAW = "raw"  # the role of the object as Graph sent it; every other role is a Part's


def encode_raw(raw: Mapping[str, Any]) -> bytes:
    """The stored form of a Graph object: compact UTF-8 JSON in the order Graph sent it."""
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def entry_of(
    change: Change,
    contents: Sequence[Content],
    troubles: Sequence[Trouble],
    later: Collection[str] = (),
) -> Entry:
    """The catalog entry of an item whose contents have been added to the step; `later` names the
    roles that are to follow.
    """
    facts: dict[str, Any] = {"fingerprint": change.fingerprint}
    if change.volatile:
        facts["volatile"] = dict(change.volatile)
    facts.update(_lack(troubles))
    if later:
        facts[LATER] = sorted(later)
    return Entry(
        id=change.id,
        parent=change.parent,
        kind=change.kind,
        name=change.name,
        row=dict(change.row),
        facts=facts,
        contents=tuple(contents),
    )


def completed(entry: Entry, contents: Sequence[Content], troubles: Sequence[Trouble]) -> Entry:
    """The entry with the parts that followed; what could not be copied is missing from now on."""
    facts = {key: value for key, value in entry.facts.items() if key != LATER}
    lack = _lack(troubles)
    if lack:
        facts["missing"] = [*facts.get("missing", ()), *lack["missing"]]
        facts["retry"] = bool(facts.get("retry")) or lack["retry"]
    return replace(entry, facts=facts, contents=tuple(contents))


def _lack(troubles: Sequence[Trouble]) -> dict[str, Any]:
    if not troubles:
        return {}
    return {
        "missing": [f"{trouble.part}: {trouble.cause}" for trouble in troubles],
        "retry": any(trouble.retry for trouble in troubles),
    }


def change_of(entry: Entry, raw: Mapping[str, Any]) -> Change:
    """The item as its feed said it when it was copied."""
    return Change(
        id=entry.id,
        parent=entry.parent,
        kind=entry.kind,
        name=entry.name,
        raw=raw,
        volatile=dict(entry.facts.get("volatile", {})),
        row=dict(entry.row),
        fingerprint=str(entry.facts.get("fingerprint", "")),
    )


def raw_of(repository: Repository, entry: Entry) -> dict[str, Any]:
    """The object as Graph sent it, read back from the vault; {} where none is kept."""
    for content in entry.contents:
        if content.role == RAW:
            value: dict[str, Any] = json.loads(b"".join(repository.read(content)))
            return value
    return {}


def stored_item(repository: Repository, entry: Entry) -> StoredItem:
    """An item as writers and formats take it; its parts are read when they are opened."""

    def part(content: Content) -> StoredPart:
        return StoredPart(
            role=content.role,
            size=content.size,
            meta=content.meta,
            open=lambda: repository.read(content),
        )

    return StoredItem(
        id=entry.id,
        parent=entry.parent,
        kind=entry.kind,
        name=entry.name,
        row=entry.row,
        raw=raw_of(repository, entry),
        parts=tuple(part(content) for content in entry.contents if content.role != RAW),
        missing=tuple(entry.facts.get("missing", ())),
    )
