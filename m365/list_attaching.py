"""Files attached to restored rows, by SharePoint's own interface: Graph has no path to them.

Rules
- It is nobody's duty: only a restore application with a certificate can, and only where the
  organization grants it Sites.ReadWrite.All of SharePoint itself. Else the row comes back without
  its files, and the report says why.
- What was refused once is not asked again in the same step.
- Nothing is overwritten and nothing taken away. A file of that name with the same bytes is the
  file; one with others stays, and the stored one lies beside it under a name of its own. So a step
  that runs again attaches nothing twice.

https://learn.microsoft.com/sharepoint/dev/sp-add-ins/working-with-lists-and-list-items-with-rest
https://learn.microsoft.com/office365/servicedescriptions/sharepoint-online-service-description/sharepoint-online-limits
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from base.errors import Problem, Throttled
from base.item import Cause, StoredItem, StoredPart, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import GraphProblem, Locked
from m365.graph.sharepoint import JSON
from m365.list_attachments import (
    NEEDS_CERTIFICATE,
    REFUSALS,
    REFUSED,
    ROLE,
    FilesOfRows,
    quoted,
)

_BYTES_MAX = 250 * 1024 * 1024  # of one file, SharePoint's own limit; it is held while it is sent
_BYTES = {**JSON, "Content-Type": "application/octet-stream"}
NAME_TAKEN = "name-taken"


class Attaching:
    """Attaches files to rows of one site."""

    def __init__(self, writer: GraphWriter, site_id: str) -> None:
        self._files = FilesOfRows(writer, site_id)
        self._why = "" if self._files.door else NEEDS_CERTIFICATE

    def to(self, item: StoredItem, list_id: str, number: int) -> list[Trouble]:
        """Gives a row of the target the stored files it lacks; what could not be given. Safe to
        repeat.
        """
        wanted = [part for part in item.parts if part.role == ROLE]
        causes = self._all(wanted, list_id, number) if wanted else ()
        found = dict.fromkeys(one for one in causes if one)
        return [Trouble(item.id, "attachments", cause, retry=False) for cause in found]

    def _all(self, wanted: list[StoredPart], list_id: str, number: int) -> Iterator[str]:
        """Why files are not there in the end, one after another; "" for those that are."""
        if self._why:
            yield self._why
            return
        try:
            there = _There(self._files, self._files.of(list_id, number))
            for part in wanted:
                yield Cause.TOO_LARGE if part.size > _BYTES_MAX else there.with_file(part)
        except REFUSALS:
            self._why = REFUSED
            yield self._why
        except (Throttled, Locked):
            raise
        except Problem as problem:
            yield problem.code


class _There:
    """What is attached to one row of the target."""

    def __init__(self, files: FilesOfRows[GraphWriter], address: str) -> None:
        self._files, self._address = files, address
        self._names: dict[str, str] = {}
        self._look()

    def with_file(self, part: StoredPart) -> str:
        """Attaches a file that is not there yet; why not, or ""."""
        name = str(part.meta.get("name") or "attachment")
        stem, dot, ending = name.rpartition(".")
        beside = f"{stem} (restored).{ending}" if dot else f"{name} (restored)"
        for wanted in (name, beside):
            if wanted.casefold() not in self._names and self._sent(wanted, part):
                return ""
            if self._is(wanted, part):
                return ""
        return NAME_TAKEN

    def _is(self, name: str, part: StoredPart) -> bool:
        found = self._names[name.casefold()]
        return _digest(self._files.read(self._address, found)) == _digest(part.open())

    def _sent(self, name: str, part: StoredPart) -> bool:
        """Whether the file was taken; false where one of that name turns out to be there."""
        assert self._files.door is not None
        url = f"{self._address}/add(FileName='{quoted(name)}')"
        try:
            self._files.door.post(url, data=part.read(), headers=_BYTES, scope=Scope.sharepoint())
        except (*REFUSALS, Locked):
            raise
        except GraphProblem:  # no answer, or a name that is taken, which has more than one status
            self._look()
            if name.casefold() not in self._names:
                raise
            return False
        self._names[name.casefold()] = name
        return True

    def _look(self) -> None:
        self._names = {one.casefold(): one for one in self._files.names(self._address)}


def _digest(blocks: Iterable[bytes]) -> bytes:
    found = hashlib.sha256()
    for block in blocks:
        found.update(block)
    return found.digest()
