"""Pre-authenticated downloads: the other host, without a token, in ranges, for a while."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.drive_item import Item, Version
from simulator.drive_json import is_genuine
from simulator.drive_names import invalid, not_found
from simulator.filebytes import pieces
from simulator.web import Answer, GraphError, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(slots=True)
class Downloads:
    """Faults for the next downloads, in order: break off after so many bytes."""

    cuts: deque[int] = field(default_factory=deque)


def downloads(tenant: "Tenant") -> Downloads:
    """The download room of a tenant."""
    found = tenant.room.setdefault("drive downloads", Downloads())
    assert isinstance(found, Downloads)
    return found


def download(tenant: "Tenant", request: Request, **_: str) -> Answer:
    """The other end of a pre-authenticated URL: no token, ranges, an end of life."""
    if "authorization" in request.headers:
        tenant.counters.offences["token-to-foreign-host"] += 1
        raise GraphError(401, "unauthenticated", "Do not send a token to this URL.")
    drive = tenant.drives.get(request.query.get("drive", ""))
    if drive is None or not is_genuine(request.query, tenant.clock.now()):
        raise GraphError(401, "unauthenticated", "The URL has expired or is not genuine.")
    item = drive.get(request.query["UniqueId"])
    refuse_unreadable(item)
    content = one_version(item, f"{request.query['version']}.0").content
    first, end = _asked_range(request, content.size)
    headers = {
        "Content-Type": item.mime_type,
        "Content-Length": str(end - first),
        "Accept-Ranges": "bytes",
        "ETag": f'"{{{item.guid}}},{request.query["version"]}"',
    }
    is_part = "range" in request.headers
    if is_part:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{content.size}"
    cuts = downloads(tenant).cuts
    stream = pieces(content, first, end)
    if cuts:
        stream = _cut(stream, cuts.popleft())
    return Answer(206 if is_part else 200, stream if end > first else b"", headers)


def refuse_unreadable(item: Item) -> None:
    if item.infected:
        raise GraphError(403, "malwareDetected", "Malware detected", {"X-Virus-Infected": "true"})
    if item.out_of_order is not None:
        status, code, *wait_s = item.out_of_order
        headers = {"Retry-After": str(wait_s[0])} if wait_s else {}
        raise GraphError(status, code, "The file cannot be downloaded now.", headers)
    if not item.is_file:
        raise invalid("You cannot get content for a folder.")


def all_versions(item: Item) -> list[Version]:
    if item.content is None:
        raise invalid("Only files have versions.")
    current = Version(item.version, item.content, item.modified, item.modified_by)
    return [current, *item.versions]


def one_version(item: Item, version_id: str) -> Version:
    for version in all_versions(item):
        if f"{version.number}.0" == version_id:
            return version
    raise not_found()


def _asked_range(request: Request, size: int) -> tuple[int, int]:
    """(first, end) of the bytes to send; 416 when there are none or JSON was to be accepted."""
    text = request.headers.get("range")
    if text is None:
        return 0, size
    refused = GraphError(
        416, "invalidRange", "The range is not satisfiable.", {"Content-Range": f"bytes */{size}"}
    )
    match = _RANGE.match(text)
    if match is None or "application/json" in request.headers.get("accept", ""):
        raise refused
    low, high = match.groups()
    if not low and not high:
        raise refused
    first = int(low) if low else max(size - int(high), 0)
    end = min(int(high) + 1, size) if low and high else size
    if first >= end:
        raise refused
    return first, end


def _cut(stream: Iterator[bytes], after_bytes: int) -> Iterator[bytes]:
    for piece in stream:
        if len(piece) > after_bytes:
            yield piece[:after_bytes]
            raise ConnectionAbortedError("fault")
        after_bytes -= len(piece)
        yield piece
