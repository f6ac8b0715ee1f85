"""Boxes that moved are read where they lie now; the last place that has one is never let go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vault.faults import Passing
from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.test_late_collectors import KEPT, finish, moved, sparse, until, working
from tests.vault.world import CHAIN, close, new_vault, open_vault
from vault import Entry, Location, Missing, Reference, Store, VaultDamaged
from vault.box import blob_name
from vault.entry import Place, text_of
from vault.forward import PREFIX as FORWARDS
from vault.forward import Forward, get_forward, name_of, pack_of, put_forward
from vault.gc_log import SWEPT
from vault.stores.memory import MemoryStore

OLD, NEW, THIRD = (text_of(bytes([number] * 32)) for number in range(3))


def test_a_forward_is_read_as_it_was_written_and_never_changes() -> None:
    repo = new_vault(store := MemoryStore())
    written = Forward(OLD, {0: Location(NEW, 3, 96, 40), 12: Location(NEW, 0, 136, 7)})
    assert put_forward(store, repo._ring, written)
    assert not put_forward(store, repo._ring, Forward(OLD, {0: Location(THIRD, 0, 96, 40)}))
    assert get_forward(store, repo._ring, OLD) == written
    assert get_forward(store, repo._ring, NEW) is None


def test_a_forward_under_another_packs_name_is_damage() -> None:
    repo = new_vault(store := MemoryStore())
    put_forward(store, repo._ring, Forward(OLD, {}))
    store.put_new(name_of(NEW), store.read(name_of(OLD)))
    with pytest.raises(VaultDamaged):
        get_forward(store, repo._ring, NEW)


class Measured(Passing):
    """Notes what is read of packs, in bytes."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().read(name, offset, length)
        if name.startswith("p/"):
            self.bytes_read = getattr(self, "bytes_read", 0) + len(data)
        return data


def moved_and_old() -> tuple[Vault, str, str]:
    """A vault after a compaction; the names of the old pack and of the one its boxes went to."""
    vault = moved()
    (old,) = (blob_name(pack_of(name)) for name in vault.names(FORWARDS))
    (new,) = vault.packs() - {old}
    return vault, old, new


def gone_for_good() -> Vault:
    """A vault whose old pack was collected."""
    vault = moved()
    for _ in range(2):
        vault.wait()
        vault.cycle(confirmed=True)
    return vault


def test_of_a_moved_box_the_box_alone_is_read() -> None:
    vault = gone_for_good()
    measured = Measured(vault.store)
    repo = open_vault(measured, vault.clock, vault.index)
    entry = repo.catalog(repo.snapshot(CHAIN, 2)).get("m80")
    assert entry is not None
    measured.bytes_read = 0
    assert b"".join(repo.read(entry.contents[0])) == KEPT["m80"]
    assert 100_000 < measured.bytes_read < 101_000


def test_forwards_in_a_circle_stop_a_cycle_and_are_damage() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    repo = vault.opened()
    (entry,) = repo.catalog(repo.snapshot(CHAIN, 1)).items()
    here = entry.contents[0].refs[0].place.location
    put_forward(vault.store, repo._ring, Forward(here.pack, {here.box: here}))
    assert [code for _, code in vault.cycle().damage] == ["vault-damaged"]


def test_while_the_new_pack_is_lost_the_old_one_is_needed() -> None:
    vault, old, new = moved_and_old()
    vault.store.delete(new)
    for _ in range(3):
        vault.wait()
        assert vault.cycle(confirmed=True).packs == {"needed": 1}
    assert vault.packs() == {old}
    assert vault.content_of(2) == KEPT
    assert vault.is_clean()


def test_an_old_pack_that_is_found_again_when_its_new_one_is_gone_is_needed() -> None:
    vault, old, new = moved_and_old()
    rows = dict(vault.index._rows)
    vault.back_up({}, gone=tuple(KEPT))
    vault.wait()
    assert vault.cycle(2, confirmed=True).packs == {"condemned": 2}
    vault.index.remember(rows)  # a rebuild that was slow: they name the old pack
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "found-again": 1}
    assert vault.packs() == {old}, new
    vault.back_up({"again": large(90)})
    for _ in range(3):
        vault.cycle(confirmed=True)
        vault.wait()
    assert vault.content_of(4) == {"again": large(90)}
    assert vault.is_clean()


def test_who_found_a_box_that_was_not_moved_keeps_the_old_pack() -> None:
    """He looked it up before the old pack was condemned, and commits when the rows are gone."""
    vault = sparse()
    step = vault.opened().round("drive/late", 1).step()
    found = step.add("content", large(3))  # of the restore point that expires
    step._packer.settle()
    assert vault.cycle(1, confirmed=True).packs_compacted == 1
    (old,) = (blob_name(pack_of(name)) for name in vault.names(FORWARDS))
    step.put(Entry("f", "", "file", "f", contents=(found,)), "root")
    step.link("root", "end", finished=True)
    close(step.commit(complete=True))
    assert found.refs[0].place.location.pack == pack_of(old)
    for _ in range(3):
        vault.wait()
        vault.cycle(confirmed=True)
    assert old in vault.packs()
    assert vault.content_of(1, "drive/late") == {"f": large(3)}
    assert vault.content_of(2) == KEPT
    assert vault.is_clean()


class Overtaken(Passing):
    """Somebody else does something right before the first pack is stored."""

    def __init__(self, store: Store, other: Callable[[], object]) -> None:
        super().__init__(store)
        self._other = [other]

    def put_new(self, name: str, data: bytes) -> bool:
        if name.startswith("p/") and self._other:
            self._other.pop()()
        return super().put_new(name, data)


def test_of_two_compactions_at_once_one_forward_counts_and_the_rest_is_garbage() -> None:
    vault = sparse()
    history = until(SWEPT, vault, 1)
    twin = vault.opened().collector()
    store = Overtaken(vault.store, lambda: twin._piece(history, FOREVER))
    working(vault, store)._piece(history, FOREVER)
    assert (len(vault.packs()), len(vault.names(FORWARDS))) == (3, 1)
    finish(vault)
    for _ in range(3):
        vault.wait()
        vault.cycle(confirmed=True)
    assert len(vault.packs()) == 1
    assert vault.content_of(2) == KEPT
    assert vault.is_clean()


def test_a_moved_box_keeps_its_place_in_what_refers_to_it() -> None:
    """References are never rewritten: the same one is good before, between and after."""
    vault = sparse()
    repo = vault.opened()
    entry = repo.catalog(repo.snapshot(CHAIN, 2)).get("m99")
    assert entry is not None
    reference = entry.contents[0].refs[0]
    for expiring in ((1,), (), ()):
        vault.cycle(*expiring, confirmed=True)
        assert vault.opened()._bench.reader.chunk(reference) == KEPT["m99"]
        vault.wait()
    assert blob_name(reference.place.location.pack) not in vault.packs()


def test_a_box_that_was_not_moved_is_missing_from_the_pack_that_is_asked_for() -> None:
    vault = gone_for_good()
    (old,) = (pack_of(name) for name in vault.names(FORWARDS))
    nowhere = Reference(bytes(32), Place(Location(old, 10_000, 96, 40)), 0, 1)
    with pytest.raises(Missing) as missing:
        vault.opened()._bench.reader.chunk(nowhere)
    assert missing.value.details["name"] == blob_name(old)
