"""What docs/read_a_vault.py checks although everything is sealed right: lies of who has the keys,
or of our own mistakes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.vault import golden
from tests.vault.second_reader import findings, opened
from tests.vault.world import StillClock, close, noise
from vault import Entry, PassphraseSlot, Repository
from vault.entry import dumps
from vault.envelope import Kind
from vault.stores.memory import MemoryStore

BLOBS, VECTORS = golden.documented()
PASSPHRASE = VECTORS["passphrase"]
WORDS = "correct horse"
MAILBOX = "mail/mailbox:11111111"
Change = Callable[[Any], None]


@pytest.fixture
def blobs() -> dict[str, bytes]:
    return dict(BLOBS)


def repository(blobs: dict[str, bytes]) -> Repository:
    return golden.opened(blobs, PassphraseSlot(PASSPHRASE))


def newest(blobs: dict[str, bytes]) -> str:
    chain = opened(blobs, PASSPHRASE).chain_hash(MAILBOX)
    return max(name for name in blobs if name.startswith(f"s/{chain}/"))


def resealed(blobs: dict[str, bytes], name: str, kind: Kind, change: Change) -> None:
    ring = repository(blobs).keys.ring
    document = json.loads(ring.unseal(kind, name, blobs[name]))
    change(document)
    blobs[name] = ring.seal(kind, name, dumps(document))


def catalog(entries: list[list[Any]], items: list[list[Any]]) -> Change:
    """Puts a catalog into a restore point."""
    rows = [dumps({"level": 0, "keys": [[e[1], "1" + e[0], e[0]] for e in entries]})]
    rows += [dumps(entry) for entry in entries]
    ways = [dumps({"level": 0, "keys": [[item[0]] for item in items]})]
    ways += [dumps(item[1:]) for item in items]
    roots = {"rows": b"\n".join(rows).decode(), "items": b"\n".join(ways).decode()}
    return lambda document: document.update(roots=roots)


def entry(id_: str, contents: list[Any] | None = None) -> list[Any]:
    return [id_, "", "message", id_, {}, {}, contents or []]


@pytest.mark.parametrize(
    "items",
    [[["a", "elsewhere", "1a"]], [["b", "", "1b"]], []],
    ids=["elsewhere", "another", "fewer"],
)
def test_trees_that_contradict_each_other_are_named(
    blobs: dict[str, bytes], items: list[list[Any]]
) -> None:
    name = newest(blobs)
    resealed(blobs, name, Kind.SNAPSHOT, catalog([entry("a")], items))
    assert findings(blobs, PASSPHRASE) == {("catalog-damaged", name)}


def test_keys_out_of_order_are_named(blobs: dict[str, bytes]) -> None:
    name = newest(blobs)
    items = [["a", "", "1a"], ["b", "", "1b"]]
    resealed(blobs, name, Kind.SNAPSHOT, catalog([entry("b"), entry("a")], items))
    assert findings(blobs, PASSPHRASE) == {("catalog-damaged", name)}


@pytest.mark.parametrize(
    "content",
    [
        ["mime", 1, {}, [], 0],
        ["mime", 0, {}, [], 2, [[0, 1]]],
        ["mime", 0, {}, [], 2, [[0, -1], [0, 1]]],
        ["mime", 0, {}, [], 2, [[1, 3, 0, 0]]],
        ["mime", 0, {}, [], 2, [[2, 0]]],
        ["mime", 0, {}, [["x"]], 0],
        ["mime", 0, {}, []],
    ],
    ids=["size", "too long", "negative", "lines", "encoding", "reference", "short"],
)
def test_a_content_that_cannot_be_what_it_says_is_named(
    blobs: dict[str, bytes], content: list[Any]
) -> None:
    name = newest(blobs)
    whole = catalog([entry("a", [content])], [["a", "", "1a"]])
    resealed(blobs, name, Kind.SNAPSHOT, whole)
    assert findings(blobs, PASSPHRASE) == {("catalog-damaged", name)}


def test_a_chain_of_which_only_tombstones_are_left_is_missed(blobs: dict[str, bytes]) -> None:
    log = opened(blobs, PASSPHRASE)
    begin = min(name for name in blobs if name.startswith("gc/"))
    ((chain, ((_, last, _),)),) = log.document(begin, 6)["body"]["state"]["tombstones"].items()
    rest = {n: data for n, data in blobs.items() if n.split("/")[1] != chain}
    assert findings(rest, PASSPHRASE) == {("snapshot-missing", f"s/{chain}/{last + 1:010d}")}


def test_a_record_of_the_log_that_was_written_anew_is_named(blobs: dict[str, bytes]) -> None:
    name = sorted(name for name in blobs if name.startswith("gc/"))[1]
    resealed(blobs, name, Kind.COLLECT, lambda document: None)
    assert ("log-damaged", name) in findings(blobs, PASSPHRASE)


def test_bytes_that_a_packs_directory_does_not_describe_are_named(
    blobs: dict[str, bytes],
) -> None:
    name = next(name for name in blobs if name.startswith("p/"))
    data = blobs[name]
    directory = 44 + int.from_bytes(data[-44:-40], "big")
    body = data[:-directory] + b"smuggled" + data[-directory:-44]
    blobs[name] = body + data[-44:-40] + hashlib.sha256(body).digest() + data[-8:]
    assert findings(blobs, PASSPHRASE) == {("pack-damaged", name)}


def test_a_content_joined_of_pieces_of_several_steps_is_one_content() -> None:
    store = MemoryStore(StillClock())
    slots = [PassphraseSlot(words, n=2**4) for words in (WORDS, "battery staple")]
    repo = Repository.create(store, slots, StillClock())
    data = [noise(1, 60_000_000), noise(2, 1_000_000), b"the end"]
    round_, pieces = repo.round(MAILBOX, 1), []
    for number, some in enumerate(data):
        step = round_.step()
        pieces.append(step.add("piece", iter([some]), {".same": f"{number}"}))
        step.put(Entry("film", "", "file", "film", contents=tuple(pieces)), "root")
        if number < 2:
            round_ = step.commit()
    whole = step.join("content", pieces)
    step.put(Entry("film", "", "file", "film", contents=(whole,)), "root")
    close(step.commit(complete=True))

    assert whole.listed
    assert b"".join(repo.read(whole)) == b"".join(data)
    assert repo.verify(read_data=True).clean
    blobs = {row.name: store.read(row.name) for row in store.list("")}
    assert findings(blobs, WORDS) == set()
    reader = opened(blobs, WORDS)
    assert b"".join(reader.content(json.loads(dumps(whole.to_json())))) == b"".join(data)
