"""The pages of the services say what the registry says, in a part between two marks of their own.

`python -m tests.test_service_pages` writes that part of every page anew, and makes the page of a
service that has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from m365 import SERVICES
from m365.service import Service
from tests import project

PAGES = project.ROOT / "docs" / "services"
BEGIN = "<!-- from the registry: python -m tests.test_service_pages -->"
END = "<!-- end of what the registry says -->"

_KINDS = {
    "mailbox": "each mailbox",
    "drive": "each drive: a OneDrive, or a document library of a site",
    "archive": "each in-place archive",
    "group": "each Microsoft 365 group",
    "site": "each site",
    "team": "each team",
    "user": "each person",
}


def part(service: Service) -> str:
    """What the registry says of a service."""
    return "\n".join((BEGIN, *_lines(service), END))


def _lines(service: Service) -> Iterator[str]:
    yield "## In short"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| protected of | {_KINDS.get(service.resource_kind, service.resource_kind)} |"
    yield f"| unless a policy says otherwise | {'off' if service.optional else 'on'} |"
    yield f"| permissions to back up | {_named(service.reads)} |"
    restore = _named(service.writes) if service.writer else "cannot be restored, only exported"
    yield f"| permissions to restore | {restore} |"
    yield f"| shown of each {service.item_kind} | {_titles(service)} |"
    if service.follows:
        yield f"| may follow later | {_named(service.follows)} |"
    if service.refusable:
        yield "| where a tenant refuses | a row of the coverage statement, no error of the run |"
    for name, choice in service.choices.items():
        default = f"`{choice.default}` unless it says otherwise"
        yield f"| a policy decides: `{name}` | {choice.says} ({default}) |"
    for name, says in service.options.items():
        yield f"| a restore may ask for: `{name}` | {says} |"
        if name in service.option_writes:
            needed = _named(service.option_writes[name])
            yield f"| permissions to restore with `{name}` | {needed} |"
    yield from _sentences("What is not captured", service.not_captured)
    yield from _sentences("What does not come back", service.not_restorable)


def _sentences(heading: str, sentences: Iterable[str]) -> Iterator[str]:
    yield f"\n### {heading}\n"
    yield from (f"- {one}" for one in sentences)


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in names) or "none"


def _titles(service: Service) -> str:
    return ", ".join(column.title for column in service.columns)


def page(service: Service, text: str) -> str:
    """A service's page with its part brought up to date; behind the introduction where it had none.

    Raises ValueError where a mark is lost.
    """
    if not text:
        text = f"# {service.title}\n"
    if BEGIN in text:
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        return before + part(service) + after
    introduction, heading, rest = text.rstrip("\n").partition("\n## ")
    return f"{introduction.rstrip()}\n\n{part(service)}\n" + (heading + rest + "\n" if rest else "")


def file_of(name: str) -> Path:
    return PAGES / f"{name}.md"


@pytest.mark.parametrize("name", SERVICES)
def test_the_page_says_what_the_registry_says(name: str) -> None:
    assert file_of(name).exists(), "run `python -m tests.test_service_pages`, then write the rest"
    text = file_of(name).read_text("utf-8")
    assert text == page(SERVICES[name], text), "run `python -m tests.test_service_pages`"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_in_whole_sentences_what_it_cannot_do(name: str) -> None:
    service = SERVICES[name]
    assert service.not_captured, "no service captures everything: say what is missing and why"
    assert service.not_restorable
    for sentence in (*service.not_captured, *service.not_restorable):
        assert sentence == sentence.strip()
        assert sentence[0].isupper(), sentence
        assert sentence.endswith("."), sentence


def test_what_people_wrote_around_it_stays() -> None:
    service = SERVICES["mail"]
    first = page(service, "# Mail\n\nWords.\n\n## More\n\nText.\n")
    assert first.startswith("# Mail\n\nWords.\n\n" + BEGIN)
    assert first.endswith(END + "\n\n## More\n\nText.\n")
    stale = first.replace(service.not_captured[0], "An older sentence.")
    assert stale != first
    assert page(service, stale) == page(service, first) == first


def test_a_service_without_a_page_gets_one() -> None:
    service = SERVICES["mail"]
    assert page(service, "") == f"# Mail\n\n{part(service)}\n"


def _write() -> None:
    for name, service in SERVICES.items():
        text = file_of(name).read_text("utf-8") if file_of(name).exists() else ""
        file_of(name).write_text(page(service, text), encoding="utf-8")
    print(f"{PAGES}: {len(SERVICES)} services")


if __name__ == "__main__":
    _write()
