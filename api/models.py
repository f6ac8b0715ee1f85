"""What comes in over HTTP; api/answers.py says what goes out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, Tag

from engine import policies

ID = Field(max_length=1024)
SNAPSHOT_MAX = 10**9
_VERSION_MAX = 10**8


class In(BaseModel):
    """A request body: unknown fields are an error, so that a misspelt option is never ignored."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000)


class ClientSecret(In):
    """The application's client secret."""

    kind: Literal["client_secret"] = "client_secret"
    client_id: str = Field(min_length=1, max_length=64)
    client_secret: SecretStr = Field(min_length=1)


class Certificate(In):
    """The application's certificate with its private key, PEM."""

    kind: Literal["certificate"]
    client_id: str = Field(min_length=1, max_length=64)
    certificate_pem: SecretStr = Field(min_length=1)
    password: SecretStr | None = None


def _credential_kind(value: Any) -> str:
    """Whatever is no certificate is checked as a secret, so that an error never repeats `kind`."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", "")
    return "certificate" if kind == "certificate" else "client_secret"


Credential = Annotated[
    Annotated[ClientSecret, Tag("client_secret")] | Annotated[Certificate, Tag("certificate")],
    Discriminator(_credential_kind),
]


class NewOrganization(In):
    """A Microsoft 365 tenant to protect. Without an id one is made from the name."""

    id: str | None = Field(None, max_length=40)
    name: str = Field(min_length=1, max_length=200)
    tenant_id: str = Field(min_length=1, max_length=253, description="the tenant's GUID or domain")
    credential: Credential = Field(description="the backup application, which only reads")
    restore_credential: Credential | None = Field(
        None, description="the restore application, which may write; may be added later"
    )
    recovery_passphrase: SecretStr | None = Field(
        None, description="opens the vault without us; made for you when left out, and shown once"
    )


class ChangeOrganization(In):
    """What may change; fields left out stay as they are."""

    name: str | None = Field(None, min_length=1, max_length=200)
    credential: Credential | None = None
    restore_credential: Credential | None = None


class Selection(In):
    """Whom a policy covers: everybody, only those named, or everybody but those named."""

    mode: Literal["all", "include", "exclude"] = "all"
    users: list[str] = Field(
        default_factory=list,
        max_length=100_000,
        description="object ids, addresses or user principal names",
    )
    groups: list[str] = Field(
        default_factory=list,
        max_length=10_000,
        description="ids or addresses; members, also of groups within, are read at every run",
    )
    patterns: list[str] = Field(
        default_factory=list,
        max_length=1_000,
        description="of addresses and user principal names, with * and ?",
        examples=[["*@sales.contoso.com"]],
    )
    leavers: Literal["keep", "stop"] = Field(
        "keep", description="whether who leaves a chosen group stays protected"
    )


class SiteSelection(In):
    """Which SharePoint sites a policy covers."""

    mode: Literal["all", "include", "exclude"] = "all"
    sites: list[str] = Field(
        default_factory=list, max_length=100_000, description="site ids or addresses"
    )
    patterns: list[str] = Field(
        default_factory=list,
        max_length=1_000,
        description="of addresses, with * and ?",
        examples=[["https://contoso.sharepoint.com/sites/sales-*"]],
    )


class TeamSelection(In):
    """Which teams a policy covers, where they are chosen apart from groups."""

    mode: Literal["all", "include", "exclude"] = "all"
    teams: list[str] = Field(
        default_factory=list, max_length=100_000, description="ids or addresses of their groups"
    )
    patterns: list[str] = Field(
        default_factory=list, max_length=1_000, description="of addresses, with * and ?"
    )


class Schedule(In):
    """When backups start: a cron expression of five fields in a time zone of the IANA list."""

    cron: str = Field(max_length=100, examples=["0 1 * * *"])
    time_zone: str = Field("UTC", max_length=64, examples=["Europe/Berlin"])


class RetentionRules(In):
    """How many restore points of a resource to keep by each rule; 0: the rule does not apply."""

    last: int = Field(0, ge=0, le=100_000)
    within_days: int = Field(0, ge=0, le=100_000)
    hourly: int = Field(0, ge=0, le=100_000)
    daily: int = Field(0, ge=0, le=100_000)
    weekly: int = Field(0, ge=0, le=100_000)
    monthly: int = Field(0, ge=0, le=100_000)
    yearly: int = Field(0, ge=0, le=100_000)


class Policy(In):
    """What is protected and when. `version` is the one that was read; 0 for the first."""

    services: list[str] = Field(
        default_factory=lambda: list(policies.DEFAULT["services"]), min_length=1
    )
    selection: Selection = Field(default_factory=Selection)
    drives: Selection | None = Field(
        None, description="whose OneDrives; left out: of those in `selection`"
    )
    sites: SiteSelection = Field(default_factory=SiteSelection)
    teams: TeamSelection | None = Field(
        None, description="which teams; left out: those of the groups in `selection`"
    )
    protection: Literal["progressive", "full", "fast"] = Field(
        "progressive",
        description="of mail: items first and their MIME once everybody has had a first pass; "
        "everything at once; items only",
    )
    choices: dict[str, dict[str, bool | int | str]] = Field(
        default_factory=dict,
        max_length=50,
        description="how services are backed up, by service and name; drive: versions (latest, "
        "all, or how many)",
        examples=[{"drive": {"versions": 5}}],
    )
    schedule: Schedule | None = None
    retention: RetentionRules | None = Field(None, description="left out: everything is kept")
    paused: bool = False
    version: int = Field(0, ge=0, le=_VERSION_MAX)


class RestoreIn(In):
    """What to restore and where to; with `dry_run` nothing is written and the plan comes back."""

    service: str
    resource: str = ID
    snapshot: int | None = Field(None, ge=1, le=SNAPSHOT_MAX)
    items: list[str] = Field(default_factory=list, max_length=100_000)
    folders: list[str] = Field(default_factory=list, max_length=10_000)
    target: str = Field("", max_length=1024, description="a resource id; empty: where it came from")
    place: Literal["folder", "original"] = "folder"
    folder_name: str = Field("", max_length=200)
    conflict: Literal["skip", "copy", "replace"] = "skip"
    options: list[str] = Field(
        default_factory=list,
        max_length=20,
        description="of the service; calendar: list_attendees writes the attendees below the text "
        "of an event, which mails nobody",
    )
    dry_run: bool = False


class ExportIn(In):
    """What to take away as a zip."""

    service: str
    resource: str = ID
    snapshot: int | None = Field(None, ge=1, le=SNAPSHOT_MAX)
    items: list[str] = Field(default_factory=list, max_length=100_000)
    folders: list[str] = Field(default_factory=list, max_length=10_000)


class CollectIn(In):
    """What a collection may do. `confirmed`: delete more than a tenth of the vault at once."""

    dry_run: bool = False
    confirmed: bool = False


class VerifyIn(In):
    """How thoroughly to verify: every byte, structure only (`read_data` false), or besides that a
    `share` of the packs, beginning where the last verification of a share stopped. A level stands
    for all of these: quick (structure), normal (a hundredth of the packs as well), full.
    """

    level: Literal["quick", "normal", "full"] | None = None
    read_data: bool = True
    share: float = Field(0.0, ge=0.0, le=1.0)
    samples: int = Field(
        20, ge=0, le=1000, description="items that are restored to nowhere and compared; quick: 0"
    )


class RepairIn(In):
    """How to mend what a verification found; as a dry run it only says what it would do."""

    dry_run: bool = True
    give_up: bool = Field(
        False,
        description="gives up older restore points whose list of items cannot be read whole",
    )


class SlotTerms(In):
    """How slots change."""

    passphrases: list[SecretStr] = Field(
        default_factory=list,
        max_length=10,
        description="of slots that stay, so that a fresh master secret can be wrapped for them",
    )
    keep_master: bool = Field(
        False, description="keep the master secret; a slot that goes is then not shut out for good"
    )


class RotateIn(SlotTerms):
    """Which layer to rotate: the data key that seals what is written, or what wraps the keys."""

    layer: Literal["data", "slots"]


class SlotIn(SlotTerms):
    """A key slot to add. A passphrase is made for you when left out, and shown once."""

    kind: Literal["passphrase", "public-key", "azure-key-vault"]
    purpose: Literal["recovery", "service"] = "recovery"
    passphrase: SecretStr | None = None
    public_key: str = Field("", max_length=10_000, description="RSA, 3072 bits or more, PEM")
    key_id: str = Field("", max_length=400, description="address of a Key Vault key")
    replaces: str = Field("", max_length=20, description="id of a slot that goes with this change")


class ShredIn(In):
    """Confirms that every key of an organization is to be destroyed."""

    confirm: str = Field(max_length=200, description="the id of the organization")
