"""Scripts of a target mailbox, and stored messages to restore into it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base.item import StoredItem, StoredPart
from m365.mail_writer import MailWriter
from m365.service import Existing, Folder
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import BOX, U, attachment, message

INTO = Folder("f1", ("Restored",))
POST = f"POST {U}/mailFolders/f1/messages"
ATTACH = f"POST {U}/messages/new/attachments"
SESSION = f"{ATTACH}/createUploadSession"
LISTED = f"GET {U}/messages/new/attachments"
PATCH = f"PATCH {U}/messages/new"
MOVE = f"POST {U}/messages/old/move"
MARK = "run:1"


class StillClock:
    """Notes what it was asked to wait."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 24, tzinfo=UTC)

    def monotonic(self) -> float:
        return sum(self.slept_s)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


def part(data: bytes, meta: Mapping[str, Any], role: str = "attachment") -> StoredPart:
    return StoredPart(role, len(data), meta, lambda: iter((data,)))


def item(
    *parts: StoredPart, missing: tuple[str, ...] = (), raw: Mapping[str, Any] | None = None
) -> StoredItem:
    raw = raw or message("a")
    return StoredItem("a", "in", "message", "About a", {}, raw, parts, missing)


def answered(raw: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**raw, "id": "new", **more}


def script(raw: Mapping[str, Any] | None = None, /, **more: Any) -> dict[str, Any]:
    return {
        POST: answered(raw or message("a")),
        ATTACH: {"id": "x"},
        LISTED: {"value": [attachment("x")]},
        PATCH: {},
        f"GET {U}/mailFolders/deleteditems": {"id": "bin"},
        MOVE: {"id": "old"},
        **more,
    }


def write(
    graph: ScriptedGraph,
    stored: StoredItem,
    replace: Existing | None = None,
    clock: StillClock | None = None,
) -> Any:
    writer = MailWriter(graph, BOX, clock or StillClock())
    return writer.write(stored, INTO, MARK, replace, new_name=False)


def properties(body: Mapping[str, Any]) -> dict[str, str]:
    return {one["id"]: one["value"] for one in body["singleValueExtendedProperties"]}
