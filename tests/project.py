"""The project's own source, parsed, for the tests that judge it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PRODUCT = (  # what Azure runs
    "activities",
    "api",
    "base",
    "console",
    "engine",
    "formats",
    "m365",
    "orchestrators",
    "state",
    "vault",
)
AT_HOME = ("local", "cli", "simulator", "benchmarks")  # what stays here
ROOMS = PRODUCT + AT_HOME


def python_files(*places: str) -> Iterator[str]:
    """Paths from the root, with slashes, of the Python files in folders, or of files themselves."""
    for place in places:
        path = ROOT / place
        if path.is_file():
            yield place
            continue
        for found in sorted(path.rglob("*.py")):
            if "__pycache__" not in found.parts:
                yield found.relative_to(ROOT).as_posix()


def text(path: str) -> str:
    """The source of one file."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: str) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(text(path), filename=path)


def imports(module: ast.Module) -> Iterator[str]:
    """Every dotted name a file imports, at the top or inside functions, also by importlib.

    `from azure.storage import blob` is azure.storage.blob, so that one prefix finds all spellings.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
            if node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def calls(module: ast.Module, *names: str) -> Iterator[ast.Call]:
    """Calls of a function or method with one of these names."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and _name(node.func) in names:
            yield node


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
