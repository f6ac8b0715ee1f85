"""What services read Microsoft 365 through, and the other one, which only restores hold.

Rules
- GraphReader has no method that writes, and its batch refuses anything but GET: a backup that holds
  one cannot change a tenant, whatever it does. A test proves it from the source.
- Every call under a mailbox asks for immutable ids; a delta link and the ids it brings have to be
  of one kind for ever (a change of kind makes the service forget the link).
- Headers are given anew with every page: the service does not carry them over.
"""

from __future__ import annotations

import json as json_text
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from base.clock import Clock, SystemClock
from m365.graph import batch as batches
from m365.graph import export as exports
from m365.graph.auth import Credential, tokens_for
from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.download import Body, ContentSource, range_headers
from m365.graph.errors import GraphProblem, ItemGone, TransientFailure
from m365.graph.exchange import Counters, Exchange, Expects, Request, TokenSource
from m365.graph.export import Exported
from m365.graph.hosts import Place
from m365.graph.sdk import ControlPlane
from m365.graph.throttle import Limiter, Purpose, Scope
from m365.graph.upload import UPLOAD_BLOCK_BYTES, UploadSession
from m365.graph.wire import Opened, wire_for

__all__ = [
    "BatchAnswer", "BatchRequest", "Counters", "GraphReader", "GraphWriter", "Place", "Scope",
]  # fmt: skip

_IMMUTABLE = 'IdType="ImmutableId"'
# https://learn.microsoft.com/graph/outlook-immutable-id
_OUTLOOK = re.compile(
    r"/(?:users/[^/]+|me)/(?:mailFolders|messages|events?|calendars?|calendarGroups|calendarView|"
    r"contacts|contactFolders|todo|outlook|notes|exports?|inferenceClassification)\b",
    re.IGNORECASE,
)
_JSON = {"Accept": "application/json", "Accept-Encoding": "gzip"}
_BYTES = {"Accept": "*/*", "Accept-Encoding": "identity"}


