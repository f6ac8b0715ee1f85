"""Who may send when: slots per mailbox, budgets per tenant, pauses that the service asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Scope:
    """Which limits a request falls under. `key` is the mailbox's user id, "" elsewhere."""

    kind: str
    key: str = ""

    @classmethod
    def mailbox(cls, user_id: str) -> Self:
        """Everything in one mailbox: mail, calendar, contacts, tasks."""
        return cls("mailbox", user_id.lower())

    @classmethod
    def sharepoint(cls) -> Self:
        """All drives, lists and sites of the tenant."""
        return cls("sharepoint")

    @classmethod
    def directory(cls) -> Self:
        """Users, groups, organization."""
        return cls("directory")
