"""What people have: a mailbox and what it is for, a OneDrive; or the reason why there is none.

Rules
- Who has no mailbox or no drive is not an error but an answer with a reason.
- Twenty people a request. A pause the service asks for is never mistaken for a missing mailbox.

Facts this file rests on: learn.microsoft.com/graph/json-batching, /api/user-get-mailboxsettings,
/api/drive-get; and what a missing mailbox or drive answers in practice (m365/graph/errors.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from m365.graph.auth import Tokens
from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    Unauthorized,
)
from m365.graph.permissions import missing_roles

NO_MAILBOX = "no-mailbox"
NO_DRIVE = "no-drive"
LOCKED = "locked"
FORBIDDEN = "forbidden"
PURPOSE_PERMISSION = "MailboxSettings.Read"

# What every mailbox has, by the permission that shows it.
_MAILBOX: Mapping[str, str] = {
    "Mail.ReadBasic.All": "mailFolders/inbox?$select=id",
    "Calendars.ReadBasic.All": "calendar?$select=id",
    "Contacts.Read": "contactFolders?$top=1&$select=id",
    "MailboxSettings.Read": "mailboxSettings/userPurpose",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a person has: its Graph id, or "" and the reason (kebab-case) why there is none."""

    id: str = ""
    reason: str = ""
    url: str = ""  # of a drive


def mailbox_right(reader: GraphReader) -> str:
    """The permission in the token by which mailboxes are found; "" without one: then rights that
    only Exchange knows of may answer.
    """
    tokens = reader.tokens
    roles = tokens.roles() if isinstance(tokens, Tokens) else frozenset()
    return next((name for name in _MAILBOX if not missing_roles([name], roles)), "")


def mailboxes_of(reader: GraphReader, user_ids: Sequence[str]) -> dict[str, Found]:
    """The mailboxes of people; a mailbox has the id of its user. Raises Throttled."""
    path = _MAILBOX.get(mailbox_right(reader), _MAILBOX["Mail.ReadBasic.All"])
    return _each(
        reader,
        user_ids,
        lambda user_id: f"/users/{quote(user_id, safe='')}/{path}",
        Scope.directory(),
        NO_MAILBOX,
        lambda user_id, body: user_id,
    )


def drives_of(reader: GraphReader, user_ids: Sequence[str]) -> dict[str, Found]:
    """The OneDrives of people. Raises Throttled."""
    return _each(
        reader,
        user_ids,
        lambda user_id: f"/users/{quote(user_id, safe='')}/drive?$select=id,webUrl",
        Scope.sharepoint(),
        NO_DRIVE,
        lambda user_id, body: str(body.get("id") or ""),
    )


def purposes_of(reader: GraphReader, user_ids: Sequence[str]) -> dict[str, str]:
    """What mailboxes are for: user, shared, room, equipment, linked, others; "" where not told.

    Raises Throttled.
    """
    found = _each(
        reader,
        user_ids,
        lambda user_id: f"/users/{quote(user_id, safe='')}/mailboxSettings/userPurpose",
        Scope.directory(),
        NO_MAILBOX,
        lambda user_id, body: str(body.get("value") or ""),
    )
    return {user_id: one.id for user_id, one in found.items()}


def _each(
    reader: GraphReader,
    user_ids: Sequence[str],
    url: Callable[[str], str],
    scope: Scope,
    nothing: str,
    id_of: Callable[[str, Mapping[str, Any]], str],
) -> dict[str, Found]:
    unique = list(dict.fromkeys(user_ids))
    answers = reader.batch([BatchRequest(url(user_id)) for user_id in unique], scope)
    return {
        user_id: _found(answer, nothing, partial(id_of, user_id))
        for user_id, answer in zip(unique, answers, strict=True)
    }


def _found(answer: BatchAnswer, nothing: str, id_of: Callable[[Mapping[str, Any]], str]) -> Found:
    try:
        body = answer.json()
        found = id_of(body)
        return Found(found, url=str(body.get("webUrl") or "")) if found else Found(reason=nothing)
    except (ResourceGone, ItemGone):
        return Found(reason=nothing)
    except Locked:
        return Found(reason=LOCKED)
    except Forbidden:
        return Found(reason=FORBIDDEN)
    except Unauthorized:
        raise
    except GraphProblem as problem:
        return Found(reason=problem.code)
