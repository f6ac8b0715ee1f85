"""Steps, pages and snapshots: what one commit writes, who wins a race, what a sweep removes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from tests.vault.world import (
    CHAIN,
    StillClock,
    backed_up,
    close,
    folder,
    ids_in,
    message,
    new_vault,
    noise,
    open_vault,
)
from vault import (
    CountingStore,
    Entry,
    Location,
    MemoryChunkIndex,
    RoundIncomplete,
    RoundLost,
    RoundOutOfOrder,
    Step,
    StepTooOld,
)
from vault.config import T_MAX_S
from vault.stores.memory import MemoryStore


def with_content(step: Step, id_: str, data: bytes | Iterable[bytes]) -> Entry:
    return Entry(id_, "inbox", "message", id_, contents=(step.add("mime", data),))


# --- What a commit writes ---


def test_a_step_writes_one_pack_and_one_page_and_closing_one_snapshot() -> None:
    store = CountingStore(MemoryStore())
    round_ = new_vault(store).round(CHAIN, 1)
    store.reset()
    step = round_.step()
    for number in range(300):
        step.put(with_content(step, f"m{number}", noise(number, 2000)), "inbox")
    step.link("inbox", "delta-1", finished=True)
    round_ = step.commit(complete=True)
    assert store.writes == 2
    close(round_)
    assert store.writes == 3


def test_full_packs_are_stored_while_content_streams_in() -> None:
    store = CountingStore(MemoryStore())
    step = new_vault(store).round(CHAIN, 1).step()
    store.reset()
    with_content(step, "large", (noise(number, 1 << 20) for number in range(40)))
    assert store.writes in (1, 2)  # the second may be under way
    assert 16 * 2**20 < store.bytes_written < 44 * 2**20
    assert 32 * 2**20 < step.stored_bytes < 44 * 2**20


def test_a_step_with_nothing_to_say_writes_nothing() -> None:
    store = CountingStore(MemoryStore())
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    store.reset()
    round_ = repo.round(CHAIN, 2)
    step = round_.step()
    assert not step.dirty
    assert step.commit(complete=True) is round_
    assert store.writes == 0
    assert not round_.complete


def test_a_refreshed_link_alone_is_one_page_and_one_snapshot() -> None:
    store = CountingStore(MemoryStore())
    repo = new_vault(store)
    backed_up(repo, [message("a")])
    round_ = repo.round(CHAIN, 2)
    store.reset()
    step = round_.step()
    step.link("root", "fresh", finished=True)
    assert step.dirty
    assert not step.has_changes
    snapshot = close(step.commit(complete=True))
    assert store.writes == 2
    assert snapshot.links == {"root": "fresh"}
    assert ids_in(repo.catalog(snapshot)) == {"a": "inbox"}


def test_equal_large_content_is_stored_once_in_the_organization() -> None:
    index = MemoryChunkIndex()
    store = CountingStore(MemoryStore())
    repo = new_vault(store, index=index)
    data = noise(1, 3_000_000)
    first = repo.round(CHAIN, 1).step()
    first.put(with_content(first, "a", data), "inbox")
    first.put(with_content(first, "b", data), "inbox")
    close(first.commit(complete=True))
    assert store.bytes_written < 3_200_000
    store.reset()
    other = open_vault(store, index=index).round("drive/drive:2", 1).step()
    entry = with_content(other, "c", iter([data[:10], data[10:]]))
    other.put(entry, "root")
    close(other.commit(complete=True))
    assert store.bytes_written < 100_000
    assert b"".join(repo.read(entry.contents[0])) == data


def test_small_pieces_never_reach_the_index() -> None:
    asked: list[bytes] = []

    class Watched(MemoryChunkIndex):
        def find(self, ids: Iterable[bytes]) -> dict[bytes, Location]:
            asked.extend(ids)
            return super().find(list(ids))

    step = new_vault(index=Watched()).round(CHAIN, 1).step()
    for size in (0, 1, 65_535):
        step.add("mime", noise(size, size))
    step.add("mime", noise(7, 65_536))
    step.commit()
    step.put(message("a"), "inbox")
    step.commit()
    assert len(asked) == 1


def test_chunks_are_looked_up_in_batches() -> None:
    calls = []

    class Watched(MemoryChunkIndex):
        def find(self, ids: Iterable[bytes]) -> dict[bytes, Location]:
            calls.append(len(list(ids)))
            return super().find(list(ids))

    step = new_vault(index=Watched()).round(CHAIN, 1).step()
    for number in range(100):
        step.add("content", noise(number, 70_000))
    step.put(message("a"), "inbox")
    step.commit()
    assert calls == [64, 36]


def test_an_unchanged_small_content_keeps_its_place() -> None:
    repo = new_vault()
    step = repo.round(CHAIN, 1).step()
    step.put(with_content(step, "a", b"the same"), "inbox")
    close(step.commit(complete=True))
    round_ = repo.round(CHAIN, 2)
    assert round_.previous is not None
    before = round_.previous.get("a")
    assert before is not None
    step = round_.step()
    assert step.add("mime", b"the same", previous=before.contents[0]) == before.contents[0]
    assert step.add("mime", b"the sane", previous=before.contents[0]) != before.contents[0]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 262_144, 262_145, 9_000_000])
def test_content_of_every_size_comes_back(size: int) -> None:
    repo = new_vault()
    data = noise(size, size)
    step = repo.round(CHAIN, 1).step()
    pieces = [data[start : start + 50_001] for start in range(0, size, 50_001)]
    entries = [with_content(step, "bytes", data), with_content(step, "stream", iter(pieces))]
    for entry in entries:
        step.put(entry, "inbox")
    close(step.commit(complete=True))
    head = repo.head(CHAIN)
    assert head is not None
    for id_ in ("bytes", "stream"):
        entry = repo.catalog(head).get(id_)
        assert entry is not None
        assert entry.contents[0].size == size
        assert b"".join(repo.read(entry.contents[0])) == data


def test_a_long_list_of_references_is_stored_and_the_entry_stays_small() -> None:
    repo = new_vault()
    data = noise(5, 60_000_000)
    step = repo.round(CHAIN, 1).step()
    step.put(with_content(step, "large", iter([data])), "inbox")
    close(step.commit(complete=True))
    head = repo.head(CHAIN)
    assert head is not None
    entry = repo.catalog(head).get("large")
    assert entry is not None
    content = entry.contents[0]
    assert content.listed
    assert len(content.refs) == 1
    assert content.size == 60_000_000
    assert b"".join(repo.read(content)) == data
    for start in (1, 20_000_000, 59_999_999, 60_000_000):
        assert b"".join(repo.read(content, start)) == data[start:]


def test_a_content_is_read_from_anywhere_without_the_chunks_before() -> None:
    store = CountingStore(MemoryStore())
    repo = new_vault(store)
    data = noise(5, 8_000_000)
    step = repo.round(CHAIN, 1).step()
    step.put(with_content(step, "file", iter([data])), "inbox")
    close(step.commit(complete=True))
    head = repo.head(CHAIN)
    assert head is not None
    entry = repo.catalog(head).get("file")
    assert entry is not None
    (content,) = entry.contents
    for start in (0, 1, 3_999_999, 7_999_999, 8_000_000):
        repo = open_vault(store)
        before = store.bytes_read
        assert b"".join(repo.read(content, start)) == data[start:]
        assert store.bytes_read - before < len(data) - start + 2_500_000, start
    assert repo.verify(read_data=True).clean


# --- Races, ghosts, restarts ---


def test_of_two_steps_for_one_page_the_loser_adopts_the_winner() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    ghost, step = repo.round(CHAIN, 1).step(), repo.round(CHAIN, 1).step()
    ghost.put(with_content(ghost, "a", b"ghost's"), "inbox")
    ghost.link("inbox", "ghost-link")
    step.put(with_content(step, "a", b"the step's"), "inbox")
    step.link("inbox", "step-link")
    won = ghost.commit()
    lost = step.commit()
    assert won.links == lost.links == {"inbox": "ghost-link"}
    assert lost.pages == 1
    report = repo.verify(read_data=True)
    assert report.clean
    assert report.counts["packs"] == 2  # one is garbage


def test_the_same_step_run_twice_leaves_one_page() -> None:
    repo = new_vault()
    for _ in range(2):
        round_ = repo.round(CHAIN, 1)
        if not round_.complete:
            step = round_.step()
            step.put(message("a"), "inbox")
            step.link("inbox", "delta", finished=True)
            round_ = step.commit(complete=True)
        close(round_)
    assert repo.numbers(CHAIN) == [1]
    assert repo.verify(read_data=True).clean


def test_two_closers_of_one_round_agree() -> None:
    repo = new_vault()
    step = repo.round(CHAIN, 1).step()
    step.put(message("a"), "inbox")
    step.commit(complete=True)
    first, second = repo.round(CHAIN, 1), repo.round(CHAIN, 1)
    assert first.close(by="one") == second.close(by="two")
    assert repo.round(CHAIN, 1).closed_by == "one"


def test_the_next_process_goes_on_with_the_next_page() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    round_ = repo.round(CHAIN, 1)
    for number in range(40):  # more than one page that carries the round's state
        step = round_.step()
        step.put(message(f"m{number}"), "inbox")
        step.link(f"part-{number % 3}", f"link-{number}", finished=number == 38)
        step.commit()
        again = open_vault(store).round(CHAIN, 1)
        round_ = round_.reopened()
        assert again.pages == round_.pages == number + 1
        assert again.links == round_.links
        assert again.finished == round_.finished
    assert round_.links == {"part-0": "link-39", "part-1": "link-37", "part-2": "link-38"}
    assert round_.finished == frozenset({"part-2"})


def test_opening_a_long_round_reads_few_pages() -> None:
    store = CountingStore(MemoryStore())
    repo = new_vault(store)
    round_ = repo.round(CHAIN, 1)
    for number in range(100):
        step = round_.step()
        step.link("root", f"link-{number}")
        round_ = step.commit()
    store.reset()
    assert repo.round(CHAIN, 1).links == {"root": "link-99"}
    assert store.reads <= 20


def test_entries_since_the_last_moved_link_are_recent() -> None:
    repo = new_vault()
    round_ = repo.round(CHAIN, 1)
    for ids, link in ((["a"], "1"), (["b"], "2"), (["c"], ""), (["d"], "")):
        step = round_.step()
        for id_ in ids:
            step.put(message(id_), "inbox")
        if link:
            step.link("inbox", link)
        round_ = step.commit()
    for one in (round_, repo.round(CHAIN, 1)):
        assert one.recent("a") is None
        assert one.recent("c") == message("c")
        assert [id_ for id_ in "abcd" if one.recent(id_)] == ["b", "c", "d"]


def test_a_step_that_outlived_its_look_ups_commits_nothing() -> None:
    clock = StillClock()
    store = MemoryStore()
    repo = new_vault(store, clock)
    step = repo.round(CHAIN, 1).step()
    step.put(with_content(step, "a", noise(1, 9_000_000)), "inbox")  # enough for a look-up
    clock.moment += timedelta(seconds=T_MAX_S + 1)
    with pytest.raises(StepTooOld):
        step.commit(complete=True)
    assert list(store.list("m/")) == []


def test_a_step_ages_from_its_first_pack_too_and_by_either_clock() -> None:
    class Asleep(StillClock):
        """Its wall clock was set back while the process worked."""

        def monotonic(self) -> float:
            return self.moment.timestamp() + (2 * T_MAX_S if self.late else 0)

        late = False

    clock = Asleep()
    store = MemoryStore()
    step = new_vault(store, clock).round(CHAIN, 1).step()
    for number in range(300):  # small pieces only: nothing is looked up
        step.put(with_content(step, f"m{number}", noise(number, 60_000)), "inbox")
    assert step.stored_bytes > 16 * 2**20  # one is stored, or under way
    clock.late = True
    with pytest.raises(StepTooOld):
        step.commit(complete=True)


def test_a_pack_that_took_too_long_to_store_is_not_remembered() -> None:
    class Slow(MemoryStore):
        def put_new(self, name: str, data: bytes) -> bool:
            if name.startswith("p/"):
                clock.moment += timedelta(seconds=T_MAX_S + 1)
            return super().put_new(name, data)

    clock, index = StillClock(), MemoryChunkIndex()
    step = new_vault(Slow(), clock, index).round(CHAIN, 1).step()
    content = step.add("mime", noise(1, 100_000))
    step.put(Entry("a", "inbox", "message", "a", contents=(content,)), "inbox")
    with pytest.raises(StepTooOld):
        step.commit(complete=True)
    assert index.find([content.refs[0].id]) == {}


def test_a_remembered_look_up_ages_from_when_it_was_made() -> None:
    clock = StillClock()
    repo = new_vault(MemoryStore(), clock)
    data = noise(1, 9_000_000)
    step = repo.round(CHAIN, 1).step()
    step.put(with_content(step, "a", data), "inbox")
    close(step.commit(complete=True))
    clock.moment += timedelta(seconds=T_MAX_S / 2 - 1)
    step = repo.round(CHAIN, 2).step()
    step.put(with_content(step, "b", data), "inbox")  # found in what was learnt hours ago
    clock.moment += timedelta(seconds=T_MAX_S / 2 + 2)
    with pytest.raises(StepTooOld):
        step.commit(complete=True)


def test_a_closed_round_says_so_and_takes_no_step() -> None:
    repo = new_vault()
    snapshot = backed_up(repo, [message("a")])
    round_ = repo.round(CHAIN, 1)
    assert round_.closed
    assert round_.links == snapshot.links
    with pytest.raises(RoundLost):
        round_.step().commit(complete=True)


def test_rounds_are_built_in_order_and_closed_when_complete() -> None:
    repo = new_vault()
    with pytest.raises(RoundOutOfOrder):
        repo.round(CHAIN, 2)
    step = repo.round(CHAIN, 1).step()
    step.put(message("a"), "inbox")
    with pytest.raises(RoundIncomplete):
        step.commit().close()


# --- Giving a round up ---


def test_a_voided_round_keeps_links_and_catalog_of_the_one_before() -> None:
    repo = new_vault()
    first = backed_up(repo, [message("a")])
    step = repo.round(CHAIN, 2).step()
    step.put(message("never"), "root")
    step.link("root", "never", finished=True)
    complete = step.commit(complete=True)
    repo.void(CHAIN, 2)
    repo.void(CHAIN, 2)
    with pytest.raises(RoundLost):
        close(complete)
    assert repo.head(CHAIN) == first
    round_ = repo.round(CHAIN, 3)
    assert round_.links == first.links
    third = backed_up(repo, [message("b")])
    assert ids_in(repo.catalog(third)) == {"a": "inbox", "b": "inbox"}
    assert [info.status for info in repo.snapshots(CHAIN)] == ["ok", "void", "ok"]
    assert repo.verify(read_data=True).clean


def test_a_closed_round_cannot_be_voided() -> None:
    repo = new_vault()
    backed_up(repo, [message("a")])
    with pytest.raises(RoundLost):
        repo.void(CHAIN, 1)


def test_chains_are_found_by_their_snapshots() -> None:
    store = MemoryStore()
    repo = new_vault(store)
    chains = [f"mail/mailbox:{number}" for number in range(5)]
    for chain in chains:
        backed_up(repo, [message("a")], chain)
        backed_up(repo, [message("b")], chain)
    assert sorted(repo.chains()) == chains
    assert not any("mailbox" in row.name for row in store.list(""))


# --- What removals and sweeps mean ---


def entries_after(*steps: object) -> dict[str, str]:
    """Runs operations on a vault that holds a and b in inbox, c in archive."""
    repo = new_vault()
    backed_up(
        repo,
        [folder("inbox"), folder("archive"), message("a"), message("b"), message("c", "archive")],
    )
    step = repo.round(CHAIN, 2).step()
    for operation in steps:
        operation(step)  # type: ignore[operator]
    step.link("done", "link", finished=True)
    found = ids_in(repo.catalog(close(step.commit(complete=True))))
    return {id_: parent for id_, parent in found.items() if len(id_) == 1}


def test_a_moved_message_is_kept_whatever_the_order() -> None:
    gone = lambda step: step.remove("a", parent="inbox")  # noqa: E731
    seen = lambda step: step.put(message("a", "archive"), "archive")  # noqa: E731
    moved = {"a": "archive", "b": "inbox", "c": "archive"}
    assert entries_after(gone, seen) == moved
    assert entries_after(seen, gone) == moved


def test_a_removal_from_a_folder_the_item_left_counts_for_nothing() -> None:
    assert "c" in entries_after(lambda step: step.remove("c", parent="inbox"))
    assert "c" not in entries_after(lambda step: step.remove("c", parent="archive"))
    assert "c" not in entries_after(lambda step: step.remove("c"))


def test_a_finished_reset_removes_what_it_did_not_see() -> None:
    assert entries_after(
        lambda step: step.reset("in", "inbox"),
        lambda step: step.put(message("a"), "in"),
        lambda step: step.link("in", "x", finished=True),
    ) == {"a": "inbox", "c": "archive"}


def test_an_unfinished_reset_removes_nothing() -> None:
    assert entries_after(
        lambda step: step.reset("in", "inbox"),
        lambda step: step.put(message("a"), "in"),
        lambda step: step.link("in", "x"),
    ) == {"a": "inbox", "b": "inbox", "c": "archive"}


def test_a_reset_of_everything_removes_what_it_did_not_see() -> None:
    assert entries_after(
        lambda step: step.reset("root", None),
        lambda step: step.put(message("c", "inbox"), "root"),
        lambda step: step.link("root", "x", finished=True),
    ) == {"c": "inbox"}


def test_a_sweep_spares_what_moved_elsewhere_meanwhile() -> None:
    assert entries_after(
        lambda step: step.put(message("b", "archive"), "archive"),
        lambda step: step.reset("in", "inbox"),
        lambda step: step.link("in", "x", finished=True),
    ) == {"b": "archive", "c": "archive"}


def test_a_second_reset_counts_from_its_own_start() -> None:
    assert entries_after(
        lambda step: step.reset("in", "inbox"),
        lambda step: step.put(message("a"), "in"),
        lambda step: step.put(message("n"), "in"),
        lambda step: step.reset("in", "inbox"),
        lambda step: step.put(message("b"), "in"),
        lambda step: step.link("in", "x", finished=True),
    ) == {"b": "inbox", "c": "archive"}


def test_a_folder_removed_recursively_takes_its_contents_along() -> None:
    assert entries_after(
        lambda step: step.put(folder("sub", "inbox"), "f"),
        lambda step: step.put(message("d", "sub"), "f"),
        lambda step: step.remove("inbox", recursive=True),
    ) == {"c": "archive"}


def test_a_subfolder_moved_out_survives_the_removal_of_its_old_parent() -> None:
    def after(*order: str) -> set[str]:
        repo = new_vault()
        backed_up(repo, [folder("f"), folder("g", "f"), message("x", "g"), message("y", "f")])
        step = repo.round(CHAIN, 2).step()
        for what in order:
            if what == "move":
                step.put(folder("g", ""), "root")
            else:
                step.remove("f", recursive=True)
        return set(ids_in(repo.catalog(close(step.commit(complete=True)))))

    assert after("move", "remove") == {"g", "x"}
    assert after("remove", "move") == {"g", "x"}


def test_what_is_put_after_a_recursive_removal_stays() -> None:
    assert entries_after(
        lambda step: step.remove("inbox", recursive=True),
        lambda step: step.put(message("a"), "in"),
    ) == {"a": "inbox", "c": "archive"}


def test_a_dropped_part_forgets_its_link_and_nothing_else() -> None:
    repo = new_vault()
    backed_up(repo, [message("a")])
    step = repo.round(CHAIN, 2).step()
    step.drop_part("root")
    snapshot = close(step.commit(complete=True))
    assert snapshot.links == {}
    assert ids_in(repo.catalog(snapshot)) == {"a": "inbox"}
