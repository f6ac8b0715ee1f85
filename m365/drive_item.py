"""What a driveItem of a feed says: its place, what a person sees, and what its parts depend on.

Rules
- Items are known by id alone: delta answers hold no paths, and renaming a folder names the folder
  only. Any property may be missing.
- Download addresses are secrets, tags are volatile, and the feed's mark of changed sharing is a
  message and no property: none of them stays in the object.
- The bytes of a file hang on its quickXorHash and size, else on its cTag, else on its eTag, which
  changes with metadata too and costs a download.
- Who an item is shared with hangs on the feed's mark, and where an application is not shown marks,
  on its eTag and its `shared` facet, which Graph is asked to give only where sharing is explicit.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-delta,
/resources/driveitem, /onedrive/developer/rest-api/concepts/scan-guidance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from base.item import Change, Gone
from m365.drive_history import VERSION
from m365.drive_sharing import PERMISSIONS

ADDRESSES = ("@microsoft.graph.downloadUrl", "@content.downloadUrl")
LATEST = "latest"  # of the choice `versions`: none but the current one
_SHARED_CHANGED = "@microsoft.graph.sharedChanged"
_VOLATILE = frozenset(("@odata.etag", "@odata.context", "eTag", "cTag"))
_ONENOTE_TYPES = ("application/msonenote", "application/onenote")
_ONENOTE_NAMES = (".one", ".onetoc2")


def entry_of(raw: Mapping[str, Any], versions: str = LATEST) -> Change | Gone | None:
    """An entry of a delta page; None: it names no item."""
    if not raw.get("id"):
        return None
    if raw.get("deleted") is not None:
        return Gone(str(raw["id"]))
    return change_of(raw, versions)


def change_of(raw: Mapping[str, Any], versions: str = LATEST) -> Change:
    """A driveItem as a Change; `versions`: which older ones are wanted of files."""
    is_root = raw.get("root") is not None
    is_folder = _is_folder(raw)
    volatile = _VOLATILE | {"size"} if is_folder else _VOLATILE
    apart = volatile | {*ADDRESSES, _SHARED_CHANGED}
    fingerprint = "folder" if is_folder else _fingerprint(raw)
    marked = str(raw.get(_SHARED_CHANGED) or "").lower() == "true"
    return Change(
        id=str(raw["id"]),
        parent="" if is_root else str((raw.get("parentReference") or {}).get("id") or ""),
        kind="folder" if is_folder else "file",
        name=raw.get("name") or "",
        raw={key: value for key, value in raw.items() if key not in apart},
        volatile={key: value for key, value in raw.items() if key in volatile},
        secret={key: raw[key] for key in ADDRESSES if raw.get(key)},
        row=_row(raw),
        fingerprint=fingerprint,
        prints=_prints(raw, "" if is_folder or versions == LATEST else versions, fingerprint),
        stale=frozenset((PERMISSIONS,)) if marked else frozenset(),
    )


def quick_xor(raw: Mapping[str, Any]) -> str:
    """The hash of a file's bytes, "" where the service tells none."""
    return str(((raw.get("file") or {}).get("hashes") or {}).get("quickXorHash") or "")


def is_onenote(change: Change) -> bool:
    """Whether it is part of a notebook, whose parts are not always handed out."""
    kind = str(change.row.get("type", "")).lower()
    return kind in _ONENOTE_TYPES or change.name.lower().endswith(_ONENOTE_NAMES)


def _is_folder(raw: Mapping[str, Any]) -> bool:
    """A package is a folder of files, though it may have neither that facet nor children."""
    if raw.get("remoteItem") is not None or raw.get("file") is not None:
        return False
    return any(raw.get(facet) is not None for facet in ("root", "folder", "package"))


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
    found = quick_xor(raw)
    if found:
        return f"quickxor:{found}:{raw.get('size')}"
    for tag in ("cTag", "eTag"):
        if raw.get(tag):
            return f"{tag}:{raw[tag]}"
    return ""


def _prints(raw: Mapping[str, Any], versions: str, fingerprint: str) -> dict[str, str]:
    found = {}
    if raw.get("root") is not None or raw.get("shared") is not None:
        told = json.dumps([raw.get("shared"), raw.get("eTag")], sort_keys=True).encode()
        found[PERMISSIONS] = hashlib.sha256(told).hexdigest()[:16]
    if versions and raw.get("remoteItem") is None:
        found[VERSION] = f"{versions} {fingerprint}"
    return found
