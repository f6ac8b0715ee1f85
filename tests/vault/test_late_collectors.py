"""A collector that slept, or could not read something for days, does no harm with what it knew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.vault.faults import Passing
from tests.vault.test_collect import FOREVER, Vault, large
from tests.vault.test_compact import WEEK_AND_MORE
from tests.vault.world import CHAIN, StillClock, open_vault
from vault import Entry, Listed, Store
from vault.box import blob_name
from vault.collect import Asked, Collector
from vault.forward import PREFIX as FORWARDS
from vault.forward import pack_of
from vault.gc_log import MARKED, SWEPT, History
from vault.problems import StoreProblem

LONG = timedelta(days=5)  # any sleep longer than t_max_s will do


class Unreachable(Passing):
    """One blob cannot be read for now."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(store)
        self._name = name

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name == self._name:
            raise StoreProblem("Try later.")
        return super().read(name, offset, length)


class Sleepy(Passing):
    """Whoever uses it falls asleep, once, after a write or a listing that begins like this."""

    def __init__(
        self, store: Store, clock: StillClock, written: str = "", listed: str = ""
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._written, self._listed = written, listed
        self.slept = False

    def put_new(self, name: str, data: bytes) -> bool:
        created = super().put_new(name, data)
        self._sleep(bool(self._written) and name.startswith(self._written))
        return created

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        found = list(super().list(prefix, after))
        self._sleep(bool(self._listed) and prefix.startswith(self._listed))
        return iter(found)

    def _sleep(self, here: bool) -> None:
        if here and not self.slept:
            self.slept = True
            self._clock.moment += LONG


KEPT = {f"m{n}": large(n) for n in range(80, 100)}


def sparse() -> Vault:
    """A vault with a pack of which a fifth is needed, once the first restore point is gone."""
    vault = Vault()
    vault.back_up({f"m{n}": large(n) for n in range(100)})
    vault.back_up({}, gone=tuple(f"m{n}" for n in range(80)))
    vault.wait_days(WEEK_AND_MORE)
    return vault


def moved() -> Vault:
    """The same when a compaction has moved what is needed; rows still name the old pack."""
    vault = sparse()
    assert vault.cycle(1, confirmed=True).packs_compacted == 1
    return vault


def until(kind: str, vault: Vault, *expiring: int) -> History:
    """A cycle up to its first record of a kind."""
    collector = vault.opened().collector()
    assert collector.begin([(CHAIN, number) for number in expiring], Asked(confirmed=True))
    while collector.history().records[-1].kind != kind:
        collector.slice(lambda: False)
    return collector.history()


def finish(vault: Vault) -> None:
    while vault.opened().collector().slice(FOREVER):
        continue


def working(vault: Vault, store: Store) -> Collector:
    return open_vault(store, vault.clock, vault.index).collector()


def test_no_row_is_made_for_a_moved_box_whose_new_pack_is_gone() -> None:
    vault = moved()
    vault.back_up({}, gone=tuple(KEPT))
    (old,) = (blob_name(pack_of(name)) for name in vault.names(FORWARDS))
    store, vault.store = vault.store, Unreachable(vault.store, old)  # type: ignore[assignment]
    for expected in ("condemned", "deleted"):
        vault.wait()
        assert vault.cycle(2, confirmed=True).packs == {expected: 1, "unreadable": 1}
    vault.store = store
    assert vault.cycle(confirmed=True).packs == {"condemned": 1}
    assert vault.index._rows == {}
    vault.back_up({"again": large(90)})
    assert vault.content_of(4) == {"again": large(90)}


def test_a_collector_that_slept_makes_no_row_for_a_moved_box() -> None:
    vault = moved()
    vault.wait()
    history = until(MARKED, vault)
    sleepy = Sleepy(vault.store, vault.clock, listed="gc/")
    working(vault, sleepy)._piece(history, FOREVER)
    assert sleepy.slept
    assert vault.index._rows == {}
    assert vault.content_of(2) == KEPT


def test_a_compaction_that_slept_after_its_new_pack_writes_no_forward_to_it() -> None:
    vault = sparse()
    history = until(SWEPT, vault, 1)
    sleepy = Sleepy(vault.store, vault.clock, written="p/")
    working(vault, sleepy)._piece(history, FOREVER)
    assert sleepy.slept
    assert vault.names(FORWARDS) == []
    finish(vault)
    for _ in range(3):
        vault.wait()
        vault.cycle(confirmed=True)
    assert vault.content_of(2) == KEPT
    assert vault.is_clean()


def test_a_collector_that_slept_through_whole_cycles_deletes_nothing_by_its_old_mark() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    rows = dict(vault.index._rows)
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    vault.cycle(1, confirmed=True)
    vault.index.remember(rows)  # a rebuild that was slow
    vault.wait()
    known = until(MARKED, vault)  # somebody would delete the first pack by this, and falls asleep
    vault.back_up({"again": large(1)})  # found by the row that came back
    finish(vault)
    vault.wait()
    vault.cycle(confirmed=True)
    vault.index._rows.clear()
    assert vault.opened().collector()._piece(known, FOREVER) is None
    assert vault.content_of(3) == {"b": large(2), "again": large(1)}
    assert vault.is_clean()
    vault.wait()
    vault.cycle(confirmed=True)  # what it wrote into the log is in nobody's way
    assert vault.is_clean()


def test_an_abandoned_round_that_cannot_be_read_is_damage_and_ends_the_cycle() -> None:
    vault = Vault()
    vault.back_up({"a": large(1)})
    step = vault.opened().round(CHAIN, 2).step()
    step.put(Entry("b", "", "x", "b"), "root")
    step.link("root", "more")
    step.commit(complete=False)
    (name,) = (name for name in vault.names("m/") if "/0000000002/" in name)
    vault.store.delete(name)
    vault.store.put_new(name, b"not a page")
    vault.wait_days(15)
    report = vault.cycle(confirmed=True)
    assert (report.rounds_given_up, report.packs) == (0, {})
    assert [where for where, _ in report.damage] == [name]


@pytest.mark.parametrize("chain", [CHAIN, "drive/other"])
def test_a_chain_whose_newest_restore_point_is_damaged_expires_nothing(chain: str) -> None:
    vault = Vault()
    for one in (CHAIN, "drive/other"):
        for number in range(3):
            vault.back_up({"a": large(number)}, chain=one)
    name = vault.names(f"s/{vault.opened()._ring.chain_hash(CHAIN)}/")[-1]
    vault.store.delete(name)
    vault.store.put_new(name, b"not a restore point")
    report = vault.cycle(1, chain=chain, confirmed=True)
    assert (report.snapshots_expired, report.packs) == (int(chain != CHAIN), {})
    assert [where for where, _ in report.damage] == [name]
