"""What kind of picture some bytes are, by how they begin; names and headers may say anything."""

from __future__ import annotations

_BEGINNINGS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
BEGINNING_BYTES = 12  # as many as picture_type looks at


def picture_type(data: bytes) -> str:
    """The media type; "" for what is no picture, and for SVG, which is a document."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _BEGINNINGS if data.startswith(start)), "")
