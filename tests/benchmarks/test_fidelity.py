"""The fidelity table: complete against Graph's schema, reasoned, and as measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks._fidelity import (
    Declared,
    Property,
    Subject,
    Verdict,
    declared,
    figures,
    measured,
)
from benchmarks._fidelity_page import PAGE, page
from benchmarks.exchange import SUBJECTS

LISTS = declared()
RESTORED = ("yes", "computed", "partly", "no")


def schema_properties(schema: str) -> set[str]:
    """Names of a schema of the OpenAPI document, inherited ones too."""
    paths = os.environ.get("HOLDFAST_GRAPH_OPENAPI", "").split(os.pathsep)
    stable = [path for path in paths if path and "beta" not in Path(path).name]
    if not stable:
        pytest.skip("HOLDFAST_GRAPH_OPENAPI names no document")
    schemas = json.loads(Path(stable[0]).read_bytes())["components"]["schemas"]

    def names(name: str) -> set[str]:
        found: set[str] = set()
        for part in schemas[name].get("allOf", [schemas[name]]):
            reference = part.get("$ref")
            found |= names(reference.rpartition("/")[2]) if reference else set(part["properties"])
        return found

    return names(schema)


@pytest.mark.parametrize("listed", LISTS, ids=lambda one: one.name)
def test_the_list_names_every_property_of_the_schema_and_no_other(listed: Declared) -> None:
    wanted = schema_properties(f"microsoft.graph.{listed.name}")
    assert {one.name for one in listed.properties} == wanted


@pytest.mark.parametrize("listed", LISTS, ids=lambda one: one.name)
def test_whatever_does_not_come_back_has_a_reason_from_graph(listed: Declared) -> None:
    names = [one.name for one in listed.properties]
    assert len(names) == len(set(names))
    for one in listed.properties:
        assert one.stored in ("yes", "no"), one
        assert one.restored in RESTORED, one
        if one.restored in ("partly", "no") or one.stored == "no":
            assert one.why.endswith("."), one
            assert one.page.startswith("https://learn.microsoft.com/graph/"), one


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m benchmarks._fidelity_page"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.name)
def test_every_property_is_what_the_list_says(subject: Subject) -> None:
    found = figures([one for one in measured([subject]) if one.type == subject.name])
    assert found["unexplained"] == []
    (listed,) = (one for one in LISTS if one.name == subject.name)
    assert found["properties_total"] == len(listed.properties)


def test_every_list_is_measured() -> None:
    assert [one.name for one in SUBJECTS] == [one.name for one in LISTS]


@pytest.mark.parametrize(
    ("row", "stored", "restored"),
    [
        (Property("a", "yes", "yes", "", ""), "yes", "no"),
        (Property("a", "yes", "no", "Because.", "https://x"), "yes", "yes"),
        (Property("a", "yes", "no", "", ""), "yes", "no"),
        (Property("a", "yes", "yes", "", ""), "partly", "yes"),
        (Property("a", "yes", "yes", "", ""), "", ""),
    ],
)
def test_a_verdict_that_is_not_measured_or_not_reasoned_is_unexplained(
    row: Property, stored: str, restored: str
) -> None:
    found = figures([Verdict("message", row, stored, restored)])
    assert (found["properties_unexplained"], found["properties_restored"]) == (1, 0)


def test_what_agrees_is_explained() -> None:
    rows = [
        Verdict("message", Property("a", "yes", "yes", "", ""), "yes", "yes"),
        Verdict("message", Property("b", "yes", "computed", "", ""), "yes", "yes"),
        Verdict("message", Property("c", "no", "no", "Because.", "https://x"), "no", "no"),
    ]
    found = figures(rows)
    assert (found["properties_unexplained"], found["properties_restored"]) == (0, 2)
