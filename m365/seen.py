"""What a list without a change feed told when it was last read: what is news, and what has gone.

Of every entry two tags are kept in the feed's link: of what the list told, and of the whole object
that was read then. A tag is eight characters, so that thousands of entries still make a small link.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_TAG_CHARACTERS = 8  # 48 bits: two states of one entry do not meet


def tag(value: Any) -> str:
    """Changes when the value does; the order of properties is nothing."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:_TAG_CHARACTERS]


class Seen:
    """The entries of one list, by id."""

    def __init__(self, tags: Mapping[str, str] | None = None) -> None:
        self._tags = dict(tags or {})

    def __len__(self) -> int:
        return len(self._tags)

    def tags(self) -> dict[str, str]:
        """As the link keeps them; takes back what it gave."""
        return self._tags

    def tells(self, key: str, listed: str) -> bool:
        """Whether the list tells something else than before; "" says that it tells nothing."""
        return not listed or self._tags.get(key, "").partition("/")[0] != listed

    def is_as_read(self, key: str, whole: str) -> bool:
        """Whether the object is the one that was read."""
        return whole != "" and self._tags.get(key, "").partition("/")[2] == whole

    def note(self, key: str, listed: str, whole: str) -> None:
        """Keeps what is known of an entry now. `whole` is "" where it could not be read."""
        self._tags[key] = f"{listed}/{whole}"

    def forget(self, keys: Iterable[str]) -> None:
        """Entries that are no more."""
        for key in keys:
            self._tags.pop(key, None)

    def missing(self, listed: Collection[str]) -> list[str]:
        """Ids that a list no longer names."""
        return [key for key in self._tags if key not in listed]
