"""A tenant on loopback, an app over a temporary folder, and what the two hold, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

import simulator
from base.messages import BackupEnded, BackupRun, Drain, Drained, RestoreRun, Shard, WriteBatch
from base.settings import Settings
from engine import (
    backup,
    browse,
    organizations,
    plan,
    policies,
    restore,
    restore_plan,
    runs,
)
from engine.assembly import App
from engine.restore_plan import RestoreRequest
from simulator import contoso
from simulator.drive_state import truth
from simulator.mailbox import Mailbox

ORG = "contoso"
SCRYPT_N = 2**10  # only tests go so low


class World:
    """One tenant and one installation that protects it."""

    def __init__(self, app: App, running: simulator.Running) -> None:
        self.app = app
        self.folder = app.settings.data_dir.parent
        self.running = running
        self.tenant = running.tenant

    # --- Backups ---

    def back_up(self) -> dict[str, Any]:
        """A whole backup as its story tells it, one step after another; answers the run."""
        return self.finish_backup(runs.request_backup(self.app, ORG, "test").id)

    def finish_backup(self, run: str) -> dict[str, Any]:
        """The steps of a run from the first one on, whatever an earlier process did of them."""
        planned = plan.plan_backup(self.app, BackupRun(ORG, run))
        while planned.code == plan.PLANNING:
            planned = plan.plan_backup(self.app, BackupRun(ORG, run))
        for number in range(planned.shards):
            for drain in plan.shard_resources(self.app, Shard(ORG, run, number)):
                self.drain(drain)
        runs.close_backup(self.app, BackupEnded(ORG, run, planned.code))
        return runs.show(self.app, ORG, run)

    def drain(self, request: Drain, steps_max: int = 500) -> Drained:
        """Steps of one chain until it ends; throttled ones are asked again at once."""
        for _ in range(steps_max):
            answer = backup.drain(self.app, request)
            if answer.state not in ("more", "throttled"):
                return answer
        raise AssertionError("the chain did not end")

    def view(self, service: str, resource: str) -> browse.View:
        """The newest restore point."""
        return browse.open_view(self.app, ORG, service, resource)

    # --- Restores ---

    def restore(self, request: RestoreRequest) -> dict[str, Any]:
        """A whole restore as its story tells it."""
        wanted, counted = restore_plan.prepare(self.app, ORG, request)
        run = runs.request_restore(self.app, ORG, "test", wanted, counted)
        return self.finish_restore(run.id)

    def finish_restore(self, run: str) -> dict[str, Any]:
        planned = restore.plan_restore(self.app, RestoreRun(ORG, run))
        for batch in range(planned.batches):
            request = WriteBatch(ORG, run, batch)
            while restore.write_batch(self.app, request).state in ("more", "throttled"):
                pass
        restore.close_restore(self.app, RestoreRun(ORG, run, code=planned.code))
        return runs.show(self.app, ORG, run)

    # --- Truth and what the vault holds ---

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox of the first user who has one."""
        return next(iter(self.tenant.mailboxes.values()))

    @property
    def mailbox_id(self) -> str:
        return f"mailbox:{self.mailbox.user_id}"

    @property
    def drive_id(self) -> str:
        return f"drive:{next(iter(self.tenant.drives))}"

    def mail_in_tenant(self, mailbox: Mailbox | None = None) -> dict[str, tuple[Any, ...]]:
        """Every message by immutable id: path, subject, read, MIME hash (None for one made by
        JSON).
        """
        mailbox = mailbox or self.mailbox
        found = {}
        for folder in mailbox.folders.values():
            if folder.search_filter is not None or not _in_reach(folder):
                continue
            for message in folder.messages.values():
                mime = message.mime() if message.mime else None
                found[mailbox.message_id(message, immutable=True)] = (
                    shown_path(folder),
                    message.properties.get("subject"),
                    bool(message.properties.get("isRead")),
                    hashlib.sha256(mime).hexdigest() if mime is not None else None,
                    len(message.attachments),
                )
        return found

    def mail_in_vault(self, resource: str = "") -> dict[str, tuple[Any, ...]]:
        """The same from the newest restore point."""
        view = self.view("mail", resource or self.mailbox_id)
        found = {}
        for entry in view.catalog.items():
            if entry.kind == "folder":
                continue
            item = view.item(entry.id)
            mime = item.part("mime")
            path = tuple(above.name for above in view.path(entry))[1:]
            attachments = sum(part.role == "attachment" for part in item.parts)
            found[entry.id] = (
                path,
                item.raw.get("subject"),
                bool(item.raw.get("isRead")),
                hashlib.sha256(mime.read()).hexdigest() if mime else None,
                attachments,
            )
        return found

    def files_in_tenant(self, drive: str = "") -> dict[str, tuple[Any, ...]]:
        """Every readable file by id: path, size, SHA-256."""
        held = truth(self.tenant.drives[(drive or self.drive_id).removeprefix("drive:")])
        return {
            one["id"]: (tuple(one["path"]), one["size"], one["sha256"]())
            for one in held
            if one["sha256"] is not None and one["readable"]
        }

    def files_in_vault(self, drive: str = "") -> dict[str, tuple[Any, ...]]:
        """The same from the newest restore point."""
        view = self.view("drive", drive or self.drive_id)
        found = {}
        for entry in view.catalog.items():
            item = view.item(entry.id)
            content = item.part("content")
            if content is None:
                continue
            path = (*(above.name for above in view.path(entry)[1:]), entry.name)
            data = content.read()
            found[entry.id] = (path, len(data), hashlib.sha256(data).hexdigest())
        return found

    def lose_tokens(self) -> None:
        """Every delta token of mail and drives is forgotten by the service."""
        self.tenant.feeds.lose(lambda _: True)
        for drive in self.tenant.drives.values():
            drive.forget_tokens()

    def verify(self) -> None:
        """The vault checks clean, every byte of it."""
        report = self.app.vault(ORG).verify(read_data=True)
        assert report.problems == []

    def requests(self, pattern: str = "") -> int:
        """How many requests the tenant has seen whose route holds `pattern`."""
        seen = self.tenant.counters.requests
        return sum(count for route, count in seen.items() if pattern in route)


