"""What $expand asks for beside an item: extended properties, open extensions, its parts."""

import re
from collections.abc import Mapping

from simulator import extended
from simulator.web import GraphError, Json

_ID = re.compile(r"id eq '([^']+)'", re.IGNORECASE)
_PART = re.compile(r"([A-Za-z]+)(?:\((.*)\))?")
_PREFIXES = ("microsoft.graph.", "opentypeextension.")  # routing takes the first one off paths


def expanded(text: str, known: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """{name as in `known`: ids its inner $filter names}; 400 for what cannot be expanded."""
    by_lower = {name.lower(): name for name in known}
    found: dict[str, tuple[str, ...]] = {}
    for part in _split(text):
        match = _PART.fullmatch(part)
        name = by_lower.get(match[1].lower()) if match else None
        if match is None or name is None:
            raise GraphError(
                400, "RequestBroker--ParseUri", f"Could not find a property named '{part}'."
            )
        found[name] = tuple(_ID.findall(match[2] or ""))
        if name.endswith("ValueExtendedProperties") and not found[name]:
            raise GraphError(
                400,
                "ErrorInvalidUrlQueryFilter",
                "Expanding extended properties needs a filter with their ids.",
            )
    return found


def extended_json(values: Mapping[str, object], wanted: tuple[str, ...]) -> list[Json]:
    """Extended properties as Graph shows them; `values` by extended.key."""
    held = ((name, values.get(extended.key(name))) for name in wanted)
    return [{"id": name, "value": value} for name, value in held if value is not None]


def extensions_json(extensions: dict[str, Json], wanted: tuple[str, ...]) -> list[Json]:
    """Open extensions, all of them where no filter names some."""
    names = {_bare(name) for name in wanted}
    return [shown for name, shown in extensions.items() if not wanted or name.lower() in names]


def extension_of(body: Json) -> tuple[str, Json]:
    """(name, JSON) of an open extension that is posted."""
    name = body.get("extensionName") or str(body.get("id", "")).rpartition("xtension.")[2]
    if not isinstance(name, str) or not name:
        raise GraphError(400, "BadRequest", "extensionName is required.")
    data = {key: value for key, value in body.items() if not key.startswith("@")}
    for value in data.values():
        if isinstance(value, dict):
            raise GraphError(400, "BadRequest", "An extension holds primitive values only.")
    shown: Json = {"@odata.type": "#microsoft.graph.openTypeExtension"} | data
    shown["id"] = f"microsoft.graph.openTypeExtension.{name}"
    shown["extensionName"] = name
    return name, shown


def extension_in(extensions: dict[str, Json], reference: str) -> str:
    """The name of an extension that is there; 404 else."""
    for name in extensions:
        if name.lower() == _bare(reference):
            return name
    raise GraphError(404, "ErrorItemNotFound", "The extension was not found.")


def _bare(reference: str) -> str:
    found = reference.lower()
    for prefix in _PREFIXES:
        found = found.removeprefix(prefix)
    return found


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    return [part for part in (*parts, current.strip()) if part]
