"""python -m benchmarks._fidelity_page: writes docs/fidelity.md from the lists in fidelity/."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from benchmarks._fidelity import APART, COMES_BACK, Declared, Property, declared
from m365 import SERVICES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"
_INTRO = """\
# Fidelity: every property, and what becomes of it

For every property that Microsoft Graph's schemas name for the items of a service: whether the
backup keeps it, whether a restore brings it back, and why not where it does not. This page is
written by `python -m benchmarks._fidelity_page` from the lists in `benchmarks/fidelity/`, and a
test keeps it current.

The lists are not taken on trust. `dev.py bench fidelity` fills a mailbox, a drive, a site, a team
and a group of the simulated tenant with items that together use every property, backs them up,
restores them into fresh ones with the engine, and compares both as an independent client of Graph
sees them. A verdict that differs from what was measured, a property no item used, and a gap without
a reason count as unexplained; the benchmark fails on any, and so does a test.

Two services are not in this measurement. Of [lists](services/lists.md) a test measures what becomes
of every sort of column; their table of properties is written by hand. [Chats](services/chats.md)
are exported and not restored, and have no table.

| restored | means |
|---|---|
| yes | set again, and the same |
| computed | not set, and the same all the same: the service derives it from what was restored |
| partly | some items have it back, others cannot; the reason says which |
| no | Graph offers no way, or it is not done; the reason says so, with the page that does |
| apart | no item has it: a way to something else, or a property of personal accounts only |
"""


def page() -> str:
    """The whole page."""
    parts = groupby(declared(), key=lambda one: one.service)
    return "\n".join([_INTRO, *(line for name, some in parts for line in _part(name, list(some)))])


def _part(service: str, lists: list[Declared]) -> Iterator[str]:
    """Everything of one service."""
    yield f"## {SERVICES[service].title}"
    yield ""
    yield f"How it is read and put back: [{service}](services/{service}.md)."
    yield ""
    for listed in lists:
        yield from _lines(listed, exported=SERVICES[service].writer is None)


def _lines(listed: Declared, *, exported: bool) -> Iterator[str]:
    rows = listed.properties
    back = sum(one.restored in COMES_BACK for one in rows)
    partly = sum(one.restored == "partly" for one in rows)
    apart = sum(one.restored == APART for one in rows)
    yield f"### {listed.title}: [{listed.name}]({listed.page})"
    yield ""
    said = f"{len(rows)} properties: {back} {'leave with an export' if exported else 'come back'}"
    rest = len(rows) - back - partly - apart
    yield f"{said}, {partly} partly, {rest} do not, {apart} apart."
    yield ""
    yield f"| property | stored | {'exported' if exported else 'restored'} | why |"
    yield "|---|---|---|---|"
    for one in rows:
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
