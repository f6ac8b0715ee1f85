"""What a format makes of an item: a file with a name, a time and bytes to stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import parse_iso


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A file to download. `size` is None where only writing it tells.

    `rebuilt`: made from properties, because the original bytes are not in the backup.
    """

    name: str
    media_type: str
    size: int | None
    modified: datetime | None
    blocks: Callable[[], Iterator[bytes]]
    rebuilt: bool = False


def moment(*texts: Any) -> datetime | None:
    """The first of some Graph times that is one."""
    for text in texts:
        if not isinstance(text, str) or not text:
            continue
        try:
            return parse_iso(text)
        except ValueError:
            continue
    return None
