"""Items of a restore point as one zip to take away.

The archive is cut into parts and kept, sealed and create-only, beside the vault until it expires:
it needs no store of its own, works on every storage, and a browser can fetch it in ranges. The zip
is a pure function of the restore point and the selection, so a repeated step writes the same parts
and skips those that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from base.errors import NotFound, Problem
from base.messages import Exported, ExportRun
from engine import runs
from engine.assembly import App
from engine.browse import View, open_view
from engine.gathering import LEFT_OUT, Gathering
from engine.restore_plan import RestoreRequest, selected
from formats import ArchiveEntry, archive_entry
from formats.zip import zip_stream
from vault import Entry

PART_BYTES = 8 * 1024 * 1024


class ExportMissing(NotFound):
    """No such export, or it has expired."""

    code = "export-missing"
    hint = "Exports expire; start a new one."


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished export: size in bytes, part size, and how many items it holds."""

    size: int
    part_bytes: int
    items: int
    incomplete: int


def write_export(app: App, request: ExportRun) -> Exported:
    """Writes the archive of an export, part by part."""
    try:
        repository = app.vault(request.org)
        base = f"export/{request.run}"
        stored = repository.get_record(f"{base}/request")
        if stored is None:
            raise ExportMissing("The request of this export is missing.")
        if repository.get_record(f"{base}/archive") is None:
            wanted = RestoreRequest.from_json(stored)
            view = open_view(app, request.org, wanted.service, wanted.resource, wanted.snapshot)
            runs.started(app, request.org, request.run)
            writing = _Writing(app, request, view, wanted)
            size = 0
            for number, part in enumerate(_parts(writing.blocks())):
                repository.put_sealed(f"{base}/part/{number:06d}", part)
                size += len(part)
            archive = Archive(size, PART_BYTES, writing.items, writing.incomplete)
            repository.put_record(f"{base}/archive", asdict(archive))
        return Exported("done", counts={"items": find_archive(app, request.org, request.run).items})
    except Problem as problem:
        return Exported("failed", code=problem.code)


class _Writing:
    """Walks the selection and counts what goes into the archive."""

    def __init__(self, app: App, request: ExportRun, view: View, wanted: RestoreRequest) -> None:
        self._pulse = runs.Pulse(app, request.org, request.run)
        self._view, self._wanted = view, wanted
        self.items = 0
        self.incomplete = 0

    def blocks(self) -> Iterator[bytes]:
        return zip_stream(self._entries(), left_out=LEFT_OUT)

    def _entries(self) -> Iterator[ArchiveEntry]:
        gathering = Gathering(self._view, self._folders, self._pulse.beat)
        alone = frozenset(self._wanted.items)
        for entry in selected(self._view, self._wanted):
            if entry.kind == "folder" or gathering.takes(entry, alone=entry.id in alone):
                continue
            item = self._view.item(entry.id)
            self._count(item.missing)
            yield archive_entry(item, self._folders(entry))
        for one in gathering.entries():
            if one.within:
                self._count(one.item.missing or one.problem)
            yield one

    def _folders(self, entry: Entry) -> list[str]:
        return [above.name for above in self._view.path(entry)][1:]

    def _count(self, lacks: object) -> None:
        self.items += 1
        self.incomplete += bool(lacks)
        self._pulse.beat()


def _parts(blocks: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def find_archive(app: App, org: str, run: str) -> Archive:
    """The finished archive of an export."""
    record = app.runs.get(org, run)
    stored = app.vault(org).get_record(f"export/{run}/archive")
    if stored is None or (record is not None and record.detail.get("expired")):
        raise ExportMissing("This export is not ready, has failed or has expired.")
    return Archive(**stored)


def read_archive(
    app: App, org: str, run: str, first: int = 0, last: int | None = None
) -> Iterator[bytes]:
    """The bytes of an archive from `first` to `last` (inclusive), for whole downloads and
    ranges.
    """
    archive = find_archive(app, org, run)
    repository = app.vault(org)
    end = archive.size if last is None else min(last + 1, archive.size)
    position = first
    while position < end:
        number, offset = divmod(position, archive.part_bytes)
        part = repository.get_sealed(f"export/{run}/part/{number:06d}")
        if part is None:
            raise ExportMissing("A part of this export is gone.")
        block = part[offset : offset + (end - position)]
        yield block
        position += len(block)


def close_export(app: App, request: ExportRun) -> Exported:
    """Marks an export as ready or failed."""
    stored = app.vault(request.org).get_record(f"export/{request.run}/archive")
    if stored is None:
        runs.close(app, request.org, request.run, "red", code=ExportMissing.code)
        return Exported("failed", code=ExportMissing.code)
    counts = {key: stored[key] for key in ("items", "size", "incomplete")}
    state = "amber" if stored["incomplete"] else "green"
    runs.close(app, request.org, request.run, state, counts=counts)
    return Exported("done", counts=counts)
