"""Checks requests against Graph's OpenAPI documents, when the environment names them.

HOLDFAST_GRAPH_OPENAPI holds file names, separated as in PATH. A request is compared in the one
spelling of routing.py, after what no document says but Graph answers was put into the document's
words: /users/{id}/drive, /drives/{id}/root, paths by name, attachments/{id}/$value.
"""

import json
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from simulator.routing import spelled
from simulator.web import Json, Request

ENVIRONMENT = "HOLDFAST_GRAPH_OPENAPI"
_OF_TOKENS = {"$skiptoken", "$deltatoken", "$skip", "token", "q"}
# Of admin/exchange: described in the text of the operations, missing among their parameters.
_IN_TEXT = {"disposalType", "includeHiddenFolders"}
_DEPTH_MAX = 12
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list,), "object": (dict,),
}  # fmt: skip


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    anything: "_Node | None" = None
    operations: Json | None = None


@dataclass(slots=True)
class _Document:
    """One document, parsed when first asked."""

    path: Path
    whole: Json | None = None
    root: _Node = field(default_factory=_Node)

    def load(self) -> Json:
        if self.whole is None:
            whole: Json = json.loads(self.path.read_bytes())
            for template, operations in whole["paths"].items():
                self._add(spelled(template)[0], operations)
            self.whole = whole
        return self.whole

    def _add(self, segments: tuple[str, ...], operations: Json) -> None:
        node = self.root
        for part in segments:
            if part.startswith("{"):
                node.anything = node.anything or _Node()
                node = node.anything
            else:
                node = node.literals.setdefault(part.lower(), _Node())
        node.operations = (node.operations or {}) | operations


# Documented (learn.microsoft.com/graph/api/application-get), and left out of lean documents.
_LEFT_OUT = (("applications",), ("applications(appId)",))
# Documented (/graph/api/sitepage-update, /sitepage-publish, /contenttype-addcopy), and left out:
# method, the collection of a site, and the words behind the id of one in it.
_OF_SITES = (
    ("PATCH", "pages", ("sitepage",)),
    ("POST", "pages", ("sitepage", "publish")),
    ("POST", "lists", ("contenttypes", "addcopy")),
)


