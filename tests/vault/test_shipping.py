"""Packs stored beside a step: bounded, and never forgotten about."""

from __future__ import annotations

import threading

import pytest

from tests.vault.world import CHAIN, StillClock, message, new_vault, noise
from vault import Entry, Step, StoreFull
from vault.shipping import Shipment
from vault.stores.memory import MemoryStore


class FullStore(MemoryStore):
    """Takes no more packs from the n-th on."""

    def __init__(self, packs: int) -> None:
        super().__init__(StillClock())
        self.left = packs

    def put_new(self, name: str, data: bytes) -> bool:
        if name.startswith("p/"):
            self.left -= 1
            if self.left < 0:
                raise StoreFull("no room")
        return super().put_new(name, data)


def committed_with_40_mib(step: Step) -> None:
    content = step.add("content", (noise(number, 1 << 20) for number in range(40)))
    step.put(Entry("1", "", "file", "large", contents=(content,)), "root")
    step.commit(complete=True)


@pytest.mark.parametrize("packs", [0, 1, 2])
def test_a_pack_that_could_not_be_stored_is_never_referred_to(packs: int) -> None:
    store = FullStore(packs)
    step = new_vault(store).round(CHAIN, 1).step()
    with pytest.raises(StoreFull):
        committed_with_40_mib(step)
    assert list(store.list("m/")) == []
    assert len(list(store.list("p/"))) == packs


def test_a_catalog_that_fills_packs_is_read_back_while_they_are_under_way() -> None:
    repo = new_vault(MemoryStore(StillClock()))
    step = repo.round(CHAIN, 1).step()
    for number in range(3_000):  # incompressible rows: nodes alone are more than a pack
        step.put(message(f"{number:05}", filler=noise(number, 5_000).hex()), "root")
    repo.catalog(step.commit(complete=True).close())
    step = repo.round(CHAIN, 2).step()
    step.put(message("00007"), "root")
    assert repo.catalog(step.commit(complete=True).close()).total == 3_000


def test_one_pack_is_under_way_and_others_are_stored_by_their_steps() -> None:
    arrived, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> str:
        arrived.set()
        go_on.wait(5)
        done.append("slow")
        return threading.current_thread().name

    first = Shipment(slow, 16)
    assert arrived.wait(5)
    second = Shipment(lambda: threading.current_thread().name, 16)
    assert second.landed() == threading.current_thread().name
    assert done == []
    go_on.set()
    assert first.landed() != threading.current_thread().name
    third = Shipment(lambda: threading.current_thread().name, 16)
    assert third.landed() != threading.current_thread().name  # the place is free again
