"""Streams of any size and rounds of any length pass through in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from tests.vault.world import CHAIN, new_vault, noise
from vault import Listed, Missing

MIB = 1024 * 1024


class Nowhere:
    """Takes blobs and forgets them."""

    def __init__(self) -> None:
        self.bytes = 0

    def put_new(self, name: str, data: bytes) -> bool:
        self.bytes += len(data)
        return True

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        raise Missing("forgotten", name=name)

    def size(self, name: str) -> int | None:
        return None

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return iter(())

    def delete(self, name: str) -> None:
        raise AssertionError(name)


def held_by(size: int) -> tuple[int, int]:
    """Bytes held at most, and bytes stored, for one content of `size`."""
    store = Nowhere()
    step = new_vault(store).round(CHAIN, 1).step()
    content = step.add("content", (noise(number, MIB) for number in range(size // MIB)))
    assert content.size == size
    return step.held_bytes_max, store.bytes


def test_what_a_step_holds_does_not_grow_with_the_content() -> None:
    bound = 44 * MIB  # two packs of 16, 8 waiting for their look-up, and a chunk of 4 on top
    for size in (48, 160):
        held, stored = held_by(size * MIB)
        assert stored >= (size - 32) * MIB  # most of it is gone to the store already
        assert held <= bound
