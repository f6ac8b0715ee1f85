"""What a restore is going to do, as data: shown before it runs, then followed batch by batch.

A plan never changes once it is written: the batches lie sealed in the vault under the run's id, so
a step that runs twice follows the very same plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from base.errors import InvalidInput
from base.ids import fresh_slug
from engine import resources, throttling
from engine.assembly import App
from engine.browse import View, open_view
from engine.pages import PAGE, Chosen, PageView, as_restored
from m365 import SERVICES
from m365.service import OnConflict, Service, Writer
from vault import Content, Entry

BATCH_ITEMS = 50
BATCH_BYTES = 32 * 1024 * 1024

# Figures of the throttle model: one write at a time per mailbox or drive, about three requests an
# item.
_REQUESTS_PER_ITEM = {
    "message": 2, "file": 2, "event": 3, "setting": 1, "folder": 1,
    "site-page": 4, "planner-task": 4, "list-item": 1,
}  # fmt: skip
_REQUESTS_PER_PART = {"attachment": 1, "version": 2, "permissions": 3}
_REQUESTS_PER_MINUTE = 120
# Parts that are written only where an option of the service asks for them, by role.
_BY_OPTION = {"version": "versions", "permissions": "permissions"}


class NothingSelected(InvalidInput):
    """The selection names nothing that the restore point holds."""

    code = "nothing-selected"


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to restore, and where to.

    `items` and `folders` are ids in the restore point; with both empty everything is meant.
    `target` is a resource id of the same kind ("" = where it came from). `place`: "folder" puts
    everything under a folder of its own named `folder_name`; "original" puts items back where they
    lay.
    """

    service: str
    resource: str
    snapshot: int | None = None
    items: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    target: str = ""
    place: str = "folder"
    folder_name: str = ""
    conflict: str = OnConflict.SKIP
    options: tuple[str, ...] = ()  # of the service, see m365.service.Service.options
    fresh: bool = False  # the folder is made for this restore alone; set by prepare()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RestoreRequest:
        lists = {key: tuple(data.get(key, ())) for key in ("items", "folders", "options")}
        return cls(**{**data, **lists})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Counts of a dry run, and what cannot be set or restored."""

    items: int
    folders: int
    bytes: int
    conflicts: int | None  # None: not looked for, a dry run does
    incomplete: int  # items of which the backup itself lacks a part
    requests: int
    minutes: int
    cannot: tuple[str, ...]
    by_kind: dict[str, int] = field(default_factory=dict)


def prepare(
    app: App, org: str, request: RestoreRequest, *, look: bool = True
) -> tuple[RestoreRequest, RestorePlan]:
    """Checks the request and counts; a dry run also looks for conflicts in the target. Writes
    nothing.
    """
    request = settled(app, org, request)
    view = restored_view(app, org, request)
    counted = _Counted(request.options)
    for entry in selected(view, request):  # twice walked rather than once held: it may be long
        counted.add(entry)
    if not counted.kinds:
        raise NothingSelected("Nothing in this restore point matches the selection.")
    writer = app.restorer(org, request.service, request.target, request.options)
    try:
        conflicts = _conflicts(view, request, selected(view, request), writer) if look else None
    finally:
        throttling.give_back(app, org, request.target)
    return request, counted.plan(SERVICES[request.service], conflicts)


def settled(app: App, org: str, request: RestoreRequest) -> RestoreRequest:
    """The request with its restore point, target and folder name filled in; raises InvalidInput."""
    number = open_view(
        app, org, request.service, request.resource, request.snapshot
    ).snapshot.number
    if request.place not in ("folder", "original"):
        raise InvalidInput("place is 'folder' or 'original'.", field="place")
    if request.conflict not in tuple(OnConflict):
        raise InvalidInput("conflict is 'skip', 'copy' or 'replace'.", field="conflict")
    known = app.service(request.service).options
    if not set(request.options) <= set(known):
        raise InvalidInput(
            "The service has no such option.",
            field="options",
            hint=f"Options: {', '.join(known) or 'none'}.",
        )
    target = request.target or request.resource
    if target.split(":", 1)[0] != request.resource.split(":", 1)[0]:
        raise InvalidInput("The target is of another kind than the source.", field="target")
    resources.chain(request.service, target)  # raises where it is no id
    # Restores of one second must not share a folder: each would take the other's for its own.
    name = request.folder_name or fresh_slug(f"Restored {app.clock.now():%Y-%m-%d %H.%M.%S}")
    fresh = request.place == "folder" and not request.folder_name
    changed = {"snapshot": number, "target": target, "folder_name": name, "fresh": fresh}
    return RestoreRequest(**{**request.to_json(), **changed})


def restored_view(app: App, org: str, request: RestoreRequest) -> View:
    """The restore point as the restore goes over it: with pages in place of what is written as
    such.
    """
    view = open_view(app, org, request.service, request.resource, request.snapshot)
    chosen = Chosen(request.items, request.folders)
    return as_restored(view, app.service(request.service), request.options, chosen)


def selected(view: View, request: RestoreRequest) -> Iterator[Entry]:
    """Every entry a request names, folders before what they hold, each once."""
    named = _named(view, request)
    return view.paged(named) if isinstance(view, PageView) else named


def _named(view: View, request: RestoreRequest) -> Iterator[Entry]:
    seen: set[str] = set()

    def fresh(entry: Entry) -> bool:
        new = entry.id not in seen
        seen.add(entry.id)
        return new

    for item_id in request.items:
        entry = view.entry(item_id)
        if fresh(entry):
            yield entry
    root = view.root()
    everything = not request.items and not request.folders
    for folder_id in [root.id] if everything and root else request.folders:
        folder = view.entry(folder_id)
        if folder.parent and fresh(folder):
            yield folder
        yield from (entry for entry in view.below(folder_id) if fresh(entry))


class _Counted:
    """What a selection adds up to."""

    def __init__(self, options: Collection[str]) -> None:
        self.kinds: Counter[str] = Counter()
        self._options = options
        self._bytes = self._incomplete = self._parts = 0

    def add(self, entry: Entry) -> None:
        self.kinds[entry.kind] += 1
        written = list(_written(entry, self._options))
        self._bytes += sum(content.size for content in written)
        self._incomplete += bool(entry.facts.get("missing"))
        self._parts += sum(_REQUESTS_PER_PART.get(content.role, 0) for content in written)

    def plan(self, service: Service, conflicts: int | None) -> RestorePlan:
        kinds = self.kinds
        requests = sum(_REQUESTS_PER_ITEM.get(kind, 2) * count for kind, count in kinds.items())
        requests += self._parts
        return RestorePlan(
            items=sum(kinds.values()) - kinds["folder"],
            folders=kinds["folder"],
            bytes=self._bytes,
            conflicts=conflicts,
            incomplete=self._incomplete,
            requests=requests,
            minutes=-(-requests // _REQUESTS_PER_MINUTE),
            cannot=tuple(service.not_restorable),
            by_kind=dict(kinds),
        )


def _conflicts(view: View, request: RestoreRequest, chosen: Iterator[Entry], writer: Writer) -> int:
    """How many items the target already holds, where they would go."""
    if request.place == "folder":
        return 0  # a folder of its own; what lies in an existing one of that name is looked at then
    found = 0
    by_parent: dict[str, list[str]] = {}
    for entry in chosen:
        if entry.kind != "folder":
            by_parent.setdefault(entry.parent, []).append(entry.id)
    for parent, ids in by_parent.items():
        folder = writer.original_folder(view.item(parent))
        if folder is None:
            continue
        keys = {existing.key for existing in writer.existing(folder)}
        found += sum(1 for one in ids if writer.identity(view.item(one)).key in keys)
    return found


def _written(entry: Entry, options: Collection[str]) -> Iterator[Content]:
    """The contents of an item that a restore with these options writes."""
    for content in entry.contents:
        option = _BY_OPTION.get(content.role)
        if option is None or option in options:
            yield content


def batches(entries: Iterator[Entry], options: Collection[str]) -> Iterator[list[str]]:
    """Ids of items that are written together, few enough for a step to come to their end."""
    batch: list[str] = []
    size = 0
    for entry in entries:
        weight = sum(content.size for content in _written(entry, options))
        if entry.kind == PAGE:
            weight = BATCH_BYTES  # nobody knows yet, and it is as large as a conversation is long
        if batch and (len(batch) >= BATCH_ITEMS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry.id)
        size += weight
    if batch:
        yield batch
