"""What no restore point needs goes away, in two phases; everything else stays, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.vault.faults import dies_at_every_call
from tests.vault.world import (
    CHAIN,
    StillClock,
    close,
    new_vault,
    noise,
    open_vault,
)
from vault import (
    Content,
    Entry,
    MemoryChunkIndex,
    Repository,
    RoundLost,
    Step,
    StepTooOld,
    Store,
)
from vault.collect import Asked, Report
from vault.config import WAIT_S
from vault.problems import StoreImmutable
from vault.stores.memory import MemoryStore

DAY = timedelta(days=1)
WAIT = timedelta(seconds=WAIT_S + 60)
FOREVER = lambda: True  # noqa: E731 - a budget that never ends


@dataclass
class Vault:
    """A vault with a clock, an index and a store of its own, opened anew for every use."""

    clock: StillClock = field(default_factory=StillClock)
    index: MemoryChunkIndex = field(default_factory=MemoryChunkIndex)
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        new_vault(self.store, self.clock, self.index)

    def opened(self) -> Repository:
        return open_vault(self.store, self.clock, self.index)

    def back_up(
        self, items: dict[str, bytes], gone: tuple[str, ...] = (), chain: str = CHAIN
    ) -> int:
        """The next restore point with these items put and those removed; its number."""
        repo = self.opened()
        number = len(repo.numbers(chain)) and repo.numbers(chain)[-1]
        step = repo.round(chain, number + 1).step()
        for id_, data in items.items():
            step.put(entry(step, id_, data), "root")
        for id_ in gone:
            step.remove(id_)
        step.link("root", f"link-{number + 1}", finished=True)
        return close(step.commit(complete=True)).number

    def cycle(self, *expiring: int, chain: str = CHAIN, **asked: Any) -> Report:
        """A whole cycle in one go."""
        collector = self.opened().collector()
        assert collector.begin([(chain, number) for number in expiring], Asked(**asked))
        assert not collector.slice(FOREVER)
        report = collector.report()
        assert report is not None
        return report

    def wait(self, how_long: timedelta = WAIT) -> None:
        self.clock.moment += how_long

    def wait_days(self, days: int) -> None:
        self.clock.moment += days * DAY

    def packs(self) -> set[str]:
        return {listed.name for listed in self.store.list("p/")}

    def names(self, prefix: str) -> list[str]:
        return [listed.name for listed in self.store.list(prefix)]

    def content_of(self, number: int, chain: str = CHAIN) -> dict[str, bytes]:
        repo = self.opened()
        catalog = repo.catalog(repo.snapshot(chain, number))
        return {
            one.id: b"".join(repo.read(one.contents[0])) for one in catalog.items() if one.contents
        }

    def is_clean(self) -> bool:
        report = self.opened().verify(read_data=True)
        assert report.problems == []
        return True


def entry(step: Step, id_: str, data: bytes) -> Entry:
    return Entry(id_, "inbox", "message", id_, contents=(step.add("mime", data),))


def large(seed: int) -> bytes:
    return noise(seed, 100_000)


@pytest.fixture
def vault() -> Vault:
    return Vault()


def test_a_pack_that_an_expired_restore_point_alone_needed_goes_two_cycles_later(
    vault: Vault,
) -> None:
    vault.back_up({"a": large(1)})
    first = vault.packs()
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    report = vault.cycle(1, confirmed=True)
    assert (report.snapshots_expired, report.packs) == (1, {"condemned": 1, "needed": 1})
    assert first <= vault.packs()
    vault.wait(timedelta(hours=1))
    assert vault.cycle(confirmed=True).packs == {"waits": 1, "needed": 1}
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "needed": 1}
    assert not first & vault.packs()
    assert vault.content_of(2) == {"b": large(2)}


def test_an_expired_restore_point_leaves_a_tombstone_and_no_page(vault: Vault) -> None:
    for number in range(1, 7):
        vault.back_up({f"m{number}": large(number)})
    vault.cycle(2, 3)
    vault.cycle(4)
    assert vault.opened().numbers(CHAIN) == [1, 5, 6]
    assert [name.split("/")[2][-1] for name in vault.names("m/")] == ["1", "5", "6"]
    (rows,) = vault.opened().collector().history().tombstones.values()
    assert [(row.first, row.last) for row in rows] == [(2, 4)]
    assert vault.is_clean()
    assert len(vault.content_of(6)) == 6


def test_the_newest_restore_point_and_the_newest_good_one_never_expire(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    vault.opened().void(CHAIN, 2)
    report = vault.cycle(1, 2)
    assert report.snapshots_expired == 0
    assert vault.opened().numbers(CHAIN) == [1, 2]


def test_garbage_of_a_step_that_died_goes_and_a_young_pack_stays(vault: Vault) -> None:
    vault.back_up({"keep": large(9)})
    step = vault.opened().round(CHAIN, 2).step()
    for number in range(200):
        step.put(entry(step, f"m{number}", large(number)), "root")
    step._packer._land()  # a full pack is stored beside the work
    orphans = vault.packs()
    assert len(orphans) == 2
    assert vault.cycle(confirmed=True).packs == {"too-young": 1, "needed": 1}
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"condemned": 1, "needed": 1}
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "needed": 1}
    assert vault.content_of(1) == {"keep": large(9)}


def test_pages_of_a_round_under_way_keep_their_packs(vault: Vault) -> None:
    repo = vault.opened()
    step = repo.round(CHAIN, 1).step()
    step.put(entry(step, "a", large(1)), "root")
    round_ = step.commit()
    for _ in range(3):
        vault.wait(3 * DAY)
        assert vault.cycle(confirmed=True).packs == {"needed": 1}
    step = repo.round(CHAIN, 1).step()
    assert step._round.pages == round_.pages == 1
    step.link("root", "end", finished=True)
    close(step.commit(complete=True))
    assert vault.content_of(1) == {"a": large(1)}


def test_a_round_that_nobody_goes_on_with_is_given_up_after_two_weeks(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    step = vault.opened().round(CHAIN, 2).step()
    step.put(entry(step, "b", large(2)), "root")
    step.commit()
    vault.wait(15 * DAY)
    assert vault.cycle(confirmed=True).rounds_given_up == 1
    assert vault.opened().snapshot(CHAIN, 2).status == "void"
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "needed": 1}
    assert len(vault.names("m/")) == 1
    assert vault.back_up({"c": large(3)}) == 3
    assert vault.content_of(3) == {"a": large(1), "c": large(3)}


def test_a_condemned_pack_that_is_needed_again_is_resurrected(vault: Vault) -> None:
    late = vault.opened().round("drive/late", 1).step()
    shared = large(5)
    vault.back_up({"a": shared})
    found = late.add("content", shared)
    late._packer.settle()  # looked up before the pack is condemned
    vault.back_up({}, gone=("a",))
    vault.wait()
    vault.clock.moment -= timedelta(hours=1)
    late = vault.opened().round("drive/late", 1).step()
    found = late.add("content", shared)
    late._packer.settle()
    vault.clock.moment += timedelta(hours=1)
    assert vault.cycle(1, confirmed=True).packs["condemned"] == 1
    late.put(Entry("f", "", "file", "f", contents=(found,)), "root")
    late.link("root", "end", finished=True)
    close(late.commit(complete=True))
    vault.wait()
    assert vault.cycle(confirmed=True).packs.get("needed-again") == 1
    vault.wait()
    assert "deleted" not in vault.cycle(confirmed=True).packs
    assert vault.content_of(1, "drive/late") == {"f": shared}


def test_a_condemned_pack_is_found_by_nobody(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    vault.back_up({}, gone=("a",))
    vault.wait()
    vault.cycle(1, confirmed=True)
    before = vault.packs()
    vault.back_up({"again": large(1)})
    assert len(vault.packs() - before) == 1
    for _ in range(2):
        vault.wait()
        vault.cycle(confirmed=True)
    assert vault.content_of(3) == {"again": large(1)}


def test_a_row_that_came_back_starts_the_wait_anew(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    rows = dict(vault.index._rows)
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    vault.cycle(1, confirmed=True)
    vault.index.remember(rows)  # a writer that slept, or a rebuild of the tables
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"found-again": 1, "needed": 1}
    assert vault.cycle(confirmed=True).packs == {"condemned": 1, "needed": 1}
    assert vault.index.find(rows) == {}
    vault.wait(timedelta(hours=1))
    assert vault.cycle(confirmed=True).packs == {"waits": 1, "needed": 1}
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "needed": 1}


@pytest.mark.parametrize(
    "disease", ["missing node", "unreadable snapshot", "gap", "unreadable page of an open round"]
)
def test_damage_means_that_nothing_is_removed(vault: Vault, disease: str) -> None:
    for number in range(1, 4):
        vault.back_up({f"{number}-{n}": noise(n, 90) for n in range(400)})
    vault.back_up({"x": large(99)}, gone=tuple(f"1-{n}" for n in range(400)))
    if disease == "missing node":
        vault.store.delete(vault.names("p/")[0])
    elif disease == "unreadable snapshot":
        name = vault.names("s/")[1]
        vault.store.delete(name)
        vault.store.put_new(name, b"not a snapshot")
    elif disease == "gap":
        vault.store.delete(vault.names("s/")[1])
    else:
        step = vault.opened().round(CHAIN, 5).step()
        step.put(entry(step, "y", large(98)), "root")
        step.commit()
        name = vault.names("m/")[-1]
        vault.store.delete(name)
        vault.store.put_new(name, b"not a page")
    before = vault.packs()
    for _ in range(3):
        vault.wait()
        report = vault.cycle(confirmed=True)
        assert report.damage
        assert report.packs == {}
    assert vault.packs() == before


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    before = [row for row in vault.store.list("") if not row.name.startswith("gc/")]
    rows = dict(vault.index._rows)
    said = vault.cycle(1, confirmed=True, dry_run=True)
    assert [row for row in vault.store.list("") if not row.name.startswith("gc/")] == before
    assert vault.index._rows == rows
    done = vault.cycle(1, confirmed=True)
    assert (said.packs, said.bytes) == (done.packs, done.bytes)
    assert said.snapshots_expired == done.snapshots_expired == 1


def test_a_cycle_deletes_no_more_than_its_share(vault: Vault) -> None:
    for number in range(20):
        vault.back_up({"a": large(number)})
    vault.wait()
    vault.cycle(*range(1, 20))
    assert len(vault.packs()) == 20
    vault.wait()
    report = vault.cycle(share_max=0.2)
    assert report.packs["deleted"] == 4
    assert report.packs["over-the-share"] == 15
    assert vault.cycle(confirmed=True).packs == {"deleted": 15, "needed": 1}


class Immutable(MemoryStore):
    """A container with an immutability policy."""

    refuses = True

    def delete(self, name: str) -> None:
        if self.refuses:
            raise StoreImmutable("The blob is protected.", name=name)
        super().delete(name)


def test_what_an_immutable_container_keeps_is_for_later() -> None:
    vault = Vault()
    store = Immutable(vault.clock)
    vault.store = store
    new_vault(store, vault.clock, vault.index)
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(2)}, gone=("a",))
    for _ in range(3):
        vault.wait()
        report = vault.cycle(1, confirmed=True)
        assert (report.snapshots_refused, report.packs) == (1, {"needed": 2})
        assert vault.content_of(1) == {"a": large(1)}
        assert vault.is_clean()
    store.refuses = False
    vault.wait()
    assert vault.cycle(1, confirmed=True).packs == {"condemned": 1, "needed": 1}
    store.refuses = True
    vault.wait()
    assert vault.cycle(confirmed=True).packs == {"refused-by-the-store": 1, "needed": 1}
    store.refuses = False
    assert vault.cycle(confirmed=True).packs == {"deleted": 1, "needed": 1}
    assert vault.is_clean()


def test_the_wait_goes_by_the_stores_clock_whatever_the_collectors_says(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    vault.back_up({"b": large(2)}, gone=("a",))
    vault.wait()
    wrong = StillClock(vault.clock.moment + 400 * DAY)

    def cycle(*expiring: int) -> dict[str, int]:
        collector = open_vault(vault.store, wrong, vault.index).collector()
        collector.begin([(CHAIN, number) for number in expiring], Asked(confirmed=True))
        collector.slice(FOREVER)
        report = collector.report()
        assert report is not None
        return report.packs

    assert cycle(1) == {"condemned": 1, "needed": 1}
    wrong.moment += 400 * DAY
    assert cycle() == {"waits": 1, "needed": 1}


def test_a_cycle_in_the_smallest_pieces_does_what_one_in_one_piece_does() -> None:
    reports = []
    for more in (FOREVER, lambda: False):
        vault = Vault()
        for chain in ("mail/a", "mail/b", "drive/c"):
            for number in range(4):
                vault.back_up({"x": large(number), "y": large(10 + number)}, chain=chain)
        for expiring in ([("mail/a", 1), ("mail/a", 2), ("drive/c", 3)], [], []):
            vault.wait()
            slices = 0
            collector = vault.opened().collector()
            collector.begin(expiring, Asked(confirmed=True))
            while vault.opened().collector().slice(more):
                slices += 1
            report = collector.report()
            assert report is not None
            reports.append(replace(report, bytes={}))  # random ids compress by chance
        assert slices == 0 if more is FOREVER else slices > 8
        assert vault.is_clean()
    assert reports[:3] == reports[3:]


def test_of_two_collectors_one_goes_on_and_both_agree(vault: Vault) -> None:
    for number in range(6):
        vault.back_up({"a": large(number)})
    vault.wait()
    one, two = vault.opened().collector(), vault.opened().collector()
    assert one.begin([(CHAIN, n) for n in range(1, 6)], Asked(confirmed=True))
    assert not two.begin([], Asked())
    stale = two.history()
    while one.slice(lambda: False):
        assert two._piece(stale, FOREVER) is None  # it works on what it knew, and loses the race
        two.slice(lambda: False)
        stale = two.history()
    report = two.report()
    assert report is not None
    assert (report.snapshots_expired, report.packs) == (5, {"condemned": 5, "needed": 1})


@pytest.mark.parametrize("arrives", [True, False], ids=["written", "lost"])
def test_a_power_cut_at_any_call_of_a_cycle_loses_nothing_and_the_next_one_finishes(
    arrives: bool,
) -> None:
    def start() -> Vault:
        vault = Vault()
        for number in range(4):
            vault.back_up({"a": large(number), "keep": large(50)})
        vault.wait()
        vault.cycle(1, confirmed=True)
        vault.wait()
        return vault

    def story(vault: Vault, store: Store) -> None:
        """Ends the cycle under way, then a cycle that deletes one pack and condemns another."""
        collector = open_vault(store, vault.clock, vault.index).collector()
        while collector.slice(FOREVER):
            continue
        collector.begin([(CHAIN, 2)], Asked(confirmed=True))
        while collector.slice(FOREVER):
            continue

    def check(vault: Vault) -> None:
        for _ in range(2):
            vault.wait()
            vault.cycle(confirmed=True)
        assert len(vault.packs()) == 3  # the first one holds what all of them keep
        assert vault.content_of(4) == {"a": large(3), "keep": large(50)}
        assert vault.content_of(3) == {"a": large(2), "keep": large(50)}

    dies_at_every_call(start, story, check, 30, arrives)


def test_a_step_that_slept_through_a_deletion_commits_nothing(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    vault.back_up({}, gone=("a",))
    step = vault.opened().round("drive/late", 1).step()
    found: Content = step.add("content", large(1))
    step._packer.settle()
    for _ in range(3):
        vault.wait()
        vault.cycle(1, confirmed=True)
    step.put(Entry("f", "", "file", "f", contents=(found,)), "root")
    with pytest.raises(StepTooOld):
        step.commit(complete=True)
    assert vault.is_clean()


def test_a_finaliser_that_slept_until_its_restore_point_expired_brings_nothing_back(
    vault: Vault,
) -> None:
    step = vault.opened().round(CHAIN, 1).step()
    step.put(entry(step, "a", large(1)), "root")
    step.link("root", "link", finished=True)
    round_ = step.commit(complete=True)
    sleeper, early_riser = round_.reopened(), round_.reopened()
    closed = close(round_)
    vault.back_up({"b": large(2)}, gone=("a",))
    assert early_riser.close(by="backup-1") == closed  # not expired yet: it adopts
    for _ in range(3):
        vault.wait()
        vault.cycle(1, confirmed=True)
    with pytest.raises(RoundLost):
        sleeper.close(by="backup-1")
    assert len(vault.names("s/")) == 1
    assert vault.is_clean()


def test_an_unneeded_pack_that_cannot_be_read_is_left_for_a_person(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    (name,) = vault.packs()
    vault.back_up({"b": large(2)}, gone=("a",))
    data = bytearray(vault.store.read(name))
    data[-60] ^= 1
    vault.store.delete(name)
    vault.store.put_new(name, bytes(data))
    vault.wait()
    assert vault.cycle(1, confirmed=True).packs == {"unreadable": 1, "needed": 1}


def test_the_log_keeps_the_newest_cycle_only_and_its_records_name_no_chain(vault: Vault) -> None:
    vault.back_up({"a": large(1)})
    for _ in range(3):
        vault.cycle()
    names = vault.names("gc/")
    assert len(names) == 6
    assert names[0] == "gc/0000000013"
    history = vault.opened().collector().history()
    assert [record.kind for record in history.records] == [
        "begin", "expired", "marked", "swept", "compacted", "ended",
    ]  # fmt: skip
    assert CHAIN not in str(history.records)
