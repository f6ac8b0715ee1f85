"""Where boxes of a pack went when it was compacted: fwd/{pack}, one small object per moved pack.

Rule 1: a forward is created after the packs it points at are durable and before the old pack may be
        condemned; like everything else it is never changed.
Rule 2: boxes move whole, with their plaintext: ids, offsets and lengths in references stay true.
Rule 3: a reader looks here only when a pack is missing. A target may have moved again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from vault.entry import Location, bytes_of, dumps, text_of
from vault.envelope import Kind, insist_on_format
from vault.keys import KeyRing
from vault.problems import Missing, VaultDamaged
from vault.store import Store

FORMAT = 1
PREFIX = "fwd/"
MOVES_MAX = 64  # compactions of a compaction; more is a circle


@dataclass(frozen=True, slots=True)
class Forward:
    """Box numbers of an old pack and where they lie now."""

    pack: str
    boxes: Mapping[int, Location]


def name_of(pack: str) -> str:
    """Where the forward of a pack lies."""
    text = bytes_of(pack).hex()
    return f"{PREFIX}{text[:2]}/{text}"


def pack_of(name: str) -> str:
    """The pack's id from the name of the pack or of its forward."""
    return text_of(bytes.fromhex(name.rpartition("/")[2]))


def put_forward(store: Store, ring: KeyRing, forward: Forward) -> bool:
    """False: another compaction moved this pack already."""
    name = name_of(forward.pack)
    boxes = {str(number): place.to_json() for number, place in forward.boxes.items()}
    document = dumps({"format": FORMAT, "boxes": boxes})
    return store.put_new(name, ring.seal(Kind.FORWARD, name, document))


def get_forward(store: Store, ring: KeyRing, pack: str) -> Forward | None:
    """None: the pack never moved. Raises VaultDamaged."""
    name = name_of(pack)
    try:
        sealed = store.read(name)
    except Missing:
        return None
    try:
        document = json.loads(ring.unseal(Kind.FORWARD, name, sealed))
        insist_on_format(name, document)
        boxes = document["boxes"]
        return Forward(
            pack, {int(number): Location.from_json(place) for number, place in boxes.items()}
        )
    except (ValueError, KeyError, TypeError, IndexError) as damage:
        raise VaultDamaged("A forward cannot be read.", name=name) from damage
