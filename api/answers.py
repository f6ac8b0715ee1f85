"""The answers of the API as models, so that openapi.json describes them.

The engine makes the answers; a field it adds is passed on, undocumented, until it is written here.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Out(BaseModel):
    """An answer; fields not named here are passed on."""

    model_config = ConfigDict(extra="allow")


class Page(Out, Generic[T]):
    """One page of a list. `next` is opaque: send it back as `?next=`; null at the end."""

    items: list[T]
    next: str | None = None


class ProblemOut(BaseModel):
    """An error, RFC 9457."""

    type: str = Field(description="a page that explains the code")
    title: str = Field(description="a sentence for a person")
    status: int
    code: str = Field(description="stable, for programs")
    hint: str = Field(description="what to do about it")
    details: dict[str, Any] | None = None


class OrganizationOut(Out):
    """A tenant that is protected; of credentials only that they are there."""

    id: str
    name: str
    tenant_id: str
    created: str
    vault_id: str
    has_credential: bool
    has_restore_credential: bool
    next_run_at: str | None
    shredded_at: str | None = Field(description="when its keys were destroyed, if they were")


class CreatedOut(OrganizationOut):
    """A new organization, and once and never again what opens its vault without us."""

    recovery_passphrase: str


class ConsentOut(Out):
    """Where an administrator of the tenant consents."""

    url: str


class SelectionOut(Out):
    """Whom a policy covers."""

    mode: Literal["all", "include", "exclude"]
    users: list[str]
    groups: list[str]
    patterns: list[str]
    leavers: Literal["keep", "stop"]


class SiteSelectionOut(Out):
    """Which SharePoint sites a policy covers."""

    mode: Literal["all", "include", "exclude"]
    sites: list[str]
    patterns: list[str]


class TeamSelectionOut(Out):
    """Which teams a policy covers."""

    mode: Literal["all", "include", "exclude"]
    teams: list[str]
    patterns: list[str]


class ScheduleOut(Out):
    """When backups start."""

    cron: str
    time_zone: str


class PolicyOut(Out):
    """What is protected and when."""

    services: list[str]
    selection: SelectionOut
    drives: SelectionOut | None = Field(description="null: the OneDrives of those in selection")
    sites: SiteSelectionOut
    teams: TeamSelectionOut | None = Field(description="null: those of the groups in selection")
    protection: str
    choices: dict[str, dict[str, bool | int | str]]
    schedule: ScheduleOut | None
    retention: dict[str, int] | None
    paused: bool
    version: int
    next_run_at: str | None


class RunOut(Out):
    """A backup, restore, export, verification or collection."""

    id: str
    kind: Literal["backup", "restore", "export", "verify", "collect", "rebuild"]
    state: str = Field(description="queued, running, green, amber, red, cancelled")
    requested_by: str
    started: str | None
    ended: str | None
    counts: dict[str, int]
    code: str = Field(description="why the run as a whole went wrong")
    detail: dict[str, Any]


class RunRowOut(Out):
    """How one service of one resource (or one batch of a restore) fares in a run."""

    name: str = Field(description="{service}/{resource}")
    state: str
    code: str
    counts: dict[str, int]


class ResourceOut(Out):
    """One service of one mailbox or drive."""

    service: str
    resource: str
    kind: str
    name: str
    address: str
    state: str = Field(description="protected, skipped, gone")
    reason: str
    last_run: str
    last_outcome: str
    last_code: str
    head: int | None = Field(description="number of the newest restore point")
    head_at: str | None
    first_at: str | None = Field(description="when its first restore point was made")
    items: int
    waiting: int = Field(description="items of which parts (MIME) are still to be copied, about")
    drift: int = Field(description="items counted otherwise by the tenant, after a full read")
    reconciled_at: str | None = Field(description="when live and stored counts were compared")
    last_seen: str | None
    purpose: str | None = Field(description="of a mailbox: user, shared, room, equipment, others")
    deleted_at: str | None = Field(description="when its owner left the directory, where known")
    verified_at: str | None


class SnapshotOut(Out):
    """A restore point."""

    number: int
    status: str
    created: str
    run: str
    counts: dict[str, int]


class EntryOut(Out):
    """A row of a listing: a folder, a message, a file."""

    id: str
    parent: str
    kind: str
    name: str
    columns: dict[str, Any]
    missing: list[str] = Field(description="parts that could not be copied, as role: cause")
    to_follow: list[str] = Field(description="roles of parts that are still to be copied")


class AboveOut(Out):
    """A folder above."""

    id: str
    name: str


class ColumnOut(Out):
    """A column that fits the service's items."""

    key: str
    title: str
    type: str


