"""One content sent to one place of a drive, with its dates.

Rules
- A file and its dates appear together: fileSystemInfo goes into the upload session. What cannot use
  a session (empty files, tenants that refuse sessions) is PUT and dated afterwards, so only where
  nobody takes it for finished (drive_making.py).
- A session in a folder overwrites nothing; one on an item makes its next version.
- A lost session is never resumed from byte 0: a new one is made.
- What is long goes on in the next step, where the session says: its address is kept, sealed, and
  nowhere else. Sessions of one content are begun only so many times.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-createuploadsession,
/api/driveitem-put-content, /resources/filesysteminfo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from base.item import StoredPart
from m365.graph.client import GraphWriter, Scope
from m365.graph.errors import Forbidden, MaybeDone, SessionGone
from m365.quickxorhash import QuickXorHash
from m365.service import Step, Unfinished

PUT_BYTES_MAX = 4 * 1024 * 1024  # sent as one request where a tenant refuses upload sessions
LONG_BYTES = 64 * 1024 * 1024  # more may take longer than a step
_STEP_BYTES_MIN = 16 * 1024 * 1024  # of a long content, sent by every step that comes to it
_ATTEMPTS = 3  # sessions begun for one content
_LONG_ATTEMPTS = 6  # and for a long one, over all steps
_TIMES = ("createdDateTime", "lastModifiedDateTime")


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes go: a new name in a folder, or an item that gets a newer version."""

    path: str  # "/drives/…/items/{folder}:/{name}:", or "/drives/…/items/{item}"
    name: str = ""  # "": an item

    @classmethod
    def in_folder(cls, folder: str, name: str) -> Place:
        """`folder` is the path of the folder's item."""
        return cls(f"{folder}:/{quote(name, safe='')}:", name)


@dataclass(frozen=True, slots=True)
class Edition:
    """One state of a file: its bytes and its dates. `quick_xor`: "" where nobody knows it."""

    part: StoredPart
    times: Mapping[str, str]
    quick_xor: str = ""
    number: int = 0  # in the history that is written, from the oldest


@dataclass(slots=True)
class Sent:
    """The driveItem after an upload, and the hash of what was sent ("" where it is not known)."""

    made: dict[str, Any] = field(default_factory=dict)
    quick_xor: str = ""


class Uploads:
    """Uploads into one drive."""

    def __init__(self, writer: GraphWriter, scope: Scope) -> None:
        self._writer = writer
        self._scope = scope
        self.sessions_refused = False
        self.step: Step | None = None  # without one everything is sent in one go

    def send(self, place: Place, edition: Edition) -> Sent:
        """Raises Clash where the name is taken, MaybeDone, SessionGone, Forbidden, QuotaFull."""
        size = edition.part.size
        if size > 0 and not (self.sessions_refused and size <= PUT_BYTES_MAX):
            try:
                return self._by_session(place, edition)
            except Forbidden:
                # The documented application permission of sessions is Sites.ReadWrite.All; with
                # Files.ReadWrite.All alone a tenant may refuse them, but not a plain PUT.
                if size > PUT_BYTES_MAX:
                    raise
                self.sessions_refused = True
        return self._put(place, edition)

    def by_session(self, place: Place, edition: Edition) -> Sent | None:
        """The same by a session alone; None where the tenant refuses one of this size."""
        if edition.part.size == 0 or self.sessions_refused:
            return None
        try:
            return self._by_session(place, edition)
        except Forbidden:
            if edition.part.size > PUT_BYTES_MAX:
                raise
            self.sessions_refused = True
            return None

    def _by_session(self, place: Place, edition: Edition) -> Sent:
        behavior = "fail" if place.name else "replace"
        item: dict[str, Any] = {"@microsoft.graph.conflictBehavior": behavior}
        if place.name:
            item["name"] = place.name
        if edition.times:
            item["fileSystemInfo"] = dict(edition.times)
        if self.step is not None and edition.part.size > LONG_BYTES:
            return self._long(place, item, edition, self.step)
        for attempt in range(1, _ATTEMPTS + 1):
            url = self._begin(place, item)
            hasher = QuickXorHash()
            blocks = _hashed(edition.part.open(), hasher)
            try:
                made = self._writer.upload(url, edition.part.size, blocks, scope=self._scope)
                return _sent(made, hasher.base64())
            except SessionGone:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _long(self, place: Place, item: Mapping[str, Any], edition: Edition, step: Step) -> Sent:
        """Goes on with the session of an earlier step. Raises Unfinished when this one is over."""
        key = f"{place.path} {edition.number}"
        urls = list(step.kept(key))
        part, is_gone = edition.part, not urls
        while True:
            if is_gone and len(urls) == _LONG_ATTEMPTS:
                raise SessionGone("An upload was lost too many times.")
            if is_gone:
                url = self._begin(place, item)
                step.keep(key, len(urls), url)
                urls.append(url)
            try:
                made = self._writer.upload(
                    urls[-1],
                    part.size,
                    lambda offset: _paced(part.after(offset), step),
                    scope=self._scope,
                )
                return _sent(made)
            except SessionGone:
                is_gone = True

    def _begin(self, place: Place, item: Mapping[str, Any]) -> str:
        path = f"{place.path}/createUploadSession"
        session = self._writer.post(path, {"item": item}, scope=self._scope, repeatable=True)
        return str(session["uploadUrl"])

    def _put(self, place: Place, edition: Edition) -> Sent:
        """One request; whatever has the name is replaced."""
        hasher = QuickXorHash()
        data = edition.part.read()
        hasher.update(data)
        headers = {"Content-Type": "application/octet-stream"}
        path = f"{place.path}/content"
        made = self._writer.put(path, data=data, headers=headers, scope=self._scope)
        return _sent(made, hasher.base64())


def _sent(made: dict[str, Any], quick_xor: str = "") -> Sent:
    if not made.get("id"):
        raise MaybeDone("An upload came to its end without saying what it made.")
    return Sent(made, quick_xor)


def _paced(blocks: Iterator[bytes], step: Step) -> Iterator[bytes]:
    """The same blocks, as long as the step lasts."""
    sent = 0
    for block in blocks:
        yield block
        sent += len(block)
        if step.is_over() and sent >= _STEP_BYTES_MIN:
            raise Unfinished("The step is over; the upload goes on in the next one.")


def _hashed(blocks: Iterator[bytes], hasher: QuickXorHash) -> Iterator[bytes]:
    for block in blocks:
        hasher.update(block)
        yield block


def quick_xor_of(raw: Mapping[str, Any]) -> str:
    """The hash Graph gives of a file; "" where it gives none."""
    return str(((raw.get("file") or {}).get("hashes") or {}).get("quickXorHash") or "")


def times_of(raw: Mapping[str, Any]) -> dict[str, str]:
    """The dates a person sees: those of the file system, else those of the service."""
    system = raw.get("fileSystemInfo") or {}
    found = {name: system.get(name) or raw.get(name) for name in _TIMES}
    return {name: str(value) for name, value in found.items() if value}


def seconds_of(times: Mapping[str, str]) -> dict[str, str]:
    """Without fractions of seconds, which SharePoint does not keep."""
    return {name: value.split(".")[0].rstrip("Z") for name, value in times.items()}
