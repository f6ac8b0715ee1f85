"""Reads vCard and iCalendar as their standards say, for tests: nothing of ours."""

from __future__ import annotations

import re

_PARAMETER = re.compile(r';([A-Z-]+)=("[^"]*"|[^;:"]*)')


def properties(data: bytes) -> list[tuple[str, dict[str, str], str]]:
    """(name, parameters, raw value) of every line; checks line ends and folding."""
    assert data.endswith(b"\r\n")
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(line) <= 75 for line in lines)
    for folded in lines:
        folded.decode("utf-8")  # no character is cut
    found = []
    for line in data.replace(b"\r\n ", b"").decode("utf-8").split("\r\n")[:-1]:
        name = re.match(r"[A-Z-]+", line)
        assert name is not None, line
        rest = line[name.end() :]
        parameters = {}
        while match := _PARAMETER.match(rest):
            parameters[match[1]] = match[2].strip('"')
            rest = rest[match.end() :]
        assert rest.startswith(":"), line
        found.append((name[0], parameters, rest[1:]))
    return found


def values(data: bytes, name: str) -> list[str]:
    """The raw values of a property."""
    return [value for one, _, value in properties(data) if one == name]


def split(value: str, separator: str) -> list[str]:
    """A structured value or list, unescaped."""
    parts = re.split(rf"(?<!\\)(?:\\\\)*{separator}", value) if separator else [value]
    plain = {"n": "\n", "N": "\n"}
    return [re.sub(r"\\(.)", lambda m: plain.get(m[1], m[1]), part) for part in parts]


def unescaped(value: str) -> str:
    return split(value, "")[0]
