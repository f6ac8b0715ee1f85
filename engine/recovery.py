"""Recovery without a server, a tenant or records: a copy of a vault and its recovery passphrase.

Rules
- The vault is only read: its folder may be read-only media.
- Nothing that exists is overwritten: a target folder is new or empty.
- One damaged item costs that item: it is named in not-recovered.csv, and the rest goes on.
- A file has its final name only when it is whole.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base.clock import Clock, SystemClock
from base.errors import Conflict, NotFound
from engine.browse import View
from engine.gathering import LEFT_OUT, Gathering
from formats import ArchiveEntry, archive_entry
from formats.files import Placement
from vault import (
    Entry,
    KeySlot,
    Missing,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    Snapshot,
    VaultDamaged,
    VerifyReport,
)
from vault.stores.folder import FolderStore

NOT_RECOVERED = "not-recovered.csv"
_UNFINISHED = ".unfinished"


class TargetNotEmpty(Conflict):
    """The folder to extract into holds something already."""

    code = "target-not-empty"
    hint = "Name a folder that does not exist yet, or an empty one."


class NothingToRecover(NotFound):
    """The vault holds no restore point that matches."""

    code = "nothing-to-recover"
    hint = "List the vault first: service, resource and number are written as they are shown there."


@dataclass(frozen=True, slots=True)
class Point:
    """A restore point: its chain, its number, when it was made (ISO), and how many items it has."""

    service: str
    resource: str
    number: int
    created: str
    items: int
    newest: bool


@dataclass(slots=True)
class Extracted:
    """What an extraction wrote: files and bytes, and what it could not, as (path, reason)."""

    files: int = 0
    bytes: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)


def open_folder(folder: Path, slot: KeySlot, clock: Clock | None = None) -> Repository:
    """Opens a copy of a vault. Raises VaultMissing, WrongKey, VaultDamaged."""
    return Repository.open(FolderStore(folder), slot, clock or SystemClock())


def slot_of(passphrase: str = "", private_pem: bytes = b"", password: str = "") -> KeySlot:
    """A recovery slot: of an offline private key where one is given, else of a passphrase. Raises
    WrongKey for a private key that does not open with its password.
    """
    if private_pem:
        return PublicKeySlot.from_private_pem(private_pem, password or None)
    return PassphraseSlot(passphrase.strip())


def verify(vault: Repository) -> VerifyReport:
    """Reads back every byte."""
    return vault.verify(read_data=True)


def points(vault: Repository) -> Iterator[Point]:
    """Every restore point that can be opened, chain by chain, oldest first."""
    for chain in vault.chains():
        service, _, resource = chain.partition("/")
        found = []
        for number in vault.numbers(chain):
            with suppress(VaultDamaged, Missing):  # a verification names it
                snapshot = vault.snapshot(chain, number)
                found += [snapshot] if snapshot.status == "ok" else []
        for snapshot in found:
            yield Point(
                service,
                resource,
                snapshot.number,
                snapshot.created,
                vault.catalog(snapshot).total,
                newest=snapshot is found[-1],
            )


def extract(
    vault: Repository,
    target: Path,
    *,
    service: str = "",
    resource: str = "",
    number: int | None = None,
    progress: Callable[[str, Extracted], None] | None = None,
) -> Extracted:
    """Writes messages as .eml and files as they were below target/service/resource, folder by
    folder; of every chain that matches the newest restore point, or the one of `number`.

    Raises TargetNotEmpty, NothingToRecover.
    """
    chosen = list(_chosen(vault, service, resource, number))
    if not chosen:
        raise NothingToRecover("No restore point of this vault matches.")
    if target.exists() and any(target.iterdir()):
        raise TargetNotEmpty("The folder to extract into is not empty.")
    target.mkdir(parents=True, exist_ok=True)
    done = Extracted()
    writing = _Writing(target, done)
    for snapshot in chosen:
        try:
            for _ in writing.chain(View(vault, snapshot)):
                if progress is not None:
                    progress(snapshot.chain, done)
        except (VaultDamaged, Missing) as damage:  # of the listing itself: the other chains go on
            done.lost.append((snapshot.chain, damage.code))
    writing.end()
    return done


def _chosen(
    vault: Repository, service: str, resource: str, number: int | None
) -> Iterator[Snapshot]:
    for chain in vault.chains():
        of_service, _, of_resource = chain.partition("/")
        if service not in ("", of_service) or resource not in ("", of_resource):
            continue
        if number is None:
            snapshot = vault.head(chain)
        else:
            with suppress(Missing):
                snapshot = vault.snapshot(chain, number)
                if snapshot.status == "ok":
                    yield snapshot
            continue
        if snapshot is not None:
            yield snapshot


class _Writing:
    """Puts items on disk under names that every system takes, none of them twice."""

    def __init__(self, target: Path, done: Extracted) -> None:
        self._target = target
        self._done = done
        self._placement = Placement(reserved=(NOT_RECOVERED,))

    def chain(self, view: View) -> Iterator[None]:
        """Writes the items of one restore point, one at a time."""
        chain = view.snapshot.chain

        def place(entry: Entry) -> list[str]:
            return [*chain.split("/", 1), *(above.name for above in view.path(entry)[1:])]

        gathering = Gathering(view, place)
        for entry in view.catalog.items():
            if entry.kind == "folder" or gathering.takes(entry):
                continue
            try:
                self._write(archive_entry(view.item(entry.id), place(entry)))
            except LEFT_OUT as damage:
                self._lose((*place(entry), entry.name), damage.code)
            yield
        for one in gathering.entries():
            try:
                self._write(one)
            except LEFT_OUT as damage:
                self._lose((*one.folders, one.item.name), damage.code)
            yield

    def _lose(self, seen: Sequence[str], reason: str) -> None:
        self._done.lost.append(("/".join(seen), reason))

    def _write(self, entry: ArchiveEntry) -> None:
        if entry.file is None:
            reasons = [*entry.item.missing, *filter(None, [entry.problem])]
            for reason in reasons or ([] if entry.within else ["no-content"]):
                self._lose((*entry.folders, entry.item.name), reason)
            return
        for reason in () if entry.item.kind == "folder" else entry.item.missing:
            self._lose((*entry.folders, entry.item.name), reason)
        path = self._target / self._placement.place(entry.folders, entry.file.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(_UNFINISHED)
        try:
            with unfinished.open("wb") as file:
                size = sum(file.write(block) for block in entry.file.blocks())
            if entry.file.modified is not None:
                seconds = entry.file.modified.timestamp()
                with suppress(OSError, OverflowError):  # a time that this disk cannot hold
                    os.utime(unfinished, (seconds, seconds))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self._done.files += 1
        self._done.bytes += size

    def end(self) -> None:
        """Names what is not there, so that nobody has to notice by himself."""
        if not self._done.lost:
            return
        with (self._target / NOT_RECOVERED).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "reason"))
            rows.writerows([_harmless(path), reason] for path, reason in self._done.lost)


def _harmless(cell: Any) -> str:
    """A spreadsheet takes a cell that begins like this for a formula."""
    text = str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
