"""File names that every system accepts and nobody is fooled by; pure functions.

Rule 1: what comes out is a single name: no separators, no way up, nothing hidden from the eye.
Rule 2: the same names in the same order give the same result, so a repeated export is identical.

Sources: learn.microsoft.com/windows/win32/fileio/naming-a-file; Unicode TR 36 on bidirectional
text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

NAME_BYTES_MAX = 200  # systems take 255; the rest is room for " (2)" and for other encodings
EXTENSION_BYTES_MAX = 20
PATH_BYTES_MAX = 3_000  # Linux takes 4,096 with the folder the archive is unpacked in

_FORBIDDEN = re.compile(
    r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f'  # Windows, and control characters everywhere
    r"\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen and turning text
    r"\ud800-\udfff]"  # halves of surrogate pairs cannot be encoded
)
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)


def safe_name(name: str, fallback: str = "unnamed", extension: str = "") -> str:
    """One name of a file or folder. `extension` (".eml") is added and never cut off."""
    clean = _FORBIDDEN.sub("_", name).strip()
    clean = clean.rstrip(". ")  # Windows drops them silently, so two names would become one
    if not clean:
        clean = fallback
    if _RESERVED.fullmatch(clean):
        clean = f"_{clean}"
    if extension:
        return _cut(clean, NAME_BYTES_MAX - len(extension.encode())).rstrip(". ") + extension
    stem, dot, last = clean.rpartition(".")
    if stem and len(last.encode()) <= EXTENSION_BYTES_MAX:
        room = NAME_BYTES_MAX - len(last.encode()) - 1
        return _cut(stem, room) + dot + last
    return _cut(clean, NAME_BYTES_MAX).rstrip(". ")


def numbered(name: str, number: int) -> str:
    """The name with a number before its extension: "report (2).docx"."""
    stem, dot, last = name.rpartition(".")
    if stem and len(last.encode()) <= EXTENSION_BYTES_MAX:
        return f"{stem} ({number}){dot}{last}"
    return f"{name} ({number})"


class Placement:
    """Gives every file of an archive a path of its own, also where systems ignore case."""

    def __init__(self, reserved: Sequence[str] = ()) -> None:
        self._taken: set[bytes] = {_same(name) for name in reserved}
        self._folders: dict[bytes, str] = {}
        self._next: dict[bytes, int] = {}

    def place(self, folders: Sequence[str], name: str) -> str:
        """A path with slashes; `folders` as a person sees them, `name` from safe_name."""
        above = ""
        for folder in folders:
            above = self._folder(above, safe_name(folder, "folder"))
        if len(above.encode()) > PATH_BYTES_MAX:
            # Too deep for any disk: one folder stands for all of them, the same for the same path.
            digest = hashlib.sha256(above.encode()).hexdigest()[:12]
            above = self._folder("", f"deep-{digest}")
        return self._free(f"{above}{name}")

    def _folder(self, above: str, name: str) -> str:
        path = f"{above}{name}"
        known = self._folders.get(_same(path))
        if known is None:
            known = self._free(path) + "/"
            self._folders[_same(path)] = known
        return known

    def _free(self, path: str) -> str:
        """The path, with a number where it is taken."""
        key = _same(path)
        if key not in self._taken:
            self._taken.add(key)
            return path
        above, slash, name = path.rpartition("/")
        number = self._next.get(key, 2)
        while _same(other := f"{above}{slash}{numbered(name, number)}") in self._taken:
            number += 1
        self._next[key] = number + 1
        self._taken.add(_same(other))
        return other


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")


def _same(path: str) -> bytes:
    """Equal for paths that some system takes for one; short, as there may be many."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    return hashlib.blake2b(folded.encode(), digest_size=12).digest()
