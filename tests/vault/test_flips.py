"""A bit is flipped in every byte of every blob of a small vault: it is always found, and no wrong
byte is ever handed out, by the product or by the second reader.

No byte is exempt. config/0001 is bound by its hash in the key list. Of keys/NNNN the values are
bound, and what stands between them must be JSON in its one spelling (hex in small letters, base64
with its spare bits zero): all eight bits of each byte of these two are flipped.
"""

from __future__ import annotations

from typing import Any

import pytest

from base.errors import Problem
from tests.vault import golden, second_reader
from tests.vault.second_reader import reader
from tests.vault.world import CHAIN, StillClock, folder
from vault import Entry, PassphraseSlot, Repository
from vault.collect import Asked
from vault.entry import Location, text_of
from vault.forward import Forward, put_forward
from vault.stores.memory import MemoryStore

PASSPHRASE = "correct horse"
SLOT = PassphraseSlot(PASSPHRASE, n=2)
Blobs = dict[str, bytes]


def small_vault() -> Blobs:
    """Three restore points of which one expired and one is void, an open page, a record, sealed
    bytes, a forward, the collector's log: about seven thousand bytes.
    """
    clock = StillClock()
    store = MemoryStore(clock)
    repo = Repository.create(store, [SLOT, PassphraseSlot("spare", n=2)], clock)
    for number in (1, 2):
        step = repo.round(CHAIN, number).step()
        step.put(folder("inbox"), "root")
        small = step.add("raw", b"a few bytes %d" % number)
        large = step.add("mime", b"\r\n" * 40_000)
        step.put(Entry("a", "inbox", "message", "A", contents=(small, large)), "root")
        step.link("root", f"link-{number}", finished=True)
        step.commit(complete=True).close(by="run", about={"title": "A."})
    repo.void(CHAIN, 3)
    step = repo.round(CHAIN, 4).step()
    step.put(Entry("b", "inbox", "message", "B", contents=(step.add("raw", b"open"),)), "root")
    step.commit()
    repo.put_record("plan/1", {"a": 1})
    repo.put_sealed("export/1/part-0", b"part")
    gone = text_of(bytes(32))
    put_forward(store, repo.keys.ring, Forward(gone, {0: Location(gone, 0, 96, 40)}))
    collector = repo.collector()
    assert collector.begin([(CHAIN, 1)], Asked())
    assert collector.slice(lambda: False)  # its first piece: what expired is gone
    return {listed.name: store.read(listed.name) for listed in store.list("")}


@pytest.fixture(scope="module")
def blobs() -> Blobs:
    return small_vault()


@pytest.fixture(scope="module")
def truth(blobs: Blobs) -> dict[str, Any]:
    repo = golden.opened(blobs, SLOT)
    assert repo.verify(read_data=True).problems == []
    assert second_reader.findings(blobs, PASSPHRASE) == set()
    return golden.as_we_read(repo)


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_a_flip_of_any_byte_is_found_and_gives_no_wrong_byte(
    blobs: Blobs, truth: dict[str, Any]
) -> None:
    healthy = golden.opened(blobs, SLOT)
    flips = 0
    for name, data in blobs.items():
        if name.startswith(("config/", "keys/")):
            continue
        for at in range(len(data)):
            sick = {**blobs, name: flipped(data, at, at % 8)}
            store = golden.stored(sick)
            repo = Repository(store, healthy._bench.tools.config, healthy.keys, StillClock(), None)
            named = {finding.name for finding in repo.verify(read_data=True).problems}
            assert named & {name, "gc"}, (name, at)
            try:
                assert golden.as_we_read(repo) == truth, (name, at)
                assert repo.get_record("plan/1") == {"a": 1}
                assert repo.get_sealed("export/1/part-0") == b"part"
            except Problem:
                pass
            flips += 1
    assert flips == sum(map(len, blobs.values())) - sum(
        len(data) for name, data in blobs.items() if name.startswith(("config/", "keys/"))
    )
    print(f"{flips} flips, every one found")
    assert flips > 4_000


def test_the_second_reader_finds_a_flip_of_any_byte_too(blobs: Blobs) -> None:
    vault = second_reader.opened(blobs, PASSPHRASE)
    for name, data in blobs.items():
        if name.startswith(("config/", "keys/")):
            continue
        for at in range(len(data)):
            vault.blobs = second_reader.Held({**blobs, name: flipped(data, at, at % 8)})
            vault._groups.clear()
            check = reader.Verification(vault)
            check.run()
            assert name in {blob for _, blob in check.findings}, (name, at)


def test_a_vault_opens_with_no_flipped_bit_in_its_config_or_keys(blobs: Blobs) -> None:
    flips = 0
    for name in [name for name in blobs if name.startswith(("config/", "keys/"))]:
        for at in range(len(blobs[name])):
            for bit in range(8):
                sick = {**blobs, name: flipped(blobs[name], at, bit)}
                with pytest.raises(Problem):
                    golden.opened(sick, SLOT)
                with pytest.raises((reader.Damaged, reader.WrongKey)):
                    second_reader.opened(sick, PASSPHRASE)
                flips += 1
    print(f"{flips} flips, every one refused")
    assert flips == 8 * sum(
        len(data) for name, data in blobs.items() if name.startswith(("config/", "keys/"))
    )
