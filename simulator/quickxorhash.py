"""quickXorHash, the file hash of OneDrive for Business and SharePoint.

Source: the published description (10 September 2017): byte i of the data is XORed into a
160-bit ring at bit 11*i mod 160; the length is XORed into the last eight of the 20 bytes.

Theory of operation: 11*i mod 160 repeats every 160 bytes, so the data may first be folded by
XOR into one row of 160 bytes. Python integers XOR half a megabyte in one go, which makes the
folding fast; only the last row is turned bit by bit.
"""

import base64

_ROW = 160
_LANE = _ROW * 4096
_RING_BITS = 160
_SHIFT_BITS = 11


class QuickXorHash:
    """The hash of a stream: update() any number of times, then digest() or base64()."""

    def __init__(self) -> None:
        self._row = 0
        self._length = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes."""
        view = memoryview(data)
        phase = self._length % _ROW
        folded = 0
        for start in range(0, len(view), _LANE):
            folded ^= int.from_bytes(view[start : start + _LANE], "little")
        width = min(len(view), _LANE)
        self._row ^= _fold(folded << (8 * phase), width + phase)
        self._length += len(view)

    def digest(self) -> bytes:
        """The 20 bytes."""
        ring = 0
        for index, byte in enumerate(self._row.to_bytes(_ROW, "little")):
            ring ^= _rotate(byte, index * _SHIFT_BITS % _RING_BITS)
        ring ^= self._length << 96
        return ring.to_bytes(20, "little")

    def base64(self) -> str:
        """As Graph writes it."""
        return base64.b64encode(self.digest()).decode("ascii")


def quick_xor_hash(data: bytes) -> str:
    """The hash of bytes at hand, base64."""
    hasher = QuickXorHash()
    hasher.update(data)
    return hasher.base64()


def _fold(value: int, width: int) -> int:
    """XOR all rows of a number of `width` bytes into one row."""
    rows = -(-width // _ROW)
    while rows > 1:
        rows = (rows + 1) // 2
        bits = rows * _ROW * 8
        value = (value & ((1 << bits) - 1)) ^ (value >> bits)
    return value


def _rotate(byte: int, bits: int) -> int:
    turned = byte << bits
    return (turned & ((1 << _RING_BITS) - 1)) | (turned >> _RING_BITS)
