"""docs/facts-and-tests.md: every test it names exists, and every test of this folder is in it."""

from __future__ import annotations

import ast
import re

from tests import project

TABLE = "docs/facts-and-tests.md"
_REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_ROW = re.compile(r"^\| (?!-|fact )(.+) \|$")


def written_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    nodes = ast.walk(project.tree(path))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {one.name for one in nodes if isinstance(one, functions) and one.name[:5] == "test_"}


def test_every_test_the_table_names_exists() -> None:
    named = _REFERENCE.findall(project.text(TABLE))
    assert len(named) > 50
    here = {path for path, _ in named if (project.ROOT / path).is_file()}
    known = {path: written_in(path) for path in here}
    assert [f"{path}::{name}" for path, name in named if name not in known.get(path, ())] == []


def test_every_fact_names_a_test_or_says_why_there_is_none() -> None:
    rows = [row for line in project.text(TABLE).splitlines() if (row := _ROW.match(line))]
    assert len(rows) > 50
    bare = [row[1] for row in rows if not _REFERENCE.search(row[1]) and " no test: " not in row[1]]
    assert bare == []


def test_every_test_of_this_folder_is_in_the_table() -> None:
    named = set(_REFERENCE.findall(project.text(TABLE)))
    written = {
        (path, name)
        for path in project.python_files("tests/facts")
        if path != "tests/facts/test_table.py"
        for name in written_in(path)
    }
    assert sorted(written - named) == []
