"""Who exists in a tenant and what they have.

Rules
- Nothing is keyed on a display name: it may be empty, and it may be everybody's.
- Who has no mailbox or no drive is not an error but an answer with a reason.
- One odd entry never spoils a listing: without an id it is passed over, seen twice it counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    Unauthorized,
)
from m365.graph.sdk import PEOPLE, ControlPlane

_PAGE_MAX = "999"
_SELECT = ",".join((*PEOPLE, "assignedLicenses"))
NO_MAILBOX = "no-mailbox"
NO_DRIVE = "no-drive"
LOCKED = "locked"
FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the tenant. `display_name` is never empty; `licensed` is None where not told."""

    id: str
    display_name: str
    mail: str
    user_principal_name: str
    account_enabled: bool
    user_type: str  # "Member", "Guest"
    licensed: bool | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a person has: its Graph id, or "" and the reason (kebab-case) why there is none."""

    id: str = ""
    reason: str = ""


class Directory:
    """The people and groups of the tenant behind a reader."""

    def __init__(self, reader: GraphReader) -> None:
        self._reader = reader
        self._scope = Scope.directory()

    def users(self) -> Iterator[Person]:
        """Everybody, guests and disabled accounts too, 999 a request."""
        params = {"$select": _SELECT, "$top": _PAGE_MAX}
        seen: set[str] = set()
        for page in follow(self._reader, "/users", params, scope=self._scope, cost_first=2):
            for entry in page.value:
                person = _person(entry)
                if person is not None and person.id not in seen:
                    seen.add(person.id)
                    yield person

    def search(self, kind: str, text: str, limit: int) -> list[dict[str, Any]]:
        """A few "users", "groups", "teams" or "sites" by name, for pickers, as Graph shows them."""
        return self._control().search(kind, text, limit)

    def organization(self) -> dict[str, Any]:
        """The tenant itself: id, displayName."""
        return self._control().organization()

    def mailbox_of(self, user_id: str) -> Found:
        """The mailbox of one person; its id is the user's."""
        return self.mailboxes_of([user_id])[user_id]

    def mailboxes_of(self, user_ids: Sequence[str]) -> dict[str, Found]:
        """The mailboxes of many, twenty a request. Raises Throttled."""
        return self._each(
            user_ids,
            lambda user_id: f"/users/{quote(user_id)}/mailFolders/inbox?$select=id",
            self._scope,
            NO_MAILBOX,
            lambda user_id, body: user_id,
        )

    def drives_of(self, user_ids: Sequence[str]) -> dict[str, Found]:
        """The OneDrives of many, twenty a request. Raises Throttled."""
        return self._each(
            user_ids,
            lambda user_id: f"/users/{quote(user_id)}/drive?$select=id",
            Scope.sharepoint(),
            NO_DRIVE,
            lambda user_id, body: str(body.get("id", "")),
        )

    def _each(
        self,
        user_ids: Sequence[str],
        url: Callable[[str], str],
        scope: Scope,
        nothing: str,
        id_of: Callable[[str, Mapping[str, Any]], str],
    ) -> dict[str, Found]:
        unique = list(dict.fromkeys(user_ids))
        requests = [BatchRequest(url(user_id)) for user_id in unique]
        answers = self._reader.batch(requests, scope)
        return {
            user_id: _found(answer, nothing, partial(id_of, user_id))
            for user_id, answer in zip(unique, answers, strict=True)
        }

    def _control(self) -> ControlPlane:
        return self._reader.control_plane()


def _person(entry: Mapping[str, Any]) -> Person | None:
    user_id = entry.get("id")
    if not isinstance(user_id, str) or not user_id:
        return None
    address = str(entry.get("userPrincipalName") or "")
    mail = str(entry.get("mail") or "")
    licences = entry.get("assignedLicenses")
    return Person(
        id=user_id,
        display_name=str(entry.get("displayName") or address or mail or user_id),
        mail=mail,
        user_principal_name=address,
        account_enabled=entry.get("accountEnabled") is not False,
        user_type=str(entry.get("userType") or "Member"),
        licensed=bool(licences) if isinstance(licences, list) else None,
    )


def _found(answer: BatchAnswer, nothing: str, id_of: Callable[[Mapping[str, Any]], str]) -> Found:
    try:
        return Found(id_of(answer.json()))
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