def shown_path(folder: Any) -> tuple[str, ...]:
    """Where a restore point shows a folder of the tenant."""
    if folder.well_known == "recoverableitemsdeletions":
        return ("Recoverable Items",)
    return tuple(folder.names())


def _in_reach(folder: Any) -> bool:
    """Whether a folder lies below the visible root and not below the search folders, or holds what
    can be recovered.
    """
    if folder.well_known == "recoverableitemsdeletions":
        return True
    while folder is not None and folder.well_known != "searchfolders":
        if folder.well_known == "msgfolderroot":
            return True
        folder = folder.parent
    return False


def calm_tenant(seed: int) -> simulator.Tenant:
    """A small tenant that does as documented; its notebooks can be read, which spares their
    waits.
    """
    tenant = contoso.build("tiny", seed=seed)
    tenant.quirks = simulator.calm()
    for drive in tenant.drives.values():
        for item in drive.items.values():
            item.out_of_order = None
    return tenant


@contextmanager
def world(tenant: simulator.Tenant, folder: Path, **settings: Any) -> Iterator[World]:
    """Serves the tenant and takes it in as an organization."""
    with simulator.serve(tenant, ca_out=folder / "ca.pem") as running:
        app = app_for(running, folder, **settings)
        take_in(app, running)
        policies.change(app, ORG, {"services": ["mail", "drive"], "protection": "full"}, 0)
        yield World(app, running)


def take_in(app: App, running: simulator.Running) -> None:
    """Makes the organization with both of its applications."""
    facts = running.facts()
    organizations.create(
        app,
        organizations.NewOrganization(
            id=ORG,
            name="Contoso",
            tenant_id=facts["tenant_id"],
            credential=credential(facts["apps"]["backup"]),
            restore_credential=credential(facts["apps"]["restore"]),
        ),
    )


def app_for(running: simulator.Running, folder: Path, **settings: Any) -> App:
    """An app over a folder, as a process that just started would make it."""
    return App(settings_for(running, folder, **settings), scrypt_n=SCRYPT_N)


def settings_for(running: simulator.Running, folder: Path, **settings: Any) -> Settings:
    """The settings of an installation in a folder that protects the tenant."""
    return Settings(
        _env_file=None,
        data_dir=folder / "data",
        passphrase=SecretStr("a passphrase for tests"),
        graph_url=running.url,
        login_url=running.url,
        ca_bundle=running.ca,
        **settings,
    )


def credential(app: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": "client_secret",
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
    }
