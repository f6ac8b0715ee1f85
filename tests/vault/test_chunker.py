"""The cut function is what its specification says, today and for ever; streams cut like buffers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest

from tests.vault.cut_specification import cut, gear_table
from vault.chunker import Chunker
from vault.config import Chunking

SMALL = Chunking(1024, 4096, 16384, 2)
SEEDS = [0, 1, 0x0123456789ABCDEF, 2**63 - 1]


def stream(label: str, size: int) -> bytes:
    """Bytes anybody can make again: SHA-256 of the label and a counter."""
    blocks = (
        hashlib.sha256(f"{label} {number}".encode()).digest() for number in range(-(-size // 32))
    )
    return b"".join(blocks)[:size]


def lengths(data: bytes, chunking: Chunking, seed: int) -> list[int]:
    return [len(chunk) for chunk in Chunker(chunking, seed).cut(data)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_library_cuts_as_the_specification_says(seed: int) -> None:
    table = gear_table(seed)
    rng = random.Random(seed)
    samples = [rng.randbytes(rng.randrange(120_000)) for _ in range(6)]
    samples += [b"", b"x", bytes(50_001), rng.randbytes(1025), b"ab" * 20_000, rng.randbytes(16384)]
    for data in samples:
        assert lengths(data, SMALL, seed) == cut(data, table, 1024, 4096, 16384)


def test_the_default_parameters_cut_as_the_specification_says() -> None:
    data = stream("specification", 5_000_001)
    seed = 0x0123456789ABCDEF
    wanted = cut(data, gear_table(seed), 256 * 1024, 1024 * 1024, 4096 * 1024)
    assert lengths(data, Chunking(), seed) == wanted


GOLDEN = {
    0: [
        1106281,
        1100087,
        1184871,
        1347043,
        1965949,
        1071480,
        391124,
        1051985,
        363274,
        536480,
        1187148,
        1184630,
        510466,
        1224372,
        1409954,
        364856,
    ],
    0x0123456789ABCDEF: [
        1097177,
        1153820,
        1159750,
        1143527,
        530644,
        1642946,
        1279581,
        1051195,
        1066208,
        1107711,
        1321060,
        1311934,
        1495955,
        638492,
    ],
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_golden_cuts_never_change(seed: int) -> None:
    assert lengths(stream("golden", 16_000_000), Chunking(), seed) == GOLDEN[seed]


@pytest.mark.parametrize("piece", [1, 999, 70_000, 10**9])
def test_a_stream_cuts_like_a_buffer(piece: int) -> None:
    data = stream("stream", 200_000)
    pieces: Iterator[bytes] = (data[at : at + piece] for at in range(0, len(data), piece))
    chunks = list(Chunker(SMALL, 7).cut(pieces))
    assert chunks == list(Chunker(SMALL, 7).cut(data))
    assert b"".join(chunks) == data


def test_an_insertion_changes_the_chunks_around_it_only() -> None:
    data = stream("insertion", 400_000)
    before = set(Chunker(SMALL, 7).cut(data))
    after = list(Chunker(SMALL, 7).cut(data[:200_000] + b"inserted" + data[200_000:]))
    assert sum(chunk not in before for chunk in after) <= 3
