"""Brings a path into one spelling and finds the route for it.

The spellings: users('x') = users/x, delta() = graph.delta = microsoft.graph.delta = delta,
delta(token='t') = delta?token=t, servicePrincipals(appId='a') = servicePrincipals(appId)/a, and
root:/a/b:/content = the segments "root:", "a/b", "content".
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from simulator.web import Route

_CALL = re.compile(r"([A-Za-z][A-Za-z.$]*)\((.*)\)")
_ARGUMENT = re.compile(r"(\w+)=(?:'((?:[^']|'')*)'|([^,]*))")
_ADDRESSED = re.compile(r"([^:]+):/(.*?):?")
_CASTS = ("microsoft.graph.", "graph.", "onedrive.")
_WITH_ARGUMENTS = ("delta", "search")


def spelled(raw_path: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """(segments, query options hidden in function arguments) of a percent-encoded path."""
    raw = [part for part in raw_path.split("/") if part]
    segments: list[str] = []
    options: dict[str, str] = {}
    at = 0
    while at < len(raw):
        part = raw[at]
        at += 1
        if part.endswith(":") and len(part) > 1:
            end = at
            while end < len(raw) and not raw[end].endswith(":"):
                end += 1
            inner = raw[at : end + 1]
            segments.append(_plain(unquote(part)))
            if inner:
                segments.append("/".join(unquote(name) for name in inner).removesuffix(":"))
            at = end + 1
            continue
        text = unquote(part) if "%" in part else part
        addressed = _ADDRESSED.fullmatch(text)
        if addressed is not None:
            segments += [addressed[1] + ":", addressed[2]]
            continue
        _append(text, segments, options)
    return tuple(segments), options


def _append(text: str, segments: list[str], options: dict[str, str]) -> None:
    call = _CALL.fullmatch(text) if text.endswith(")") else None
    if call is None:
        segments.append(_plain(text))
        return
    name, inner = _plain(call[1]), call[2].strip()
    arguments = {
        match[1]: match[3] if match[2] is None else match[2].replace("''", "'")
        for match in _ARGUMENT.finditer(inner)
    }
    if not inner:
        segments.append(name)
    elif inner.startswith("'") and inner.endswith("'"):
        segments += [name, inner[1:-1].replace("''", "'")]
    elif name.lower() in _WITH_ARGUMENTS or len(arguments) != 1:
        segments.append(name)
        options.update(arguments)
    else:
        ((key, value),) = arguments.items()
        segments += [f"{name}({key})", value]


def _plain(text: str) -> str:
    lower = text.lower()
    for cast in _CASTS:
        if lower.startswith(cast):
            return text[len(cast) :]
    return text


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    anything: "_Node | None" = None
    addressed: "_Node | None" = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Routes by segments; literals go before parameters."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def find(self, segments: tuple[str, ...]) -> tuple["_Node", tuple[str, ...]] | None:
        """(node with the routes by method, parameter values)."""
        return _walk(self._root, segments, 0, ())

    def match(self, method: str, segments: tuple[str, ...]) -> tuple[Route, dict[str, str]] | None:
        """The route of a method with its parameters; None when there is none."""
        found = self.find(segments)
        if found is None or method not in found[0].routes:
            return None
        route, names = found[0].routes[method]
        return route, dict(zip(names, found[1], strict=True))

    def methods(self, segments: tuple[str, ...]) -> list[str]:
        """Methods the path has; empty when the path is unknown."""
        found = self.find(segments)
        return sorted(found[0].routes) if found is not None else []

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for part in route.pattern.strip("/").split("/"):
            if part.startswith("{") and part.endswith("}"):
                names.append(part[1:-1])
                node.anything = node.anything or _Node()
                node = node.anything
            elif part.startswith("{") and part.endswith("}:"):
                names.append(part[1:-2])
                node.addressed = node.addressed or _Node()
                node = node.addressed
            else:
                node = node.literals.setdefault(part.lower(), _Node())
        assert route.method not in node.routes, f"{route.method} {route.pattern} exists twice"
        node.routes[route.method] = (route, tuple(names))


def _walk(
    node: _Node, segments: tuple[str, ...], at: int, values: tuple[str, ...]
) -> tuple[_Node, tuple[str, ...]] | None:
    if at == len(segments):
        return (node, values) if node.routes else None
    part = segments[at]
    literal = node.literals.get(part.lower())
    if literal is not None:
        found = _walk(literal, segments, at + 1, values)
        if found is not None:
            return found
    if part.endswith(":") and node.addressed is not None:
        return _walk(node.addressed, segments, at + 1, (*values, part[:-1]))
    if node.anything is not None:
        return _walk(node.anything, segments, at + 1, (*values, part))
    return None
