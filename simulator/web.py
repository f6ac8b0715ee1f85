"""What a request and an answer of the simulated Graph are, and how a service declares routes.

Shapes: a pattern is written without version ("/users/{user}/mailFolders/{folder}"); the server
takes away /v1.0 and /beta. Literal segments match in any case. Before matching, the path is
brought into one spelling (see routing.py): users('x') becomes users/x, delta(), graph.delta and
microsoft.graph.delta become delta, delta(token='t') puts token into the query, and
root:/a/b:/content becomes the segments "root:", "a/b", "content" (so the pattern is
"/drives/{drive}/root:/{path}/content", and "/items/{item}:/{path}" for paths below an item).
Routes with permissions () are anonymous: they are matched on the bare path, outside /v1.0, and
look at tokens, if any, themselves.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from simulator.tenant import AppRegistration

Json = dict[str, Any]
Limits = Literal["outlook", "sharepoint", "identity", "none"]


class GraphError(Exception):
    """An answer in Graph's error shape."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        inner_code: str | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.inner_code = inner_code


class Headers(Mapping[str, str]):
    """Request headers; names in any case."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(slots=True)
class Request:
    """One request to Graph, after the server has found out who asks.

    path: decoded, without version. segments: in one spelling (routing.py). url_base: what links
    of the answer begin with, e.g. https://localhost:8443/v1.0. content_base: the other loopback
    name without version, for pre-authenticated URLs, e.g. https://127.0.0.1:8443.
    """

    method: str
    path: str
    segments: tuple[str, ...]
    query: dict[str, str]
    headers: Headers
    body: bytes
    app: "AppRegistration | None"
    url_base: str
    content_base: str = ""
    version: str = "v1.0"
    in_batch: bool = False
    _prefer: dict[str, str] | None = field(default=None, repr=False)

    def json(self) -> Json:
        """The body as a JSON object; Graph's 400 when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            raise GraphError(
                400, "BadRequest", "Unable to read JSON request payload. Invalid JSON."
            ) from None
        if not isinstance(found, dict):
            raise GraphError(400, "BadRequest", "The request body must be a JSON object.")
        return found

    def prefer(self, name: str) -> str | None:
        """The value of a Prefer entry ("" for a bare one), None when it was not sent."""
        if self._prefer is None:
            self._prefer = _prefer_entries(self.headers.get("prefer", ""))
        return self._prefer.get(name.lower())

    def whole(self, name: str, default: int, maximum: int) -> int:
        """A query option that is a whole number of at least 1, cut to maximum."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdigit() or int(text) < 1:
            raise GraphError(400, "BadRequest", f"Invalid value '{text}' for {name}.")
        return min(int(text), maximum)


def _prefer_entries(header: str) -> dict[str, str]:
    entries = {}
    for entry in header.split(","):
        name, _, value = entry.strip().partition("=")
        if name:
            entries[name.strip().lower()] = value.strip().strip('"')
    return entries


@dataclass(slots=True)
class Answer:
    """What goes back. A dict is sent as JSON; an iterator is streamed (give Content-Length)."""

    status: int = 200
    body: Json | bytes | Iterator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: handler(tenant, request, **pattern parameters) -> Answer.

    permissions: application roles of which any one suffices; () means anonymous, outside /v1.0.
    cost: resource units of one call (SharePoint); a handler's Answer may correct it with the
    header "x-cost", which the server takes out.
    """

    method: str
    pattern: str
    handler: Handler
    permissions: tuple[str, ...] = ()
    limits: Limits = "none"
    cost: int = 1
