"""Exports asked for together: how batches are made, who waits for whom, and what is asked again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from base.errors import Throttled
from m365.graph.errors import AnswerTooLarge, Corrupt, ItemGone, TransientFailure
from m365.graph.export import Exported, NotExported
from m365.mailbox_exports import ANSWER_BYTES_MAX, Exports, Wanted

BOX = "/admin/exchange/mailboxes/MBX:1"


def page(count: int, size: int | None = 1000, mailbox: str = BOX) -> list[Wanted]:
    return [Wanted(f"i{number}", size, mailbox) for number in range(count)]


class Service:
    """Answers every id with itself; remembers what was asked for together."""

    def __init__(self, **special: Callable[[Sequence[str]], Exported | None]) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self._special = special
        self._lock = threading.Lock()

    def __call__(self, mailbox: str, ids: Sequence[str]) -> dict[str, Exported]:
        with self._lock:
            self.asked.append((mailbox, tuple(ids)))
        found = {}
        for one in ids:
            answer = self._special.get(one, lambda ids, one=one: Exported(one.encode()))(ids)
            if answer is not None:
                found[one] = answer
        return found

    @property
    def sizes(self) -> list[int]:
        return [len(ids) for _, ids in self.asked]


def raises(problem: Exception) -> Callable[[Sequence[str]], Exported | None]:
    def answer(ids: Sequence[str]) -> Exported | None:
        raise problem

    return answer


def test_a_page_travels_in_twenties() -> None:
    service = Service()
    exports = Exports(service)
    items = page(50)
    exports.expect(items)
    assert [exports.take(one) for one in items] == [one.id.encode() for one in items]
    assert service.sizes == [20, 20, 10]


def test_a_batch_stays_below_what_an_answer_may_hold() -> None:
    service = Service()
    exports = Exports(service)
    items = page(8, size=ANSWER_BYTES_MAX * 3 // 4 // 3)
    exports.expect(items)
    for one in items:
        exports.take(one)
    assert service.sizes == [3, 3, 2]
    exports.expect(unknown := page(60, size=None))
    for one in unknown:
        exports.take(one)
    assert all(size * 512 * 1024 * 4 // 3 <= ANSWER_BYTES_MAX for size in service.sizes[3:])


def test_items_of_two_mailboxes_never_share_a_request() -> None:
    service = Service()
    exports = Exports(service)
    items = [*page(3), *(Wanted(f"j{n}", 1, "other") for n in range(3))]
    exports.expect(items)
    for one in items:
        exports.take(one)
    assert service.asked == [(BOX, ("i0", "i1", "i2")), ("other", ("j0", "j1", "j2"))]


def test_where_hardly_anything_is_new_hardly_anything_is_exported() -> None:
    service = Service()
    exports = Exports(service)
    for _ in range(10):
        exports.expect(items := page(200))
        exports.take(items[100])
    assert sum(service.sizes) <= 20 + 9 * 2
    exports.expect(items := page(200))
    for one in items:
        exports.take(one)
    assert service.sizes[10:] == [2, 4, 8, 16, *[20] * 8, 10]


def test_an_item_nobody_announced_is_exported_by_itself() -> None:
    service = Service()
    exports = Exports(service)
    exports.expect(page(10))
    assert exports.take(Wanted("stranger", 5, BOX)) == b"stranger"
    assert service.asked == [(BOX, ("stranger",))]


def test_an_item_asked_for_again_is_exported_again() -> None:
    service = Service()
    exports = Exports(service)
    exports.expect(items := page(2))
    assert exports.take(items[1]) == exports.take(items[1]) == b"i1"
    assert exports.take(items[0]) == b"i0"


def test_what_an_answer_leaves_out_is_asked_for_once_more_and_alone() -> None:
    service = Service(i1=lambda ids: Exported(b"late") if len(ids) == 1 else None,
                      i2=lambda ids: None)  # fmt: skip
    exports = Exports(service)
    exports.expect(items := page(4))
    assert exports.take(items[0]) == b"i0"
    assert exports.take(items[1]) == b"late"
    with pytest.raises(NotExported):
        exports.take(items[2])
    assert exports.take(items[3]) == b"i3"
    assert service.sizes == [4, 1, 1]


def test_the_error_of_one_item_is_that_items_alone() -> None:
    service = Service(
        i0=lambda ids: Exported(problem=Corrupt("x")),
        i1=lambda ids: Exported(problem=ItemGone("x")),
    )
    exports = Exports(service)
    exports.expect(items := page(3))
    with pytest.raises(Corrupt):
        exports.take(items[0])
    with pytest.raises(ItemGone):
        exports.take(items[1])
    assert exports.take(items[2]) == b"i2"


@pytest.mark.parametrize("problem", [TransientFailure("x"), AnswerTooLarge("x")])
def test_one_item_that_spoils_the_whole_answer_does_not_spoil_the_others(
    problem: Exception,
) -> None:
    service = Service(i1=raises(problem))
    exports = Exports(service)
    exports.expect(items := page(3))
    assert exports.take(items[0]) == b"i0"
    with pytest.raises(type(problem)):
        exports.take(items[1])
    assert exports.take(items[2]) == b"i2"


def test_a_pause_is_everybodys() -> None:
    service = Service(i1=raises(Throttled("x", 60.0)))
    exports = Exports(service)
    exports.expect(items := page(3))
    for one in items[:1] + items[2:]:
        with pytest.raises(Throttled):
            exports.take(one)
    assert service.sizes == [3]


def test_threads_wait_for_one_answer_and_each_gets_its_own() -> None:
    service = Service()
    exports = Exports(service)
    exports.expect(items := page(400))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(exports.take, items))
    assert found == [one.id.encode() for one in items]
    # A thread that sleeps while the others pass it by asks for its batch again.
    assert 400 <= sum(service.sizes) <= 460
    assert len(service.sizes) <= 28


def test_what_was_passed_over_is_let_go() -> None:
    exports = Exports(Service())
    for _ in range(5):
        exports.expect(items := page(1000))
        for one in items[::3]:
            exports.take(one)
        assert len(exports._batches) <= 60
