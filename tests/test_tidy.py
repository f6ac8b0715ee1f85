"""Style as a test: what still fits on a screen, and files that say what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from tests import project

FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 700  # tests are read one at a time
FUNCTION_LINES_MAX = 50  # beyond it a function no longer fits on one screen
NESTING_MAX = 4

# "path" or "path:function" to the reason why the limit does not hold there. Keep it short.
EXCEPTIONS: dict[str, str] = {
    "docs/read_a_vault.py": "one file that a stranger can take along and read",
}

PLACES = ("function_app.py", "dev.py", *project.ROOMS)
EVERYTHING = [*project.python_files(*PLACES, "tests", "docs")]
NESTS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_a_file_can_be_read_in_one_sitting() -> None:
    _none(
        f"{path} has {project.text(path).count(chr(10))} lines; split it by what it does"
        for path in EVERYTHING
        if is_long(path) and path not in EXCEPTIONS
    )


def test_a_file_says_in_its_first_line_what_it_is() -> None:
    _none(
        f"{path} does not begin with a sentence"
        for path in EVERYTHING
        if project.text(path).strip() and not ast.get_docstring(project.tree(path))
    )


def test_a_function_fits_on_one_screen() -> None:
    _none(
        f"{path}: {name} has {length(function)} lines"
        for path, name, function in all_functions()
        if length(function) > FUNCTION_LINES_MAX and f"{path}:{name}" not in EXCEPTIONS
    )


def test_a_function_is_not_nested_deeper_than_one_can_follow() -> None:
    _none(
        f"{path}: {name} is nested {nesting(function.body)} deep"
        for path, name, function in all_functions()
        if nesting(function.body) > NESTING_MAX and f"{path}:{name}" not in EXCEPTIONS
    )


def test_every_room_says_its_job_and_its_law() -> None:
    folders = {path.rpartition("/")[0] for path in project.python_files(*project.ROOMS)}
    inits = {f"{folder}/__init__.py" for folder in folders | set(project.ROOMS)}
    _none(
        f"{init} is missing or says nothing"
        for init in sorted(inits)
        if not (project.ROOT / init).exists() or not ast.get_docstring(project.tree(init))
    )


def test_nothing_is_left_to_be_done_later() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3)  # in pieces, or this file would find itself
    left = re.compile(rf"\b(?:{'|'.join(words)})\b")
    found = [path for path in EVERYTHING if left.search(project.text(path))]
    assert not found, f"{found}: do it now or write an issue"


def test_an_id_in_a_path_keeps_no_slash() -> None:
    """Ids are opaque: one with a slash would be another path."""
    _none(
        f"{path}:{call.lineno} quotes an id but not its slashes; say quote(…, safe='')"
        for path in project.python_files("m365")
        for call in ast.walk(project.tree(path))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if call.func.id == "quote" and not call.keywords
        if not isinstance(call.args[0], ast.Constant)
    )


def test_every_exception_is_still_needed() -> None:
    needed = set(filter(is_long, EVERYTHING))
    needed |= {
        f"{path}:{name}"
        for path, name, function in all_functions()
        if length(function) > FUNCTION_LINES_MAX or nesting(function.body) > NESTING_MAX
    }
    assert EXCEPTIONS.keys() <= needed


def test_nesting_counts_an_elif_chain_as_one_level() -> None:
    chain = ast.parse("if a:\n  x\nelif b:\n  x\nelif c:\n  x\nelse:\n  x")
    assert nesting(chain.body) == 1
    deep = ast.parse("for a in b:\n with c:\n  if d:\n   while e:\n    try: f\n    except G: h")
    assert nesting(deep.body) == 5


def is_long(path: str) -> bool:
    limit = TEST_FILE_LINES_MAX if path.startswith("tests/") else FILE_LINES_MAX
    return project.text(path).count("\n") > limit


def all_functions() -> Iterator[tuple[str, str, Function]]:
    """Path, dotted name and tree of every function that the limits hold for."""
    for path in project.python_files(*PLACES):
        for name, function in functions(project.tree(path)):
            yield path, name, function


def length(function: Function) -> int:
    """Lines from def to the end."""
    return (function.end_lineno or 0) - function.lineno + 1


def functions(module: ast.Module) -> Iterator[tuple[str, Function]]:
    """Every function and method of a file, by the dotted name a reader would use."""
    waiting: list[tuple[str, ast.AST]] = [("", module)]
    while waiting:
        prefix, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, Function | ast.ClassDef):
                name = f"{prefix}.{child.name}".lstrip(".")
            if isinstance(child, Function):
                yield name, child
            waiting.append((name, child))


def nesting(body: list[ast.stmt]) -> int:
    """How many loops, branches, withs and tries stand inside one another; functions start anew."""
    deepest = 0
    for statement in body:
        if isinstance(statement, NESTS):
            deepest = max(deepest, max(map(_branch_depth, _branches(statement)), default=0))
    return deepest


def _branches(statement: ast.stmt) -> Iterator[tuple[int, list[ast.stmt]]]:
    """The bodies of a statement, each with what entering it adds to the depth."""
    if isinstance(statement, ast.Match):
        yield from ((1, case.body) for case in statement.cases)
        return
    yield 1, getattr(statement, "body", [])
    for handler in getattr(statement, "handlers", []):
        yield 1, handler.body
    yield 1, getattr(statement, "finalbody", [])
    other = getattr(statement, "orelse", [])
    is_elif = isinstance(statement, ast.If) and len(other) == 1 and isinstance(other[0], ast.If)
    yield (0 if is_elif else 1), other


def _branch_depth(branch: tuple[int, list[ast.stmt]]) -> int:
    added, body = branch
    return (added + nesting(body)) if body else 0


def _none(found: Iterable[str]) -> None:
    sentences = list(found)
    assert not sentences, "\n" + "\n".join(sentences)
