"""What services read Microsoft 365 through, and the other one, which only restores hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.throttle import Scope

__all__ = ["BatchAnswer", "BatchRequest", "GraphReader", "GraphWriter", "Scope"]


class GraphReader:
    """Reads one tenant; has no method that writes. Safe to share between threads."""

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
    ) -> dict[str, Any]:
        """The JSON object at `path` ("/users/…") or at a nextLink or deltaLink."""
        raise NotImplementedError

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
        raise NotImplementedError

    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 1,
        size_hint: int | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a large $value in blocks, resumed where a connection broke."""
        raise NotImplementedError

    def location(
        self, path: str, *, headers: Mapping[str, str] | None = None, scope: Scope, cost: int = 1
    ) -> str:
        """Where …/content redirects to: a pre-authenticated address, for download(); a secret."""
        raise NotImplementedError

    def download(
        self, fresh_url: Callable[[], str], size: int | None, scope: Scope
    ) -> Iterator[bytes]:
        """The bytes behind a pre-authenticated address, without a token, in blocks of 1 MiB."""
        raise NotImplementedError

    def batch(self, requests: Sequence[BatchRequest], scope: Scope) -> list[BatchAnswer]:
        """Any number of GETs, twenty a call, answers in the order of the requests."""
        raise NotImplementedError


class GraphWriter(GraphReader):
    """Also writes: held by restores only, with a credential of its own."""

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
        """Raises MaybeDone when no answer came, unless `repeatable` says that twice does no harm."""
        raise NotImplementedError

    def patch(
        self,
        path: str,
        json: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> dict[str, Any]:
        raise NotImplementedError

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
        raise NotImplementedError

    def delete(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        scope: Scope,
        cost: int = 2,
    ) -> None:
        raise NotImplementedError

    def upload(
        self,
        session_url: str,
        size: int,
        blocks: Iterator[bytes],
        *,
        scope: Scope,
        block_bytes: int = 16 * 327_680,
    ) -> dict[str, Any]:
        """Sends `size` bytes to an upload session, without a token; {} where only a Location comes back."""
        raise NotImplementedError
