"""The answers about throttling as models; see api/answers.py."""

from __future__ import annotations

from pydantic import Field

from api.answers import Out


class ThrottledScopeOut(Out):
    """What is known of one kind of limit; counts are of today (UTC)."""

    scope: str = Field(description="sharepoint, directory, mailboxes, or app: over all tenants")
    limit: int | None = Field(description="units within `seconds`; null where each mailbox counts")
    seconds: float | None
    claimed: int = Field(description="units that workers have claimed of it now")
    workers: int
    restoring: bool = Field(description="a restore is at work: backups keep to a smaller share")
    day_limit: int | None
    day_spent: int | None = Field(description="units within the last 24 hours")
    requests: int
    units: int
    refused: int = Field(description="answers that asked for a pause")
    held: int = Field(description="requests that were put off before they were sent")
    waited_s: int


class BusyMailboxOut(Out):
    """A mailbox that workers have claimed slots of."""

    mailbox: str
    workers: int
    slots: int
    restoring: bool


class PauseOut(Out):
    """Until when nothing is sent, and why."""

    scope: str
    mailbox: str
    until: str
    reason: str = Field(description="answered-429, say")


class ThrottlingOut(Out):
    """What the governor does for a tenant; up to a minute old."""

    scopes: list[ThrottledScopeOut]
    mailboxes: list[BusyMailboxOut]
    pauses: list[PauseOut]
    licences: int = Field(description="of which SharePoint's limits follow; 0: not known")
