"""The part of a verification that reads bytes: packs whole, records, and what else lies there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

from base.errors import Problem
from vault.box import open_box
from vault.entry import Location
from vault.envelope import Kind
from vault.findings import Disease, Finding
from vault.forward import PREFIX as FORWARDS
from vault.forward import get_forward, pack_of
from vault.gc_log import read_history
from vault.keys import KeyFile, KeyRing
from vault.pack import DirectoryRow, open_pack, read_directory
from vault.problems import Missing, VaultDamaged
from vault.round import Bench
from vault.store import is_ours


class PackCheck:
    """Reads packs in name order, beginning behind `after` and going round."""

    def __init__(self, bench: Bench, share: float, after: str) -> None:
        self._store, self._ring = bench.tools.store, bench.tools.ring
        self._share = share
        self._start = after

    def run(self, done: str) -> Iterator[tuple[str, int, list[int] | None]]:
        """Name, boxes read, and numbers of damaged boxes: None where all is well, [] for all. Goes
        on behind `done`.
        """
        names = sorted((one.name for one in self._store.list("p/")), key=self._turn)
        chosen = names[: math.ceil(len(names) * min(self._share, 1.0))]
        for name in chosen:
            if done and self._turn(name) <= self._turn(done):
                continue
            try:
                data = self._store.read(name)
            except Missing:
                continue  # collected meanwhile
            yield name, *self._read(name, data)

    def _turn(self, name: str) -> tuple[bool, str]:
        return (name <= self._start, name)

    def _read(self, name: str, data: bytes) -> tuple[int, list[int] | None]:
        opened: list[int] = []
        bad = damaged_boxes(self._ring, pack_of(name), data, opened.append)
        return len(opened), bad


def damaged_boxes(
    ring: KeyRing, pack: str, data: bytes, opened: Callable[[int], None] = lambda _: None
) -> list[int] | None:
    """Numbers of the boxes of a pack that do not open: None where all is well, [] for all of them,
    [-1] where the checksum alone is wrong. `opened` is told the others.
    """
    try:
        good = [box.location.box for box in open_pack(ring, pack, data)]
    except Problem:
        return _bad_boxes(ring, pack, data, opened)
    for number in good:
        opened(number)
    return None


def _bad_boxes(ring: KeyRing, pack: str, data: bytes, opened: Callable[[int], None]) -> list[int]:
    try:
        rows = read_directory(ring, pack, len(data), lambda at, length: data[at : at + length])
    except Problem:
        return []
    bad = []
    for row in rows:
        if _opens(ring, pack, row, data):
            opened(row.number)
        else:
            bad.append(row.number)
    return bad or [-1]


def _opens(ring: KeyRing, pack: str, row: DirectoryRow, data: bytes) -> bool:
    location = Location(pack, row.number, row.at, row.size)
    try:
        open_box(ring, location, row.members[0].id, data[row.at : row.at + row.size])
    except Problem:
        return False
    return True


def check_rest(bench: Bench) -> tuple[int, list[Finding]]:
    """How many records there are, and what is wrong with anything that is no pack and no chain."""
    store, ring = bench.tools.store, bench.tools.ring
    findings: list[Finding] = []
    records = 0
    names = [one.name for one in store.list("")]
    for name in names:
        try:
            if not is_ours(name):
                findings.append(Finding.of(Disease.UNKNOWN_BLOB, name, 0))
            elif name.startswith(("r/", "x/")):
                records += name.startswith("r/")
                ring.unseal(Kind.RECORD, name, store.read(name))
            elif name.startswith(FORWARDS):
                get_forward(store, ring, pack_of(name))
            elif name.startswith("keys/"):
                KeyFile.parse(name, store.read(name))
            elif name == "config/0001":
                _insist_on_config(store.read(name), ring.config_sha256)
        except Missing:
            continue  # removed meanwhile
        except Problem:
            findings.append(Finding.of(_DISEASES[name.split("/")[0]], name, 0))
    try:
        read_history(store, ring)
    except Problem:
        findings.append(Finding.of(Disease.LOG_DAMAGED, "gc", 0))
    return records, findings


_DISEASES = {
    "r": Disease.RECORD_DAMAGED,
    "x": Disease.RECORD_DAMAGED,
    "fwd": Disease.FORWARD_DAMAGED,
    "keys": Disease.KEYS_DAMAGED,
    "config": Disease.KEYS_DAMAGED,
}


def _insist_on_config(raw: bytes, sha256: bytes) -> None:
    if hashlib.sha256(raw).digest() != sha256:
        raise VaultDamaged("config/0001 is not the one this vault was made with.")
