"""A vault in a folder: one file per blob, created once, on Linux, macOS and Windows.

Rule 1: a file appears under its name complete and synced, or not at all: it is written under
        .incoming/ and then linked to its name, which fails when the name is taken.
Rule 2: the folders above a new file are synced too, so that a power cut cannot forget a name, and
        so is one whose name was taken: who made that file may have died before its sync, and what
        is written next relies on it. A removed name is synced as well: removals keep their order.
Rule 3: what a killed process left under .incoming/ goes at the first write of a later one, once it
        is a day old. The owner of a slower write finds it gone: a problem, nothing lost.
Rule 4: a file system without hard links is refused. A name reserved with O_EXCL and then replaced
        would be an empty file, or one taken for ever, after a power cut in between.

The store's time is when a file was written, just before it got its name: for a collector that is
the careful side, as it removes rows before it writes what condemns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from vault.problems import Missing, StoreFull, StoreNotWritable, StoreProblem
from vault.store import Listed, checked_name

_INCOMING = ".incoming"
_LEFT_AFTER_S = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class FolderStore:
    """Blobs as files below `path`; the folder is made on the first write."""

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path)
        self._tidied = False

    def put_new(self, name: str, data: bytes) -> bool:
        target = self._root / checked_name(name)
        try:
            created = not target.exists() and self._created(target, data)
            _sync_folder(target.parent)
        except OSError as failure:
            raise _problem(failure) from failure
        return created

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        try:
            with (self._root / checked_name(name)).open("rb") as file:
                file.seek(offset)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError) as absent:
            raise Missing("There is no such file in the vault's folder.", name=name) from absent
        except OSError as failure:
            raise _problem(failure) from failure

    def size(self, name: str) -> int | None:
        try:
            return (self._root / checked_name(name)).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as failure:
            raise _problem(failure) from failure

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        folder = prefix.rpartition("/")[0]
        try:
            yield from self._walk(folder, prefix, after)
        except OSError as failure:
            raise _problem(failure) from failure

    def delete(self, name: str) -> None:
        target = self._root / checked_name(name)
        try:
            target.unlink()
            _sync_folder(target.parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as failure:
            raise _problem(failure) from failure

    def _created(self, target: Path, data: bytes) -> bool:
        temporary = self._root / _INCOMING / secrets.token_hex(12)
        self._make_folder(temporary.parent)
        self._make_folder(target.parent)
        try:
            _write_synced(temporary, data)
            if not self._tidied:
                self._tidied = True
                _tidy(temporary)
            return _publish(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[Listed]:
        """Names below `folder`; a folder sorts with its slash, so the order is that of names."""
        try:
            found = sorted(
                (f"{entry.name}/" if entry.is_dir() else entry.name, entry)
                for entry in os.scandir(self._root / folder)
                if not entry.name.startswith(".")
            )
        except (FileNotFoundError, NotADirectoryError):
            return
        for text, entry in found:
            name = f"{folder}/{text}" if folder else text
            if text.endswith("/"):
                overlaps = name.startswith(prefix) or prefix.startswith(name)
                if overlaps and not (after > name and not after.startswith(name)):
                    yield from self._walk(name[:-1], prefix, after)
            elif name.startswith(prefix) and name > after:
                with contextlib.suppress(FileNotFoundError):  # deleted while we list
                    status = entry.stat()
                    yield Listed(
                        name, status.st_size, datetime.fromtimestamp(status.st_mtime, tz=UTC)
                    )

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self._root:
            self._make_folder(folder.parent)
        folder.mkdir(parents=folder == self._root, exist_ok=True)
        _sync_folder(folder.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _tidy(newest: Path) -> None:
    """Removes what lies beside a new file since a day, by the folder's own time."""
    now = newest.stat().st_mtime
    for entry in os.scandir(newest.parent):
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours
            if now - entry.stat().st_mtime > _LEFT_AFTER_S:
                os.unlink(entry.path)


def _publish(temporary: Path, target: Path) -> bool:
    """Gives the file its name, atomically; False when the name is taken."""
    try:
        if os.name == "nt":
            temporary.rename(target)  # on Windows a rename never replaces
        else:
            os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as failure:
        if failure.errno in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise StoreProblem(
                "The file system of this folder cannot create a name atomically (no hard links).",
                hint="Put the vault on a file system with hard links: ext4, XFS, APFS, NTFS.",
            ) from failure
        raise
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle to a folder that could be synced
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _problem(failure: OSError) -> StoreProblem:
    if failure.errno in _FULL:
        return StoreFull("The disk of the vault's folder is full.")
    if failure.errno in _DENIED:
        return StoreNotWritable("The vault's folder does not allow this.", errno=failure.errno)
    return StoreProblem("The vault's folder failed.", errno=failure.errno)
