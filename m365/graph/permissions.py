"""Application permissions of Microsoft Graph: which includes which, and which can change things.

Theory of operation
Names have a shape: "{what}.{action}.{reach}", and a wider action includes a narrower one. What the
shape does not tell is in _ALSO, from the lists of accepted permissions on the reference pages of
the operations that Holdfast uses.

https://learn.microsoft.com/graph/permissions-reference
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
EXCHANGE_APP_ID = "00000002-0000-0ff1-ce00-000000000000"  # Office 365 Exchange Online
FULL_ACCESS_AS_APP = "full_access_as_app"
FULL_ACCESS_AS_APP_ID = "dc890d15-9560-4a4c-9b7f-a736ec74ec40"


def missing_roles(needed: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """Which of the needed application permissions no granted one covers."""
    held = frozenset(granted)
    return tuple(role for role in needed if not covering_role(role, held))


def covering_role(role: str, granted: Iterable[str]) -> str:
    """The granted permission that gives `role`: the same, else a wider one, else ""."""
    held = {name.lower(): name for name in granted}
    found = (held.get(name.lower(), "") for name in (role, *_wider(role)))
    return next(filter(None, found), "")


def can_change(role: str) -> bool:
    """Whether a permission allows more than reading: ReadWrite, Send, Manage, ImportExport, …"""
    action = f"{role}.".split(".")[1]
    reads = action.startswith("Read") and not action.startswith("ReadWrite")
    return not reads and action not in _HARMLESS


# Selected: what an application may do is said site by site, and the token does not tell.
_HARMLESS = frozenset(("Export", "Selected", "SelectedOperations"))


def _wider(role: str) -> tuple[str, ...]:
    by_shape = tuple(
        role.removesuffix(narrow) + wide
        for narrow, wides in _SHAPES
        for wide in wides
        if role.endswith(narrow)
    )
    return by_shape + _ALSO.get(role, ())


_SHAPES = (
    (".ReadBasic.All", (".ReadBasic", ".Read", ".ReadWrite", ".Read.All", ".ReadWrite.All")),
    (".ReadBasic", (".Read", ".ReadWrite")),
    (".Read", (".ReadWrite",)),
    (".Read.All", (".ReadWrite.All",)),
)
_DIRECTORY = ("Directory.Read.All", "Directory.ReadWrite.All")
_GROUPS = ("Group.Read.All", "Group.ReadWrite.All")
_SITES = ("Sites.Manage.All", "Sites.FullControl.All")
_ALSO: Mapping[str, tuple[str, ...]] = {
    "Application.Read.All": _DIRECTORY,
    "Files.Read.All": ("Sites.Read.All", "Sites.ReadWrite.All", *_SITES),
    "Files.ReadWrite.All": ("Sites.ReadWrite.All", *_SITES),
    "Group.Read.All": _DIRECTORY,
    "Group-Conversation.Read.All": _GROUPS,
    "GroupMember.Read.All": (*_GROUPS, *_DIRECTORY),
    "MailboxItem.Export.All": ("MailboxItem.ImportExport.All",),
    "Organization.Read.All": (*_DIRECTORY, "User.Read.All"),
    "Sites.Manage.All": ("Sites.FullControl.All",),
    "Sites.Read.All": _SITES,
    "Sites.ReadWrite.All": _SITES,
    "Team.ReadBasic.All": ("TeamSettings.Read.All", "TeamSettings.ReadWrite.All"),
    "User.Read.All": _DIRECTORY,
    "User.ReadBasic.All": _DIRECTORY,
}
