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
from dataclasses import MISSING, Field, field, fields
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
    hints = _hints(kind)
    found: dict[str, Any] = {}
    for one in fields(kind):
        value = _joined(one.name, columns)
        if value is None:
            if _has_default(one):
                continue
            if type(None) not in get_args(hints[one.name]):
                continue  # the constructor names the missing field
            found[one.name] = None
        else:
            text = unseal(str(value)) if one.metadata.get("sealed") else value
            found[one.name] = _typed(hints[one.name], text)
    return kind(**found)


def whole(text: str) -> str:
    """The text with U+FFFD for half surrogate pairs, which Graph may send and no table keeps."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


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


def _typed(hint: Any, value: Any) -> Any:
    plain = next((one for one in get_args(hint) if one is not type(None)), hint)
    wanted = plain if type(None) in get_args(hint) else hint
    if wanted in (str, int, float, bool):
        return wanted(value)
    if wanted is datetime:
        return parse_iso(str(value))
    loaded = json.loads(str(value))
    return tuple(loaded) if get_origin(wanted) is tuple else loaded


def _pieces(name: str, text: str) -> dict[str, Value]:
    pieces: dict[str, Value] = {name: text[:TEXT_PIECE]}
    for number, start in enumerate(range(TEXT_PIECE, len(text), TEXT_PIECE), 2):
        pieces[f"{name}_{number}"] = text[start : start + TEXT_PIECE]
    return pieces


def _joined(name: str, columns: Mapping[str, Value]) -> Value | None:
    first = columns.get(name)
    if not isinstance(first, str):
        return first
    pieces = [first]
    while (more := columns.get(f"{name}_{len(pieces) + 1}")) is not None:
        pieces.append(str(more))
    return "".join(pieces)
