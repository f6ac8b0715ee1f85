"""Which permission includes which, and which may change things."""

from __future__ import annotations

import pytest

from m365 import SERVICES
from m365.graph.permissions import can_change, covering_role


@pytest.mark.parametrize(
    ("role", "granted", "by"),
    [
        ("Mail.Read", ["Mail.Read", "Mail.ReadWrite"], "Mail.Read"),
        ("Mail.Read", ["User.Read.All", "mail.readwrite"], "mail.readwrite"),
        ("User.Read.All", ["Directory.Read.All"], "Directory.Read.All"),
        ("Files.Read.All", ["Sites.Read.All"], "Sites.Read.All"),
        (
            "MailboxItem.Export.All",
            ["MailboxItem.ImportExport.All"],
            "MailboxItem.ImportExport.All",
        ),
        ("Group-Conversation.Read.All", ["Group.Read.All"], "Group.Read.All"),
        ("GroupMember.Read.All", ["Group.ReadWrite.All"], "Group.ReadWrite.All"),
        ("Tasks.Read.All", ["Tasks.ReadWrite.All"], "Tasks.ReadWrite.All"),
        ("Tasks.Read.All", ["Tasks.Read"], ""),
        ("Mail.ReadWrite", ["Mail.Read"], ""),
        ("User.Read.All", ["User.ReadBasic.All"], ""),
        ("Calendars.Read", ["Contacts.ReadWrite"], ""),
    ],
)
def test_a_permission_is_given_by_itself_or_by_a_wider_one(
    role: str, granted: list[str], by: str
) -> None:
    assert covering_role(role, granted) == by


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("Mail.Read", False),
        ("Mail.ReadBasic.All", False),
        ("MailboxItem.Export.All", False),
        ("Sites.Selected", False),
        ("Mail.ReadWrite", True),
        ("Mail.Send", True),
        ("MailboxItem.ImportExport.All", True),
        ("Sites.FullControl.All", True),
        ("Sites.Manage.All", True),
        ("User.DeleteRestore.All", True),
        ("Teamwork.Migrate.All", True),
        ("full_access_as_app", True),
    ],
)
def test_whatever_allows_more_than_reading_can_change_things(role: str, changes: bool) -> None:
    assert can_change(role) is changes


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_asks_to_change_anything_for_its_backup(name: str) -> None:
    assert [role for role in SERVICES[name].reads if can_change(role)] == []