class GraphReader:
    """Reads one tenant; has no method that writes. Safe to share between threads."""

    def __init__(
        self,
        place: Place,
        credential: Credential | TokenSource,
        limiter: Limiter,
        clock: Clock | None = None,
        purpose: Purpose = Purpose.BACKUP,
    ) -> None:
        """`purpose` says who goes first where there is not enough for everybody."""
        clock = clock or SystemClock()
        tokens = tokens_for(place, credential, clock)
        self._exchange = Exchange(place, wire_for(place), tokens, limiter, clock, purpose)
        self._exchange.make_room = self._park_one
        self._streams = threading.local()
        self.tokens = tokens

    @property
    def place(self) -> Place:
        """Which Microsoft Graph this reads."""
        return self._exchange.place

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self._exchange.tenant

    @property
    def clock(self) -> Clock:
        """The time by which this reads, for a Source that has a schedule of its own."""
        return self._exchange.clock

    @property
    def counters(self) -> Counters:
        """What was used so far: requests, bytes, refusals."""
        return self._exchange.counters

    def finish(self) -> None:
        """Nothing more is read for now; other workers get what this one held."""
        self._exchange.finish()

    def control_plane(self) -> ControlPlane:
        """The SDK's client with the same credential, for a few objects of the directory."""
        return ControlPlane(self.place, self.tokens, self._exchange.limiter, self.counters)

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
    ) -> dict[str, Any]:
        """The JSON object at `path` ("/users/…") or at a nextLink or deltaLink.

        Raises ForeignHost, ItemGone, ResourceGone, ResyncNeeded, Forbidden, Throttled,
        TransientFailure and the others of errors.py.
        """
        answer = self._exchange.perform(
            self._read(path, params, {**_JSON, **(headers or {})}, scope, cost)
        )
        if not isinstance(answer.value, dict):
            raise TransientFailure("An answer of Microsoft Graph is not an object.")
        return answer.value

    def get_raw(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
    ) -> bytes:
        """The bytes at `path`, for what is small: MIME, photos, small attachments."""
        request = self._read(
            path, params, {**_BYTES, **(headers or {})}, scope, cost, Expects.BYTES, "raw"
        )
        return self._exchange.perform(request).body

    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
        size_hint: int | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a large $value in blocks of up to 1 MiB, resumed where a connection broke.

        `size_hint` is only a hint (Outlook's sizes include wrapping) and checks nothing. A stream
        that is not read on gives its slot to other requests of its thread.
        """
        del size_hint

        def open_at(offset: int, etag: str) -> Opened:
            given = {**(headers or {}), **range_headers(offset, etag)}
            answer = self._exchange.perform(
                self._read(path, None, given, scope, cost, Expects.STREAM, "stream")
            )
            assert answer.opened is not None
            return answer.opened

        yield from self._parkable(scope, Body(open_at, None, self._exchange.back_off))

    def location(
        self, path: str, *, headers: Mapping[str, str] | None = None, scope: Scope, cost: int = 1
    ) -> str:
        """Where …/content redirects to: a pre-authenticated address, for download(); a secret."""
        request = self._read(path, None, {**_BYTES, **(headers or {})}, scope, cost, Expects.STREAM)
        answer = self._exchange.perform(request)
        assert answer.opened is not None
        answer.opened.dismiss()
        address = answer.headers.get("location", "")
        if answer.status not in (301, 302, 303, 307, 308) or not address:
            raise GraphProblem("Content has no address of its own.", status_code=answer.status)
        return address

    def download(
        self,
        fresh_url: Callable[[], str],
        size: int | None,
        scope: Scope,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[bytes]:
        """The bytes behind a pre-authenticated address, without a token, in blocks of 1 MiB.

        `fresh_url` is called at first and again whenever an address is refused. With `size` given
        there are exactly so many bytes, or Changed (a TransientFailure) is raised. Of them come
        those from `begin` to before `end`.
        """
        source = ContentSource(self._exchange, fresh_url, scope, end)
        yield from Body(source.open_at, size, self._exchange.back_off, begin, end).blocks()

    def batch(
        self, requests: Sequence[BatchRequest], scope: Scope, *, beta: bool = False
    ) -> list[BatchAnswer]:
        """Any number of GETs, twenty a call, answers in the order of the requests.

        Items that stay refused are answered as they are; BatchAnswer.json() raises what they mean.
        """
        return batches.run(
            self._exchange,
            requests,
            scope,
            lambda request: _for_path(request.url, scope, {**request.headers}),
            beta=beta,
        )

    def export_items(
        self, mailbox: str, item_ids: Sequence[str], scope: Scope
    ) -> dict[str, Exported]:
        """Whole items of one mailbox as opaque bytes, up to twenty; by id, some may be left out.

        `mailbox` is its path or link. All of them together have to fit into JSON_BYTES_MAX.
        """
        headers = _for_path(mailbox, scope, _JSON)
        return exports.items(self._exchange, mailbox, item_ids, scope, headers)

    def export_item(self, mailbox: str, item_id: str, scope: Scope) -> Iterator[bytes]:
        """One whole item of any size, decoded while it is read. Raises ItemGone, Corrupt, …"""
        headers = _for_path(mailbox, scope, {"Accept": "application/json"})
        body = exports.body(self._exchange, mailbox, item_id, scope, headers)
        yield from exports.decoded(self._parkable(scope, body))

    def _read(
        self,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        scope: Scope,
        cost: int,
        expects: Expects = Expects.JSON,
        kind: str = "get",
    ) -> Request:
        url = self.place.graph_link(path)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote, safe="$,()'*:")
        return Request(
            "GET", url, scope, kind, _for_path(url, scope, headers), cost=cost, expects=expects
        )

    def _parkable(self, scope: Scope, body: Body) -> Iterator[bytes]:
        """The blocks of a stream that gives its slot away while nobody reads it."""
        kept = self._kept_streams()
        kept.append((scope, body))
        try:
            yield from body.blocks()
        finally:
            kept.remove((scope, body))

    def _kept_streams(self) -> list[tuple[Scope, Body]]:
        if not hasattr(self._streams, "kept"):
            self._streams.kept = []
        kept: list[tuple[Scope, Body]] = self._streams.kept
        return kept

    def _park_one(self, scope: Scope) -> bool:
        """Frees a slot held by a stream that the calling thread has opened and is not reading."""
        return any(kept == scope and body.park() for kept, body in self._kept_streams())


class GraphWriter(GraphReader):
    """Also writes: held by restores only, with a credential of its own."""

    def __init__(
        self,
        place: Place,
        credential: Credential | TokenSource,
        limiter: Limiter,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(place, credential, limiter, clock, Purpose.RESTORE)

    def post(
        self,
        path: str,
        json: Mapping[str, Any] | None = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """The object that came back, {} where there is none.

        Raises MaybeDone when it was sent and no answer came, unless `repeatable` says that twice
        does no harm (an upload session, a search).
        """
        return self._write("POST", path, json, data, headers, scope, cost, repeatable)

    def patch(
        self,
        path: str,
        json: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> dict[str, Any]:
        """The changed object, or {}. Repeated after a break: twice is the same as once."""
        return self._write("PATCH", path, json, None, headers, scope, cost, repeatable=True)

    def put(
        self,
        path: str,
        json: Mapping[str, Any] | None = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> dict[str, Any]:
        """The object that came back, or {}. Repeated after a broken connection."""
        return self._write("PUT", path, json, data, headers, scope, cost, repeatable=True)

    def delete(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> bool:
        """True if it was there; what is gone already is as good as deleted."""
        try:
            self._write("DELETE", path, None, None, headers, scope, cost, repeatable=True)
        except ItemGone:
            return False
        return True

    def take_place(self, scope: Scope) -> None:
        """Counts the next request against a limit beside its own scope's. Raises Throttled."""
        self._exchange.take_place(scope)

    def upload(
        self,
        session_url: str,
        size: int,
        blocks: Iterator[bytes] | Callable[[int], Iterator[bytes]],
        *,
        scope: Scope,
        block_bytes: int = UPLOAD_BLOCK_BYTES,
    ) -> dict[str, Any]:
        """Sends `size` bytes to an upload session, without a token; what is called with an offset
        goes on with one begun earlier. The new item, or {} where only a Location comes back
        (Outlook). Raises SessionGone (start a new session), Clash, QuotaFull, MaybeDone.
        """
        session = UploadSession(self._exchange, session_url, size, scope, block_bytes)
        return session.resume(blocks) if callable(blocks) else session.send(blocks)

    def post_preauthenticated(self, url: str, data: bytes, *, scope: Scope) -> dict[str, Any]:
        """Sends JSON to an address that is itself the permission, without a token.

        The address is a secret. Raises MaybeDone, and what post() raises.
        """
        return exports.import_item(self._exchange, url, data, scope)

    def _write(
        self,
        method: str,
        path: str,
        json: Mapping[str, Any] | None,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        scope: Scope,
        cost: int,
        repeatable: bool,
    ) -> dict[str, Any]:
        given = {**_JSON, **(headers or {})}
        if json is not None:
            data = json_text.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()
            given.setdefault("Content-Type", "application/json")
        url = self.place.graph_link(path)
        answer = self._exchange.perform(
            Request(
                method,
                url,
                scope,
                method.lower(),
                _for_path(url, scope, given),
                data,
                cost,
                writing=True,
                repeatable=repeatable,
            )
        )
        return answer.value if isinstance(answer.value, dict) else {}


def _for_path(url: str, scope: Scope, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of one request: what the caller gave, and what its path and scope ask for."""
    merged = dict(headers)
    if scope.kind == "mailbox" or _OUTLOOK.search(url):
        name = next((name for name in merged if name.lower() == "prefer"), "Prefer")
        wishes = [wish for wish in (merged.pop(name, ""), _IMMUTABLE) if wish]
        if len(wishes) > 1 and "idtype" in wishes[0].lower():
            wishes.pop()
        merged["Prefer"] = ", ".join(wishes)
    if scope.kind == "directory":
        merged.setdefault("x-ms-throttle-priority", "low")
    return merged
