"""Files attached to rows, by SharePoint's own interface: Graph has no path to them.

Rules
- Only an application with a certificate can ask, and only where the organization grants it
  Sites.Read.All of SharePoint itself. Else a row with files says what it is missing, and why.
- What was refused once is not asked again in the same step.
- A row that the interface does not find is only gone when Graph says so too.
- The interface tells neither hash nor date of a file: a row that changed has its files read again.

https://learn.microsoft.com/sharepoint/dev/sp-add-ins/working-with-lists-and-list-items-with-rest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from base.errors import Problem, Throttled
from base.item import Change, Part, Trouble
from m365.graph.auth import SignInFailed
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import Forbidden, ItemGone, TransientFailure, Unauthorized
from m365.graph.sharepoint import JSON, sharepoint_reader
from m365.list_json import has_attachments, ids_of
from m365.service import trouble_of

ROLE = "attachment"
NEEDS_CERTIFICATE = "needs-sharepoint-certificate"  # the application signs in with a secret
REFUSED = "sharepoint-refused"  # it has a certificate, and no right of SharePoint itself
_REFUSALS = (Unauthorized, Forbidden, SignInFailed)


class Attachments:
    """The attached files of one site's rows."""

    def __init__(self, reader: GraphReader, site_id: str, exists: Callable[[str], Any]) -> None:
        """`exists` asks Graph for a row and raises ItemGone where there is none."""
        self._graph, self._site_id, self._exists = reader, site_id, exists
        self._scope = Scope.sharepoint()
        self._reader = sharepoint_reader(reader, site_id.partition(",")[0])
        self._why = "" if self._reader else NEEDS_CERTIFICATE
        self._down: TransientFailure | None = None
        self._web = ""

    @property
    def readable(self) -> bool:
        """Whether they can be asked for, as far as the credential tells."""
        return self._reader is not None

    def of(self, change: Change) -> tuple[list[Part], list[Trouble]]:
        """The files of a row, read when their parts are. Raises ItemGone."""
        if not has_attachments(change.raw):
            return [], []
        try:
            if self._reader is not None and not self._why:
                return self._files(self._reader, change), []
        except _REFUSALS:
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

    def _files(self, reader: GraphReader, change: Change) -> list[Part]:
        if self._down is not None:
            raise self._down
        list_id, number = ids_of(change.id)
        row = f"{self._address(reader)}/_api/web/lists(guid'{quote(list_id)}')/items({number})"
        listed = f"{row}/AttachmentFiles?$select=FileName,ServerRelativeUrl"
        found = reader.get(listed, headers=JSON, scope=self._scope).get("value")
        return [
            self._part(reader, f"{row}/AttachmentFiles", one)
            for one in found or ()
            if isinstance(one, dict) and one.get("FileName")
        ]

    def _part(self, reader: GraphReader, files: str, raw: Mapping[str, Any]) -> Part:
        name = str(raw["FileName"])
        address = f"{files}('{quote(name.replace(chr(39), chr(39) * 2), safe='')}')/$value"
        return Part(ROLE, reader.stream(address, scope=self._scope), {"id": name, "name": name})

    def _address(self, reader: GraphReader) -> str:
        """Where the site lies on its host; its path comes from Graph, its host never does."""
        if not self._web:
            path = f"/sites/{quote(self._site_id, safe=',')}"
            params = {"$select": "id,webUrl"}
            site = self._graph.get(path, params=params, scope=self._scope)
            below = quote(urlsplit(str(site.get("webUrl") or "")).path.rstrip("/"), safe="/%")
            self._web = f"{reader.place.origin}{below}"
        return self._web
