"""The whole HTTP surface over one backed-up organization, its stories written down, not told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import simulator
from api.app import build
from api.auth import AdminToken
from base.stories import StoryStatus
from engine.assembly import App
from tests.engine.world import ORG as ORG
from tests.engine.world import World, calm_tenant, world

TOKEN = "the-token-of-these-tests"
API = "/api/v1"
BELOW = f"{API}/organizations/{ORG}"
HOSTILE = "<script>alert(1)</script>\"' \u202egpj.exe"
SIGNED_IN = {"Authorization": f"Bearer {TOKEN}"}
SECURITY_HEADERS = (
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "strict-transport-security",
    "cache-control",
)


@dataclass
class Told:
    """A Stories port that remembers what was started."""

    started: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)

    async def start(self, story: str, message: Mapping[str, Any], instance_id: str) -> None:
        self.started.append((story, message, instance_id))

    async def status(self, instance_id: str) -> StoryStatus | None:
        return None

    async def raise_event(self, instance_id: str, name: str, value: Any) -> None: ...

    async def terminate(self, instance_id: str, reason: str) -> None: ...

    async def purge(self, instance_id: str) -> bool:
        return False


@dataclass
class House:
    """A client who is signed in, one who is not, and what lies behind."""

    world: World
    stories: Told
    client: TestClient
    stranger: TestClient

    @property
    def app(self) -> App:
        return self.world.app

    def get(self, path: str, **query: Any) -> Any:
        """A JSON answer below the organization."""
        answer = self.client.get(BELOW + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def mail(self) -> dict[str, str]:
        """The query that names the mailbox."""
        return {"service": "mail", "resource": self.world.mailbox_id}

    def drive(self) -> dict[str, str]:
        """The query that names the drive."""
        return {"service": "drive", "resource": self.world.drive_id}

    def first_item(self, **where: str) -> dict[str, Any]:
        """Some item of the newest restore point that is no folder."""
        waiting = [""]
        while waiting:
            for entry in self.get("/items", **where, folder=waiting.pop(), limit=500)["items"]:
                if entry["kind"] != "folder":
                    return dict(entry)
                waiting.append(entry["id"])
        raise AssertionError("the restore point is empty")


@contextmanager
def house() -> Iterator[House]:
    """Serves a tenant, backs it up once, and opens the door to it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tenant = calm_tenant(seed=5)
        make_hostile(tenant)
        with world(tenant, Path(folder)) as made:
            made.back_up()
            yield over(made)


def over(made: World) -> House:
    """The HTTP surface over a world."""
    stories = Told()
    web = build(made.app, stories, AdminToken(TOKEN))
    options: dict[str, Any] = {"follow_redirects": False, "raise_server_exceptions": False}
    return House(
        made,
        stories,
        TestClient(web, headers=SIGNED_IN, **options),
        TestClient(web, **options),
    )


def make_hostile(tenant: simulator.Tenant) -> None:
    """Somebody and every message get a hostile name; files have such names already."""
    mailbox = next(iter(tenant.mailboxes.values()))
    tenant.users[mailbox.user_id].properties["displayName"] = HOSTILE
    for folder in mailbox.folders.values():
        for message in folder.messages.values():
            message.properties["subject"] = HOSTILE
