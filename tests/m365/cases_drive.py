"""Files, put to the suite of every service."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import simulator
from m365 import SERVICES
from m365.service import Resource, Service
from simulator import drive_state
from simulator.drive_state import Drive
from tests.m365.mirror import Kept
from tests.m365.stage import Truth


class DriveCase:
    """Files: the drive with all the oddities, with every version and who things are shared with."""

    service: Service = SERVICES["drive"]
    choices: Mapping[str, Any] = {"versions": "all"}

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("drive", next(iter(tenant.drives)))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        user = tenant.add_user("Empty Target")
        created = tenant.clock.now()
        drive = Drive("b!emptyTarget", {"user": {"displayName": "Empty Target"}}, created)
        tenant.drives[drive.id] = drive
        user.drive_id = drive.id
        return Resource("drive", drive.id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        drive = tenant.drives[resource.graph_id]
        found: Counter[Truth] = Counter()
        for item in drive.living():
            path = tuple(drive.path(item))
            found.update(_shared(path, item.permissions))
            if not item.is_file or item.infected or item.out_of_order is not None:
                continue
            contents = [(path, item.content)]
            contents += [((*path, f"version {one.number}.0"), one.content) for one in item.versions]
            for at, content in contents:
                assert content is not None
                found[Truth(at, content.size, content.sha256)] += 1
        return found

    def beside(self, kept: Kept, path: tuple[str, ...]) -> Iterator[Truth]:
        """What is kept of an item beside its content."""
        for role, data, meta in kept.parts:
            if role == "version":
                at = (*path, f"version {meta['id']}")
                yield Truth(at, len(data), hashlib.sha256(data).hexdigest())
            if role == "permissions":
                explicit = [one for one in json.loads(data) if "inheritedFrom" not in one]
                yield from _shared(path, explicit)

    def main_part(self) -> str:
        return "content"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        tenant.drives[resource.graph_id].forget_tokens()

    def idle_requests_max(self, folders: int) -> int:
        return 1

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        drive = tenant.drives[resource.graph_id]
        drive.delete(drive.get(item_id), tenant.clock.now())

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.drives[resource.graph_id]

    def content_pattern(self) -> str:
        return r"download\.aspx"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return _file_facts(tenant.drives[target.graph_id])

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return _file_facts(tenant.drives[resource.graph_id])


_OFFICE = (".docx", ".xlsx", ".pptx")


def _file_facts(drive: Drive) -> Counter[tuple[Any, ...]]:
    """Path, content and dates; Office files are rewritten by the service when they arrive."""
    found: Counter[tuple[Any, ...]] = Counter()
    for one in drive_state.truth(drive):
        if one["kind"] != "file" or not one["readable"]:
            continue
        office = str(one["path"][-1]).lower().endswith(_OFFICE)
        content = "" if office else one["sha256"]()
        times = [one[name].replace(microsecond=0) for name in ("created", "modified")]
        found[(tuple(one["path"]), content, *times)] += 1
    return found


def _shared(path: tuple[str, ...], permissions: Sequence[Any]) -> Iterator[Truth]:
    """The permissions that begin at an item, as one thing to compare."""
    if permissions:
        told = json.dumps(list(permissions), sort_keys=True).encode()
        yield Truth((*path, "permissions"), len(permissions), hashlib.sha256(told).hexdigest())
