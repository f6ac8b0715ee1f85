"""Drives: every file and folder of OneDrive for Business and SharePoint libraries.

Rules
- One feed, "root": root/delta without $select, so that whole objects come with their download
  URLs.
- Items are known by id alone: delta answers hold no paths, and renaming a folder names the folder
  only.
- A download URL is a secret of the moment: used while its page is worked on, asked for anew by
  item, never stored; no token goes with it.
- Bytes are checked against size and quickXorHash while they stream. What does not match is not
  content.
- A file whose hash and size are the stored ones is not downloaded again, whatever else changed.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-delta,
/api/driveitem-get-content, /onedrive/developer/rest-api/concepts/scan-guidance.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote

from base.errors import Problem, Throttled
from base.item import Cause, Change, FeedPage, Gone, Part, Trouble
from m365.drive_writer import DriveWriter
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.download import Changed
from m365.graph.errors import (
    Forbidden,
    ItemGone,
    LinkExpired,
    ResyncNeeded,
    TransientFailure,
)
from m365.quickxorhash import QuickXorHash
from m365.service import PASSED_ON, Column, LiveCount, Resource, Service, trouble_of

SMALL_BYTES = 4 * 1024 * 1024  # held in memory and read by the fetching threads; more is streamed
COST_FIRST = 2  # resource units of a delta without token
COST = 1  # of a delta with one, of reading an item
_URLS = ("@microsoft.graph.downloadUrl", "@content.downloadUrl")
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "eTag", "cTag"))
_RESYNCS_MAX = 2  # of one step: a service that answers 410 to a fresh start is not asked forever
_ONENOTE_TYPES = ("application/msonenote", "application/onenote")
_ONENOTE_NAMES = (".one", ".onetoc2")
# Parts of notebooks may answer 503 or 404 for ever: microsoft-graph-docs, corso (collection.go).
_ONENOTE_REFUSALS = (LinkExpired, TransientFailure, ItemGone, Throttled)


class ContentMismatch(Problem):
    """The bytes of a file are not those its size and hash speak of."""

    code = "content-mismatch"
    status = 502
    hint = "The file is read again in the next run; it may have changed while it was read."


class DriveSource:
    """Reads one drive; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.sharepoint()
        self._base = f"/drives/{quote(resource.graph_id, safe='!')}"

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        if "root" in finished:
            return
        start = f"{self._base}/root/delta"
        link, reset = links.get("root") or start, not links.get("root")
        for _ in range(_RESYNCS_MAX):
            try:
                yield from self._follow(link, reset)
                return
            except ResyncNeeded as lost:
                # Both resync codes mean the same here: a backup keeps the state of the service.
                link, reset = lost.location or start, True
        yield from self._follow(link, reset)

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # only its root knows a number, and that one is of another moment

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind == "folder":
            return [], []
        refusal = _refusal(change)
        if refusal is not None:
            return [], [Trouble(change.id, "content", refusal, retry=False)]
        try:
            return [Part("content", self._content(change))], []
        except Forbidden as problem:
            self._item(change.id)  # raises when it is the right to read anything that was lost
            return [], [trouble_of(change.id, "content", problem)]
        except Problem as problem:
            if _is_onenote(change) and isinstance(problem, _ONENOTE_REFUSALS):
                if not isinstance(problem, Throttled):
                    self._item(change.id)  # raises when the file is gone
                    return [], [Trouble(change.id, "content", Cause.NOT_DOWNLOADABLE, retry=False)]
                if "refused" in problem.details:
                    # It would pause the drive at every step; a later run tries again.
                    return [], [Trouble(change.id, "content", Cause.NOT_DOWNLOADABLE, retry=True)]
            if isinstance(problem, (ItemGone, *PASSED_ON)):
                raise
            return [], [trouble_of(change.id, "content", problem)]

    def complete(self, item_id: str) -> Change:
        return _change(self._item(item_id))

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return _change({**raw, **change.raw, **change.volatile, **change.secret})

    def _follow(self, link: str, reset: bool) -> Iterator[FeedPage]:
        pages = follow(
            self._reader,
            link,
            scope=self._scope,
            cost_first=COST_FIRST if reset else COST,
            cost_next=COST,
        )
        for page in pages:
            yield FeedPage(
                "root", tuple(map(_entry, page.value)), page.link, page.more, reset=reset
            )
            reset = False

    def _content(self, change: Change) -> bytes | Iterator[bytes]:
        size = change.raw.get("size")
        if size == 0:
            return b""  # the service has no URL for an empty file, and nothing to send
        if size is None or size > SMALL_BYTES:
            blocks = self._download(change)
            first = next(blocks, b"")  # a refusal is to show here, not where the bytes are stored
            return chain((first,), blocks)
        try:
            return b"".join(self._download(change))
        except (ContentMismatch, Changed):
            again = _change(self._item(change.id))  # it may have changed since the page was made
            return b"".join(self._download(again))

    def _download(self, change: Change) -> Iterator[bytes]:
        """The bytes of a file, checked as they pass; raises ContentMismatch behind the last one."""
        urls = [str(change.secret[name]) for name in _URLS if change.secret.get(name)]

        def fresh_url() -> str:
            return urls.pop(0) if urls else self._url(change.id)

        size, expected = change.raw.get("size"), _hash(change.raw)
        seen, hasher = 0, QuickXorHash()
        for block in self._reader.download(fresh_url, size, self._scope):
            seen += len(block)
            hasher.update(block)
            yield block
        if size is not None and seen != size:
            raise ContentMismatch("The file has another size than the service says.")
        if expected and hasher.base64() != expected:
            raise ContentMismatch("The file has another hash than the service says.")

    def _url(self, item_id: str) -> str:
        """A fresh pre-authenticated URL, by item: one unit, where a sweep would cost all."""
        path = f"{self._base}/items/{quote(item_id, safe='!')}"
        params = {"$select": f"id,{_URLS[0]}"}
        item = self._reader.get(path, params=params, scope=self._scope, cost=COST)
        for name in _URLS:
            if item.get(name):
                return str(item[name])
        return self._reader.location(f"{path}/content", scope=self._scope, cost=COST)

    def _item(self, item_id: str) -> dict[str, Any]:
        path = f"{self._base}/items/{quote(item_id, safe='!')}"
        return self._reader.get(path, scope=self._scope, cost=COST)


