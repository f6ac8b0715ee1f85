"""OneNote: no application may ask for its pages, so nothing here does, and people are told."""

from __future__ import annotations

from m365 import SERVICES
from m365.uncovered import UNCOVERED
from tests import project


def test_no_service_asks_for_a_permission_of_onenote_which_opens_nothing() -> None:
    asked = {one for service in SERVICES.values() for one in (*service.reads, *service.writes)}
    assert not [one for one in asked if one.startswith("Notes.")]


def test_no_code_asks_onenote_for_anything() -> None:
    files = project.python_files("m365")
    assert not [path for path in files if "/onenote/" in project.text(path)]


def test_it_is_said_with_its_date_in_the_registry_and_in_the_documentation() -> None:
    found = next(one for one in UNCOVERED if one.name == "onenote-pages")
    page = (project.ROOT / "docs" / "services" / "onenote.md").read_text("utf-8")
    for text in (found.reason, page):
        assert "31 March 2025" in text
        assert "files" in text


def test_what_is_not_covered_has_a_name_of_its_own_and_a_reason_in_words() -> None:
    assert len({one.name for one in UNCOVERED}) == len(UNCOVERED)
    assert not {one.name for one in UNCOVERED} & set(SERVICES)
    for one in UNCOVERED:
        assert one.reason == one.reason.strip()
        assert one.reason[0].isupper()
        assert one.reason.endswith(".")
