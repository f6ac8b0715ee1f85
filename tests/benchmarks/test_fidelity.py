"""The fidelity tables: complete against Graph's schema, reasoned, and as measured."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fidelity
from benchmarks._fidelity import (
    APART,
    TYPES,
    Declared,
    Property,
    Subject,
    Verdict,
    declared,
    figures,
    measured,
)
from benchmarks._fidelity_page import PAGE, page
from m365 import SERVICES

LISTS = declared()
RESTORED = ("yes", "computed", "partly", "no", APART)
OF_PERSONAL_ACCOUNTS = "personal"  # in what the schema says of a property that others do not have
SAID_BY_THE_PAGE = {  # and not by the schema: of personal accounts, of a search, of what is gone
    "drive/driveItem": ("bundle", "deleted", "description", "searchResult"),
    "teams/chatMessage": ("chatId",),  # of chats
}


@cache
def schemas() -> dict[str, Any]:
    paths = os.environ.get("HOLDFAST_GRAPH_OPENAPI", "").split(os.pathsep)
    stable = [path for path in paths if path and "beta" not in Path(path).name]
    if not stable:
        return {}
    found: dict[str, Any] = json.loads(Path(stable[0]).read_bytes())["components"]["schemas"]
    return found


def properties_of(schema: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, description) of a schema of the OpenAPI document, inherited ones too."""
    if not schemas():
        pytest.skip("HOLDFAST_GRAPH_OPENAPI names no document")
    for part in schemas()[schema].get("allOf", [schemas()[schema]]):
        if "$ref" in part:
            yield from properties_of(part["$ref"].rpartition("/")[2])
        yield from part.get("properties", {}).items()


@pytest.mark.parametrize("listed", LISTS, ids=lambda one: f"{one.service}/{one.name}")
class TestLists:
    """benchmarks/fidelity/."""

    def test_the_list_names_every_property_of_the_schema_and_no_other(
        self, listed: Declared
    ) -> None:
        wanted = {name for name, _ in properties_of(f"microsoft.graph.{listed.name}")}
        assert {one.name for one in listed.properties} == wanted

    def test_whatever_does_not_come_back_has_a_reason_from_graph(self, listed: Declared) -> None:
        names = [one.name for one in listed.properties]
        assert len(names) == len(set(names))
        for one in listed.properties:
            assert one.stored in ("yes", "partly", "no"), one
            assert one.restored in RESTORED, one
            if one.restored in ("partly", "no", APART) or one.stored != "yes":
                assert one.why.endswith("."), one
                assert one.page.startswith("https://learn.microsoft.com/graph/"), one

    def test_only_ways_to_something_else_stand_apart(self, listed: Declared) -> None:
        """Whatever an item itself has is measured."""
        known = dict(properties_of(f"microsoft.graph.{listed.name}"))
        for one in listed.properties:
            if one.restored == APART:
                says = known[one.name]
                personal = OF_PERSONAL_ACCOUNTS in says.get("description", "").lower()
                said = one.name in SAID_BY_THE_PAGE.get(f"{listed.service}/{listed.name}", ())
                assert says.get("x-ms-navigationProperty") or personal or said, one


def test_every_list_is_on_the_page_once() -> None:
    assert {f"{path.parent.name}/{path.stem}" for path in _files()} == set(TYPES)
    assert len(set(TYPES)) == len(TYPES)


def _files() -> Iterator[Path]:
    return (PAGE.parent.parent / "benchmarks" / "fidelity").rglob("*.json")


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m benchmarks._fidelity_page"


@pytest.mark.parametrize("service", sorted({one.service for one in LISTS}))
def test_the_page_of_a_service_leads_to_its_tables_and_has_none_of_its_own(service: str) -> None:
    text = (PAGE.parent / "services" / f"{service}.md").read_text("utf-8")
    anchor = SERVICES[service].title.lower().replace(" ", "-")
    assert f"(../fidelity.md#{anchor})" in text
    assert "| property |" not in text


@pytest.mark.parametrize("subject", fidelity.SUBJECTS, ids=lambda one: one.service)
def test_every_property_is_what_the_list_says(subject: Subject) -> None:
    lists = declared([subject.service])
    found = figures(measured([subject], lists))
    assert found["unexplained"] == []
    assert found["properties_total"] == sum(len(one.properties) for one in lists) > 0


def test_every_list_is_measured() -> None:
    assert {one.service for one in fidelity.SUBJECTS} == {one.service for one in LISTS}


def test_the_benchmark_fails_on_what_is_unexplained() -> None:
    report = json.loads(json.dumps(fidelity.measure(fidelity.SUBJECTS[-1:])))
    assert report["ok"] is True
    assert (
        sum(one["properties_total"] for one in report["types"].values())
        == (report["properties_total"])
    )


@pytest.mark.parametrize(
    ("row", "stored", "restored"),
    [
        (Property("a", "yes", "yes", "", ""), "yes", "no"),
        (Property("a", "yes", "no", "Because.", "https://x"), "yes", "yes"),
        (Property("a", "yes", "no", "", ""), "yes", "no"),
        (Property("a", "yes", "yes", "", ""), "partly", "yes"),
        (Property("a", "yes", "yes", "", ""), "", ""),
        (Property("a", "no", APART, "Because.", "https://x"), "no", "no"),
        (Property("a", "no", APART, "", ""), "", ""),
    ],
)
def test_a_verdict_that_is_not_measured_or_not_reasoned_is_unexplained(
    row: Property, stored: str, restored: str
) -> None:
    found = figures([Verdict("mail", "message", row, stored, restored)])
    assert (found["properties_unexplained"], found["properties_restored"]) == (1, 0)


def test_what_agrees_is_explained() -> None:
    rows = [
        Verdict("mail", "message", Property("a", "yes", "yes", "", ""), "yes", "yes"),
        Verdict("mail", "message", Property("b", "yes", "computed", "", ""), "yes", "yes"),
        Verdict("mail", "message", Property("c", "no", "no", "Because.", "https://x"), "no", "no"),
        Verdict("mail", "message", Property("d", "no", APART, "Because.", "https://x")),
    ]
    found = figures(rows)
    assert (found["properties_unexplained"], found["properties_restored"]) == (0, 2)