class Documents:
    """The OpenAPI documents of one or several versions."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._documents = [_Document(path) for path in paths]

    def problem(self, request: Request) -> str | None:
        """What is wrong with a request; None when nothing is."""
        segments = documented(request.segments)
        where = f"{request.method} /{'/'.join(segments)}"
        if segments[:1] in _LEFT_OUT or _is_root_site(segments):
            return None
        if _is_left_out_of_sites(request.method, segments):
            return None
        if segments[-1:] == ("$value",) and "attachments" in segments:
            return None if request.method == "GET" else f"{where}: only GET is documented"
        known: set[str] = set()
        for document in self._in_order(request.version):
            whole = document.load()
            node = _find(document.root, segments, 0)
            if node is None or node.operations is None:
                continue
            operation = node.operations.get(request.method.lower())
            known |= {m for m in node.operations if m in ("get", "post", "put", "patch", "delete")}
            if operation is not None:
                return _check(whole, operation, request, where)
        if known:
            return f"{where}: the path knows only {sorted(known)}"
        return f"{where}: unknown path"

    def _in_order(self, version: str) -> list[_Document]:
        """v1.0 asks only its own document, beta both."""
        beta = [d for d in self._documents if "beta" in d.path.name]
        stable = [d for d in self._documents if "beta" not in d.path.name]
        return beta + stable if version == "beta" else stable


def from_environment() -> Documents | None:
    """The documents the environment names; None when it names none."""
    names = os.environ.get(ENVIRONMENT, "")
    return _documents(names) if names else None


@lru_cache(maxsize=4)
def _documents(names: str) -> Documents:
    return Documents(tuple(Path(name) for name in names.split(os.pathsep) if name))


def _is_left_out_of_sites(method: str, segments: tuple[str, ...]) -> bool:
    lower = tuple(part.lower() for part in segments)
    return lower[:1] == ("sites",) and (method, *lower[2:3], lower[4:]) in _OF_SITES


def _is_root_site(segments: tuple[str, ...]) -> bool:
    """/groups/{id}/sites/root is documented (/graph/api/site-get), and left out too."""
    lower = tuple(part.lower() for part in segments)
    return lower[:1] == ("groups",) and lower[2:] == ("sites", "root")


def documented(segments: tuple[str, ...]) -> tuple[str, ...]:
    """Segments in the words of the documents, which know only /drives/{id}/items/{id}."""
    lower = tuple(part.lower() for part in segments)
    if lower[:1] == ("sites",) and len(segments) > 2 and segments[1].endswith(":"):
        segments = ("sites", "{by-path}", *segments[3:])
        lower = tuple(part.lower() for part in segments)
    if lower[:1] in (("users",), ("groups",), ("sites",)) and len(segments) > 3:
        if lower[2] == "drive":
            segments = ("drives", "{drive}", *segments[3:])
        elif lower[2] == "drives":
            segments = ("drives", segments[3], *segments[4:])
    if lower[:1] == ("serviceprincipals(appid)",) and len(segments) > 2:
        segments = ("servicePrincipals", *segments[1:])
    if len(segments) > 3 and lower[2] == "mailboxsettings":
        segments = segments[:3]  # a property of it, such as userPurpose
    if segments[:1] == ("drives",) and len(segments) > 2:
        head, rest = segments[:2], segments[2:]
        if rest[0] == "root":
            rest = ("items", "root", *rest[1:])
        elif rest[0] == "root:":
            rest = ("items", "{by-path}", *rest[2:])
        elif rest[0] == "items" and len(rest) > 2 and rest[1].endswith(":"):
            rest = ("items", "{by-path}", *rest[3:])
        segments = head + rest
    return segments


def _find(node: _Node, segments: tuple[str, ...], at: int) -> _Node | None:
    if at == len(segments):
        return node if node.operations is not None else None
    literal = node.literals.get(segments[at].lower())
    if literal is not None:
        found = _find(literal, segments, at + 1)
        if found is not None:
            return found
    return _find(node.anything, segments, at + 1) if node.anything is not None else None


def _check(document: Json, operation: Json, request: Request, where: str) -> str | None:
    parameters = [_resolved(document, entry) for entry in operation.get("parameters", [])]
    known = {entry["name"] for entry in parameters if entry.get("in") == "query"}
    unknown = [name for name in request.query if name not in known | _OF_TOKENS | _IN_TEXT]
    if unknown:
        return f"{where}: unknown query parameters {sorted(unknown)}"
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    is_json = "json" in request.headers.get("content-type", "")
    if not request.body:
        return None
    if request.method == "GET":
        return f"{where}: a GET with a body"
    if schema is None or not is_json:
        return None
    try:
        body = json.loads(request.body)
    except ValueError:
        return None  # the handler answers 400
    trouble = _mismatch(document, schema, body, "body", 0)
    return f"{where}: {trouble}" if trouble is not None else None


def _mismatch(document: Json, schema: Json, value: Any, place: str, depth: int) -> str | None:
    """What does not fit between a value and a schema."""
    if depth > _DEPTH_MAX or value is None:
        return None
    schema = _resolved(document, schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            found = [_mismatch(document, s, value, place, depth + 1) for s in schema[word]]
            return None if None in found else found[0]
    if isinstance(value, dict):
        return _object_mismatch(document, schema, value, place, depth)
    kind = _kind(document, schema)
    if kind is not None and not _fits(kind, value):
        return f"{place} should be {kind}"
    if isinstance(value, list):
        items = schema.get("items")
        for index, entry in enumerate(value):
            trouble = _mismatch(document, items or {}, entry, f"{place}[{index}]", depth + 1)
            if trouble is not None:
                return trouble
    allowed = _enum(document, schema)
    if allowed and isinstance(value, str) and value.lower() not in allowed:
        return f"{place} should be one of {sorted(allowed)}"
    return None


def _object_mismatch(
    document: Json, schema: Json, value: Json, place: str, depth: int
) -> str | None:
    kind = _kind(document, schema)
    if kind not in (None, "object"):
        return f"{place} should be {kind}"
    named = str(value.get("@odata.type", "")).lstrip("#")
    derived = document["components"]["schemas"].get(named)
    properties, is_open = _properties(document, derived or schema)
    properties = {name.lower(): inner for name, inner in properties.items()}
    if is_open or not properties:
        return None
    for name, inner in value.items():
        if "@" in name:
            continue
        if name.lower() not in properties:
            return f"{place} has an unknown property {name!r}"
        trouble = _mismatch(document, properties[name.lower()], inner, f"{place}.{name}", depth + 1)
        if trouble is not None:
            return trouble
    return None


def _properties(document: Json, schema: Json) -> tuple[Json, bool]:
    """(all properties including inherited ones, whether others are allowed too)."""
    schema = _resolved(document, schema)
    found: Json = dict(schema.get("properties", {}))
    is_open = bool(schema.get("additionalProperties") or schema.get("x-ms-openType"))
    for part in schema.get("allOf", []):
        inherited, part_open = _properties(document, part)
        found = inherited | found
        is_open = is_open or part_open
    return found, is_open


def _kind(document: Json, schema: Json) -> str | None:
    schema = _resolved(document, schema)
    if "type" in schema:
        return str(schema["type"])
    kinds = [_kind(document, part) for part in schema.get("allOf", [])]
    return next((kind for kind in kinds if kind is not None), None)


def _enum(document: Json, schema: Json) -> set[str]:
    schema = _resolved(document, schema)
    found = {str(entry).lower() for entry in schema.get("enum", [])}
    for part in schema.get("allOf", []):
        found |= _enum(document, part)
    return found


def _fits(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, (object,)))


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        found: Any = document
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema
