"""Files as offices have them, generated, real in structure: PDF, PNG, JPEG, Word, Excel, slides.

What decides how they are stored is how their bytes behave, and that is real: deflated page
contents and XML, pictures that do not compress, an uncompressed rest around them.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from benchmarks._prose import Prose

_DEFLATED = (2026, 1, 1, 0, 0, 0)  # every zip member's date: a file depends on its dice only


class Documents:
    """Makes one document after another."""

    def __init__(self, dice: Random, prose: Prose) -> None:
        self._dice = dice
        self._prose = prose
        self._kinds: dict[str, Callable[[int], bytes]] = {
            "pdf": self.pdf,
            "docx": self.docx,
            "xlsx": self.xlsx,
            "pptx": self.pptx,
            "png": self.png,
            "jpg": self.jpeg,
        }

    def any(self, size: int) -> tuple[str, bytes]:
        """A kind, as its file name ends, and a document of about `size` bytes."""
        kind = self._dice.choices(list(self._kinds), (34, 20, 12, 8, 10, 16))[0]
        return kind, self._kinds[kind](size)

    def size(self, median: int, sigma: float, at_most: int) -> int:
        """A size as file sizes are distributed: log-normal."""
        return min(int(self._dice.lognormvariate(0, sigma) * median) + 2_000, at_most)

    def pdf(self, size: int) -> bytes:
        """Pages of deflated text, a font and pictures."""
        out = io.BytesIO()
        out.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        places, number = [], 1
        while out.tell() < size:
            left = size - out.tell()
            if self._dice.random() < 0.6 or left < 6_000:
                text = "\n".join(
                    f"BT /F1 10 Tf 72 {720 - 14 * at} Td ({line}) Tj ET"
                    for at, line in enumerate(self._prose.paragraphs(250))
                )
                stream, filter_ = zlib.compress(text.encode()), "/FlateDecode"
            else:
                stream, filter_ = self.jpeg(min(left, 180_000)), "/DCTDecode"
            places.append(out.tell())
            out.write(f"{number} 0 obj\n<< /Length {len(stream)} /Filter {filter_} >>\n".encode())
            out.write(b"stream\n" + stream + b"\nendstream\nendobj\n")
            number += 1
        table = "".join(f"{place:010d} 00000 n \n" for place in places)
        out.write(f"xref\n0 {number}\n0000000000 65535 f \n{table}".encode())
        out.write(f"trailer\n<< /Size {number} >>\nstartxref\n{out.tell()}\n%%EOF\n".encode())
        return out.getvalue()

    def png(self, size: int) -> bytes:
        """A picture: noise over a gradient, so that deflating it leaves about `size`."""
        width = 640
        rows = max(size // (width * 3 // 2), 1)
        noise = self._dice.randbytes(width * 3 * rows).translate(_FAINT)
        lines = (b"\1" + noise[at : at + width * 3] for at in range(0, len(noise), width * 3))
        pixels = zlib.compress(b"".join(lines), 1)
        header = struct.pack(">IIBBBBB", width, rows, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)

    def jpeg(self, size: int) -> bytes:
        """A header, and entropy-coded data: bytes that do not compress, with 0xFF escaped."""
        head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x48\x00\x48\x00\x00"
        tables = b"\xff\xdb\x00\x43\x00" + bytes(range(8, 72))
        data = self._dice.randbytes(max(size - 100, 64)).replace(b"\xff", b"\xff\x00")
        return head + tables + data + b"\xff\xd9"

    def docx(self, size: int) -> bytes:
        """Prose in XML, and a picture for the rest."""
        words = self._prose.paragraphs(self._dice.randint(150, 1_500))
        body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in words)
        text = f"<w:document><w:body>{body}</w:body></w:document>".encode()
        return self._office("word/document.xml", [text], size)

    def xlsx(self, size: int) -> bytes:
        """Rows of numbers, deflated; hardly anything else."""
        rows, roll = [], self._dice.random
        for row in range(1, max(size // 48, 20)):
            cells = "".join(
                f'<c r="{column}{row}"><v>{roll() * 10_000:.2f}</v></c>' for column in "ABCDE"
            )
            rows.append(f'<row r="{row}">{cells}</row>')
        sheet = "<worksheet><sheetData>" + "".join(rows) + "</sheetData></worksheet>"
        return self._office("xl/worksheets/sheet1.xml", [sheet.encode()], 0)

    def pptx(self, size: int) -> bytes:
        """A few words a slide, and pictures."""
        slides = [
            "".join(
                f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in self._prose.paragraphs(60)
            )
            for _ in range(self._dice.randint(4, 20))
        ]
        return self._office("ppt/slides/slide.xml", [slide.encode() for slide in slides], size)

    def _office(self, name: str, parts: list[bytes], size: int) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
            made.writestr(_member("[Content_Types].xml"), _CONTENT_TYPES, zipfile.ZIP_DEFLATED)
            for number, part in enumerate(parts, 1):
                made.writestr(_member(f"{number}-{name}"), part, zipfile.ZIP_DEFLATED)
            left = size - out.tell()
            number = 1
            while left > 8_000:
                count = min(left, self._dice.randint(40_000, 400_000))
                made.writestr(_member(f"media/image{number}.jpeg"), self.jpeg(count))
                left -= count
                number += 1
        return out.getvalue()


_FAINT = bytes(value & 15 for value in range(256))  # four bits of noise a byte
_CONTENT_TYPES = b'<?xml version="1.0"?><Types><Default Extension="xml"/></Types>' * 12


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, _DEFLATED)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