def _entry(raw: Mapping[str, Any]) -> Change | Gone:
    if raw.get("deleted") is not None:
        return Gone(raw["id"])
    return _change(raw)


def _change(raw: Mapping[str, Any]) -> Change:
    is_shortcut = raw.get("remoteItem") is not None
    is_root = raw.get("root") is not None
    is_folder = not is_shortcut and any(
        raw.get(facet) is not None for facet in ("root", "folder", "package")
    )
    volatile = _VOLATILE | {"size"} if is_folder else _VOLATILE
    apart = volatile | set(_URLS)
    return Change(
        id=raw["id"],
        parent="" if is_root else str((raw.get("parentReference") or {}).get("id") or ""),
        kind="folder" if is_folder else "file",
        name=raw.get("name") or "",
        raw={key: value for key, value in raw.items() if key not in apart},
        volatile={key: value for key, value in raw.items() if key in volatile},
        secret={key: raw[key] for key in _URLS if raw.get(key)},
        row=_row(raw),
        fingerprint="folder" if is_folder else _fingerprint(raw),
    )


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    times = raw.get("fileSystemInfo") or {}
    by = (raw.get("lastModifiedBy") or {}).get("user") or {}
    row = {
        "size": raw.get("size") or 0,
        "modified": times.get("lastModifiedDateTime") or raw.get("lastModifiedDateTime") or "",
        "created": times.get("createdDateTime") or raw.get("createdDateTime") or "",
        "type": (raw.get("file") or {}).get("mimeType") or "",
        "by": by.get("displayName") or by.get("email") or "",
    }
    if raw.get("package") is not None:
        row["package"] = raw["package"].get("type") or "package"
    if raw.get("remoteItem") is not None:
        row["shortcut"] = True
    return row


def _fingerprint(raw: Mapping[str, Any]) -> str:
    """What the bytes depend on; the last resort changes with metadata too and costs a download."""
    quick_xor = _hash(raw)
    if quick_xor:
        return f"quickxor:{quick_xor}:{raw.get('size')}"
    for tag in ("cTag", "eTag"):
        if raw.get(tag):
            return f"{tag}:{raw[tag]}"
    return ""


def _hash(raw: Mapping[str, Any]) -> str:
    return str(((raw.get("file") or {}).get("hashes") or {}).get("quickXorHash") or "")


def _refusal(change: Change) -> Cause | None:
    """Why an item has no content to ask for."""
    if change.raw.get("remoteItem") is not None:
        return Cause.NOT_SUPPORTED  # a shortcut: the file is protected where it lies
    if change.raw.get("malware") is not None:
        return Cause.MALWARE
    return None


def _is_onenote(change: Change) -> bool:
    kind = str(change.row.get("type", "")).lower()
    return kind in _ONENOTE_TYPES or change.name.lower().endswith(_ONENOTE_NAMES)


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
        "A replaced file goes to the recycle bin with its id, links, sharing and versions; no "
        "application can take it out again.",
        "Links get a new address; anonymous ones, those with a password and those that prevent "
        "downloads are not made again, and new guests are not invited.",
        "Owners, site groups and applications a file was shared with are left to the target.",
    ),
    options={
        "versions": "Restore older versions too, oldest first, each with its date",
        "permissions": "Share again with whom items were shared explicitly; nobody is mailed",
    },
    swaps=True,
)
