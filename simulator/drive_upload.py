"""Upload sessions: ranges in order to a URL that needs no token and takes none.

Rules: a session lives in the tenant's room under "upload sessions"; only the last range makes
the item; a range that broke off may have left a part behind, which nextExpectedRanges tells.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from simulator.drive_item import Item
from simulator.drive_json import item_json
from simulator.drive_names import Behavior, check_name
from simulator.drive_state import Drive
from simulator.filebytes import SpooledBytes
from simulator.web import Answer, GraphError, Json, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant

UPLOAD_PATH = "/_api/v2.0/uploadSession"
RANGE_UNIT = 327_680
RANGE_MAX = 60 * 1024 * 1024
_SESSION_LIFE = timedelta(hours=24)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")


@dataclass(slots=True)
class Session:
    """One upload under way."""

    id: str
    drive: Drive
    parent: Item
    name: str
    behavior: Behavior
    times: tuple[datetime, datetime] | None
    by: Json
    expires: datetime
    content: SpooledBytes = field(default_factory=SpooledBytes)
    total: int | None = None

    def status(self) -> Json:
        return {
            "expirationDateTime": self.expires.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "nextExpectedRanges": [f"{self.content.size}-"],
        }


@dataclass(slots=True)
class Uploads:
    """Sessions of a tenant, and faults for the next ranges in order."""

    sessions: dict[str, Session] = field(default_factory=dict)
    faults: deque[int | str] = field(default_factory=deque)
    """A status to answer a range with before taking it, or "broken": the connection breaks after
    half the range has been stored; "lost": it breaks after the whole range has been stored."""


def uploads(tenant: "Tenant") -> Uploads:
    """The upload room of a tenant."""
    found = tenant.room.setdefault("drive uploads", Uploads())
    assert isinstance(found, Uploads)
    return found


def create(
    tenant: "Tenant",
    drive: Drive,
    parent: Item,
    name: str,
    wish: Json,
    request: Request,
    by: Json,
    times: tuple[datetime, datetime] | None,
    behavior: Behavior,
) -> Answer:
    """Open a session; the name is checked now, a conflict only at the last range."""
    check_name(name)
    size = wish.get("fileSize")
    if isinstance(size, int) and drive.used_bytes() + size > drive.quota_bytes:
        raise _full()
    session_id = f"{tenant.rng.getrandbits(160):040x}"
    expires = tenant.clock.now() + _SESSION_LIFE
    session = Session(session_id, drive, parent, name, behavior, times, by, expires)
    uploads(tenant).sessions[session_id] = session
    url = f"{request.content_base}{UPLOAD_PATH}/{session_id}?tempauth={session_id[::-1]}"
    body = {"uploadUrl": url, **session.status()}
    return Answer(200, body)


def put_range(tenant: "Tenant", request: Request, session: str) -> Answer:
    """Take one range: 202 with what is missing, or 200/201 with the item at the end."""
    found = _session(tenant, request, session)
    room = uploads(tenant)
    fault = room.faults.popleft() if room.faults else None
    if isinstance(fault, int):
        raise GraphError(fault, "serviceNotAvailable", "The service is temporarily unavailable.")
    total = _range(request, found)
    if fault == "broken":
        units = len(request.body) // RANGE_UNIT // 2
        found.content.append(request.body[: units * RANGE_UNIT])
        return Answer(202, broken_off(), {"Content-Length": "100"})
    found.content.append(request.body)
    found.expires = tenant.clock.now() + _SESSION_LIFE  # every range makes it live longer
    if found.content.size < total:
        answer = Answer(202, found.status())
    else:
        answer = _finish(tenant, request, found)
    return Answer(202, broken_off(), {"Content-Length": "100"}) if fault == "lost" else answer


def broken_off() -> Iterator[bytes]:
    """A body that never comes: the connection breaks."""
    yield b""
    raise ConnectionAbortedError("fault")


def status(tenant: "Tenant", request: Request, session: str) -> Answer:
    """What is missing."""
    return Answer(200, _session(tenant, request, session).status())


def cancel(tenant: "Tenant", request: Request, session: str) -> Answer:
    """Throw the session away."""
    _session(tenant, request, session)
    del uploads(tenant).sessions[session]
    return Answer(204)


def _finish(tenant: "Tenant", request: Request, session: Session) -> Answer:
    now = tenant.clock.now()
    item, is_new = session.drive.put_file(
        session.parent, session.name, session.content, session.behavior, session.by, now,
        session.times,
    )  # fmt: skip
    del uploads(tenant).sessions[session.id]
    return Answer(201 if is_new else 200, item_json(session.drive, item, request, now))


def _session(tenant: "Tenant", request: Request, session_id: str) -> Session:
    if "authorization" in request.headers:
        tenant.counters.offences["token-to-foreign-host"] += 1
        raise GraphError(401, "unauthenticated", "Do not send a token to an upload URL.")
    found = uploads(tenant).sessions.get(session_id)
    known = found is not None and request.query.get("tempauth") == session_id[::-1]
    if found is None or not known or tenant.clock.now() > found.expires:
        raise GraphError(404, "itemNotFound", "The upload session was not found.")
    return found


def _range(request: Request, session: Session) -> int:
    """The total of a range that may be taken; Graph's refusals else."""
    match = _CONTENT_RANGE.match(request.headers.get("content-range", ""))
    if match is None:
        raise GraphError(400, "invalidRequest", "The Content-Range header is missing or malformed.")
    first, last, total = (int(text) for text in match.groups())
    length = last - first + 1
    if length != len(request.body) or last >= total or length <= 0:
        raise GraphError(400, "invalidRequest", "Content-Range and body do not agree.")
    if session.total not in (None, total):
        raise GraphError(400, "invalidRequest", "The total length differs from earlier ranges.")
    if length >= RANGE_MAX:
        raise GraphError(413, "invalidRequest", "A range must be smaller than 60 MiB.")
    if first != session.content.size:
        raise GraphError(
            416, "invalidRange", "Uploaded fragment overlaps with existing data or leaves a gap.",
            inner_code="fragmentOverlap",
        )  # fmt: skip
    if last + 1 < total and length % RANGE_UNIT:
        raise GraphError(400, "invalidRequest", "A range must be a multiple of 327,680 bytes.")
    if session.drive.used_bytes() + total > session.drive.quota_bytes:
        raise _full()
    session.total = total
    return total


def _full() -> GraphError:
    return GraphError(507, "quotaLimitReached", "Insufficient Space Available.")
