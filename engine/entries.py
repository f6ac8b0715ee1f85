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
RAW = "raw"  # the role of the object as Graph sent it; every other role is a Part's,
PIECE = "piece"  # but for this one: a piece of a long part of which not all is there
SAME = ".same"  # in a content's meta: Part.same; properties of a service begin with a letter
ITEM = "item"  # what is missing where nothing of an item could be had
UNFINISHED = "unfinished"  # the cause an entry names while its parts are still being read
_PRINTS, _FEED = "prints", "unfinished"  # keys of an entry's facts


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
    if change.prints:
        facts[_PRINTS] = dict(change.prints)
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


def unfinished(entry: Entry, feed: str) -> Entry:
    """The entry while parts of it are still to be read: nobody takes it for whole."""
    facts = {"missing": [f"{ITEM}: {UNFINISHED}"], "retry": True, _FEED: feed}
    return replace(entry, facts={**entry.facts, **facts})


def unfinished_by(entry: Entry) -> str:
    """The feed that was naming the item when a step ended in the middle of it; "": it is not."""
    return str(entry.facts.get(_FEED, ""))


def lacking_the_same(entry: Entry, before: Entry) -> Entry:
    """The entry of an item of which nothing was fetched: what was missing for good still is."""
    lack = {key: before.facts[key] for key in ("missing", "retry") if key in before.facts}
    return replace(entry, facts={**entry.facts, **lack})


def as_told(change: Change, stored: Entry | None) -> Change:
    """An item asked for by itself: what its feed alone can say of it is what it said last."""
    return change if stored is None else replace(change, prints=stored.facts.get(_PRINTS, {}))


def standing(change: Change, stored: Entry | None) -> tuple[bool, frozenset[str]]:
    """Whether all that is stored of an item's parts is as the service has it now, and the roles of
    which that is true.
    """
    if stored is None:
        return False, frozenset()
    same = change.fingerprint != "" and stored.facts.get("fingerprint") == change.fingerprint
    roles = frozenset(content.role for content in stored.contents) - {RAW, PIECE}
    before = stored.facts.get(_PRINTS, {})
    wrong = {one for one in {*before, *change.prints} if before.get(one) != change.prints.get(one)}
    if not same:
        roles &= before.keys()  # all others hang on the fingerprint
    wrong |= change.stale
    if same and not wrong and not stored.facts.get("retry", False):
        return True, roles
    wrong |= {str(lack).partition(":")[0] for lack in stored.facts.get("missing", ())}
    return False, frozenset() if ITEM in wrong else roles - wrong


def is_at(change: Change, entry: Entry) -> bool:
    """Whether an entry is exactly this state of the item, as far as its feed says."""
    return (
        not change.partial
        and change.fingerprint != ""
        and entry.facts.get("fingerprint") == change.fingerprint
        and entry.facts.get("volatile", {}) == dict(change.volatile)
        and entry.facts.get(_PRINTS, {}) == dict(change.prints)
        and (entry.parent, entry.name) == (change.parent, change.name)
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
        prints=dict(entry.facts.get(_PRINTS, {})),
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
            meta={key: value for key, value in content.meta.items() if key != SAME},
            open=lambda: repository.read(content),
            open_at=lambda offset: repository.read(content, offset),
        )

    return StoredItem(
        id=entry.id,
        parent=entry.parent,
        kind=entry.kind,
        name=entry.name,
        row=entry.row,
        raw=raw_of(repository, entry),
        parts=tuple(part(one) for one in entry.contents if one.role not in (RAW, PIECE)),
        missing=tuple(entry.facts.get("missing", ())),
    )
