"""Damaged and half-copied vaults, named after their disease: typed problems, the rest readable."""

from __future__ import annotations

import pytest

from tests.vault.world import (
    CHAIN,
    DamagedStore,
    StillClock,
    close,
    folder,
    message,
    new_vault,
    noise,
    open_vault,
)
from vault import Entry, Missing, VaultDamaged, VerifyReport
from vault.stores.memory import MemoryStore

OTHER = "drive/drive:2"


@pytest.fixture(scope="module")
def healthy() -> DamagedStore:
    """Two chains, three snapshots each, one page per snapshot, an open round, a record."""
    store = MemoryStore(StillClock())
    repo = new_vault(store)
    for chain in (CHAIN, OTHER):
        for number in (1, 2, 3):
            step = repo.round(chain, number).step()
            step.put(folder("inbox"), "folders")
            for item in range(300):
                seed = len(chain) * 10_000 + number * 1000 + item
                content = step.add("mime", noise(seed, 300 + item))
                id_ = f"{number}-{item}"
                step.put(Entry(id_, "inbox", "message", id_, contents=(content,)), "inbox")
            large = step.add("content", noise(number, 80_000))
            step.put(Entry(f"large-{number}", "inbox", "file", "x", contents=(large,)), "inbox")
            step.link("inbox", f"link-{number}", finished=True)
            close(step.commit(complete=True))
    step = repo.round(CHAIN, 4).step()
    step.put(message("open"), "inbox")
    step.commit()
    repo.put_record("plan/1", {"a": 1})
    return DamagedStore(store)


@pytest.fixture
def sick(healthy: DamagedStore) -> DamagedStore:
    copy = DamagedStore(MemoryStore())
    copy.blobs = dict(healthy.blobs)
    return copy


def names(store: DamagedStore, prefix: str) -> list[str]:
    return sorted(name for name in store.blobs if name.startswith(prefix))


def diagnosed(store: DamagedStore, read_data: bool = True) -> VerifyReport:
    report = open_vault(store.copied()).verify(read_data=read_data)
    assert not report.clean
    return report


def diseases(report: VerifyReport) -> set[tuple[str, str]]:
    return {(finding.code, finding.name) for finding in report.problems}


def named(report: VerifyReport) -> set[str]:
    return {finding.name for finding in report.problems}


def test_a_healthy_vault_is_clean_and_counted(sick: DamagedStore) -> None:
    report = open_vault(sick.copied()).verify(read_data=True)
    assert report.problems == []
    assert report.counts["chains"] == 2
    assert report.counts["snapshots"] == 6
    assert report.counts["pages"] == 7
    assert report.counts["open_pages"] == 1
    assert report.counts["packs"] == report.counts["packs_read"] == 6
    assert report.counts["records"] == 1


def test_a_share_of_the_packs_is_read(sick: DamagedStore) -> None:
    report = open_vault(sick.copied()).verify(read_data=0.5)
    assert report.counts["packs_read"] == 3
    assert open_vault(sick.copied()).verify().counts["packs_read"] == 0


