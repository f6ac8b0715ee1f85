"""Names of files and folders as SharePoint takes them, and names of our own that follow from a
restore.

Rule 1: a name that SharePoint takes stays as it is. Any other one becomes a safe one that follows
        from it alone; the six characters in it keep two that were different apart.
Rule 2: names of ours follow from the marker, so that a repeated step meets its own file.

https://support.microsoft.com/office/64883a5d-228e-48f5-b3d2-eb39e07630fa (invalid names)
"""

from __future__ import annotations

import hashlib
import re

NAME_CHARACTERS_MAX = 255  # of one name
_TAG_CHARACTERS = 6
_FORBIDDEN = re.compile(r'["*:<>?/\\|\x00-\x1f\x7f]')
_LEADING = re.compile(r"\A(?:~\$| )+")
_HIDDEN = re.compile(r"_vti_", re.IGNORECASE)  # not allowed anywhere in a name
_RESERVED = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9]|\.lock|desktop\.ini)", re.IGNORECASE)


def key(name: str) -> str:
    """Names collide in SharePoint whatever their case."""
    return safe(name).casefold()


def safe(name: str) -> str:
    """The name itself, or the one it is written under: "a|b.txt" becomes "a_b (0a4cdd).txt"."""
    clean = _HIDDEN.sub("-", _FORBIDDEN.sub("_", name))
    clean = _LEADING.sub("", clean).rstrip(" .")
    if not clean or _RESERVED.fullmatch(clean):
        clean = f"_{clean}"
    if clean == name and len(name) <= NAME_CHARACTERS_MAX:
        return name
    return _tailed(clean, tag(name))


def tag(text: str, characters: int = _TAG_CHARACTERS) -> str:
    """Few characters that stand for a text, the same for the same."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:characters]


def beside(name: str, marker: str) -> str:
    """Where a restored file stays beside another: "Plan (restored 3fa9c1).pdf"."""
    return _tailed(safe(name), f"restored {tag(marker)}")


def unfinished(name: str, marker: str) -> str:
    """What a file is called until it is complete: "Plan (restoring 3fa9c1d2e4).pdf"."""
    return _tailed(safe(name), f"restoring {tag(marker, 10)}")


def extension(name: str) -> str:
    """What stands behind the last dot, in lower case."""
    return name.rpartition(".")[2].lower()


def _tailed(name: str, words: str) -> str:
    stem, dot, last = name.rpartition(".")
    if not stem:
        stem, dot, last = name, "", ""
    tail = f" ({words}){dot}{last}"
    if len(tail) > NAME_CHARACTERS_MAX // 2:  # no extension is that long
        stem, tail = name, f" ({words})"
    return stem[: NAME_CHARACTERS_MAX - len(tail)].rstrip(" ") + tail
