"""Frozen dataclasses to flat rows and back: times as ISO text, nested values as JSON text.

Rule 1: a field without a column takes its default, a column without a field is ignored: rows of an
        older or newer version can be read.
Rule 2: a field made with sealed() leaves the process only as the Sealing's text (names, addresses:
        whoever reads the tables learns ids, counts and times).
Rule 3: text longer than one column may be goes on in name_2, name_3 and so on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from base.clock import parse_iso
from state.port import Value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TEXT_PIECE = 15_000  # characters; even if each takes two UTF-16 units they fit into one column

_Record = TypeVar("_Record", bound="DataclassInstance")


class Sealing(Protocol):
    """Encrypts and authenticates texts of one organization; the engine gives the vault's."""

    def seal(self, org: str, text: str) -> str: ...

    def open(self, org: str, text: str) -> str: ...


class Plain:
    """No sealing: for tables on the same disk as the keys, and for tests."""

    def seal(self, org: str, text: str) -> str:
        return text

    def open(self, org: str, text: str) -> str:
        return text


def sealed(default: Any = MISSING, factory: Any = MISSING) -> Any:
    """A dataclass field that is sealed before it is stored."""
    if factory is not MISSING:
        return field(default_factory=factory, metadata={"sealed": True})
    return field(default=default, metadata={"sealed": True})


def to_columns(record: DataclassInstance, seal: Callable[[str], str] = str) -> dict[str, Value]:
    """The values of a row. None is kept as no column at all."""
    columns: dict[str, Value] = {}
    for one in fields(record):
        value = _flat(getattr(record, one.name))
        if value is None:
            continue
        if one.metadata.get("sealed"):
            value = seal(str(value))
        columns |= _pieces(one.name, value) if isinstance(value, str) else {one.name: value}
    return columns


def from_columns(
    kind: type[_Record], columns: Mapping[str, Value], unseal: Callable[[str], str] = str
) -> _Record:
    """The record that to_columns was given."""
    found: dict[str, Any] = {}
    for one in _readings(kind):
        value = _joined(one.name, columns)
        if value is not None:
            found[one.name] = one.typed(unseal(str(value)) if one.sealed else value)
        elif one.nothing:
            found[one.name] = None
    return kind(**found)


def whole(text: str) -> str:
    """The text with U+FFFD for half surrogate pairs, which Graph may send and no table keeps."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one field is read. `nothing`: without a column it is None, having no default; any other
    without one is left out, so that the constructor names what is missing.
    """

    name: str
    sealed: bool
    nothing: bool
    typed: Callable[[Any], Any]


@cache
def _readings(kind: type[DataclassInstance]) -> tuple[_Reading, ...]:
    """Worked out once for each kind of record: rows are read by the ten thousand."""
    hints = get_type_hints(kind)
    return tuple(
        _Reading(
            one.name,
            bool(one.metadata.get("sealed")),
            type(None) in get_args(hints[one.name]) and not _has_default(one),
            _typing(hints[one.name]),
        )
        for one in fields(kind)
    )


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


def _flat(value: Any) -> Value | None:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return whole(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case _:
            return json.dumps(value, separators=(",", ":"))


def _typing(hint: Any) -> Callable[[Any], Any]:
    """What makes a field's value of a column's."""
    inner = get_args(hint)
    wanted = next((one for one in inner if one is not type(None)), hint)
    wanted = wanted if type(None) in inner else hint
    if wanted in (str, int, float, bool):
        plain: Callable[[Any], Any] = wanted
        return plain
    if wanted is datetime:
        return lambda value: parse_iso(str(value))
    if get_origin(wanted) is tuple:
        return lambda value: tuple(json.loads(str(value)))
    return lambda value: json.loads(str(value))


def _pieces(name: str, text: str) -> dict[str, Value]:
    pieces: dict[str, Value] = {name: text[:TEXT_PIECE]}
    for number, start in enumerate(range(TEXT_PIECE, len(text), TEXT_PIECE), 2):
        pieces[f"{name}_{number}"] = text[start : start + TEXT_PIECE]
    return pieces


def _joined(name: str, columns: Mapping[str, Value]) -> Value | None:
    first = columns.get(name)
    if not isinstance(first, str) or len(first) < TEXT_PIECE:
        return first
    pieces = [first]
    while (more := columns.get(f"{name}_{len(pieces) + 1}")) is not None:
        pieces.append(str(more))
    return "".join(pieces)
