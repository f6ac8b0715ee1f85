"""Every comparison the demo makes: what the backup holds, and what a restore wrote, against the
tenant's truth.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.demo_client import Api

# What a restored message has to have exactly as the original had it.
MESSAGE_PROPERTIES = (
    "subject",
    "body",
    "from",
    "sender",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "receivedDateTime",
    "sentDateTime",
    "internetMessageId",
    "importance",
    "categories",
    "flag",
    "isRead",
    "isDraft",
)
_DATES = ("receivedDateTime", "sentDateTime")
_TAGS = re.compile(r"<[^>]*>")
_OFFICE = (".docx", ".xlsx", ".pptx")  # SharePoint rewrites these when they arrive

Truth = Mapping[str, Any]

_RECOVERABLE = "recoverableitemsdeletions"


@dataclass
class Checks:
    """Counts comparisons and keeps the differences, each as a sentence."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def same(self, what: str, expected: Any, found: Any, where: str) -> bool:
        """Counts one comparison; a difference is a sentence of the report."""
        self.compared[what] = self.compared.get(what, 0) + 1
        if expected == found:
            return True
        self.differences.append(
            f"{what}: {where}: expected {_short(expected)}, found {_short(found)}"
        )
        return False

    def skip(self, why: str) -> None:
        """Counts what cannot be compared, with the reason."""
        self.left_out[why] = self.left_out.get(why, 0) + 1

    @property
    def total(self) -> int:
        return sum(self.compared.values())


def mail_backed_up(checks: Checks, api: Api, resource: str, number: int, truth: Truth) -> None:
    """Every message of the mailbox is in the restore point: folder, properties and MIME byte for
    byte.
    """
    where = {"service": "mail", "resource": resource, "snapshot": str(number)}
    found = {
        entry["id"]: entry
        for entry in api.items("mail", resource, number)
        if entry["kind"] != "folder"
    }
    reachable = reachable_folders(truth["folders"])
    expected = {m["id"]: m for m in truth["messages"] if m["folder_id"] in reachable}
    checks.same("messages in the restore point", sorted(expected), sorted(found), resource)
    for key in expected.keys() & found.keys():
        message, entry = expected[key], found[key]
        recoverable = reachable[message["folder_id"]] == _RECOVERABLE
        path = ["Recoverable Items"] if recoverable else message["folder"]
        checks.same("message folder", path, entry["path"], key)
        checks.same("message subject", message["subject"] or "", entry["name"], key)
        checks.same("message read state", message["isRead"], entry["columns"]["read"], key)
        if message["broken"]:
            checks.skip("the service cannot give these messages' content")
            continue
        mime = api.part_sha256(key, where, "mime")
        checks.same("message MIME, byte for byte", message["mime_sha256"], mime, key)


def files_backed_up(
    checks: Checks, api: Api, resource: str, number: int, truth: Sequence[Truth]
) -> None:
    """Every file of the drive is in the restore point: folder, size and bytes."""
    where = {"service": "drive", "resource": resource, "snapshot": str(number)}
    found = {entry["id"]: entry for entry in api.items("drive", resource, number)}
    expected = {one["id"]: one for one in truth}
    checks.same("files and folders in the restore point", sorted(expected), sorted(found), resource)
    for key in expected.keys() & found.keys():
        one, entry = expected[key], found[key]
        checks.same("file path", one["path"], [*entry["path"], entry["name"]], key)
        if one["kind"] != "file":
            continue
        if not one["readable"]:
            checks.skip("the service refuses these files (malware, notebooks)")
            checks.same("refused file is marked", True, bool(entry["missing"]), key)
            continue
        checks.same("file size", one["size"], entry["columns"]["size"], key)
        content = api.part_sha256(key, where, "content")
        checks.same("file bytes", one["sha256"], content, key)


def mail_restored(checks: Checks, rows: Iterable[Truth], before: Truth, after: Truth) -> None:
    """Every restored message equals its original, property by property and attachment by
    attachment.
    """
    originals = {message["id"]: message for message in before["messages"]}
    restored = {message["id"]: message for message in after["messages"]}
    for row in rows:
        if row["kind"] == "folder" or row["outcome"] == "skipped":
            continue
        original, copy = originals[row["id"]], restored.get(row["new_id"])
        if not checks.same("message restored", True, copy is not None, row["id"]):
            continue
        assert copy is not None
        for name in MESSAGE_PROPERTIES:
            if original["isDraft"] and name in _DATES:
                checks.skip("drafts get the date of their last change")
                continue
            expected, found = _comparable(name, original), _comparable(name, copy)
            checks.same(f"restored {name}", expected, found, row["id"])
        checks.same("restored attachments", _attachments(original), _attachments(copy), row["id"])


def files_restored(
    checks: Checks, rows: Iterable[Truth], before: Sequence[Truth], after: Sequence[Truth]
) -> None:
    """Every restored file equals its original: name, bytes, and both dates."""
    originals = {one["id"]: one for one in before}
    restored = {one["id"]: one for one in after}
    for row in rows:
        if row["kind"] == "folder" or row["outcome"] == "skipped":
            continue
        original, copy = originals[row["id"]], restored.get(row["new_id"])
        if not checks.same("file restored", True, copy is not None, row["id"]):
            continue
        assert copy is not None
        checks.same("restored file name", original["path"][-1], copy["path"][-1], row["id"])
        if original["path"][-1].lower().endswith(_OFFICE):
            checks.skip("Office files are rewritten by SharePoint on arrival")
        else:
            checks.same("restored file bytes", original["sha256"], copy["sha256"], row["id"])
        checks.same("restored file created", original["created"], copy["created"], row["id"])
        checks.same("restored file modified", original["modified"], copy["modified"], row["id"])


def archive(checks: Checks, data: bytes, hashes: Iterable[str]) -> int:
    """The zip opens, and holds exactly the contents whose SHA-256 are expected."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        checks.same("zip is sound", None, opened.testzip(), "archive")
        names = [name for name in opened.namelist() if name != "manifest.json"]
        found = sorted(hashlib.sha256(opened.read(name)).hexdigest() for name in names)
    checks.same("zip contents, byte for byte", sorted(hashes), found, "archive")
    return len(names)


def reachable_folders(folders: Iterable[Truth]) -> dict[str, str | None]:
    """Folders below the visible root, without search folders and what lies below them; and the
    one of what can be recovered.
    """
    by_id = {folder["id"]: folder for folder in folders}

    def reachable(folder: Truth | None) -> bool:
        while folder is not None:
            if folder["search"] or folder["well_known"] == "searchfolders":
                return False
            if folder["well_known"] in ("msgfolderroot", _RECOVERABLE):
                return True
            folder = by_id.get(folder["parent_id"])
        return False

    return {key: one["well_known"] for key, one in by_id.items() if reachable(one)}


def _attachments(message: Truth) -> list[tuple[Any, ...]]:
    """Attachments as far as a restore can keep them; an attached item comes back with new inner
    bytes.
    """
    return sorted(
        (
            one["kind"],
            one["name"],
            one["isInline"],
            one["contentId"] or "",
            one["sha256"] if one["kind"] == "fileAttachment" else "",
        )
        for one in message["attachments"]
        if not one["broken"]
    )


def _comparable(name: str, message: Truth) -> Any:
    value = _plain(message[name])
    if name == "body" and not _TAGS.sub("", value.get("content", "")).strip():
        return ""  # Exchange writes an empty HTML document where there was no body at all
    return value


def _plain(value: Any) -> Any:
    """Without what Graph adds by itself: names equal to addresses, absent values."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one not in (None, "")}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}…"
