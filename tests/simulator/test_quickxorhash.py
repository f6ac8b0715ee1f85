"""quickXorHash against a literal reading of its description, and seeded bytes."""

import base64
import random

import pytest

from simulator.filebytes import LiteralBytes, SeededBytes, SpooledBytes, pieces
from simulator.quickxorhash import QuickXorHash, quick_xor_hash


def slow_quick_xor_hash(data: bytes) -> str:
    """Bit by bit, as the description says."""
    ring = [0] * 160
    for index, byte in enumerate(data):
        for bit in range(8):
            if byte >> bit & 1:
                ring[(index * 11 + bit) % 160] ^= 1
    digest = bytearray(sum(ring[byte * 8 + bit] << bit for bit in range(8)) for byte in range(20))
    for index, byte in enumerate(len(data).to_bytes(8, "little")):
        digest[12 + index] ^= byte
    return base64.b64encode(bytes(digest)).decode("ascii")


@pytest.mark.parametrize("size", [0, 1, 2, 19, 20, 21, 159, 160, 161, 320, 321, 5000])
def test_the_fast_hash_equals_the_slow_one(size):
    data = random.Random(size).randbytes(size)
    assert quick_xor_hash(data) == slow_quick_xor_hash(data)


def test_nothing_hashes_to_zeros():
    assert quick_xor_hash(b"") == "AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def test_the_hash_does_not_depend_on_how_the_bytes_come():
    dice = random.Random(1)
    data = dice.randbytes(700_000)
    hasher, at = QuickXorHash(), 0
    while at < len(data):
        step = dice.choice((1, 7, 160, 1000, 200_000))
        hasher.update(data[at : at + step])
        at += step
    assert hasher.base64() == quick_xor_hash(data)


@pytest.mark.parametrize("kind", ["random", "text", "mixed"])
def test_seeded_bytes_are_a_function_of_seed_and_offset(kind):
    content = SeededBytes("seed", 700_001, kind, head=b"HEAD", tail=b"TAIL")
    data = content.read(0, content.size)
    assert len(data) == 700_001
    assert (data[:4], data[-4:]) == (b"HEAD", b"TAIL")
    dice = random.Random(kind)
    for _ in range(50):
        at, length = dice.randint(0, 700_001), dice.randint(0, 300_000)
        assert (
            SeededBytes("seed", 700_001, kind, b"HEAD", b"TAIL").read(at, length)
            == (data[at : at + length])
        )
    assert content.quickxorhash == quick_xor_hash(data)
    assert content.read(700_001, 5) == b""


def test_a_tail_may_lie_across_two_blocks():
    content = SeededBytes("seed", 262_144 + 2, "random", tail=b"12345")
    assert content.read(0, 300_000)[-5:] == b"12345"


def test_a_gigabyte_can_be_read_at_its_end_at_once():
    content = SeededBytes("large", 1_000_000_000)
    assert len(content.read(999_999_000, 5_000)) == 1_000


def test_spooled_bytes_are_what_was_written_whatever_their_size():
    content = SpooledBytes()
    for number in range(6):
        content.append(bytes([number]) * 1_000_000)
    assert content.size == 6_000_000
    assert content.read(999_999, 2) == b"\x00\x01"
    assert content.sha256 == LiteralBytes(b"".join(pieces(content))).sha256
