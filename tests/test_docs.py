"""The documentation names every setting and every error, and its links lead somewhere.

`python -m tests.test_docs` writes docs/problems.md anew from the code.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from base.errors import Problem
from base.settings import Settings
from tests import project

PAGE = project.ROOT / "docs" / "problems.md"
PAGES = [*project.ROOT.glob("*.md"), *(project.ROOT / "docs").rglob("*.md")]

HEAD = """# Problems

Every error carries a stable code. The API answers `application/problem+json` with the code, a
sentence, a hint, and a link to the heading below; runs and the ledger show the same codes. Messages
never hold content, names, addresses or tokens.

This page is written from the code by `python -m tests.test_docs`; to change a text, change the
docstring or the hint of its class.
"""


def problems() -> dict[str, type[Problem]]:
    """Every code with the class that defines it; no two classes may define the same."""
    for path in project.python_files(*project.PRODUCT, "local", "cli"):
        if not path.endswith("__main__.py"):
            importlib.import_module(
                path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            )
    found: dict[str, type[Problem]] = {}
    kinds: list[type[Problem]] = [Problem, *_below(Problem)]
    for kind in kinds:
        if kind.__module__.split(".")[0] in project.ROOMS and "code" in vars(kind):
            other = found.setdefault(kind.code, kind)
            assert other is kind, f"{kind.__name__} and {other.__name__} share the code {kind.code}"
    return dict(sorted(found.items()))


def page() -> str:
    """docs/problems.md as it should be."""
    return HEAD + "".join(map(_section, problems().values()))


def _section(kind: type[Problem]) -> str:
    meaning = " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
    return (
        f"\n## {kind.code}\n\n{meaning}\n\n"
        f"- HTTP status: {kind.status}\n"
        f"- What to do: {kind.hint}\n"
        f"- Defined in: `{kind.__module__}`\n"
    )


def _below(kind: type[Problem]) -> Iterator[type[Problem]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def test_every_problem_has_a_kebab_case_code_a_meaning_and_a_hint() -> None:
    for code, kind in problems().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code), code
        assert kind.__doc__, f"{kind.__name__}: say what it means"
        assert kind.hint, f"{kind.__name__}: say what to do"
        assert 400 <= kind.status <= 599, kind.__name__


def test_every_problem_is_on_the_page() -> None:
    written = set(re.findall(r"^## (\S+)$", PAGE.read_text("utf-8"), re.MULTILINE))
    missing, left = problems().keys() - written, written - problems().keys()
    assert not missing | left, (
        f"run `python -m tests.test_docs`: {missing} missing, {left} left over"
    )


def test_the_page_says_what_the_code_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m tests.test_docs`"


def test_every_setting_is_explained() -> None:
    operations = project.text("docs/operations.md")
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"HOLDFAST_{name.upper()}")
        assert f"`{variable}`" in operations, f"docs/operations.md does not explain {variable}"
    for variable in set(re.findall(r"`HOLDFAST_([A-Z_]+)`", operations)):
        known = variable.lower() in Settings.model_fields
        assert known or f"HOLDFAST_{variable}" in _read_by_tests(), f"nothing reads {variable}"


def test_everything_in_host_json_is_explained() -> None:
    operations = project.text("docs/operations.md")
    for name in set(re.findall(r'"(\w+)":', project.text("host.json"))) - {
        "version",
        "extensions",
        "durableTask",
        "http",
        "logging",
        "id",
        "type",
    }:
        assert name in operations, f"docs/operations.md does not explain {name} of host.json"


def test_every_link_leads_somewhere() -> None:
    for document in PAGES:
        text = document.read_text("utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                _resolves(document, target)


def test_every_room_is_on_the_map() -> None:
    readme = project.text("README.md")
    for room in project.ROOMS:
        assert f"{room}/" in readme, f"the README's map does not show {room}/"


def _resolves(document: Path, target: str) -> None:
    where, _, heading = target.partition("#")
    found = (document.parent / where) if where else document
    shown = f"{document.relative_to(project.ROOT)} links to {target}"
    assert found.exists(), f"{shown}, which is not there"
    if heading:
        headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}
        assert heading in anchors, f"{shown}, but there is no such heading"


def _read_by_tests() -> str:
    return "".join(project.text(path) for path in project.python_files("tests", "simulator"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(problems())} problems")
