"""Columns and fields of a restored list: what they are created from, and what comes back as text.

Rules
- Columns keep their internal names, so that fields and formulas fit. What only SharePoint may set
  is left out.
- Links, places, terms and thumbnails cannot be written through Graph: their columns become text,
  and their values what a person would read.
- Two rows are the same where all plain columns of the target say the same; lookups and people have
  other numbers there and are not compared.

https://learn.microsoft.com/graph/api/list-post-columns
https://learn.microsoft.com/graph/api/listitem-create
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from base.clock import parse_iso
from base.field_text import field_text, words_text
from m365.list_json import MARK, Raw, allows_several, kind_of, references

PLAIN = ("text", "choice", "number", "currency", "boolean", "dateTime")
CREATABLE = (*PLAIN, "lookup", "personOrGroup", "calculated")
_FACTS = ("description", "displayName", "enforceUniqueValues", "hidden", "indexed", "required")
_EXTRA = ("defaultValue", "validation")  # left out where a tenant does not take them
_AS_TEXT = {"text": {"allowMultipleLines": True, "linesForEditing": 6}}
_TAGS = re.compile(r"<[^>]*>|\s|&(?:nbsp|#160);")
INTS, STRINGS = "Collection(Edm.Int32)", "Collection(Edm.String)"


def column_body(column: Raw, *, as_text: bool = False, bare: bool = False) -> dict[str, Any]:
    """What a column is created from. `bare`: without default and validation."""
    kind = kind_of(column)
    body: dict[str, Any] = {"name": column["name"]}
    body |= {name: column[name] for name in _FACTS if column.get(name) is not None}
    if as_text or kind not in CREATABLE:
        return {**body, "enforceUniqueValues": False, "indexed": False, **_AS_TEXT}
    body[kind] = {name: value for name, value in column[kind].items() if value is not None}
    if not bare:
        body |= {name: column[name] for name in _EXTRA if column.get(name)}
    return body


def mark_column() -> dict[str, Any]:
    """The hidden column by which a repeated restore knows its own rows."""
    return {"name": MARK, "displayName": MARK, "hidden": True, "indexed": True, "text": {}}


def as_text(column: Raw, fields: Raw, words: Raw) -> str:
    """What a person would read in a cell; "" for an empty one."""
    name = str(column["name"])
    if kind_of(column) in ("lookup", "personOrGroup"):
        return words_text(words.get(name) or references(fields, column))
    return field_text(fields.get(name))


def plain_field(name: str, value: Any) -> dict[str, Any]:
    """A field of a plain column as it is written; several values say what they are."""
    if isinstance(value, list):
        return {f"{name}@odata.type": STRINGS, name: value}
    return {name: value}


def reference_field(name: str, ids: list[int], *, several: bool) -> dict[str, Any]:
    """A lookup or person as it is written."""
    if several:
        return {f"{name}LookupId@odata.type": INTS, f"{name}LookupId": ids}
    return {f"{name}LookupId": ids[0] if ids else None}


def content_digest(fields: Raw, columns: Iterable[Raw]) -> str:
    """Stands for what the plain columns of a row say."""
    said = {
        str(column["name"]): _said(fields[column["name"]])
        for column in columns
        if kind_of(column) in PLAIN
        if fields.get(column["name"]) not in (None, "", [])
    }
    text = json.dumps(said, sort_keys=True).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def fits(kind: str, column: Raw, value: Any) -> bool:
    """Whether a stored value of a plain kind can go into a column of the target as it is."""
    if kind != kind_of(column):
        return False
    return not isinstance(value, list) or allows_several(column)


def _said(value: Any) -> Any:
    """A value without what the service changes when it stores it."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return sorted(str(_said(one)) for one in value)
    try:
        return f"{parse_iso(str(value)):%Y-%m-%dT%H:%M:%SZ}"
    except ValueError:
        return _TAGS.sub("", str(value))
