"""What a row of the coverage statement looks like as JSON: an owner, a thing, a list or channel.

Every row has the same keys, so that a table of them has one header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from engine import coverage_words as words
from engine.coverage_things import PROTECTED, Owner, Part, Thing
from engine.coverage_words import Reason
from engine.resources import THINGS_BELOW
from m365 import SERVICES
from vault import Entry


def owner_row(owner: Owner) -> dict[str, Any]:
    """A person, a group or a site: everything that belongs to it, together."""
    parts = [part for thing in owner.things for part in thing.parts]
    return {
        **_head(owner.kind, owner.id, owner.name, owner.address, owner),
        "state": owner.state,
        **_times(parts),
        "items": sum(part.row.items for part in parts),
        "reasons": [reason_json(reason) for reason in _of_owner(owner)],
        "services": [],
        "service": "",
        "resource": "",
    }


def thing_row(owner: Owner, thing: Thing) -> dict[str, Any]:
    """A mailbox with its services, a library, a team."""
    services = [part.row.service for part in thing.parts]
    return {
        **_head(thing.kind, thing.resource, thing.name, thing.address, owner),
        "state": thing.state,
        **_times(thing.parts),
        "items": sum(part.row.items for part in thing.parts),
        "reasons": [reason_json(reason, about) for reason, about in thing.reasons],
        "services": [_service(part) for part in thing.parts],
        "service": services[0] if len(services) == 1 else "",
        "resource": thing.resource,
    }


def finer_row(
    owner: Owner, part: Part, entry: Entry, state: str, reasons: Iterable[Reason]
) -> dict[str, Any]:
    """A list, a channel or a plan: a folder of the newest restore point."""
    row = part.row
    return {
        **_head(THINGS_BELOW[row.service], entry.id, entry.name, row.address, owner),
        "state": state,
        **_times((part,)),
        "items": None,
        "reasons": [reason_json(reason) for reason in reasons],
        "services": [],
        "service": row.service,
        "resource": row.resource,
    }


def reason_json(reason: Reason, about: str = "") -> dict[str, Any]:
    """Code, sentence, how many items or parts; `about`: the services, where it is not about all."""
    return {
        "code": reason.code,
        "sentence": reason.sentence,
        "count": reason.count,
        "about": about,
    }


def _head(kind: str, id_: str, name: str, address: str, owner: Owner) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": id_,
        "name": name,
        "address": address,
        "owner": {"kind": owner.kind, "id": owner.id, "name": owner.name},
    }


def _service(part: Part) -> dict[str, Any]:
    row = part.row
    return {
        "service": row.service,
        "title": SERVICES[row.service].title,
        "state": part.state,
        **_times((part,)),
        "items": row.items,
        "reasons": [reason_json(reason) for reason in part.reasons],
    }


def _times(parts: Sequence[Part]) -> dict[str, str | None]:
    """Since when there are restore points, when the newest was made, and when all was last found
    as it is in the tenant, which makes no restore point where nothing has changed.
    """
    copied = [part.row for part in parts if part.row.head >= 0]
    first = [row.first_at or row.head_at for row in copied]
    checked = [row.verified_at for row in copied]
    return {
        "since": _iso(min((at for at in first if at), default=None)),
        "last": _iso(max((row.head_at for row in copied if row.head_at), default=None)),
        "checked": _iso(min((at for at in checked if at), default=None)),
    }


def _of_owner(owner: Owner) -> list[Reason]:
    """What of it is missing, kind by kind; of somebody who has nothing, why."""
    if owner.absent:
        return list(dict.fromkeys(one for thing in owner.things for one, _ in thing.reasons))
    meant = [thing for thing in owner.things if not thing.absent]
    of = Counter(thing.kind for thing in meant)
    gaps = Counter((one.kind, one.state) for one in meant if one.state != PROTECTED)
    found = [words.of_things(kind, state, n, of[kind]) for (kind, state), n in gaps.items()]
    return [*found, *owner.unnamed]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
