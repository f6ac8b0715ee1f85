"""What a drive consists of: items, versions, changes; and how odd one drive can be."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from simulator.filebytes import Content
from simulator.web import Json

Kind = Literal["root", "folder", "file", "package", "shortcut"]


@dataclass(frozen=True, slots=True)
class Version:
    """What a file was before it was overwritten."""

    number: int
    content: Content
    modified: datetime
    modified_by: Json


@dataclass(slots=True)
class Item:
    """One entry of a drive. created and modified are its fileSystemInfo."""

    id: str
    name: str
    parent_id: str | None
    kind: Kind
    created: datetime
    modified: datetime
    created_by: Json
    modified_by: Json
    guid: str
    content: Content | None = None
    mime_type: str = "application/octet-stream"
    etag: int = 1
    ctag: int = 1
    version: int = 1
    versions: list[Version] = field(default_factory=list)
    permissions: list[Json] = field(default_factory=list)
    deleted: bool = False
    recycled: bool = False
    """Deleted, and in the recycle bin."""
    open_elsewhere: bool = False
    """Somebody edits it: whoever changes or deletes it is told 423."""
    infected: bool = False
    level: str = "published"
    """Of its publication."""
    label: Json | None = None
    """The retention label."""
    facets: Json = field(default_factory=dict)
    """What else it shows: remoteItem of a shortcut, specialFolder, pendingOperations."""
    hashless: bool = False
    package_type: str = "oneNote"
    """Of a package; others than that of notebooks are not documented."""
    told_size: int | None = None
    """What its properties say, where that is not the size of what is handed out."""
    out_of_order: tuple[int, str] | tuple[int, str, int] | None = None
    """(status, code) that content answers: what happens to .one files that are open."""

    @property
    def is_file(self) -> bool:
        return self.kind == "file"

    @property
    def size(self) -> int:
        return self.content.size if self.content is not None else 0


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the log: the state of an item after a change."""

    seq: int
    item_id: str
    at: datetime
    name: str
    parent_id: str | None
    etag: int
    content: Content | None
    deleted: bool
    cause_id: str | None = None
    """The folder whose deletion took this item along."""
    sharing: bool = False
    """Only permissions changed."""


@dataclass(slots=True)
class DriveQuirks:
    """Oddities of one drive, beside those of the whole tenant (quirks.py).

    The defaults are what every drive of the real service does.
    """

    page_size: int = 200
    """Of a delta page when $top is not given, and the most a page holds."""
    children_first: bool = False
    parent_path: bool = False
    ctag: bool = True
    hashes: bool = True
    deleted_names: bool = False
    deleted_parents: bool = True
    deletes_list_children: bool = True
    download_url_name: str = "@microsoft.graph.downloadUrl"
    download_url_ttl_s: int = 600
    rewrite_office: bool = True
    versions_kept: int = 500
    """Older versions of a file that the library keeps; 0: versioning is off."""
    headers_refused: tuple[int, str] | None = None
    """Status and code of a delta that asks for sharing changes in its headers."""
    headers_ignored: bool = False
    inherited_from: bool = True
    """Inherited permissions say where they come from; applications may not be told."""
    permissions_page: int = 200
    versions_page: int = 200
    rename_dates: bool = False
    """Renaming sets the modified date to now."""
    sessions_need_sites: bool = False
    """Upload sessions of applications take Sites.ReadWrite.All, as Microsoft's table says."""
    anonymous_links: bool = True
    invite_errors_inside: bool = False
    """Whom the directory does not know is an error inside of a 207, also where he is alone."""
