"""A file tree as a source of the vault, and back: what the benchmark compares with other programs.

The product backs up tenants and not disks, so this source lives here. It does what a backup of
files has to: walks, looks at every file's status, reads what changed, keeps modes and times, and
notices what is gone. What it hands to the vault goes through the vault's own front door.

Theory of operation: every folder directly below the root is a chain, as mailboxes and drives are,
and as in the product several chains are worked on at once, each by a step of its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vault import Catalog, Content, Entry, Repository

PART = "tree"
STEP_RAW_BYTES = 512 * 1024 * 1024
STEP_ITEMS = 10_000
_WHOLE_BYTES = 1024 * 1024  # files up to here are read in one go
_BLOCK = 1024 * 1024
_LIFTED = ".eml"
_AT_ONCE = 2  # chains


@dataclass(frozen=True, slots=True)
class _Status:
    """What tells a changed file from an unchanged one, and what a restored one is given back."""

    size: int
    mtime_ns: int
    inode: int
    mode: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Status:
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, stat.S_IMODE(found.st_mode))

    def row(self) -> dict[str, int]:
        return {
            "size": self.size, "mtime_ns": self.mtime_ns, "inode": self.inode, "mode": self.mode,
        }  # fmt: skip


@dataclass(slots=True)
class Copied:
    """What a run did."""

    items: int = 0
    read_bytes: int = 0
    changed: int = 0

    def add(self, other: Copied) -> None:
        """Both together."""
        self.items += other.items
        self.read_bytes += other.read_bytes
        self.changed += other.changed


def back_up(repo: Repository, root: Path) -> Copied:
    """The folders of `root` as the next snapshots of their chains."""
    done = Copied()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        chains = [
            pool.submit(_chain_backed_up, repo, name, root / name)
            for name in sorted(os.listdir(root))
        ]
        for chain in chains:
            done.add(chain.result())
    return done


class _ChainBackup:
    """One backup of the folder `root` as the next snapshot of a chain."""

    def __init__(self, repo: Repository, chain: str, root: Path) -> None:
        self._root = os.fspath(root)
        numbers = repo.numbers(chain)
        self._round = repo.round(chain, (numbers[-1] if numbers else 0) + 1)
        self._previous: Catalog | None = self._round.previous
        self._step = self._round.step()
        self.done = Copied()

    def run(self) -> Copied:
        """Backs up; without a change nothing is written, and there is no new snapshot."""
        for folder, files in self._walk(""):
            before = {} if self._previous is None else _entries(self._previous, folder)
            for name, status in files:
                self._take(folder, name, status, before.pop(name, None))
            for gone in before.values():
                self._step.remove(gone.id, folder, recursive=True)
                self.done.changed += 1
        if self._step.dirty or self._round.pages:
            self._step.link(PART, "", finished=True)
            self._step.commit(complete=True).close()
        return self.done

    def _walk(self, folder: str) -> Iterator[tuple[str, list[tuple[str, os.stat_result]]]]:
        """Folders with what lies in them, sorted, a folder before what is in it."""
        with os.scandir(os.path.join(self._root, folder)) as found:
            files = sorted((one.name, one.stat(follow_symlinks=False)) for one in found)
        yield folder, files
        for name, status in files:
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(f"{folder}/{name}" if folder else name)

    def _take(self, folder: str, name: str, found: os.stat_result, before: Entry | None) -> None:
        self.done.items += 1
        row = _Status.of(found).row()
        is_folder = stat.S_ISDIR(found.st_mode)
        if before is not None and (is_folder or before.row == row):
            return
        path = f"{folder}/{name}" if folder else name
        contents: tuple[Content, ...] = ()
        if not is_folder:
            contents = (self._stored(path, found.st_size),)
            self.done.read_bytes += found.st_size
        kind = "folder" if is_folder else "file"
        self._step.put(Entry(path, folder, kind, name, row, contents=contents), PART)
        self.done.changed += 1
        if self._step.items >= STEP_ITEMS or self._step.raw_bytes >= STEP_RAW_BYTES:
            self._round = self._step.commit()
            self._step = self._round.step()

    def _stored(self, path: str, size: int) -> Content:
        lift = path.endswith(_LIFTED)
        handle = os.open(os.path.join(self._root, path), os.O_RDONLY)
        try:
            if size <= _WHOLE_BYTES:
                data = os.read(handle, size + 1)
                if len(data) == size:
                    return self._step.add("content", data, lift=lift)
                os.lseek(handle, 0, os.SEEK_SET)  # it grew meanwhile
            return self._step.add("content", iter(lambda: os.read(handle, _BLOCK), b""), lift=lift)
        finally:
            os.close(handle)


def _chain_backed_up(repo: Repository, chain: str, root: Path) -> Copied:
    return _ChainBackup(repo, chain, root).run()


def restore(repo: Repository, target: Path) -> Copied:
    """Writes the newest snapshots of all chains out; answers what it wrote."""
    done = Copied()
    target.mkdir()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        chains = [pool.submit(_restored, repo, chain, target / chain) for chain in repo.chains()]
        for chain in chains:
            done.add(chain.result())
    return done


def _restored(repo: Repository, chain: str, target: Path) -> Copied:
    """One chain, with modes and times."""
    head = repo.head(chain)
    assert head is not None, "a chain has a snapshot"
    done = Copied()
    folders: list[Entry] = []
    target.mkdir()
    for entry in repo.catalog(head).items():
        done.items += 1
        if entry.kind == "folder":
            os.makedirs(target / entry.id, exist_ok=True)
            folders.append(entry)
        else:
            done.read_bytes += _write_out(repo, f"{target}/{entry.id}", entry)
    for entry in reversed(folders):
        _dress(f"{target}/{entry.id}", entry)
    return done


def _entries(catalog: Catalog, folder: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    after = ""
    while True:
        entries, after = catalog.children(folder, after, limit=1_000)
        found.update((entry.name, entry) for entry in entries)
        if not after:
            return found


def _write_out(repo: Repository, path: str, entry: Entry) -> int:
    written = 0
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:  # its folder comes later in the catalog
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for content in entry.contents:
            for data in repo.read(content):
                written += _write(handle, data)
    finally:
        os.close(handle)
    _dress(path, entry)
    return written


def _write(handle: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    return len(data)


def _dress(path: str, entry: Entry) -> None:
    """Mode and time as they were."""
    with suppress(NotImplementedError):
        os.chmod(path, entry.row["mode"])
    os.utime(path, ns=(entry.row["mtime_ns"], entry.row["mtime_ns"]))
