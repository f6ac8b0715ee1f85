"""Sticky notes that together use every property, and what became of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from benchmarks._fidelity import Scene, Shown, mailboxes, named
from benchmarks._fidelity_files import kept_files, shown_files
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant, extended
from simulator.notes import fill_notes, notes_of

_TEXT = "String {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Project"
_WORDS = "StringArray {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Keywords"
_EXTENSION = "com.contoso.referral"
_EXPAND = (
    f"singleValueExtendedProperties($filter=id eq '{_TEXT}'),"
    f"multiValueExtendedProperties($filter=id eq '{_WORDS}'),"
    f"extensions($filter=id eq '{_EXTENSION}')"
)


class Notes:
    """Sticky notes among the subjects of the measurement."""

    service = "notes"

    def furnish(self, tenant: Tenant) -> Scene:
        scene = mailboxes(tenant)
        fill_notes(tenant, scene.source, random.Random("fidelity"), 4)
        book = notes_of(tenant, scene.source)
        full = next(one for one in book.notes.values() if one.pictures)
        full.properties["categories"] = ["Blue category", "Übersee"]
        full.extended[extended.key(_TEXT)] = "Harbour"
        full.extended_lists[extended.key(_WORDS)] = ["pier", "crane"]
        full.extensions[_EXTENSION] = {"id": _EXTENSION, "extensionName": _EXTENSION, "stars": 5}
        book.add("Gone", {"contentType": "text", "content": "soon"}, isDeleted=True)
        return scene

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        path = f"/users/{where}/notes"
        found = []
        for raw in graph.all(path, expand=_EXPAND):
            at = f"{path}/{quote(raw['id'])}"
            files = shown_files(graph, at, graph.all(f"{at}/attachments", select="id"))
            found.append({**raw, "attachments": files})
        return named(_entries(found))

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        view = installation.view(self.service, f"mailbox:{where}")
        found = []
        for entry in view.catalog.items():
            if entry.kind != "folder":
                item = view.item(entry.id)
                raw = {**item.raw, **entry.facts.get("volatile", {})}
                found.append({**raw, "attachments": kept_files(item.parts)})
        return named(_entries(found))


def _entries(notes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for raw in notes:
        if raw["isDeleted"]:  # nothing else of it is meant to be kept
            yield "note", str(raw["subject"]), {"isDeleted": True, "@odata.type": None}
        else:
            yield "note", f"{raw['subject']} {raw['bodyPreview']}", dict(raw)
