"""QuickXorHash against the published algorithm, written down literally."""

from __future__ import annotations

import random

import pytest

from m365.quickxorhash import QuickXorHash


def _published(data: bytes) -> bytes:
    """Microsoft's description, bit by bit: rotate every byte by 11 times its position, XOR."""
    bits = [0] * 160
    for position, byte in enumerate(data):
        for bit in range(8):
            bits[(position * 11 + bit) % 160] ^= byte >> bit & 1
    out = bytearray(20)
    for index, bit in enumerate(bits):
        out[index // 8] |= bit << (index % 8)
    for index, byte in enumerate(len(data).to_bytes(8, "little")):
        out[12 + index] ^= byte
    return bytes(out)


@pytest.mark.parametrize("size", [0, 1, 2, 15, 19, 20, 159, 160, 161, 600, 4_097, 20_480, 50_001])
def test_the_fast_hash_equals_the_published_one(size: int) -> None:
    data = random.Random(size).randbytes(size)
    fast = QuickXorHash()
    fast.update(data)
    assert fast.digest() == _published(data)


def test_any_split_of_the_data_gives_the_same_hash() -> None:
    dice = random.Random(7)
    data = dice.randbytes(90_000)
    expected = _published(data)
    for _ in range(5):
        fast, at = QuickXorHash(), 0
        while at < len(data):
            step = dice.choice((1, 159, 160, 161, 20_479, 20_480, 20_481, 45_000))
            fast.update(memoryview(data)[at : at + step])
            at += step
        assert fast.digest() == expected


def test_a_hash_can_be_read_before_the_end_and_goes_on() -> None:
    fast = QuickXorHash()
    fast.update(b"hello ")
    assert fast.digest() == _published(b"hello ")
    fast.update(b"world")
    assert fast.digest() == _published(b"hello world")


def test_the_empty_file_has_the_well_known_hash_of_all_zeros() -> None:
    assert QuickXorHash().base64() == "AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def test_the_well_known_hash_of_hello_world_comes_out() -> None:
    fast = QuickXorHash()
    fast.update(b"hello world")
    assert fast.base64() == "aCgDG9jwBhDc4Q1yawMZAAAAAAA="
