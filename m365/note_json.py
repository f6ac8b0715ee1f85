"""What a sticky note is as an item, and what makes it anew.

https://learn.microsoft.com/graph/api/resources/note
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from base.item import Change
from m365.seen import tag

ROOT = "notes"
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "@odata.type", "changeKey"))
_NAME_CHARACTERS_MAX = 100
_NO_WORDS = "(empty note)"
_TAGS = re.compile(r"<[^>]*>")


def root() -> Change:
    """The folder that holds all notes of a mailbox."""
    return Change(ROOT, "", "folder", "Sticky notes", fingerprint="folder")


def note(raw: Mapping[str, Any], *, partial: bool = False) -> Change:
    """A note as an item. `partial`: its words are missing."""
    facts = [raw.get("changeKey"), raw.get("lastModifiedDateTime")]
    return Change(
        id=str(raw["id"]),
        parent=ROOT,
        kind="note",
        name=_name(raw),
        raw={key: value for key, value in raw.items() if key not in _VOLATILE},
        volatile={key: value for key, value in raw.items() if key in _VOLATILE},
        row={}
        if partial
        else {
            "modified": str(raw.get("lastModifiedDateTime") or ""),
            "categories": ", ".join(map(str, raw.get("categories") or ())),
            "attachments": bool(raw.get("hasAttachments")),
        },
        fingerprint="" if partial or not any(facts) else tag(facts),
        partial=partial,
    )


def is_partial(raw: Mapping[str, Any]) -> bool:
    return "body" not in raw or "lastModifiedDateTime" not in raw


def words_of(raw: Mapping[str, Any]) -> str:
    """The text of a note, for comparing: the service writes its HTML anew."""
    content = str((raw.get("body") or {}).get("content") or "")
    return " ".join(html.unescape(_TAGS.sub(" ", content)).split())


def same(raw: Mapping[str, Any]) -> str:
    """Equal for notes that read alike."""
    return tag([str(raw.get("subject") or ""), words_of(raw)])


def body_of(raw: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """What makes the note anew. `before` comes in front of its subject."""
    subject = str(raw.get("subject") or "")
    body: dict[str, Any] = {"subject": " - ".join(filter(None, (before, subject)))}
    if isinstance(raw.get("body"), dict):
        body["body"] = {k: raw["body"].get(k) for k in ("contentType", "content")}
    if raw.get("categories"):
        body["categories"] = list(raw["categories"])
    return body


def _name(raw: Mapping[str, Any]) -> str:
    """What a person sees of it: its title, else how it begins."""
    found = str(raw.get("subject") or raw.get("bodyPreview") or "") or words_of(raw)
    return " ".join(found.split())[:_NAME_CHARACTERS_MAX] or _NO_WORDS
