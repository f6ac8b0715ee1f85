"""The fields of one stored row as the list of the target takes them.

Rules: a field goes into the column of the same internal name; where that column is of another kind
or cannot be written, or a lookup or person is not known there, the field stays out and the report
says which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from base.item import Cause, StoredItem, Trouble
from m365.list_fields import (
    PLAIN,
    as_text,
    fits,
    plain_field,
    reference_field,
)
from m365.list_json import (
    MARK,
    Raw,
    allows_several,
    kind_of,
    own_columns,
    references,
    target_of,
)
from m365.list_target import Target
from m365.list_targets import Targets

Person = Callable[[Raw], int | None]
Lookup = Callable[[Target, str, Raw], int | None]
_TEXT_MAX = 255


class RowFields:
    """Makes fields of stored rows."""

    def __init__(self, targets: Targets, person: Person, lookup: Lookup) -> None:
        """`person` gives the number of somebody in the target, `lookup` that of a row there."""
        self._targets, self._person, self._lookup = targets, person, lookup

    def of(self, item: StoredItem, target: Target, troubles: list[Trouble]) -> dict[str, Any]:
        """What the row is written with; `troubles` gets what stays out."""
        fields = item.raw.get("fields") or {}
        words = item.raw.get("words") or {}
        found: dict[str, Any] = {}
        for column in own_columns(target.stored) or list(target.columns.values()):
            name, kind = str(column["name"]), kind_of(column)
            is_there = bool(references(fields, column)) or fields.get(name) not in (None, "", [])
            if (kind == "calculated" and name not in target.flat) or not is_there:
                continue
            into = target.columns.get(name)
            if into is None:
                troubles.append(_left(item, name, "no-such-column"))
            elif name in target.flat or (kind not in PLAIN and kind_of(into) == "text"):
                text = as_text(column, fields, words)
                found[name] = text if _takes_lines(into) else text[:_TEXT_MAX]
                troubles.append(_left(item, name, "kept-as-text"))
            elif kind in ("lookup", "personOrGroup"):
                found |= self._referring(item, target, column, into, troubles)
            elif kind in PLAIN and not into.get("readOnly") and fits(kind, into, fields[name]):
                found |= plain_field(name, fields[name])
            else:
                troubles.append(_left(item, name, Cause.NOT_SUPPORTED))
        return found

    def emptied(self, fields: Raw, target: Target) -> dict[str, Any]:
        """Null for every column of a row to replace that the stored row says nothing of."""
        empty: dict[str, Any] = {}
        for column in own_columns({"columns": list(target.columns.values())}):
            name, kind = str(column["name"]), kind_of(column)
            if kind in PLAIN and name != MARK and name not in fields:
                empty[name] = None
            elif kind in ("lookup", "personOrGroup") and f"{name}LookupId" not in fields:
                several = allows_several(column)
                empty |= reference_field(name, [], several=several)
        return empty

    def _referring(
        self, item: StoredItem, target: Target, column: Raw, into: Raw, troubles: list[Trouble]
    ) -> dict[str, Any]:
        name, kind = str(column["name"]), kind_of(column)
        several = allows_several(into)
        told = (item.raw.get("words") or {}).get(name) or references(
            item.raw.get("fields") or {}, column
        )
        if kind_of(into) != kind:
            troubles.append(_left(item, name, Cause.NOT_SUPPORTED))
            return {}
        numbers: list[int] = []
        for one in told:
            number = self._person(one) if kind == "personOrGroup" else None
            if kind == "lookup":
                list_id = target_of(column)
                leads_to = self._targets.looked_up(target_of(into))
                number = self._lookup(leads_to, list_id, one) if leads_to else None
            if number is not None:
                numbers.append(number)
        if len(numbers) < len(told) or (len(numbers) > 1 and not several):
            troubles.append(_left(item, name, "not-known-in-target"))
        return reference_field(name, numbers, several=several) if numbers else {}


def _left(item: StoredItem, name: str, cause: str) -> Trouble:
    return Trouble(item.id, f"column:{name}", cause, retry=False)


def _takes_lines(column: Raw) -> bool:
    return bool((column.get("text") or {}).get("allowMultipleLines"))
