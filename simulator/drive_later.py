"""A drive of a million items, each made when somebody asks for it.

Rules: item number n is a pure function of n: every 501st is a folder below the root, the five
hundred behind it are empty files in that folder; nothing of them is held. What is written to the
drive afterwards lies in its log like any other change. Of all other drives the delta plans a round
from the log; here nothing repeats and nothing was deleted, so the log is the round.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, overload

from simulator.drive_item import Change, Item, Kind
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes
from simulator.web import Json

FILES_IN_A_FOLDER = 500
_FAMILY = FILES_IN_A_FOLDER + 1
_MARK = b"made later: "
_EMPTY = LiteralBytes(b"")


class LaterDrive(Drive):
    """`count` items below the root, folders and empty files."""

    made_later = True

    def __init__(self, drive_id: str, owner: Json, created: datetime, count: int) -> None:
        super().__init__(drive_id, owner, created)
        self.count = count
        self.items = _Items(self, self.items)
        self.log = _Log(self, self.log)

    def number_of(self, item_id: str) -> int | None:
        """The number of an item by its id; None for what was not made here."""
        try:
            raw = base64.b32decode(item_id.removeprefix("01"))
        except ValueError:
            return None
        if len(raw) != 20 or not raw.startswith(_MARK):
            return None
        number = int.from_bytes(raw[len(_MARK) :], "big")
        return number if number < self.count else None

    def made(self, number: int) -> Item:
        """Item `number`."""
        family, place = divmod(number, _FAMILY)
        at = self.created + timedelta(seconds=number)
        guid = f"00000000-0000-4000-8000-{number:012X}"
        kind: Kind = "file" if place else "folder"
        name = f"Report {number:07}.txt" if place else f"Year {family:05}"
        parent = _id(number - place) if place else self.root.id
        content = _EMPTY if place else None
        by = self.owner
        return Item(_id(number), name, parent, kind, at, at, by, by, guid, content)

    def change(self, number: int) -> Change:
        """The line of the log that tells of item `number`."""
        item = self.made(number)
        return Change(
            number + 2, item.id, item.created, item.name, item.parent_id, 1, item.content, False
        )

    def children(self, item: Item) -> list[Item]:
        number = self.number_of(item.id)
        if item.kind == "root":
            numbers = range(0, self.count, _FAMILY)
        elif number is None or number % _FAMILY:
            return super().children(item)
        else:
            numbers = range(number + 1, min(number + _FAMILY, self.count))
        return [*map(self.made, numbers), *super().children(item)]

    def total_size(self, item: Item) -> int:
        return item.size


class _Items(dict[str, Item]):
    """What is held, and beside it everything that can be made."""

    def __init__(self, drive: LaterDrive, held: dict[str, Item]) -> None:
        super().__init__(held)
        self._drive = drive

    def __missing__(self, item_id: str) -> Item:
        number = self._drive.number_of(item_id)
        if number is None:
            raise KeyError(item_id)
        return self._drive.made(number)

    def __contains__(self, item_id: object) -> bool:
        held = super().__contains__(item_id)
        return held or self._drive.number_of(str(item_id)) is not None

    def get(self, item_id: str, default: Any = None) -> Any:
        try:
            return self[item_id]
        except KeyError:
            return default


class _Log(list[Change]):
    """The root's line, a line for everything that can be made, then what happened since."""

    def __init__(self, drive: LaterDrive, held: list[Change]) -> None:
        super().__init__(held)
        self._drive = drive

    def __len__(self) -> int:
        return super().__len__() + self._drive.count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return _Part(self, range(*at.indices(len(self))))
        at = range(len(self))[at]
        if at == 0:
            return super().__getitem__(0)
        if at <= self._drive.count:
            return self._drive.change(at - 1)
        return super().__getitem__(at - self._drive.count)

    def __iter__(self) -> Iterator[Change]:
        return (self[at] for at in range(len(self)))


class _Part(Sequence[Change]):
    """Some lines of the log, in order."""

    def __init__(self, log: _Log, numbers: range) -> None:
        self._log, self._numbers = log, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> list[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | list[Change]:
        if isinstance(at, slice):
            return [self._log[number] for number in self._numbers[at]]
        found: Change = self._log[self._numbers[at]]
        return found


def _id(number: int) -> str:
    raw = _MARK + number.to_bytes(20 - len(_MARK), "big")
    return "01" + base64.b32encode(raw).decode("ascii")
