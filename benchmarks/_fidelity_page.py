"""python -m benchmarks._fidelity_page: writes docs/fidelity.md from the lists in fidelity/."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks._fidelity import COMES_BACK, Declared, Property, declared

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"
_INTRO = """\
# Fidelity: every property, and what becomes of it

For every property that Microsoft Graph's schemas name for a message, an event, a contact and a
task: whether the backup keeps it, whether a restore brings it back, and why not where it does not.
This page is written by `python -m benchmarks._fidelity_page` from the lists in
`benchmarks/fidelity/`, and a test keeps it current.

The lists are not taken on trust. `dev.py bench exchange` fills a mailbox of the simulated tenant
with items that together use every property, backs it up, restores it into a fresh mailbox with the
engine, and compares both mailboxes as an independent client of Graph sees them. A verdict that
differs from what was measured, a property no item used, and a gap without a reason count as
unexplained; the benchmark fails on any.

| restored | means |
|---|---|
| yes | set again, and the same |
| computed | not set, and the same all the same: the service derives it from what was restored |
| partly | some items have it back, others cannot; the reason says which |
| no | Graph offers no way; the reason says so, with the page that does |
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRO, *(_section(one) for one in declared())])


def _section(listed: Declared) -> str:
    return "\n".join(_lines(listed))


def _lines(listed: Declared) -> Iterator[str]:
    back = sum(one.restored in COMES_BACK for one in listed.properties)
    partly = sum(one.restored == "partly" for one in listed.properties)
    yield f"## {listed.title}: [{listed.name}]({listed.page})"
    yield ""
    said = f"{len(listed.properties)} properties: {back} come back"
    rest = len(listed.properties) - back - partly
    yield f"{said}, {partly} partly, {rest} cannot."
    yield ""
    yield "| property | stored | restored | why |"
    yield "|---|---|---|---|"
    for one in listed.properties:
        yield f"| `{one.name}` | {one.stored} | {one.restored} | {_why(one)} |"
    yield ""


def _why(one: Property) -> str:
    link = f"([Graph]({one.page}))" if one.page else ""
    return " ".join(word for word in (one.why, link) if word)


def main() -> int:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
