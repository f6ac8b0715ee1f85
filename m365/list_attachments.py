"""Files attached to rows, read by SharePoint's own interface: Graph has no path to them.

Rules
- Only an application with a certificate can ask, and only where the organization grants it
  Sites.Read.All of SharePoint itself. Else a row with files says what it is missing, and why.
- What was refused once is not asked again in the same step.
- A row that the interface does not find is only gone when Graph says so too.
- The interface tells neither hash nor date of a file: a row that changed has its files read again.

https://learn.microsoft.com/sharepoint/dev/sp-add-ins/working-with-lists-and-list-items-with-rest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from base.errors import Problem, Throttled
from base.item import Change, Part, Trouble
from m365.graph.auth import SignInFailed
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import Forbidden, ItemGone, TransientFailure, Unauthorized
from m365.graph.sharepoint import JSON, at_sharepoint
from m365.list_json import has_attachments, ids_of
from m365.service import trouble_of

ROLE = "attachment"
NEEDS_CERTIFICATE = "needs-sharepoint-certificate"  # the application signs in with a secret
REFUSED = "sharepoint-refused"  # it has a certificate, and no right of SharePoint itself
REFUSALS = (Unauthorized, Forbidden, SignInFailed)
_R = TypeVar("_R", bound=GraphReader)


class FilesOfRows(Generic[_R]):
    """Where SharePoint has the attached files of one site's rows. `door` is the way there, a reader
    or a writer; None where the application has none.
    """

    def __init__(self, graph: _R, site_id: str) -> None:
        self._graph, self._site_id = graph, site_id
        self.door = at_sharepoint(graph, site_id.partition(",")[0])
        self._web = ""

    def of(self, list_id: str, number: object) -> str:
        """The address of a row's files."""
        row = f"{self._site()}/_api/web/lists(guid'{quote(list_id, safe='')}')/items({number})"
        return f"{row}/AttachmentFiles"

    def names(self, address: str) -> list[str]:
        """What the files of a row are called."""
        assert self.door is not None
        listed = f"{address}?$select=FileName,ServerRelativeUrl"
        found = self.door.get(listed, headers=JSON, scope=Scope.sharepoint()).get("value")
        rows = [one for one in found or () if isinstance(one, Mapping)]
        return [str(one["FileName"]) for one in rows if one.get("FileName")]

    def read(self, address: str, name: str) -> Iterator[bytes]:
        """The bytes of a file; nothing is asked for before they are read."""
        assert self.door is not None
        return self.door.stream(f"{address}('{quoted(name)}')/$value", scope=Scope.sharepoint())

    def _site(self) -> str:
        """Where the site lies on its host; its path comes from Graph, its host never does."""
        if not self._web:
            assert self.door is not None
            path = f"/sites/{quote(self._site_id, safe=',')}"
            params = {"$select": "id,webUrl"}
            site = self._graph.get(path, params=params, scope=Scope.sharepoint())
            below = quote(urlsplit(str(site.get("webUrl") or "")).path.rstrip("/"), safe="/%")
            self._web = f"{self.door.place.origin}{below}"
        return self._web


def quoted(name: str) -> str:
    """A name as a text of OData in an address."""
    return quote(name.replace("'", "''"), safe="")


class Attachments:
    """The attached files of one site's rows."""

    def __init__(self, reader: GraphReader, site_id: str, exists: Callable[[str], Any]) -> None:
        """`exists` asks Graph for a row and raises ItemGone where there is none."""
        self._exists = exists
        self._files = FilesOfRows(reader, site_id)
        self._why = "" if self._files.door else NEEDS_CERTIFICATE
        self._down: TransientFailure | None = None

    @property
    def readable(self) -> bool:
        """Whether they can be asked for, as far as the credential tells."""
        return self._files.door is not None

    def of(self, change: Change) -> tuple[list[Part], list[Trouble]]:
        """The files of a row, read when their parts are. Raises ItemGone."""
        if not has_attachments(change.raw):
            return [], []
        try:
            if not self._why:
                return self._parts(change), []
        except REFUSALS:
            self._why = REFUSED
        except Throttled:
            raise
        except ItemGone as problem:
            self._exists(change.id)
            return [], [trouble_of(change.id, ROLE, problem)]
        except Problem as problem:
            if isinstance(problem, TransientFailure):
                self._down = problem
            return [], [trouble_of(change.id, ROLE, problem)]
        return [], [Trouble(change.id, "attachments", self._why, retry=False)]

    def _parts(self, change: Change) -> list[Part]:
        if self._down is not None:
            raise self._down
        address = self._files.of(*ids_of(change.id))
        return [
            Part(ROLE, self._files.read(address, name), {"id": name, "name": name})
            for name in self._files.names(address)
        ]
