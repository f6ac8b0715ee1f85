"""A list of the target of a restore: its columns, and which of its rows are whose.

Rules
- A list that a restore made has a hidden, indexed column (MARK). It holds the id of the stored row
  and the restore's marker, so rows are known again however often a step runs, and lookups find
  them.
- A row that only a lookup has asked for so far is a stub: its title and its mark. It is filled when
  its own turn comes, and does not count as existing before.
- Lists of others get no such column: their rows are known by their own ids, and by what they say.
- All rows are read only for collisions. One row is looked for by number, mark or title, because a
  restore of many rows would else read more the further it comes; where a tenant refuses the
  filter, all rows are read after all.

https://learn.microsoft.com/graph/api/listitem-list
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem
from m365.list_fields import PLAIN, content_digest
from m365.list_json import MARK, MISSING, Raw, item_id, kind_of, own_columns
from m365.service import Existing

COST_OF_LIST = 2
_STUB = "stub"  # begins the mark of a stub
_ALIKE_MAX = 20  # of rows that say the same, so many are taken for what others are copies of
_UNINDEXED = {"Prefer": "HonorNonIndexedQueriesWarningMayFailRandomly"}


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
    is_stub: bool = False
    type: str = ""  # the name of its content type, where it was told


@dataclass(slots=True)
class Target:
    """A list that is restored into, or looked up. `stored`: the definition it stands for."""

    id: str
    name: str
    path: str
    columns: dict[str, Raw]
    writer: GraphWriter
    scope: Scope
    stored: Raw = field(default_factory=dict)
    content_types: list[Raw] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)  # columns that became text
    is_original: bool = False  # the very list that was backed up
    _rows: dict[int, Row] = field(default_factory=dict)
    _loaded: bool = False
    _stubs_known: bool = False
    _made: dict[str, int] = field(default_factory=dict)  # by the id of a stored row
    _not_here: set[object] = field(default_factory=set)  # what was looked for and not found

    @property
    def is_ours(self) -> bool:
        return MARK in self.columns

    def rows(self, *, anew: bool = False) -> dict[int, Row]:
        """All rows by number; read once, two units a page."""
        if anew or not self._loaded:
            self._rows.clear()
            self._made.clear()
            self._read({})
            self._loaded = self._stubs_known = True
        return self._rows

    def has(self, number: int) -> bool:
        """Whether there is a row of that number."""
        if number not in self._rows and not self._loaded and number not in self._not_here:
            try:
                raw = self.writer.get(
                    self.item(number), params={"$expand": self._fields()}, scope=self.scope
                )
                self.note(raw.get("id", number), raw.get("fields") or {})
            except MISSING:
                self._not_here.add(number)
        return number in self._rows

    def made_of(self, stored_id: str) -> int | None:
        """The row of a list of ours that stands for a stored one, stubs included."""
        if self.stub_of(stored_id) is None and stored_id not in self._made and not self._loaded:
            wanted = stored_id.replace("'", "''")
            self._find(stored_id, f"startswith(fields/{MARK},'{wanted}|')")
        return self._made.get(stored_id)

    def stub_of(self, stored_id: str) -> int | None:
        """The stub that waits for a stored row."""
        if not self._stubs_known:
            self._stubs_known = True
            self._find(_STUB, f"startswith(fields/{MARK},'{_STUB}|')")
        row = self._rows.get(self._made.get(stored_id, -1))
        return row.number if row is not None and row.is_stub else None

    def entitled(self, title: str) -> int | None:
        """The only row of that title; None where there is none, or more than one."""
        if not title:
            return None
        wanted = title.replace("'", "''")
        self._find(f"title {title}", f"fields/Title eq '{wanted}'")
        found = [row.number for row in self._rows.values() if row.title == title]
        return found[0] if len(found) == 1 else None

    def note(self, number: object, fields: Raw) -> None:
        """Remembers a row that was read or written."""
        if not str(number).isdecimal():
            return
        before = self._rows.get(int(str(number)))
        first, _, second = str(fields.get(MARK) or "").partition("|")
        is_stub = first == _STUB
        stored, mark = (second, "") if is_stub else (first, second)
        if before is not None and MARK not in fields:
            stored, mark, is_stub = before.stored, before.mark, before.is_stub
        title = str(fields.get("Title") or "")
        kind = str(fields.get("ContentType") or (before.type if before is not None else ""))
        row = Row(int(str(number)), title, self.digest(fields), stored, mark, is_stub, kind)
        self._rows[row.number] = row
        self._not_here.discard(row.number)
        if stored:
            self._made[stored] = row.number

    def type_of(self, number: int) -> str:
        """The name of a row's content type; "" where nothing told it."""
        row = self._rows.get(number)
        return row.type if row is not None else ""

    def forget(self, number: int) -> None:
        """A row that was removed."""
        row = self._rows.pop(number, None)
        if row is not None and self._made.get(row.stored) == number:
            del self._made[row.stored]

    def digest(self, fields: Raw) -> str:
        own = own_columns({"columns": list(self.columns.values())})
        return content_digest(fields, own)

    def existing(self) -> Iterator[Existing]:
        """The rows for collisions. Those of others collide by id and, for a repeated step that
        looks for its own writes, by what they say; a row that says the same as an older one also
        collides with that one's id: it may be its copy.
        """
        alike: dict[str, list[str]] = {}
        for row in [self.rows()[number] for number in sorted(self.rows())]:
            own = item_id(self.id, row.number)
            if self.is_ours:
                if not row.is_stub:
                    yield marks.existing(own, self._key(row) or own, row.digest, row.mark)
                continue
            older = alike.setdefault(row.digest, [])
            yield Existing(own, own, row.digest)
            yield Existing(own, content_key(row.digest), row.digest)
            yield from (Existing(own, one, row.digest) for one in older)
            if len(older) < _ALIKE_MAX:
                older.append(own)

    def item(self, number: int) -> str:
        """The path of a row."""
        return f"{self.path}/items/{quote(str(number), safe='')}"

    def _key(self, row: Row) -> str:
        """The stored row that one stands for; "" where it stands for itself: rows of a restored
        list that people went on with, and that was backed up again.
        """
        foreign = not row.stored.lower().startswith(f"{self.id.lower()}:")
        return "" if self.is_original and foreign else row.stored

    def _find(self, what: str, wanted: str) -> None:
        """Brings some rows into what is known; once each."""
        if self._loaded or what in self._not_here:
            return
        self._not_here.add(what)
        try:
            self._read({"$filter": wanted})
        except GraphProblem as problem:
            if problem.status_code not in (400, 501):
                raise
            self.rows()

    def _read(self, params: dict[str, str]) -> None:
        pages = follow(
            self.writer, f"{self.path}/items", {"$expand": self._fields(), **params}, _UNINDEXED,
            scope=self.scope, cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
        )  # fmt: skip
        for page in pages:
            for raw in page.value:
                self.note(raw.get("id"), raw.get("fields") or {})

    def _fields(self) -> str:
        """What is asked for of a row: hidden columns come where they are named, and only there."""
        if not self.is_ours:
            return "fields"
        plain = [name for name, one in self.columns.items() if kind_of(one) in PLAIN]
        return f"fields($select={','.join(plain)})"


def content_key(digest: str) -> str:
    """What rows collide on that are not known by an id."""
    return f"content:{digest}"


def mark_of(stored_id: str, mark: str) -> dict[str, Any]:
    """The field that keeps a row's mark."""
    return {MARK: f"{stored_id}|{mark}"}


def stub_mark(stored_id: str) -> dict[str, Any]:
    """The field of a stub."""
    return {MARK: f"{_STUB}|{stored_id}"}
