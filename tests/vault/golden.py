"""Golden vaults and the documented one: their blobs, and what either reader finds in them, in the
shape of their expectations (tests/data/make_golden.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from tests.data.make_golden import DOCUMENT, HERE
from tests.vault.second_reader import manifest
from tests.vault.world import StillClock
from vault import Catalog, KeySlot, Repository
from vault.stores.memory import MemoryStore

Items = dict[str, dict[str, Any]]  # id -> parent, kind, name, contents
NAMES = sorted(path.stem for path in HERE.glob("*.zip"))


def golden(name: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Blobs and expectations of a vault that an earlier version wrote."""
    with zipfile.ZipFile(HERE / f"{name}.zip") as archive:
        blobs = {blob: archive.read(blob) for blob in archive.namelist()}
    return blobs, json.loads((HERE / f"{name}.json").read_text(encoding="ascii"))


def documented() -> tuple[dict[str, bytes], dict[str, Any]]:
    """The same of docs/vault-format.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    vectors = json.loads(text.split("```json\n")[1].split("\n```")[0])
    return {name: base64.b64decode(data) for name, data in vectors["blobs"].items()}, vectors


def stored(blobs: dict[str, bytes]) -> MemoryStore:
    """A store with the blobs."""
    store = MemoryStore(StillClock())
    for name, data in blobs.items():
        store.put_new(name, data)
    return store


def opened(blobs: dict[str, bytes], slot: KeySlot) -> Repository:
    """The vault as we open it."""
    return Repository.open(stored(blobs), slot, StillClock())


def as_we_read(repo: Repository) -> dict[str, Any]:
    """Every restore point with the hash of every content, by the product."""
    points: dict[str, Any] = {}
    for chain in repo.chains():
        points[chain] = {}
        for number in repo.numbers(chain):
            snapshot = repo.snapshot(chain, number)
            points[chain][str(number)] = {
                "status": snapshot.status,
                "about": dict(snapshot.about),
                "items": _items(repo, repo.catalog(snapshot)),
            }
    return points


def _items(repo: Repository, catalog: Catalog) -> Items:
    found = {}
    for entry in catalog.items():
        contents = {}
        for content in entry.contents:
            data = b"".join(repo.read(content))
            contents[content.role] = [len(data), hashlib.sha256(data).hexdigest()]
        place = {"parent": entry.parent, "kind": entry.kind, "name": entry.name}
        found[entry.id] = {**place, "contents": contents}
    return found


def as_extracted(target: Path) -> dict[str, dict[str, Items]]:
    """chain -> number -> items, from the files of an extraction."""
    found: dict[str, dict[str, Items]] = {}
    hashes: dict[tuple[str, ...], list[Any]] = {}
    for row in manifest(target):
        assert row["problem"] == ""
        data = (target / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        key = (row["chain"], row["number"], row["item"])
        if row["role"] != "item":
            hashes[*key, row["role"]] = [len(data), row["sha256"]]
            continue
        item = json.loads(data)
        contents = {one["role"]: hashes[*key, one["role"]] for one in item["contents"]}
        place = {field: item[field] for field in ("parent", "kind", "name")}
        items = found.setdefault(row["chain"], {}).setdefault(row["number"], {})
        items[row["item"]] = {**place, "contents": contents}
    return found


def good_points(expected: dict[str, Any]) -> dict[str, dict[str, Items]]:
    """chain -> number -> items of the restore points that are not void."""
    return {
        chain: {n: point["items"] for n, point in rows.items() if point["status"] == "ok"}
        for chain, rows in expected["points"].items()
    }
