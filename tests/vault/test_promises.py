"""What docs/threat-model.md promises and no other test proves: swaps, truncations, rollbacks,
replays, grafts, and what names and sizes tell.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from pathlib import Path

import pytest

from base.errors import Problem
from tests import project
from tests.vault import golden, second_reader
from tests.vault.test_flips import PASSPHRASE, SLOT, Blobs, small_vault
from tests.vault.world import CHAIN, StillClock, close, folder, new_vault, noise, open_vault
from vault import Entry, PassphraseSlot, Repository, VaultDamaged
from vault.envelope import Kind, seal
from vault.stores.memory import MemoryStore
from vault.verify import Wanted

MODEL = project.ROOT / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")
WHO = "adele.vance@contoso.example"
CHAIN_OF_WHO = f"mail/mailbox:{WHO}"


@pytest.fixture(scope="module")
def blobs() -> Blobs:
    return small_vault()


# --- The document ---


def test_every_promise_names_tests_that_exist() -> None:
    text = MODEL.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| P")]
    assert len(rows) >= 15
    for row in rows:
        assert NAMED.search(row), row
    for path, name in NAMED.findall(text):
        assert f"def {name}(" in project.text(path), f"{path}::{name}"


# --- Swap, truncate, extend ---


@pytest.mark.parametrize("prefix", ["s/", "m/", "gc/", ""])
def test_two_objects_that_are_swapped_are_both_named(blobs: Blobs, prefix: str) -> None:
    """Of one kind, and at last of every two kinds."""
    names = sorted(name for name in blobs if name.startswith(prefix))
    names = [name for name in names if not name.startswith(("config/", "keys/"))]
    for one, two in itertools.combinations(names if prefix else names[::3], 2):
        swapped = {**blobs, one: blobs[two], two: blobs[one]}
        named = {one.name for one in golden.opened(swapped, SLOT).verify(read_data=True).problems}
        assert named & {one, two, "gc"}, (one, two)
        assert {name for _, name in second_reader.findings(swapped, PASSPHRASE)} & {one, two}


def test_swapped_config_and_keys_open_nothing(blobs: Blobs) -> None:
    swapped = {
        **blobs, "config/0001": blobs["keys/0001"], "keys/0001": blobs["config/0001"]
    }  # fmt: skip
    with pytest.raises(VaultDamaged):
        golden.opened(swapped, SLOT)


@pytest.mark.parametrize("kind", ["s", "m", "p", "r", "x", "fwd", "gc"])
def test_an_object_cut_at_any_length_is_named(blobs: Blobs, kind: str) -> None:
    name = min(name for name in blobs if name.startswith(f"{kind}/"))
    healthy = golden.opened(blobs, SLOT)
    for length in range(len(blobs[name])):
        store = golden.stored({**blobs, name: blobs[name][:length]})
        repo = Repository(store, healthy._bench.tools.config, healthy.keys, StillClock(), None)
        assert {one.name for one in repo.verify(read_data=True).problems} & {name, "gc"}, length


def test_config_and_keys_cut_at_any_length_open_nothing(blobs: Blobs) -> None:
    for name in ("config/0001", "keys/0001"):
        for length in range(len(blobs[name])):
            with pytest.raises(Problem):
                golden.opened({**blobs, name: blobs[name][:length]}, SLOT)


def test_bytes_behind_the_end_are_noticed(blobs: Blobs) -> None:
    for name, data in blobs.items():
        longer = {**blobs, name: data + b"\x00"}
        if name.startswith(("config/", "keys/")):
            with pytest.raises(Problem):
                golden.opened(longer, SLOT)
        else:
            named = {
                one.name for one in golden.opened(longer, SLOT).verify(read_data=True).problems
            }
            assert named & {name, "gc"}, name
            assert name in {blob for _, blob in second_reader.findings(longer, PASSPHRASE)}


# --- Roll back, replay, forge, graft ---


def backed_up(rounds: int) -> tuple[MemoryStore, list[Blobs]]:
    """A vault, and the copies of it that lay there after each round."""
    store = MemoryStore(StillClock())
    repo = new_vault(store)
    copies = []
    for number in range(1, rounds + 1):
        step = repo.round(CHAIN, number).step()
        content = step.add("mime", noise(number, 500))
        step.put(Entry(f"m{number}", "inbox", "message", "m", contents=(content,)), "root")
        step.link("root", f"link-{number}", finished=True)
        close(step.commit(complete=True))
        copies.append({listed.name: store.read(listed.name) for listed in store.list("")})
    return store, copies


def test_a_vault_rolled_back_to_an_older_copy_of_itself_is_known_by_its_owner_alone() -> None:
    store, (older, newer) = backed_up(2)
    repo = open_vault(store)
    head = repo.stored_snapshot(CHAIN, 2)
    rolled_back = open_vault(golden.stored(older))
    assert rolled_back.verify(read_data=True).clean  # nothing in it can know
    check = rolled_back.verification(Wanted(share=1.0, heads={CHAIN: (2, head[1])}))
    check.slice(lambda: True)
    assert {one.code for one in check.report.problems} == {"head-rolled-back"}
    assert newer.keys() > older.keys()


def test_an_old_restore_point_replayed_as_a_newer_one_is_refused() -> None:
    _, (_, newer) = backed_up(2)
    one, two = sorted(name for name in newer if name.startswith("s/"))
    third = f"{two[:-10]}{3:010d}"
    for forged in ({two: newer[one]}, {third: newer[one]}, {third: newer[two]}):
        repo = open_vault(golden.stored({**newer, **forged}))
        with pytest.raises(VaultDamaged):
            repo.snapshot(CHAIN, int(next(iter(forged))[-10:]))
        assert next(iter(forged)) in {item.name for item in repo.verify().problems}


def test_an_old_page_replayed_into_an_open_round_is_refused() -> None:
    _, (_, newer) = backed_up(2)
    old = min(name for name in newer if name.startswith("m/"))
    forged = f"{old[:43]}{3:010d}/000000"
    repo = open_vault(golden.stored({**newer, forged: newer[old]}))
    with pytest.raises(VaultDamaged):
        repo.round(CHAIN, 3)


def test_who_has_no_data_key_makes_no_object_that_opens() -> None:
    store, _ = backed_up(1)
    repo = open_vault(store)
    ring, chain_hash = repo.keys.ring, repo.keys.ring.chain_hash(CHAIN)
    name = f"s/{chain_hash}/{2:010d}"
    store.put_new(name, seal(bytes(32), 1, Kind.SNAPSHOT, ring.vault_id, name, b"{}"))
    with pytest.raises(VaultDamaged):
        repo.snapshot(CHAIN, 2)


def test_nothing_of_one_organization_passes_in_another_not_even_with_the_same_passphrase() -> None:
    (_, (ours,)), (_, (theirs,)) = backed_up(1), backed_up(1)
    for name, data in theirs.items():
        if name.startswith(("config/", "keys/")):
            with pytest.raises(Problem):
                open_vault(golden.stored({**ours, name: data}))
            continue
        repo = open_vault(golden.stored({**ours, name: data}))  # beside what is there
        assert name in {one.name for one in repo.verify(read_data=True).problems}, name
        twin = next(one for one in ours if one.startswith(name[:2]))  # in the place of its like
        repo = open_vault(golden.stored({**ours, twin: data}))
        assert twin in {one.name for one in repo.verify(read_data=True).problems}, twin


def test_a_box_moved_to_another_place_in_its_pack_does_not_open() -> None:
    """With the checksum made right again: the seal knows its place."""
    store = MemoryStore(StillClock())
    repo = new_vault(store)
    step = repo.round(CHAIN, 1).step()
    for at in range(2):
        content = step.add("content", noise(at, 70_000))
        step.put(Entry(f"f{at}", "", "file", "f", contents=(content,)), "root")
    close(step.commit(complete=True))
    (name,) = (listed.name for listed in store.list("p/"))
    data, size = store.read(name), 16 + 70_000 + 16
    one, two = data[96 : 96 + size], data[96 + size : 96 + 2 * size]
    body = data[:96] + two + one + data[96 + 2 * size : -44]
    forged = body + data[-44:-40] + hashlib.sha256(body).digest() + data[-8:]
    assert len(forged) == len(data)
    sick = {listed.name: store.read(listed.name) for listed in store.list("")}
    repo = open_vault(golden.stored({**sick, name: forged}))
    assert name in {one.name for one in repo.verify(read_data=True).problems}
    head = repo.head(CHAIN)
    assert head is not None
    for entry in repo.catalog(head).items():
        with pytest.raises(VaultDamaged):
            b"".join(repo.read(entry.contents[0]))


def test_a_deleted_object_is_missed(blobs: Blobs) -> None:
    """But for what a vault alone cannot miss: records, and the newest of each thing."""
    chain = golden.opened(blobs, SLOT).keys.ring.chain_hash(CHAIN)
    silent = {f"s/{chain}/{3:010d}", f"m/{chain}/{4:010d}/000000"}
    for name in blobs:
        rest = {one: data for one, data in blobs.items() if one != name}
        if name.startswith(("config/", "keys/")):
            with pytest.raises(Problem):
                golden.opened(rest, SLOT)
        elif not name.startswith(("r/", "x/", "fwd/")) and name not in silent:
            found = golden.opened(rest, SLOT).verify(read_data=True).problems
            newest_of_log = name == max(one for one in blobs if one.startswith("gc/"))
            assert found or newest_of_log, name


# --- What a reader of the storage learns ---


def written_about_somebody(passphrase: PassphraseSlot) -> Blobs:
    store = MemoryStore(StillClock())
    repo = Repository.create(store, [passphrase, PassphraseSlot("spare", n=2)], StillClock())
    step = repo.round(CHAIN_OF_WHO, 1).step()
    step.put(folder("Layoffs"), "Layoffs")
    mail = step.add("mime", f"From: {WHO}\r\n\r\nLayoffs in spring".encode(), {"name": WHO})
    about = {"sort": "Layoffs", "from": WHO}
    step.put(Entry("AAMk1", "Layoffs", "message", "Layoffs", about, {}, (mail,)), "Layoffs")
    step.link("Layoffs", f"https://graph.example/{WHO}?token=1", finished=True)
    step.trouble({"item": "AAMk2", "detail": WHO})
    step.commit(complete=True).close(by="run", about={"title": WHO})
    repo.put_record("plan/1", {"who": WHO})
    return {listed.name: store.read(listed.name) for listed in store.list("")}


def test_neither_names_nor_bytes_of_blobs_tell_whom_they_are_about() -> None:
    blobs = written_about_somebody(SLOT)
    secrets = (WHO, "adele", "contoso", "Layoffs", "AAMk", "token", "mailbox", "message")
    for name, data in blobs.items():
        for word in secrets:
            assert word.lower() not in name.lower()
            assert word.lower().encode() not in data.lower(), (name, word)


def test_the_same_mailbox_has_other_names_in_another_vault() -> None:
    one, two = written_about_somebody(SLOT), written_about_somebody(SLOT)
    shared = one.keys() & two.keys()
    assert shared == {"config/0001", "keys/0001", "r/plan/1"}
    assert not set(one.values()) & set(two.values())


def cut_of(repo: Repository, data: bytes) -> list[tuple[bytes, int, int]]:
    """Id, length and place in its pack of every chunk of a file."""
    step = repo.round(CHAIN, 1).step()
    content = step.add("content", data)
    step.put(Entry("f", "", "file", "f", contents=(content,)), "root")
    close(step.commit(complete=True))
    return [(ref.id, ref.length, ref.place.location.at) for ref in content.refs]


def test_a_known_file_shows_neither_in_ids_nor_in_sizes_nor_in_their_order() -> None:
    data = noise(7, 14_000_000)
    one, two = cut_of(new_vault(), data), cut_of(new_vault(), data)
    assert not {id_ for id_, _, _ in one} & {id_ for id_, _, _ in two}
    assert [length for _, length, _ in one] != [length for _, length, _ in two]
    places = [at for _, _, at in one]
    assert len(places) > 8
    assert places != sorted(places)


def test_the_program_reads_a_vault_and_changes_nothing(blobs: Blobs, tmp_path: Path) -> None:
    copy = second_reader.spread(blobs, tmp_path / "copy")
    for verb in (["list"], ["verify"], ["extract", str(tmp_path / "out")]):
        assert second_reader.run(copy, *verb, passphrase=PASSPHRASE).code == 0
    after = {p.relative_to(copy).as_posix(): p for p in copy.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in after.items()} == blobs


HOSTILE = (
    "", ".", "..", "../../etc/passwd", "C:\\Windows\\system32", "/", "\\\\host\\share", "con",
    "AUX.txt", "com1", "lpt9.log", "a\x00b", "line\nbreak", "\x1b[31mred", "gpj.\u202eexe",
    "caf\u00e9", "cafe\u0301", "CAF\u00c9", "stra\u00dfe", "STRASSE", "item.json", "trailing. . ",
    "x" * 5_000, "\U0001f600" * 300 + ".docx", "half \ud800 a letter", "a:stream", "*?<>|\"",
    "mime.eml", "manifest.csv", "~", "-rf", " ",
)  # fmt: skip


def test_an_extraction_survives_every_name(tmp_path: Path) -> None:
    """Hostile ones twice each, folders in a circle, parents that are missing, very deep trees, and
    chains that would share a folder.
    """
    store = MemoryStore(StillClock())
    repo = new_vault(store)
    wanted = 0
    for chain in ("drive/a", "drive:a", "records"):
        step = repo.round(chain, 1).step()
        for at, name in enumerate(HOSTILE * 2):
            for kind, parent in (("folder", ""), ("file", ""), ("file", f"folder-{at}")):
                content = step.add("content", f"{at} {parent}".encode(), {"name": name})
                id_ = f"{kind}-{at}" + (f"-in-{parent}" if parent else "")
                step.put(Entry(id_, parent, kind, name, {}, {}, (content,)), "root")
                wanted += 1
        for at in range(300):
            step.put(folder(f"deep-{at + 1}", f"deep-{at}" if at else ""), "root")
        for id_, parent in (("one", "two"), ("two", "one"), ("self", "self"), ("lost", "nowhere")):
            content = step.add("content", id_.encode())
            step.put(Entry(id_, parent, "folder", id_, {}, {}, (content,)), "root")
            wanted += 1
        close(step.commit(complete=True))
    blobs = {listed.name: store.read(listed.name) for listed in store.list("")}
    copy = second_reader.spread(blobs, tmp_path / "copy")
    out = tmp_path / "out"
    said = second_reader.run(copy, "extract", out, passphrase="correct horse")
    assert (said.code, said.err) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "out"}
    rows = second_reader.manifest(out)
    assert sum(row["role"] == "content" for row in rows) == wanted
    paths = [row["path"] for row in rows]
    assert len({unicodedata.normalize("NFC", path).casefold() for path in paths}) == len(paths)
    for path in paths:
        assert len(path) < 600
        for part in Path(path).parts:
            assert part.isprintable()
            assert not part.endswith((".", " "))
            assert not set(part) & set('<>:"\\|?*')
            assert len(part.encode()) <= 250
            assert part.split(".")[0].lower() not in ("con", "aux", "com1", "lpt9")
    for row in rows:
        data = (out / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]


def test_what_somebody_put_beside_a_vault_is_named_and_stops_nobody(blobs: Blobs) -> None:
    """A viewer's thumbs.db is enough, or an attacker who may write."""
    chain = golden.opened(blobs, SLOT).keys.ring.chain_hash(CHAIN)
    names = [
        "readme.txt", "config/0002", "p/thumbs.db", "p/ab/thumbs.db", "s/thumbs.db",
        f"s/{chain}/desktop.ini", f"m/{chain}/desktop.ini", f"m/{chain}/0000000004/x.db",
        "gc/thumbs.db", "fwd/thumbs.db", "keys/thumbs.db", "s/zz/0000000001",
    ]  # fmt: skip
    strange = dict.fromkeys(names, b"?")
    repo = golden.opened({**blobs, **strange}, SLOT)
    named = {(one.code, one.name) for one in repo.verify(read_data=True).problems}
    assert named == {("unknown-blob", name) for name in strange}
    assert second_reader.findings({**blobs, **strange}, PASSPHRASE) == named
    assert golden.as_we_read(repo) == golden.as_we_read(golden.opened(blobs, SLOT))
    assert repo.round(CHAIN, 4).pages == 1
    collector = repo.collector()
    assert not collector.slice(lambda: True)  # a cycle is under way
    report = collector.report()
    assert report is not None
    assert report.damage == []
