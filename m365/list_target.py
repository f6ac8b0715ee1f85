"""A list of the target of a restore: its columns, and which of its rows are whose.

Rules
- A list that a restore made has a hidden column (MARK). It holds the id of the stored row and the
  restore's marker, so rows are known again however often a step runs, and lookups find them.
- A row that only a lookup has asked for so far is a stub: its title and its mark. It is filled when
  its own turn comes, and does not count as existing before.
- Lists of others get no such column: their rows are known by their own ids, and by what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.list_fields import PLAIN, content_digest
from m365.list_json import MARK, Raw, item_id, kind_of, own_columns
from m365.service import Existing

STUB = "stub"
COST_OF_LIST = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the target. `stored` is the id of the stored row it stands for, `mark` the marker
    behind it; both "" in lists of others.
    """

    number: int
    title: str
    digest: str
    stored: str = ""
    mark: str = ""


@dataclass(slots=True)
class Target:
    """A list that is restored into, or looked up. `stored`: the definition it stands for."""

    id: str
    name: str
    path: str
    columns: dict[str, Raw]
    stored: Raw = field(default_factory=dict)
    content_types: list[Raw] = field(default_factory=list)
    rows: dict[int, Row] | None = None
    made: dict[str, int] = field(default_factory=dict)  # by the id of a stored row
    flat: set[str] = field(default_factory=set)  # columns that became text
    is_original: bool = False  # the very list that was backed up

    @property
    def is_ours(self) -> bool:
        return MARK in self.columns

    def load(self, writer: GraphWriter, scope: Scope, *, anew: bool = False) -> dict[int, Row]:
        """All rows by number; read once, two units a page."""
        if self.rows is None or anew:
            self.rows = {}
            pages = follow(
                writer, f"{self.path}/items", {"$expand": self._fields()}, scope=scope,
                cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
            )  # fmt: skip
            for page in pages:
                for raw in page.value:
                    self.note(raw.get("id"), raw.get("fields") or {})
        return self.rows

    def _fields(self) -> str:
        """What is asked for of a row: hidden columns come where they are named, and only there."""
        if not self.is_ours:
            return "fields"
        plain = [name for name, one in self.columns.items() if kind_of(one) in PLAIN]
        return f"fields($select={','.join(plain)})"

    def note(self, number: object, fields: Raw) -> None:
        """Remembers a row that was read or written."""
        if not str(number).isdecimal():
            return
        before = (self.rows or {}).get(int(str(number)))
        stored, _, mark = str(fields.get(MARK) or "").partition("|")
        if before is not None and MARK not in fields:
            stored, mark = before.stored, before.mark
        title = str(fields.get("Title") or "")
        row = Row(int(str(number)), title, self.digest(fields), stored, mark)
        if self.rows is not None:
            self.rows[row.number] = row
        if stored:
            self.made[stored] = row.number

    def forget(self, number: int) -> None:
        """A row that was removed."""
        for stored in [key for key, one in self.made.items() if one == number]:
            del self.made[stored]
        if self.rows is not None:
            self.rows.pop(number, None)

    def digest(self, fields: Raw) -> str:
        own = own_columns({"columns": list(self.columns.values())})
        return content_digest(fields, own)

    def existing(self, writer: GraphWriter, scope: Scope) -> Iterator[Existing]:
        """The rows for collisions. Those of others collide by id and, for a repeated step that
        looks for its own writes, by what they say.
        """
        for row in list(self.load(writer, scope).values()):
            own = item_id(self.id, row.number)
            if row.mark == STUB:
                continue
            if self.is_ours:
                yield marks.existing(own, self._key(row) or own, row.digest, row.mark)
                continue
            yield Existing(own, own, row.digest)
            yield Existing(own, content_key(row.digest), row.digest)

    def _key(self, row: Row) -> str:
        """The stored row that one stands for; "" where it stands for itself: rows of a restored
        list that people went on with, and that was backed up again.
        """
        foreign = not row.stored.lower().startswith(f"{self.id.lower()}:")
        return "" if self.is_original and foreign else row.stored

    def entitled(self, title: str) -> int | None:
        """The only row of that title; None where there is none, or more than one."""
        found = [row.number for row in (self.rows or {}).values() if row.title == title]
        return found[0] if len(found) == 1 and title else None

    def item(self, number: int) -> str:
        """The path of a row."""
        return f"{self.path}/items/{quote(str(number), safe='')}"


def content_key(digest: str) -> str:
    """What rows collide on that are not known by an id."""
    return f"content:{digest}"


def mark_of(stored_id: str, mark: str) -> dict[str, Any]:
    """The field that keeps a row's mark."""
    return {MARK: f"{stored_id}|{mark}"}
