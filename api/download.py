"""Downloads: a name that fools nobody, never shown inline, whole or by Range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from urllib.parse import quote

from fastapi import HTTPException
from fastapi.responses import StreamingResponse

_NAME_MAX = 150  # characters; in UTF-8 and percent-encoded still a header every client takes
# Separators, quotes and control characters, and what turns text around or cannot be seen.
_NOT_IN_NAMES = re.compile(
    r'[\x00-\x1f\x7f-\x9f"\\/:*?<>|;%\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff'
    r"\ufff9-\ufffb\ud800-\udfff]"
)
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


def download(
    name: str,
    blocks: Iterator[bytes],
    media_type: str = "application/octet-stream",
    size: int | None = None,
) -> StreamingResponse:
    """An attachment with a safe name: never shown inline, whatever it holds.

    The first block is read before the answer begins, so that what cannot be read is an error and
    not an empty file; `size` tells the receiver when a later block was missing.
    """
    clean = _NOT_IN_NAMES.sub("_", name).strip(" .")[-_NAME_MAX:] or "download"
    plain = clean.encode("ascii", "replace").decode().replace("?", "_")
    headers = {
        "Content-Disposition": (
            f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"
        ),
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if size is not None:
        headers["Content-Length"] = str(size)
    begun = list(islice(blocks, 1))
    return StreamingResponse(chain(begun, blocks), media_type=media_type, headers=headers)


def byte_range(header: str, size: int) -> tuple[int, int]:
    """First and last byte to send. A header that is not one range of bytes is passed over, as RFC
    9110 section 14.2 wants; a range outside is 416.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match[1] == match[2] == "":
        return 0, size - 1
    if match[1] == "":  # the last n bytes
        first, last = max(size - int(match[2]), 0), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < int(match[1]):
            return 0, size - 1
    if first > last:
        raise HTTPException(
            416, "That range is not in the archive.", {"Content-Range": f"bytes */{size}"}
        )
    return first, last
