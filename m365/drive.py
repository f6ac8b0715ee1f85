"""Drives: every file and folder of OneDrive for Business and SharePoint libraries.

Rules
- One feed, "root": root/delta without $select, so that whole objects come with their download
  addresses. What an item is stands in drive_item.py, its bytes in drive_content.py, its history in
  drive_versions.py.
- A file whose hash and size are the stored ones is not downloaded again, whatever else changed.
- Permissions cost five units: asked for of the root and of items that are shared explicitly, once
  and again when the feed says that their sharing changed. Graph marks that only for applications
  that may change permissions, which a backup must not: without the mark the `shared` facet and the
  eTag of such an item are compared.
- The feed's headers go with every page; a tenant that refuses them is asked without.
- One refusal is a file's; where the drive itself is locked, the whole page ends.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-delta,
/api/driveitem-list-permissions, /onedrive/developer/rest-api/concepts/scan-guidance.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote

from base.errors import Problem, Throttled
from base.item import Cause, Change, FeedPage, Part, Trouble
from m365.drive_content import CONTENT, PIECE_BYTES, Bytes
from m365.drive_history import VERSION
from m365.drive_item import LATEST, change_of, entry_of, is_onenote
from m365.drive_sharing import COST as COST_PERMISSIONS
from m365.drive_sharing import PERMISSIONS
from m365.drive_versions import versions
from m365.drive_writer import DriveWriter
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    LinkExpired,
    Locked,
    ResyncNeeded,
    TransientFailure,
)
from m365.service import PASSED_ON, Choice, Column, LiveCount, Resource, Service, trouble_of

COST_FIRST = 2  # resource units of a delta without token
COST = 1  # of a delta with one, of reading an item
_RESYNCS_MAX = 2  # of one step: a service that answers 410 to a fresh start is not asked forever
_SHARING = {
    "Prefer": "deltashowremovedasdeleted, deltatraversepermissiongaps, deltashowsharingchanges, "
    "hierarchicalsharing",
    "deltaExcludeParent": "true",
}
_REFUSES_HEADERS = (400, 403, 501)
_VERSIONS_MOST = 500  # what SharePoint keeps of a file unless told otherwise
_NOTEBOOK = "oneNote"  # the one package type whose files are known to be listed
# Parts of notebooks may answer 503 or 404 for ever: microsoft-graph-docs, corso (collection.go).
_ONENOTE_REFUSALS = (LinkExpired, TransientFailure, ItemGone, Throttled)
_ONENOTE_BYTES_MAX = 2 * 1024**3  # more of a notebook's file is refused in any way


@dataclass(frozen=True, slots=True)
class FeedLink:
    """Where the feed continues, how many versions were wanted of files when it was read from
    nothing, and whether the tenant refuses our headers.
    """

    url: str = ""
    versions: str = LATEST
    plain: bool = False

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(*json.loads(text)) if text.startswith("[") else cls(text)

    def text(self) -> str:
        """A link of Graph as it is, where there is no more to say."""
        if (self.versions, self.plain) == (LATEST, False):
            return self.url
        return json.dumps([self.url, self.versions, self.plain], separators=(",", ":"))


class DriveSource:
    """Reads one drive; safe to use from several threads."""

    def __init__(
        self,
        reader: GraphReader,
        resource: Resource,
        *,
        versions: int | str = LATEST,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        """`versions`: "latest", "all", or how many older ones are kept of a file."""
        self._reader = reader
        self._scope = Scope.sharepoint()
        self._base = f"/drives/{quote(resource.graph_id, safe='!')}"
        self._versions = str(versions)
        self._files = Bytes(reader, self._scope, piece_bytes)

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if "root" in finished:
            return
        link = FeedLink.of(links.get("root", ""))
        if self._versions not in (LATEST, link.versions):
            link = replace(link, url="")  # versions of files that do not change are wanted too
        link = replace(link, versions=self._versions)
        reset = not link.url
        for _ in range(_RESYNCS_MAX):
            try:
                yield from self._follow(link, reset)
                return
            except ResyncNeeded as lost:
                # Both resync codes mean the same here: a backup keeps the state of the service.
                link, reset = replace(link, url=lost.location), True
        yield from self._follow(link, reset)

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # only its root knows a number, and that one is of another moment

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        parts: list[Part] = []
        troubles: list[Trouble] = []
        if change.kind == "folder":
            troubles += _not_captured(change)
        elif CONTENT not in leave:
            self._add_content(change, parts, troubles)
        if VERSION in change.prints and VERSION not in leave:
            self._add_versions(change, parts, troubles)
        asked = PERMISSIONS in change.prints or PERMISSIONS in change.stale
        if asked and PERMISSIONS not in leave:
            self._add_permissions(change, parts, troubles)
        return parts, troubles

    def complete(self, item_id: str) -> Change:
        try:
            return change_of(self._item(item_id), self._versions)
        except (Locked, ItemGone):
            self._root()  # raises when it is the drive that is locked or gone, not the file
            raise

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        whole = {**raw, **change.raw, **change.volatile, **change.secret}
        return change_of(whole, self._versions)

    def _follow(self, link: FeedLink, reset: bool) -> Iterator[FeedPage]:
        for page, plain in self._pages(link, reset):
            entries = (entry_of(raw, self._versions) for raw in page.value)
            kept = replace(link, url=page.link, plain=plain).text() if page.link else ""
            found = tuple(entry for entry in entries if entry is not None)
            yield FeedPage("root", found, kept, page.more, reset=reset)
            reset = False

    def _pages(self, link: FeedLink, reset: bool) -> Iterator[tuple[DeltaPage, bool]]:
        """Pages, and whether they had to be asked for without our headers."""
        begun = False
        try:
            for page in self._asked(link.url, reset, None if link.plain else _SHARING):
                begun = True
                yield page, link.plain
            return
        except GraphProblem as problem:
            refused = type(problem) in (GraphProblem, Forbidden)
            if begun or link.plain or not refused or problem.status_code not in _REFUSES_HEADERS:
                raise
        for page in self._asked(link.url, reset, None):
            yield page, True

    def _asked(
        self, url: str, reset: bool, headers: Mapping[str, str] | None
    ) -> Iterator[DeltaPage]:
        return follow(
            self._reader,
            url or f"{self._base}/root/delta",
            headers=headers,
            scope=self._scope,
            cost_first=COST_FIRST if reset else COST,
            cost_next=COST,
        )

    def _add_content(self, change: Change, parts: list[Part], troubles: list[Trouble]) -> None:
        cause = _refusal(change)
        if cause is not None:
            troubles.append(Trouble(change.id, CONTENT, cause, retry=False))
            return
        path = self._path(change.id)
        try:
            parts.append(self._files.content(change, path, lambda: self.complete(change.id)))
        except Problem as problem:
            troubles.append(self._refused(change, problem))

    def _refused(self, change: Change, problem: Problem) -> Trouble:
        """What it means that the content of a file is refused; raises what is more than that."""
        if isinstance(problem, Forbidden):
            self._item(change.id)  # raises when it is the right to read anything that was lost
            return trouble_of(change.id, CONTENT, problem)
        if isinstance(problem, (Locked, ItemGone)):
            self._root()
        if is_onenote(change) and isinstance(problem, _onenote_refusals(change)):
            if not isinstance(problem, Throttled):
                self._item(change.id)  # raises when the file is gone
                return Trouble(change.id, CONTENT, Cause.NOT_DOWNLOADABLE, retry=False)
            if "refused" in problem.details:
                # It would pause the drive at every step; a later run tries again.
                return Trouble(change.id, CONTENT, Cause.NOT_DOWNLOADABLE, retry=True)
        if isinstance(problem, (ItemGone, *PASSED_ON)):
            raise problem
        if change.raw.get("file") is None and getattr(problem, "status_code", 0) == 400:
            return Trouble(change.id, CONTENT, Cause.NO_CONTENT, retry=False)
        return _trouble(change, CONTENT, problem)

    def _add_versions(self, change: Change, parts: list[Part], troubles: list[Trouble]) -> None:
        for lack in troubles:
            if not lack.retry:  # what keeps the service from giving the content holds for all of it
                troubles.append(replace(lack, part=VERSION))
                return
        wanted = self._versions
        path = self._path(change.id)
        try:
            parts.extend(versions(self._reader, self._scope, self._files, path, wanted))
        except Problem as problem:
            troubles.append(self._refused_beside(change, VERSION, problem))

    def _add_permissions(self, change: Change, parts: list[Part], troubles: list[Trouble]) -> None:
        pages = follow(
            self._reader,
            f"{self._path(change.id)}/permissions",
            scope=self._scope,
            cost_first=COST_PERMISSIONS,
            cost_next=COST_PERMISSIONS,
        )
        try:
            found = [permission for page in pages for permission in page.value]
        except Problem as problem:
            troubles.append(self._refused_beside(change, PERMISSIONS, problem))
            return
        data = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        parts.append(Part(PERMISSIONS, data.encode("utf-8", "surrogatepass")))

    def _refused_beside(self, change: Change, part: str, problem: Problem) -> Trouble:
        """The same of versions and permissions."""
        if isinstance(problem, (Locked, ItemGone)):
            self._root()
        if isinstance(problem, (ItemGone, *PASSED_ON)) and not isinstance(problem, Forbidden):
            raise problem
        if getattr(problem, "status_code", 0) in (400, 405, 501):
            return Trouble(change.id, part, Cause.NOT_SUPPORTED, retry=False)
        return _trouble(change, part, problem)

    def _item(self, item_id: str) -> dict[str, Any]:
        return self._reader.get(self._path(item_id), scope=self._scope, cost=COST)

    def _root(self) -> dict[str, Any]:
        path = f"{self._base}/root"
        return self._reader.get(path, params={"$select": "id"}, scope=self._scope, cost=COST)

    def _path(self, item_id: str) -> str:
        return f"{self._base}/items/{quote(item_id, safe='!')}"


def _trouble(change: Change, part: str, problem: Problem) -> Trouble:
    """A row of the ledger; what is locked may be read once whoever locked it is done."""
    trouble = trouble_of(change.id, part, problem)
    return replace(trouble, retry=True) if isinstance(problem, Locked) else trouble


def _onenote_refusals(change: Change) -> tuple[type[Problem], ...]:
    large = int(change.row.get("size", 0)) > _ONENOTE_BYTES_MAX
    return (*_ONENOTE_REFUSALS, GraphProblem) if large else _ONENOTE_REFUSALS


def _refusal(change: Change) -> Cause | None:
    """Why an item has no content to ask for."""
    if change.raw.get("remoteItem") is not None:
        return Cause.NOT_SUPPORTED  # a shortcut: the file is protected where it lies
    if change.raw.get("malware") is not None:
        return Cause.MALWARE
    return None


def _not_captured(change: Change) -> Iterator[Trouble]:
    """Of packages whose type is not known nobody can say whether their files are listed."""
    package = change.raw.get("package")
    if package is not None and str(package.get("type") or "").lower() != _NOTEBOOK.lower():
        yield Trouble(change.id, "package", Cause.NOT_SUPPORTED, retry=False)


SERVICE = Service(
    name="drive",
    title="Files",
    resource_kind="drive",
    item_kind="file",
    reads=("Files.Read.All",),
    writes=("Files.ReadWrite.All",),
    columns=(
        Column("size", "Size", "bytes"),
        Column("modified", "Modified", "datetime"),
        Column("by", "Modified by", "text"),
        Column("type", "Type", "text"),
    ),
    source=DriveSource,
    choices={
        "versions": Choice(
            "Versions of every file that are kept: the latest alone, all, or so many older ones.",
            LATEST,
            (LATEST, "all"),
            most=_VERSIONS_MOST,
        )
    },
    writer=DriveWriter,
    not_captured=(
        "Files that Microsoft 365 takes for malware, and some .one files: it keeps them back.",
        "Pages of OneNote one by one: no application may read them; notebooks are kept as files.",
        "What lies in a recycle bin; and what a shortcut leads to, which its own drive protects.",
    ),
    not_restorable=(
        "This application becomes the author of restored files; the backup keeps the names.",
        "Shortcuts to files of other drives are listed, not restored.",
        "SharePoint rewrites Office files when they arrive, so their size and hash may differ.",
        "A replaced file goes to the recycle bin with its id, links, sharing and versions.",
        "No application can take anything out of the recycle bin again; a person can.",
        "Sharing links get a new address; anonymous links are not made again.",
        "Links with a password, or that prevent downloads, are not made again either.",
        "New guests are not invited: an application cannot.",
        "Owners, site groups and applications a file was shared with are left to the target.",
    ),
    options={
        "versions": "Restore older versions too, oldest first, each with its date",
        "permissions": "Share again with whom items were shared explicitly; nobody is mailed",
    },
    swaps=True,
)
