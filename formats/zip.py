"""A zip that is written while it is read: any number of items of any size into blocks of bytes.

Rule 1: the same entries give the same bytes: times are the items', never today's; names depend on
        the order only; nothing about the machine is written.
Rule 2: everything asked for is in manifest.json, also what has no file, with the reason.
Rule 3: memory holds one block, and for each item its line of the directory (about 1 KB): a few
        hundred MB for half a million items, so larger selections are cut into several archives.

Theory of operation: the standard zipfile writes to a sink that cannot seek, which makes it put
sizes and checksums behind each file; the sink is emptied into the generator's blocks. Files that
may pass 2 GiB get zip64 fields, others do not, as some programs cannot read those in a streamed
archive.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from base.errors import Problem
from base.item import StoredItem
from formats.files import Placement
from formats.item_file import ItemFile

MANIFEST = "manifest.json"
FORMAT = "holdfast-export/1"
BLOCK_BYTES = 256 * 1024
MANIFEST_MEMORY_BYTES = 2 * 1024 * 1024  # more goes to a temporary file
ZIP64_FROM_BYTES = 1 << 30  # stored bytes may be a little more than the file's

# Compressed already; deflating them again costs time and saves nothing.
STORED_EXTENSIONS = frozenset(
    "7z aac avi bz2 docm docx dotx flac gif gz heic heif jpeg jpg m4a m4v mkv mov mp3 mp4 mpg odp"
    " ods odt ogg opus png potx ppsx pptm pptx rar tgz vsdx webm webp wma wmv xlsb xlsm xlsx xz zip"
    " zst".split()
)
_FIRST = (1980, 1, 1, 0, 0, 0)  # the earliest and the latest time a zip can hold
_LAST = (2107, 12, 31, 23, 59, 58)


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One item of an archive. `file` is None where the backup holds no content of it.

    A folder with a file is a collection (a channel, say); its items come without files of their
    own and name it in `within`. `problem`: the code of what kept such an item out of it.
    """

    item: StoredItem
    folders: tuple[str, ...]
    file: ItemFile | None
    within: str = ""
    problem: str = ""


def zip_stream(
    entries: Iterable[ArchiveEntry], left_out: tuple[type[Problem], ...] = ()
) -> Iterator[bytes]:
    """The archive in blocks of at least BLOCK_BYTES, the last one excepted.

    A problem of a class in `left_out` while a file is read (damaged beyond repair, say) costs that
    file: it is not in the archive, and its line in manifest.json names the code. Any other ends
    the stream. Only name problems that a second reading would meet again, or rule 1 is broken.
    """
    sink = _Sink()
    placement = Placement(reserved=(MANIFEST,))
    with tempfile.SpooledTemporaryFile(MANIFEST_MEMORY_BYTES) as lines:
        manifest = _Manifest(lines)
        with ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
            for entry in entries:
                yield from _entry(archive, sink, placement, manifest, entry, left_out)
            manifest.end()
            yield from _member(archive, sink, _info(MANIFEST, None), manifest.blocks(), hash_=None)
        yield sink.take()


class _Sink:
    """A file that only takes; what was written waits to be yielded."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def full(self) -> bool:
        return len(self._held) >= BLOCK_BYTES

    def take(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data


class _Manifest:
    """manifest.json, one line per item, beside the archive until the end."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self._count = 0
        self._lines.write(f'{{"format":"{FORMAT}","items":['.encode())

    def add(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"))
        self._lines.write(f"{',' if self._count else ''}\n{text}".encode())
        self._count += 1

    def end(self) -> None:
        self._lines.write(b"\n]}\n")

    def blocks(self) -> Iterator[bytes]:
        self._lines.seek(0)
        while block := self._lines.read(BLOCK_BYTES):
            yield block


def _entry(
    archive: ZipFile,
    sink: _Sink,
    placement: Placement,
    manifest: _Manifest,
    entry: ArchiveEntry,
    left_out: tuple[type[Problem], ...],
) -> Iterator[bytes]:
    line: dict[str, Any] = {
        "id": entry.item.id,
        "parent": entry.item.parent,
        "kind": entry.item.kind,
        "name": entry.item.name,
        "folders": list(entry.folders),
    }
    if entry.item.missing:
        line["missing"] = list(entry.item.missing)
    line |= {key: getattr(entry, key) for key in ("within", "problem") if getattr(entry, key)}
    if entry.file is not None:
        info = _info(placement.place(entry.folders, entry.file.name), entry.file)
        hash_ = hashlib.sha256()
        try:
            yield from _member(archive, sink, info, entry.file.blocks(), hash_)
        except left_out as problem:
            _forget(archive, info)
            line["problem"] = problem.code
        else:
            line |= {
                "path": info.filename,
                "size": info.file_size,
                "sha256": hash_.hexdigest(),
                "rebuilt": entry.file.rebuilt,
            }
    manifest.add(line)


def _member(
    archive: ZipFile,
    sink: _Sink,
    info: ZipInfo,
    blocks: Iterable[bytes],
    hash_: hashlib._Hash | None,
) -> Iterator[bytes]:
    large = info.file_size >= ZIP64_FROM_BYTES
    with archive.open(info, "w", force_zip64=large) as member:
        for block in blocks:
            if hash_ is not None:
                hash_.update(block)
            member.write(block)
            if sink.full():
                yield sink.take()


def _info(path: str, file: ItemFile | None) -> ZipInfo:
    info = ZipInfo(path, _zip_time(file.modified if file else None))
    # What zipfile takes from the machine otherwise; 3 is Unix, which makes the mode count.
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    extension = path.rpartition(".")[2].lower()
    info.compress_type = ZIP_STORED if extension in STORED_EXTENSIONS else ZIP_DEFLATED
    # A hint to begin with: zipfile counts anew while it writes. Unknown sizes may be large.
    info.file_size = 0 if file is None else ZIP64_FROM_BYTES if file.size is None else file.size
    return info


def _zip_time(modified: datetime | None) -> tuple[int, int, int, int, int, int]:
    if modified is None:
        return _FIRST
    at = modified.astimezone(UTC)
    return min(max((at.year, at.month, at.day, at.hour, at.minute, at.second), _FIRST), _LAST)


def _forget(archive: ZipFile, info: ZipInfo) -> None:
    """Takes a half-written file out of the archive's directory: readers never see its bytes."""
    archive.filelist.remove(info)
    archive.NameToInfo.pop(info.filename, None)
