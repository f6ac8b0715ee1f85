"""docs/permissions.md and the services' own pages list what the registry says, nothing else.

`python -m tests.test_permissions_page` writes docs/permissions.md anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from engine import verdicts
from m365 import SERVICES
from m365.service import Service
from tests import project

PAGE = project.ROOT / "docs" / "permissions.md"
HEAD = """# Permissions

Two applications of Microsoft Entra, each with application permissions of Microsoft Graph and an
administrator's consent. The backup application can only read; the restore application is needed
for restores, and can be added later. Grant what the services in your policy need; the connection
test compares, and says what is missing, what is more than needed, and what a wider permission
covers.

This page is written from the registry of services by `python -m tests.test_permissions_page`.

| service | to back up | to restore |
|---|---|---|
"""
ATTACHED = """
Files attached to rows of lists are not in Graph. An application that signs in with a certificate
may also have a permission of **Office 365 SharePoint Online** itself: `Sites.Read.All` for the
backup application keeps them, `Sites.ReadWrite.All` for the restore application brings them back.
Both are optional; without them rows are kept and restored without their files, and say so.
"""


def page() -> str:
    """docs/permissions.md as it should be."""
    rows = [f"| every one | `{verdicts.FIND_PEOPLE}` | |"]
    rows += map(_row, SERVICES.values())
    text = HEAD + "\n".join(rows) + "\n\nOptional, for the backup application:\n\n"
    text += _without(verdicts.optional("backup"))
    text += "\nOptional, for the restore application:\n\n"
    return text + _without(verdicts.optional("restore")) + ATTACHED


def _without(optional: Mapping[str, str]) -> str:
    rows = (f"| `{permission}` | {costs} |\n" for permission, costs in optional.items())
    return "| permission | without it |\n|---|---|\n" + "".join(rows)


def _row(service: Service) -> str:
    title = f"{service.title} (only where a policy names it)" if service.optional else service.title
    restore = _named(service.writes) if service.writer else "cannot be restored, only exported"
    reads = [one for one in verdicts.needed(service, "backup") if one != verdicts.FIND_PEOPLE]
    return f"| {title} | {_named(reads)} | {restore} |"


def _named(permissions: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in permissions)


def test_the_page_lists_what_the_registry_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m tests.test_permissions_page`"


@pytest.mark.parametrize("name", SERVICES)
def test_the_page_of_a_service_names_its_permissions(name: str) -> None:
    text = project.text(f"docs/services/{name}.md")
    service = SERVICES[name]
    needed = (*service.reads, *service.writes, *service.writes_with(service.options))
    assert [one for one in needed if f"`{one}`" not in text] == []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(SERVICES)} services")
