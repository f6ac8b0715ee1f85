"""Asks the drive routes the way the server does, without a network: spell, match, handle."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from simulator import drive
from simulator.drive import Drive
from simulator.filebytes import LiteralBytes
from simulator.routing import Router, spelled
from simulator.tenant import Clock, Tenant
from simulator.web import Answer, GraphError, Headers, Request

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OWNER = {"user": {"id": "u1", "displayName": "Adele Vance"}}
HOST = "https://localhost:8443"
OTHER_HOST = "https://127.0.0.1:8443"
_ROUTER = Router(drive.ROUTES)


class Client:
    """A tenant with one drive, and requests to it."""

    def __init__(self, tenant: Tenant | None = None, drive_id: str | None = None) -> None:
        self.tenant = tenant or Tenant(5, clock=Clock(NOW))
        self.tenant.quirks.odd_link_spellings = False
        if drive_id is None:
            user = self.tenant.add_user("Adele Vance")
            drive_id = user.drive_id = "b!one"
            self.tenant.drives[drive_id] = Drive(drive_id, OWNER, NOW, seed=1)
        self.drive = self.tenant.drives[drive_id]
        self.app = self.tenant.restore_app
        self.base = f"/v1.0/drives/{quote(drive_id)}"

    def file(self, path: str, data: bytes = b"data", **marks: Any) -> Any:
        """Seed a file, with the folders above it."""
        *folders, name = path.split("/")
        parent = self.drive.root
        for folder in folders:
            parent = self.drive.create_folder(parent, folder, "replace", OWNER, NOW)
        item, _ = self.drive.put_file(parent, name, LiteralBytes(data), "replace", OWNER, NOW)
        for mark, value in marks.items():
            setattr(item, mark, value)
        return item

    def ask(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; a path is taken relative to the drive, errors come as answers."""
        if not url.startswith("http"):
            url = HOST + self.base + url
        parts = urlsplit(url)
        segments, options = spelled(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True)) | options
        is_graph = segments[0] == "v1.0"
        found = _ROUTER.match(method, segments[1:] if is_graph else segments)
        assert found is not None, f"no route for {method} {parts.path}"
        route, parameters = found
        assert bool(route.permissions) == is_graph
        request = Request(
            method, parts.path, segments, query, Headers(headers or {}),
            body if isinstance(body, bytes) else json.dumps(body).encode() if body else b"",
            self.app if is_graph else None, f"{HOST}/v1.0", OTHER_HOST,
        )  # fmt: skip
        try:
            return route.handler(self.tenant, request, **parameters)
        except GraphError as error:
            inner = {"code": error.inner_code}
            shape = {"error": {"code": error.code, "innerError": inner}}
            return Answer(error.status, shape, error.headers)

    def get(self, url: str, **headers: str) -> dict[str, Any]:
        """The JSON of a GET that succeeds."""
        answer = self.ask("GET", url, headers=headers)
        assert answer.status == 200, answer
        assert isinstance(answer.body, dict)
        return answer.body

    def round(self, url: str = "/root/delta", **headers: str) -> "Round":
        """All pages of a delta round."""
        pages = []
        while True:
            page = self.get(url, **headers)
            pages.append(page["value"])
            if "@odata.deltaLink" in page:
                return Round(pages, page["@odata.deltaLink"])
            url = page["@odata.nextLink"]

    def fetch(self, item_id: str) -> bytes:
        """Content by way of the redirect."""
        answer = self.ask("GET", f"/items/{item_id}/content")
        assert answer.status == 302, answer
        return whole(self.ask("GET", answer.headers["Location"]))


class Round:
    """Pages of a delta round and the link for the next."""

    def __init__(self, pages: list[list[dict[str, Any]]], link: str) -> None:
        self.pages = pages
        self.link = link
        self.entries = [entry for page in pages for entry in page]
        self.last = {entry["id"]: entry for entry in self.entries}

    def names(self) -> list[str]:
        return [entry.get("name", "") for entry in self.entries]


def whole(answer: Answer) -> bytes:
    """The bytes of an answer."""
    assert answer.status in (200, 206), answer
    assert answer.body is not None
    assert not isinstance(answer.body, dict)
    return answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


def code(answer: Answer) -> tuple[int, str]:
    """(status, Graph's code) of a refusal."""
    assert isinstance(answer.body, dict), answer
    return answer.status, answer.body["error"]["code"]
