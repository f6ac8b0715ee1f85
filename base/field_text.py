"""What a person reads in a field of a SharePoint list, whatever its shape; pure.

Shapes: learn.microsoft.com/graph/api/resources/fieldvalueset and what tenants answer: links
{Description, Url}, terms {Label, TermGuid}, places {DisplayName, Address}, several of them in
arrays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_NAMED = ("Label", "LookupValue", "DisplayName", "fileName")


def field_text(value: Any) -> str:
    """The text of a value; "" for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return "; ".join(text for text in map(field_text, value) if text)
    if not isinstance(value, Mapping):
        return str(value)
    if value.get("Url"):
        text, url = str(value.get("Description") or ""), str(value["Url"])
        return f"{text} ({url})" if text and text != url else url
    for name in _NAMED:
        if value.get(name):
            return ", ".join((str(value[name]), *_address(value)))
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def words_text(words: Iterable[Mapping[str, Any]]) -> str:
    """The text of lookups or people ([{"id", "value"?}]): the number where the words are lost."""
    return "; ".join(str(one.get("value") or f"#{one.get('id')}") for one in words)


def _address(value: Mapping[str, Any]) -> list[str]:
    address = value.get("Address")
    return [str(one) for one in address.values() if one] if isinstance(address, Mapping) else []
