"""Rows restored into lists, with columns made again and lookups and people found anew.

Rules
- A list that is not there is made with its columns; what cannot be written is text in it. To a
  list of others nothing is added: it takes the fields it has columns for.
- Lists have no folders: one made for a restore becomes the beginning of its lists' names, and no
  list of its own.
- A lookup's column is made once the list it leads to is known: the restored one before the
  original. A row that a lookup needs and that is not there yet is made with its title alone, and
  filled when its turn comes (list_target.py).
- To replace a row is to change it where it lies: its number stays what lookups lead to, and the
  list keeps the state before as a version.
- A request that is refused for one of its fields is taken apart: the row is made without, and each
  field set on its own, so that one bad value costs itself.

https://learn.microsoft.com/graph/api/list-create
https://learn.microsoft.com/graph/api/listitem-create
https://learn.microsoft.com/graph/api/listitem-update
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.item import Cause, StoredItem, Trouble
from m365 import marks
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import (
    Clash,
    GraphProblem,
    Locked,
    MaybeDone,
    ResourceGone,
    TransientFailure,
)
from m365.list_attaching import Attaching
from m365.list_attachments import ROLE
from m365.list_content_types import is_folder_type
from m365.list_json import (
    MARK,
    Raw,
    has_attachments,
    ids_of,
    is_derived,
    is_library,
)
from m365.list_people import People, people_path
from m365.list_row import RowFields
from m365.list_target import Target, content_key, mark_of, stub_mark
from m365.list_targets import Targets
from m365.service import Existing, Folder, Identity, Resource, Written

_PLANNED = "new:"  # begins the id of a folder that only lends its name to lists
_NOTHING = "none:"  # begins the id of a folder that takes nothing: a library, SharePoint's own


class ListsWriter:
    """Restores into the lists of one site."""

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer, self._scope = writer, Scope.sharepoint()
        lists = f"/sites/{quote(resource.graph_id, safe=',')}/lists"
        self._targets = Targets(writer, self._scope, lists)
        self._people = People(writer, self._scope, lambda: people_path(lists, self._targets.listed))
        self._attaching = Attaching(writer, resource.graph_id)
        self._marked = True  # whether the list of the row last asked for has a place for marks
        self._fields = RowFields(self._targets, self._people.number, self._number)

    @property
    def keeps_markers(self) -> bool:
        """Of the row that identity() was last asked for: lists of others have no place for them."""
        return self._marked

    def root(self) -> Folder:
        self._targets.check()
        return Folder(_PLANNED)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        name = " - ".join((*into.path, name if name.strip() else "(no name)"))
        if stored is None:
            return Folder(f"{_PLANNED}{name}", (name,))
        if is_library(stored.raw) or is_derived(stored.raw):
            return Folder(f"{_NOTHING}{name}", (name,))
        target = self._targets.ensure(name, stored.id, stored.raw)
        return Folder(target.id, (name,))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        if not stored.parent:
            return self.root()
        if is_library(stored.raw) or is_derived(stored.raw):
            return Folder(f"{_NOTHING}{stored.name}", (stored.name,))
        target = self._targets.original(stored.id, stored.raw)
        return Folder(target.id, (target.name,)) if target else None

    def identity(self, item: StoredItem) -> Identity:
        list_id, number = ids_of(item.id)
        target = self._targets.standing_for(list_id)
        self._marked = target is None or target.is_ours
        if target is None:
            return Identity(item.id, "")
        digest = target.digest(item.raw.get("fields") or {})
        if target.is_ours or not number.isdecimal():
            return Identity(item.id, digest)
        still = target.id.lower() == list_id.lower() and target.has(int(number))
        return Identity(item.id if still else content_key(digest), digest)

    def existing(self, into: Folder) -> Iterator[Existing]:
        if not into.id.startswith((_PLANNED, _NOTHING)):
            yield from self._targets.known(into.id).existing()

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        kind = str((item.raw.get("contentType") or {}).get("id") or "")
        if into.id.startswith((_PLANNED, _NOTHING)):
            return _skipped(item, Cause.DERIVED)
        if is_folder_type(kind):
            return _skipped(item, Cause.NOT_SUPPORTED)
        target = self._targets.known(into.id)
        self._targets.settle(target)
        troubles = _lacking(item)
        if self._targets.types.lacks(target, item.raw.get("contentType") or {}):
            troubles.append(Trouble(item.id, "content-type", "not-in-target", retry=False))
        fields = self._fields.of(item, target, troubles)
        if replace is not None:
            number = ids_of(replace.id)[1]
            wanted = {**self._fields.emptied(fields, target), **fields}
            # Without a mark of this restore: the row was there before, and an undo leaves it.
            self._set(item, target, int(number), wanted, "", troubles)
            self._retype(item, target, int(number), troubles)
            troubles += self._attaching.to(item, target.id, int(number))
            return Written(replace.id, "replaced", tuple(troubles))
        stub = target.stub_of(item.id) if target.is_ours and not new_name else None
        if stub is not None:
            self._set(item, target, stub, fields, marker, troubles)
            self._retype(item, target, stub, troubles)
            number = str(stub)
        else:
            number = str(self._create(item, target, fields, marker, troubles))
        troubles += self._attaching.to(item, target.id, int(number))
        outcome = "copied" if new_name else "created"
        return Written(f"{target.id}:{number}", outcome, tuple(troubles))

    def finish_item(self, item: StoredItem, item_id: str) -> tuple[Trouble, ...]:
        list_id, number = ids_of(item_id)
        return tuple(self._attaching.to(item, list_id, int(number)))

    def remove(self, item_id: str) -> None:
        list_id, number = ids_of(item_id)
        path = f"{self._targets.path(list_id)}/items/{quote(number, safe='')}"
        try:
            self._writer.delete(path, scope=self._scope)
        except ResourceGone:
            self._targets.check()  # raises where it is the whole site
        if number.isdecimal():
            self._targets.forget(list_id, int(number))

    def _create(
        self, item: StoredItem, target: Target, fields: dict[str, Any], marker: str,
        troubles: list[Trouble],
    ) -> int:  # fmt: skip
        """The number of the new row. Where it is refused it is made bare, then field by field."""
        body: dict[str, Any] = {"fields": {**fields, **self._mark(target, item.id, marker)}}
        kind = self._type_of(item, target)
        if kind is not None and kind is not self._targets.types.of(target)[0]:
            body["contentType"] = {"id": kind["id"]}
        try:
            return self._post(target, body)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
        title = {name: fields[name] for name in ("Title",) if name in fields}
        open_mark = self._mark(target, item.id, marker + marks.OPEN)
        number = self._post(target, {"fields": {**title, **open_mark}})
        rest = {name: value for name, value in fields.items() if name not in title}
        self._set(item, target, number, rest, marker, troubles)
        self._retype(item, target, number, troubles)
        return number

    def _post(self, target: Target, body: Mapping[str, Any]) -> int:
        """Creates once: without an answer the list is read to see whether it was done."""
        before = set(target.rows()) if not target.is_ours else set()
        try:
            made = self._writer.post(f"{target.path}/items", body, scope=self._scope)
        except MaybeDone:
            found = self._written(target, body["fields"], before)
            if found is not None:
                return found
            made = self._writer.post(f"{target.path}/items", body, scope=self._scope)
        target.note(made.get("id"), body["fields"])
        return int(made["id"])

    def _written(self, target: Target, fields: Mapping[str, Any], before: set[int]) -> int | None:
        """The row that a request without an answer made after all."""
        wanted, digest = str(fields.get(MARK) or ""), target.digest(fields)
        for row in target.rows(anew=True).values():
            fresh = row.number not in before and row.digest == digest
            marked = wanted in (f"{row.stored}|{row.mark}", f"stub|{row.stored}")
            if marked if wanted else fresh:
                return row.number
        return None

    def _set(
        self, item: StoredItem, target: Target, number: int, fields: dict[str, Any], marker: str,
        troubles: list[Trouble],
    ) -> None:  # fmt: skip
        """Sets the fields of a row, all at once or, where that is refused, each on its own."""
        path = f"{target.item(number)}/fields"
        mark = self._mark(target, item.id, marker)
        try:
            self._writer.patch(path, {**fields, **mark}, scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code != 400 or isinstance(problem, Clash):
                raise
            for name, value in fields.items():
                if "@" not in name:
                    self._set_one(item, path, name, value, fields, troubles)
            if mark:
                self._writer.patch(path, mark, scope=self._scope)
        target.note(number, {**fields, **mark})

    def _set_one(
        self, item: StoredItem, path: str, name: str, value: Any, fields: Mapping[str, Any],
        troubles: list[Trouble],
    ) -> None:  # fmt: skip
        typed = f"{name}@odata.type"
        body = {typed: fields[typed], name: value} if typed in fields else {name: value}
        try:
            self._writer.patch(path, body, scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            column = name.removesuffix("LookupId")
            troubles.append(Trouble(item.id, f"column:{column}", "not-set", retry=False))

    def _number(self, target: Target, list_id: str, reference: Raw) -> int | None:
        """The row of the target that a stored lookup leads to; a stub where it has yet to come."""
        stored_id, title = f"{list_id}:{reference['id']}", str(reference.get("value") or "")
        if target.id.lower() == list_id.lower() and target.has(reference["id"]):
            return int(reference["id"])
        if not target.is_ours:
            return target.entitled(title)
        made = target.made_of(stored_id)
        if made is None:
            made = self._post(target, {"fields": {"Title": title[:255], **stub_mark(stored_id)}})
        return made

    def _mark(self, target: Target, stored_id: str, marker: str) -> dict[str, Any]:
        return mark_of(stored_id, marker) if target.is_ours and marker else {}

    def _type_of(self, item: StoredItem, target: Target) -> Raw | None:
        """The target's content type that is the row's; None where it has none like it."""
        return self._targets.types.found(target, item.raw.get("contentType") or {})

    def _retype(
        self, item: StoredItem, target: Target, number: int, troubles: list[Trouble]
    ) -> None:
        """Gives a row that is there the content type of the stored one."""
        kind = self._type_of(item, target)
        now = target.type_of(number)
        if kind is None or now == kind.get("name"):
            return
        if not now and kind is self._targets.types.of(target)[0]:
            return
        try:
            body = {"contentType": {"id": kind["id"]}}
            self._writer.patch(target.item(number), body, scope=self._scope)
        except GraphProblem as problem:
            if isinstance(problem, (Locked, TransientFailure)):
                raise
            troubles.append(Trouble(item.id, "content-type", "not-set", retry=False))


def _skipped(item: StoredItem, cause: Cause) -> Written:
    return Written("", "skipped", (Trouble(item.id, "item", cause, retry=False),))


def _lacking(item: StoredItem) -> list[Trouble]:
    """What the backup itself lacks of a row."""
    rows = [text.rpartition(": ") for text in item.missing]
    found = [Trouble(item.id, part, cause, retry=False) for part, _, cause in rows]
    if not found and has_attachments(item.raw) and item.part(ROLE) is None:
        found.append(Trouble(item.id, "attachments", Cause.NO_CONTENT, retry=False))
    return found
