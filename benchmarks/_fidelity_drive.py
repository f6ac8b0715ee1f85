"""Files and folders that together use every property, and what became of them.

Older versions and permissions are items of their own here.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from base.item import StoredItem
from benchmarks._fidelity import Scene, Shown, named
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant
from simulator.content_files import Furnisher
from simulator.content_kinds import jpg
from simulator.drive_item import Item
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes

_UNTIL = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
_ON_REQUEST = "id,publication,sharepointIds,webDavUrl"
_WHYS = ("malware", "remoteItem")
_SECRETS = ("@microsoft.graph.downloadUrl", "@content.downloadUrl")
_Raw = Mapping[str, Any]
_Facts = dict[str, Any]


class Files:
    """Drives among the subjects of the measurement."""

    service = "drive"

    def furnish(self, tenant: Tenant) -> Scene:
        source, target = (_drive(tenant, name) for name in ("Full House", "Fresh Start"))
        furnisher = Furnisher(source, random.Random("fidelity"), source.owner, _UNTIL)
        furnisher.ordinary(6, 4_000)
        furnisher.special()
        _odd(furnisher)
        _shared(furnisher, tenant)
        furnisher.done()
        users = [one.id for one in tenant.users.values() if one.drive_id == source.id]
        return Scene(
            source.id,
            target.id,
            {
                "selection": {"mode": "include", "users": users},
                "choices": {"drive": {"versions": "all"}},
            },
            options=("versions", "permissions"),
        )

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        drive = tenant.drives[where]
        return named(_entries([_asked(graph, drive, one) for one in list(drive.living())]))

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        drive = installation.tenant.drives[where]
        view = installation.view(self.service, f"drive:{where}")
        found = []
        for entry in view.catalog.items():
            above = [one.name for one in view.path(entry)[1:]]
            path = (*above, entry.name) if entry.parent else ()
            item = view.item(entry.id)
            raw = {**item.raw, **entry.facts.get("volatile", {})}
            found.append(_stored(drive, path, raw, item))
        return named(_entries(found))


@dataclass(slots=True)
class _Seen:
    """A drive item as one of the three tells of it."""

    drive: Drive
    path: tuple[str, ...]
    raw: _Facts
    versions: list[_Facts] = field(default_factory=list)  # older ones, oldest first
    permissions: Sequence[_Raw] = ()
    stays: bool = False
    """It cannot come back, whatever it has: of it no more is compared than why."""


def _drive(tenant: Tenant, name: str) -> Drive:
    """An empty OneDrive of a new person."""
    user = tenant.add_user(name)
    owner = {"user": {"id": user.id, "displayName": name}}
    address = f"https://contoso-my.sharepoint.com/personal/{name.split()[0].lower()}/Documents"
    drive = Drive(f"b!{name.replace(' ', '')}", owner, _UNTIL, web_url=address)
    tenant.drives[drive.id] = drive
    user.drive_id = drive.id
    return drive


def _odd(furnisher: Furnisher) -> None:
    """What only few items have."""
    drive, owner = furnisher.drive, furnisher.owner
    furnisher.file(furnisher.folder("Pictures"), "crane.jpg", jpg("crane", 3_000))
    furnisher.folder("Attachments").facets["specialFolder"] = {"name": "attachments"}
    taken = furnisher.file(drive.root, "contract.pdf", LiteralBytes(b"%PDF-1.4 contract"))
    taken.level = "checkout"
    taken.label = {"name": "Contracts", "retentionSettings": {"isRecordLocked": False}}
    busy = furnisher.file(drive.root, "uploading.txt", LiteralBytes(b"half"))
    busy.facets["pendingOperations"] = {
        "pendingContentUpdate": {"queuedDateTime": "2026-11-20T17:00:00Z"}
    }
    link = drive.create_folder(drive.root, "Other team", "fail", owner, _UNTIL, kind="shortcut")
    link.facets["remoteItem"] = {
        "id": "01REMOTE", "name": "Plans", "folder": {"childCount": 3},
        "parentReference": {"driveId": "b!other", "id": "01ROOT", "driveType": "business"},
    }  # fmt: skip
    pruned = furnisher.file(drive.root, "often.txt", LiteralBytes(b"one"))
    for number in range(4):
        drive.write(pruned, LiteralBytes(f"edit {number}".encode()), owner, _UNTIL)
    del pruned.versions[2:]  # the library keeps two


def _shared(furnisher: Furnisher, tenant: Tenant) -> None:
    """Every way to share, and something below a shared folder."""
    drive = furnisher.drive
    user, group = next(iter(tenant.users.values())), next(iter(tenant.groups.values()))
    person = {"user": {"id": user.id, "displayName": user.properties["displayName"]}}
    people = {"group": {"id": group.id, "displayName": group.properties["displayName"]}}
    folder = furnisher.folder("Shared")
    file = furnisher.file(folder, "budget.txt", LiteralBytes(b"budget"))
    ends = "2027-01-01T00:00:00Z"
    guest = {"email": "nora@ships.example", "signInRequired": True}
    for item, permission in (
        (
            folder,
            {"roles": ["read"], "grantedToV2": people, "grantedTo": {"user": people["group"]}},
        ),
        (file, {"roles": ["write"], "grantedToV2": person, "grantedTo": person}),
        (file, _link("edit", "users", [person]) | {"expirationDateTime": ends}),
        (file, _link("view", "anonymous")),
        (file, _link("view", "organization") | {"hasPassword": True}),
        (file, {"roles": ["read"], "invitation": guest}),
    ):
        key = f"{furnisher.dice.getrandbits(64):016x}"
        drive.share(item, {"id": key, **permission}, _UNTIL)


def _link(kind: str, scope: str, people: Sequence[_Raw] = ()) -> _Facts:
    address = f"https://contoso-my.sharepoint.com/:t:/g/{kind}{scope}"
    return {
        "roles": ["write" if kind == "edit" else "read"], "hasPassword": False,
        "shareId": f"u!{kind}{scope}", "grantedToIdentities": list(people),
        "grantedToIdentitiesV2": list(people),
        "link": {"type": kind, "scope": scope, "webUrl": address, "preventsDownload": False},
    }  # fmt: skip


def _asked(graph: Graph, drive: Drive, item: Item) -> _Seen:
    """An item as Graph shows it."""
    path = f"/drives/{drive.id}/items/{item.id}"
    raw = graph.get(path) | graph.get(path, select=_ON_REQUEST)
    seen = _Seen(drive, tuple(drive.path(item)), raw)
    seen.stays = item.infected or item.out_of_order is not None or item.kind == "shortcut"
    if item.is_file and not seen.stays:
        raw["content"] = hashlib.sha256(graph.raw(f"{path}/content")).hexdigest()
        for version in graph.all(f"{path}/versions")[:0:-1]:
            data = graph.raw(f"{path}/versions/{version['id']}/content")
            seen.versions.append({**version, "content": hashlib.sha256(data).hexdigest()})
    if item.permissions:
        seen.permissions = graph.all(f"{path}/permissions")
    if item.label is not None:
        raw["retentionLabel"] = graph.get(f"{path}/retentionLabel")
    return seen


def _stored(drive: Drive, path: tuple[str, ...], raw: _Facts, item: StoredItem) -> _Seen:
    """An item as the vault has it."""
    seen = _Seen(drive, path, raw)
    content, sharing = item.part("content"), item.part("permissions")
    if content is not None:
        raw["content"] = hashlib.sha256(content.read()).hexdigest()
    for part in item.parts:
        if part.role == "version":
            seen.versions.insert(0, {
                "id": part.meta["id"], "size": part.meta["size"],
                "lastModifiedDateTime": part.meta["modified"],
                "lastModifiedBy": {"user": {"displayName": part.meta["by"]}},
                "content": hashlib.sha256(part.read()).hexdigest(),
            })  # fmt: skip
    if sharing is not None:
        seen.permissions = json.loads(sharing.read())
    return seen


def _entries(seen: Sequence[_Seen]) -> Iterator[tuple[str, str, _Facts]]:
    """Items, their versions and permissions, with paths in place of ids."""
    paths = {str(one.raw["id"]): "/".join(one.path) for one in seen}
    below: dict[str, list[str]] = {}
    for one in seen:
        if one.path:
            below.setdefault("/".join(one.path[:-1]), []).append(one.path[-1])
    for one in seen:
        path = "/".join(one.path)
        if one.stays:
            whys = {name: one.raw[name] for name in _WHYS if name in one.raw}
            yield "driveItem", path, {**whys, "@odata.type": None}
            continue
        facts = {name: value for name, value in one.raw.items() if name not in _SECRETS}
        facts["parentReference"] = "/".join(["root:", *one.path[:-1]]) if one.path else None
        facts["webUrl"] = str(one.raw["webUrl"]).removeprefix(one.drive.web_url)
        facts["root"] = "root" in one.raw
        facts["children"] = sorted(below.get(path, ()))
        facts["versions"] = [(v["size"], v["lastModifiedDateTime"]) for v in one.versions]
        own = [_permission(raw, paths) for raw in one.permissions]
        facts["permissions"] = sorted(name for name, _ in own)
        yield "driveItem", path, facts
        for name, permission in own:
            yield "permission", f"{path}: {name}", permission
        for number, version in enumerate(one.versions):
            by = next(iter(version["lastModifiedBy"].values()))["displayName"]
            yield "driveItemVersion", f"{path} {number}", {**version, "lastModifiedBy": by}


def _permission(raw: _Raw, paths: Mapping[str, str]) -> tuple[str, _Facts]:
    """Its name, by what it grants to whom, and the permission with paths in place of ids."""
    facts = dict(raw)
    if "inheritedFrom" in raw:
        facts["inheritedFrom"] = paths.get(str(raw["inheritedFrom"].get("id")))
    if "link" in raw:
        facts["link"] = {name: raw["link"][name] for name in ("type", "scope", "preventsDownload")}
    whom = facts.get("link") or raw.get("grantedToV2") or raw.get("invitation")
    return f"{json.dumps(whom, sort_keys=True)} {facts.get('inheritedFrom') or ''}", facts
