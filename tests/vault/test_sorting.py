"""Sorting more than memory holds: the order, what the disk sees, and where a full one ends."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
from cryptography.exceptions import InvalidTag

from vault.sorting import RECORD_BYTES, Budget, Record, Sorter


def records(count: int, seed: int = 1) -> list[Record]:
    rng = random.Random(seed)
    made: list[Record] = [
        (f"id-{rng.randrange(count):05d}", number, None, f"name \ud800 {number}", b"line" * 5)
        for number in range(count)
    ]
    rng.shuffle(made)
    return made


class Files:
    """Opens files in memory, and keeps them and what was in them."""

    def __init__(self) -> None:
        self.opened: list[BytesIO] = []
        self.seen = b""

    def __call__(self) -> BytesIO:
        files = self

        class Seen(BytesIO):
            def write(self, data: bytes) -> int:  # type: ignore[override]
                files.seen += data
                return super().write(data)

        self.opened.append(Seen())
        return self.opened[-1]

    @property
    def bytes(self) -> int:
        return max(len(file.getvalue()) for file in self.opened if not file.closed)


def filled(sorter: Sorter, given: list[Record]) -> Sorter:
    for record in given:
        sorter.add(record)
    return sorter


@pytest.mark.parametrize("held", [1, 7, 100, 10_000])
def test_records_come_in_order_as_often_as_asked(held: int) -> None:
    files, given = Files(), records(1000)
    sorter = filled(Sorter(Budget(held * RECORD_BYTES, open_file=files)), given)
    assert list(sorter) == sorted(given)
    assert list(zip(sorter, sorter, strict=True)) == [(one, one) for one in sorted(given)]
    assert bool(files.opened) == (held < 1000)
    assert sorter.held_bytes_max <= held * RECORD_BYTES


def test_records_added_after_a_look_are_in_the_next() -> None:
    sorter = filled(Sorter(Budget(30 * RECORD_BYTES, open_file=BytesIO)), records(100))
    assert len(list(sorter)) == 100
    more = [(f"id-x{number}", number) for number in range(50)]
    assert list(filled(sorter, more)) == sorted([*records(100), *more])


def test_a_long_line_counts_as_what_it_is() -> None:
    files = Files()
    sorter = Sorter(Budget(100_000, open_file=files))
    for number in range(20):
        sorter.add((number, bytes(20_000)), 20_000)
    assert sorter.held_bytes_max < 130_000
    assert [record[0] for record in sorter] == list(range(20))


def test_nothing_of_a_record_can_be_read_on_the_disk() -> None:
    files = Files()
    secret = "quarterly figures of the board"
    given = [(secret, number, secret.encode()) for number in range(2000)]
    sorter = filled(Sorter(Budget(500 * RECORD_BYTES, open_file=files)), given)
    assert list(sorter) == given
    assert len(files.seen) > 500
    for word in (b"quarterly", b"figures", b"board", b"\x28\xb5\x2f\xfd"):  # zstd's first bytes
        assert word not in files.seen
    other = Files()
    filled(Sorter(Budget(500 * RECORD_BYTES, open_file=other)), given)
    assert other.seen[:32] != files.seen[:32]  # a key of its own


def test_bytes_that_somebody_changed_on_the_disk_are_refused() -> None:
    files = Files()
    sorter = filled(Sorter(Budget(50 * RECORD_BYTES, open_file=files)), records(200))
    (file,) = files.opened
    file.seek(20)
    file.write(b"\x00\x00")
    with pytest.raises(InvalidTag):
        list(sorter)


def test_a_full_sorter_keeps_the_lower_keys_and_says_where_the_others_begin() -> None:
    given = records(4000)
    files = Files()
    budget = Budget(100 * RECORD_BYTES, spilled_bytes=8_000, open_file=files)
    found: list[Record] = []
    low: Record | None = ()
    rounds = 0
    while low is not None:
        sorter = filled(Sorter(budget, low=low, bounded=True), given)
        assert files.bytes < 12_000
        part = list(sorter)
        assert part
        assert all(record[:1] >= low for record in part)
        found += part
        low = sorter.beyond
        assert low is None or low not in {record[:1] for record in part}  # no id is torn apart
        sorter.close()
        rounds += 1
    assert found == sorted(given)
    assert 3 <= rounds <= 30
    assert all(file.closed for file in files.opened)


def test_one_key_that_has_all_records_is_kept_whole() -> None:
    given = [("same", number) for number in range(3000)]
    budget = Budget(50 * RECORD_BYTES, spilled_bytes=500, open_file=BytesIO)
    sorter = filled(Sorter(budget, bounded=True), given)
    assert sorter.beyond is None
    assert list(sorter) == given
