"""The answers about coverage as models; see api/answers.py."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.answers import Out, ResourceOut


class CoverageReasonOut(Out):
    """Why something is not, or only partly, protected."""

    code: str
    sentence: str
    count: int = Field(description="items or parts; 0 where it is not about some of many")
    about: str = Field(description='the services it is about; "" where it is about all')


class CoverageServiceOut(Out):
    """One service of a mailbox or another thing."""

    service: str
    title: str
    state: str
    since: str | None
    last: str | None
    checked: str | None
    items: int
    reasons: list[CoverageReasonOut]


class CoverageRowOut(Out):
    """One owner, or one thing of an owner, or one list, channel or plan in it."""

    kind: str = Field(
        description="user, group, site; mailbox, archive, onedrive, chats, group-mailbox, team, "
        "channel, plans, plan, library, lists, list, pages"
    )
    id: str
    name: str
    address: str
    owner: dict[str, str] = Field(description="kind, id, name")
    state: str = Field(description="protected, partly, not")
    since: str | None = Field(description="first restore point; of a list or channel: of its site")
    last: str | None = Field(description="newest restore point; none is made where nothing changed")
    checked: str | None = Field(description="when all of it was last read to its end")
    items: int | None
    reasons: list[CoverageReasonOut]
    services: list[CoverageServiceOut]
    service: str
    resource: str


class CoverageOut(Out):
    """What is protected, what is partly or not and why, and the first rows."""

    as_of: str
    totals: dict[str, dict[str, int]] = Field(
        description="by kind: protected, partly, not, and how many of those do not exist (absent)"
    )
    why: list[dict[str, Any]] = Field(description="code, sentence, and how many things it is about")
    services: list[dict[str, Any]] = Field(
        description="service, title, on, choices, not_captured, not_restorable"
    )
    uncovered: list[dict[str, str]] = Field(
        description="what Microsoft 365 holds and no service copies: name, title, reason"
    )
    rows: list[CoverageRowOut]
    next: str | None = Field(description="continues at /coverage/rows")
    resources: dict[str, int]
    items: int
    waiting: int = Field(description="items of which parts (MIME) are still to be copied, about")
    reasons: dict[str, int]
    not_protected: list[ResourceOut] = Field(description="the first 500; the rows have them all")
    sites: dict[str, Any] = Field(description="how many are found, selected, protected")
    not_copied: int
