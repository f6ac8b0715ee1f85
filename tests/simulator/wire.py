"""A plain HTTP client for tests: tokens, requests, and feeds walked to their end."""

import json
from typing import Any

import urllib3

from simulator import AppRegistration, Running

IMMUTABLE = 'IdType="ImmutableId"'


class Wire:
    """Talks to a served tenant as an app of it; answers are urllib3's."""

    def __init__(self, running: Running, app: AppRegistration | None = None) -> None:
        self.running = running
        self.tenant = running.tenant
        self.app = app or self.tenant.restore_app
        self.pool = urllib3.PoolManager(ca_certs=str(running.ca), retries=False)
        self.headers = {"Prefer": IMMUTABLE}
        self.login()

    def login(self) -> None:
        answer = self.token(client_id=self.app.app_id, client_secret=next(iter(self.app.secrets)))
        self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def token(self, directory: str = "", **fields: str) -> urllib3.BaseHTTPResponse:
        fields = {
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
        } | fields
        url = f"{self.running.url}/{directory or self.tenant.id}/oauth2/v2.0/token"
        return self.pool.request("POST", url, fields=fields, encode_multipart=False)

    def send(
        self, method: str, url: str, body: Any = None, *, bare: bool = False, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """headers: names with underscores for hyphens; bare sends no headers of its own."""
        if not url.startswith("https://"):
            url = f"{self.running.url}/v1.0{url}"
        sent = {} if bare else dict(self.headers)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request(method, url, body=body, headers=sent, redirect=False)

    def get(self, url: str, **headers: str) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.send("GET", url, **headers)
        assert answer.status == 200, answer.data
        return answer.json()

    def post(self, url: str, body: Any, **headers: str) -> Any:
        """The JSON of a POST that must succeed."""
        answer = self.send("POST", url, body, **headers)
        assert answer.status in (200, 201), answer.data
        return answer.json()

    def walk(self, url: str, **headers: str) -> tuple[list[list[dict[str, Any]]], str]:
        """(pages of a feed or list, its deltaLink)."""
        pages = []
        for _ in range(10_000):
            body = self.get(url, **headers)
            pages.append(body["value"])
            if "@odata.nextLink" not in body:
                return pages, body.get("@odata.deltaLink", "")
            url = body["@odata.nextLink"]
        raise AssertionError("the feed does not end")

    def code(self, method: str, url: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """(status, error code) of a request that must fail."""
        answer = self.send(method, url, body, **options)
        assert answer.status >= 400, answer.data
        return answer.status, answer.json()["error"]["code"]

    def control(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.running.control_token}"}
        url = f"{self.running.control_url}{path}"
        payload = json.dumps(body).encode() if body is not None else None
        answer = self.pool.request(method, url, body=payload, headers=headers)
        assert answer.status == 200, answer.data
        return answer.json()


def settled(pages: list[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What a reader holds after a round: the last occurrence wins, pieces are merged."""
    held: dict[str, dict[str, Any]] = {}
    for entry in (entry for page in pages for entry in page):
        if "@removed" in entry:
            held.pop(entry["id"], None)
        elif "@odata.etag" not in entry and entry["id"] in held:
            held[entry["id"]] |= entry
        else:
            held[entry["id"]] = entry
    return held