def test_every_flipped_bit_of_every_object_is_found(sick: DamagedStore) -> None:
    newest = {prefix: names(sick, prefix)[-1] for prefix in ("p/", "m/", "s/", "r/")}
    for name in newest.values():
        size = len(sick.blobs[name])
        for at in (0, 9, 13, 40, size // 2, size - 20, size - 1):
            spoiled = DamagedStore(MemoryStore())
            spoiled.blobs = dict(sick.blobs)
            spoiled.spoil(name, at)
            assert name in named(diagnosed(spoiled)), (name, at)


def test_missing_pack(sick: DamagedStore) -> None:
    lost = names(sick, "p/")[2]
    del sick.blobs[lost]
    report = diagnosed(sick, read_data=False)
    (finding,) = [one for one in report.problems if one.name == lost]  # once, for all its items
    assert (finding.code, finding.effect, finding.level) == ("pack-missing", "lost", 1)
    others = {one.code for one in report.problems if one.name != lost}
    assert others <= {"catalog-damaged"}
    assert finding.items >= 300 or others  # where the list of them lay there too, nobody can tell
    assert "fetches" in finding.repair


def test_half_copied_pack(sick: DamagedStore) -> None:
    cut = names(sick, "p/")[0]
    sick.blobs[cut] = sick.blobs[cut][: len(sick.blobs[cut]) // 2]
    assert cut in named(diagnosed(sick, read_data=False))


def test_missing_page(sick: DamagedStore) -> None:
    lost = names(sick, "m/")[1]
    del sick.blobs[lost]
    report = diagnosed(sick)
    assert diseases(report) == {("page-missing", lost)}
    assert report.problems[0].effect == "unproved"


def test_missing_snapshot_in_the_middle(sick: DamagedStore) -> None:
    lost = names(sick, "s/")[1]
    del sick.blobs[lost]
    report = diagnosed(sick)
    assert diseases(report) == {("snapshot-missing", lost)}
    assert report.counts["chains"] == 2


def test_swapped_snapshots(sick: DamagedStore) -> None:
    one, two = names(sick, "s/")[:2]
    sick.blobs[one], sick.blobs[two] = sick.blobs[two], sick.blobs[one]
    assert {one, two} <= named(diagnosed(sick))


def test_swapped_packs(sick: DamagedStore) -> None:
    one, two = names(sick, "p/")[:2]
    sick.blobs[one], sick.blobs[two] = sick.blobs[two], sick.blobs[one]
    assert {one, two} <= named(diagnosed(sick))


def test_damaged_record(sick: DamagedStore) -> None:
    sick.spoil("r/plan/1")
    assert diseases(diagnosed(sick)) == {("record-damaged", "r/plan/1")}


def test_everything_gone_but_the_keys_is_an_empty_vault(sick: DamagedStore) -> None:
    sick.blobs = {n: d for n, d in sick.blobs.items() if n.startswith(("config/", "keys/"))}
    report = open_vault(sick.copied()).verify(read_data=True)
    assert report.clean
    assert report.counts["chains"] == 0


def test_one_damaged_pack_leaves_the_other_items_readable(sick: DamagedStore) -> None:
    healthy = open_vault(sick.copied())
    head = healthy.head(CHAIN)
    assert head is not None
    bad = healthy.catalog(head).get("2-7")
    assert bad is not None
    location = bad.contents[0].refs[0].place.location
    repo_store = DamagedStore(MemoryStore())
    repo_store.blobs = dict(sick.blobs)
    from vault.box import blob_name

    repo_store.spoil(blob_name(location.pack), location.at + 30)
    repo = open_vault(repo_store.copied())
    readable = broken = 0
    for entry in repo.catalog(head).items():
        for content in entry.contents:
            try:
                b"".join(repo.read(content))
                readable += 1
            except VaultDamaged:
                broken += 1
    assert broken == 300  # one group box
    assert readable == 603


def test_a_missing_pack_is_missing_to_a_reader(sick: DamagedStore) -> None:
    for name in names(sick, "p/"):
        del sick.blobs[name]
    repo = open_vault(sick.copied())
    head = repo.head(CHAIN)
    assert head is not None
    with pytest.raises((Missing, VaultDamaged)):
        list(repo.catalog(head).items())


def test_a_damaged_open_round_is_a_typed_problem(sick: DamagedStore) -> None:
    page = max(name for name in names(sick, "m/") if "/0000000004/" in name)
    sick.spoil(page)
    with pytest.raises(VaultDamaged):
        open_vault(sick.copied()).round(CHAIN, 4)


def test_a_bad_pack_is_caught_before_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer whose memory flips a bit between compression and upload."""
    import zstandard

    from vault import crypto

    class Flipping:
        def __init__(self) -> None:
            self.inner = zstandard.ZstdCompressor(level=3)

        def compress(self, data: bytes) -> bytes:
            packed = bytearray(self.inner.compress(data))
            packed[-1] ^= 1
            return bytes(packed)

    store = MemoryStore()
    step = new_vault(store).round(CHAIN, 1).step()
    content = step.add("mime", b"compressible " * 100)
    step.put(Entry("a", "", "message", "a", contents=(content,)), "inbox")
    monkeypatch.setattr(crypto._codecs, "compressor", Flipping())
    with pytest.raises(VaultDamaged):
        step.commit()
    monkeypatch.undo()
    assert list(store.list("p/")) == []
    assert list(store.list("m/")) == []


def test_a_damaged_restore_point_hides_no_other_one(sick: DamagedStore) -> None:
    sick.spoil(names(sick, "s/")[0])
    assert set(open_vault(sick.copied()).chains()) == {CHAIN, OTHER}
