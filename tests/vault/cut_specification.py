"""The cut function, as docs/vault-format.md has it: slow, plain, and independent of the library.

FastCDC of 2020 (Xia et al., "The Design of Fast Content-Defined Chunking", IEEE TPDS 31(9)) with
normalized chunking of level 2, over a gear table keyed by the vault's seed.
"""

from __future__ import annotations

import hashlib

U64 = 2**64 - 1

# Mask of n effective bits, from the paper's authors; a vault of the default average of 1 MiB = 2^20
# uses 22 bits before the average size and 18 bits behind it.
MASKS = {
    10: 0x0000590003530000,
    14: 0x0000D90313530000,
    18: 0x0000D90707537000,
    22: 0x0000D93767537000,
}


def gear_table(seed: int) -> list[int]:
    """256 numbers: the first 8 bytes of MD5 over 64 equal bytes, each XORed with the seed."""
    table = []
    for value in range(256):
        digest = hashlib.md5(bytes([value]) * 64, usedforsecurity=False).digest()
        table.append(int.from_bytes(digest[:8], "big") ^ seed)
    return table


def cut(
    data: bytes, table: list[int], min_bytes: int, average_bytes: int, max_bytes: int
) -> list[int]:
    """Lengths of the chunks of `data`."""
    bits = average_bytes.bit_length() - 1
    strict, loose = MASKS[bits + 2], MASKS[bits - 2]
    lengths, start = [], 0
    while start < len(data):
        length = _first_cut(
            data[start : start + max_bytes], table, strict, loose, min_bytes, average_bytes
        )
        lengths.append(length)
        start += length
    return lengths


def _first_cut(
    data: bytes, table: list[int], strict: int, loose: int, min_bytes: int, average_bytes: int
) -> int:
    if len(data) <= min_bytes:
        return len(data)
    fingerprint = 0
    for at in range(min_bytes, len(data) // 2 * 2):  # an odd last byte is not looked at
        fingerprint = ((fingerprint << 1) + table[data[at]]) & U64
        mask = strict if at < average_bytes else loose
        if not fingerprint & mask:
            return at
    return len(data)