class ItemsOut(Page[EntryOut]):
    """One page of a folder, folders first."""

    folder: EntryOut | None
    path: list[AboveOut]
    total: int
    snapshot: int
    columns: list[ColumnOut]


class PartOut(Out):
    """Bytes of an item: its MIME, an attachment, its content."""

    role: str
    size: int
    meta: dict[str, Any]


class ItemOut(EntryOut):
    """One item with its object as Microsoft Graph sent it."""

    raw: dict[str, Any]
    parts: list[PartOut]
    path: list[AboveOut]
    snapshot: int


class PreviewOut(EntryOut):
    """What of an item can be shown safely, as plain text."""

    people: list[tuple[str, str]] = Field(description="title and names, such as To")
    words: str
    attachments: list[dict[str, Any]] = Field(description="name and size")


class FoundOut(EntryOut):
    """An item that a search found, and where it lies."""

    service: str
    resource: str
    owner: str
    snapshot: int


class PlanOut(Out):
    """What a restore is going to do."""

    items: int
    folders: int
    bytes: int
    conflicts: int | None = Field(description="null where nobody looked; a dry run looks")
    incomplete: int
    requests: int
    minutes: int
    cannot: list[str]
    by_kind: dict[str, int]


class PlannedOut(Out):
    """The plan of a dry run, and the request with everything filled in."""

    plan: PlanOut
    request: dict[str, Any]


class RestoreOut(RunOut):
    """A restore that was started; an undo has no plan."""

    request: dict[str, Any] | None
    plan: PlanOut | None


class RestoreRowOut(Out):
    """What became of one item."""

    id: str
    kind: str
    name: str
    outcome: str
    new_id: str
    troubles: list[dict[str, Any]]


class VerificationOut(RunOut):
    """A verification with what it counted and found; the report is null while it runs."""

    report: dict[str, Any] | None


class OrganizationsOut(Page[OrganizationOut]):
    """A page of organizations; `hint` when there is none although there are vaults."""

    hint: str | None = None


class RebuildOut(Out):
    """The run that makes an organization's rows anew."""

    organization: str
    run: str


class RebuildsOut(Out):
    """A rebuild for every vault that was found."""

    rebuilds: list[RebuildOut]


class CollectionOut(RunOut):
    """A collection with packs and bytes by what became of them; null while it runs."""

    report: dict[str, Any] | None


class KeptOut(Out):
    """A restore point and why it is kept; without a reason it expires."""

    number: int
    reasons: list[str]


class RetentionOut(Out):
    """The restore points of a resource under the policy's retention."""

    snapshots: list[KeptOut]


class RepairActionOut(Out):
    """One thing a repair does, or would do."""

    action: str = Field(description="lost, restart, void, bury, back (is whole again), left")
    name: str = Field(description="a blob; or a service and resource, with the number concerned")
    says: str


class RepairOut(Out):
    """What a repair did; not complete: do it again when the collector is done."""

    dry_run: bool
    complete: bool
    actions: list[RepairActionOut]


class LedgerRowOut(Out):
    """One thing that could not be copied."""

    service: str
    resource: str
    item: str
    part: str
    cause: str
    retry: bool
    attempts: int
    first_seen: str
    last_seen: str
    next_try: str | None


class AuditRowOut(Out):
    """Who did what; `hash` covers the entry and the one before."""

    number: int
    at: str
    actor: str
    action: str
    target: str
    detail: dict[str, Any]
    hash: str


class UsageOut(Out):
    """Sums over the newest runs."""

    runs: int
    totals: dict[str, int]
