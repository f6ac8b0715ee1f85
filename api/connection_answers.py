"""The connection test's answer as models, so that openapi.json describes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Out

SideState = Literal[
    "granted", "missing", "narrowed", "refused-by-tenant", "export-only", "not-tested"
]


class CheckOut(Out):
    """One permission, and the services that do without it where it is missing."""

    permission: str
    needed_by: list[str]
    granted: bool
    how: str = Field(description="call: tried by a request; token: read from the token")
    code: str = Field(description="of the problem a request met")
    covered_by: str = Field(description='the wider permission that gives it; "" where it is held')
    narrowed: bool = Field(description="refused for some or all of the people it was tried on")
    disables: list[str] = Field(description="what does not work without it, in sentences")


class OptionalOut(Out):
    """A permission that no service needs; `disables` says what its absence costs."""

    permission: str
    granted: bool
    disables: list[str]


class ApplicationOut(Out):
    """Whether one application can do its work; `problem` is one that ended the test."""

    ok: bool
    client_id: str
    tenant_name: str
    tenant_id: str
    checks: list[CheckOut]
    optional: list[OptionalOut]
    roles: list[str] = Field(description="every application permission of Graph in the token")
    can_write: list[str] = Field(description="those of them that allow more than reading")
    credential_kind: Literal["secret", "certificate"]
    credential_ends: str | None = Field(description="null where it cannot be seen")
    problem: dict[str, Any]


class SideOut(Out):
    """Whether one service can be backed up, or restored."""

    state: SideState
    says: str = Field(description="a sentence for a person")
    needs: list[str] = Field(description="the least application permissions")
    missing: list[str]
    covered_by: dict[str, str] = Field(description="needed permission: wider one that gives it")


class VerdictOut(Out):
    """What the test means for one service; `protected`: the policy in force names it."""

    service: str
    title: str
    protected: bool
    backup: SideOut
    restore: SideOut


class NoticeOut(Out):
    """What is not broken and should be seen to, or known about."""

    code: str
    application: Literal["backup", "restore"]
    level: Literal["warning", "note"]
    message: str
    hint: str


class ConnectionOut(Out):
    """The connection test. `ok` is about the services that the policy names."""

    ok: bool
    backup: ApplicationOut
    restore: ApplicationOut | None = Field(description="null without a restore credential")
    services: list[VerdictOut]
    warnings: list[NoticeOut]
