"""The simulated tenant: its clock and dice, people, mailboxes, drives, apps, and what it counted.

Everything is in memory. Whoever touches a tenant while a server runs on it takes tenant.lock;
the server takes it around every handler.
"""

import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator.feed import ChangeLog, Feeds
from simulator.mailbox import Mailbox
from simulator.quirks import Limits, Quirks
from simulator.roles import ROLE_IDS
from simulator.tokens import Tokens
from simulator.web import GraphError, Json

if TYPE_CHECKING:
    from simulator.drive import Drive

BACKUP_ROLES = (
    "Application.Read.All", "Calendars.Read", "Channel.ReadBasic.All", "ChannelMember.Read.All",
    "ChannelMessage.Read.All", "Chat.Read.All", "Contacts.Read", "Files.Read.All",
    "Group-Conversation.Read.All", "Group.Read.All", "GroupMember.Read.All", "Mail.Read",
    "MailboxFolder.Read.All", "MailboxItem.Export.All", "MailboxItem.Read.All",
    "MailboxSettings.Read", "Organization.Read.All", "Reports.Read.All", "ShortNotes.Read.All",
    "Sites.Read.All", "Tasks.Read.All", "Team.ReadBasic.All", "TeamMember.Read.All",
    "TeamsTab.Read.All", "User.Read.All",
)  # fmt: skip
RESTORE_ROLES = (
    "Calendars.ReadWrite", "Channel.ReadBasic.All", "ChannelMessage.Read.All",
    "Contacts.ReadWrite", "Files.ReadWrite.All", "Mail.Read",
    "Mail.ReadWrite", "MailboxFolder.ReadWrite.All", "MailboxItem.ImportExport.All",
    "MailboxItem.ReadWrite.All", "MailboxSettings.Read", "MailboxSettings.ReadWrite",
    "ShortNotes.ReadWrite.All", "Sites.Manage.All", "Sites.ReadWrite.All", "Tasks.ReadWrite.All",
    "Teamwork.Migrate.All", "User.Read.All",
)  # fmt: skip


LICENCE: Json = {"disabledPlans": [], "skuId": "05e9a617-0261-4cee-bb44-138d3ef5d965"}


class Clock:
    """The tenant's time: real time plus what it was advanced by; or frozen at a start."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._frozen_at = frozen_at
        self._ahead_s = 0.0

    def now(self) -> datetime:
        """The time, in UTC."""
        start = self._frozen_at or datetime.now(UTC)
        return start + timedelta(seconds=self._ahead_s)

    def seconds(self) -> float:
        """Seconds since 1970."""
        return self.now().timestamp() if self._frozen_at else time.time() + self._ahead_s

    def elapsed_s(self) -> float:
        """A clock for limits and waits: it runs even when the calendar is frozen."""
        return time.monotonic() + self._ahead_s

    def stamp(self) -> str:
        """The time as Graph writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead_s += seconds


@dataclass(slots=True)
class AppRegistration:
    """An app with its service principal in this tenant; roles are Graph application roles."""

    app_id: str
    display_name: str
    roles: set[str]
    secrets: set[str] = field(default_factory=set)
    certificates: list[bytes] = field(default_factory=list)
    """PEM certificates (or public keys) client assertions may be signed with."""
    enabled: bool = True
    object_id: str = ""
    secret_ends: dict[str, datetime] = field(default_factory=dict)
    """When secrets are no longer accepted; those not named here, two years after the start."""
    exchange_roles: set[str] = field(default_factory=set)
    """Application roles of Office 365 Exchange Online, beside Graph's."""
    sharepoint_roles: set[str] = field(default_factory=set)
    """Application roles of SharePoint itself, beside Graph's."""
    mailbox_roles: dict[str, set[str]] = field(default_factory=dict)
    """Roles that Exchange itself grants (RBAC for Applications): by role, ids of users in scope."""
    registered_here: bool = True
    """The registration itself lies in this tenant; else only its service principal does."""


@dataclass(slots=True)
class User:
    """A directory user; properties are Graph's, without id."""

    id: str
    properties: Json
    purpose: str = "user"
    """mailboxSettings/userPurpose: user, shared, room, equipment, linked, others."""
    drive_id: str | None = None
    """The OneDrive; None when it was never provisioned."""


@dataclass(slots=True)
class Group:
    """A directory group; members are ids of users and groups."""

    id: str
    properties: Json
    members: list[str] = field(default_factory=list)
    drive_id: str | None = None

    @property
    def unified(self) -> bool:
        """Whether it is a Microsoft 365 group, which has a mailbox."""
        return "Unified" in (self.properties.get("groupTypes") or ())


@dataclass(slots=True)
class Counters:
    """What the service has seen."""

    requests: Counter[str] = field(default_factory=Counter)
    """By "METHOD /pattern"; a batch counts itself and every request in it."""
    statuses: Counter[int] = field(default_factory=Counter)
    offences: Counter[str] = field(default_factory=Counter)
    """Misbehaviour of the client by kind, e.g. "retry-after-ignored", "token-to-foreign-host"."""
    violations: list[str] = field(default_factory=list)
    """Requests that do not fit the OpenAPI documents."""
    faults: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    meeting_mail: Counter[str] = field(default_factory=Counter)
    """Mails Exchange would have sent to attendees: "invitation", "update", "cancellation"."""
    sharing_mail: Counter[str] = field(default_factory=Counter)
    """Mails SharePoint would have sent to those a file is shared with: "invitation", "link"."""
    sharepoint_units: int = 0
    """Resource units of all requests to drives, lists and sites; throttled ones count too."""
    highest_concurrency: dict[str, int] = field(default_factory=dict)
    """Per mailbox, the most requests of one app ever in flight."""


class Tenant:
    """One Microsoft 365 tenant."""

    def __init__(
        self,
        seed: int = 0,
        *,
        name: str = "Contoso",
        domain: str = "contoso.onmicrosoft.com",
        quirks: Quirks | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        from simulator.faults import Faults

        self.rng = random.Random(seed)
        self.seed = seed
        self.lock = threading.RLock()
        self.clock = clock or Clock()
        self.id = self.new_id()
        self.name = name
        self.domain = domain
        self.quirks = quirks or Quirks()
        self.limits = limits or Limits()
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self.mailboxes: dict[str, Mailbox] = {}
        self.archives: dict[str, list[Mailbox]] = {}
        """In-place archives by user: the archive itself, then what it expanded into."""
        self.drives: dict[str, Drive] = {}
        self.sites: dict[str, Json] = {}
        self.deleted_users: dict[str, tuple[User, datetime, Mailbox | None]] = {}
        """In the bin: with when they were deleted, and their mailbox."""
        self.deleted_groups: dict[str, tuple[Group, datetime]] = {}
        self.apps: dict[str, AppRegistration] = {}
        self.faults: Faults = Faults(seed)
        self.counters = Counters()
        self.feeds = Feeds(random.Random(f"feeds {seed}"))
        self.sequence = 0
        self.user_log: ChangeLog[str] = ChangeLog()
        self.group_log: ChangeLog[str] = ChangeLog()
        self.tokens = Tokens()
        self.token_lifetime_s = 3599
        self.claims_challenges = 0
        """So many of the next requests with a token are answered by a claims challenge."""
        self.latency_s = 0.0
        """How long every Graph request takes; holds its place among the concurrent ones."""
        self.room: dict[str, Any] = {}
        """Further state of services, by their name."""
        self.graph_principal_id = self.new_id()
        self.exchange_principal_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"exchange {self.id}"))
        self.backup_app = self.add_app("Backup", BACKUP_ROLES)
        self.restore_app = self.add_app("Restore", RESTORE_ROLES)

    def new_id(self) -> str:
        """A GUID from the tenant's dice."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def role_id(self, role: str) -> str:
        """The id of an application role of Graph."""
        return ROLE_IDS.get(role) or str(uuid.uuid5(uuid.NAMESPACE_URL, role))

    def next_sequence(self) -> int:
        """The number of the next change to the directory."""
        self.sequence += 1
        return self.sequence

    def add_app(self, name: str, roles: tuple[str, ...]) -> AppRegistration:
        """Register an app, consented, with one secret."""
        secret = f"{self.rng.getrandbits(20):x}~{self.rng.getrandbits(160):040x}"
        app = AppRegistration(self.new_id(), name, set(roles), {secret}, object_id=self.new_id())
        self.apps[app.app_id] = app
        return app

    def add_user(
        self,
        display_name: str,
        *,
        mailbox: bool = True,
        purpose: str = "user",
        user_id: str | None = None,
        **properties: Any,
    ) -> User:
        """A user; properties in Graph's names override what follows from the name."""
        words = display_name.split()
        nickname = "".join(c for c in display_name if c.isascii() and c.isalnum()) or "user"
        taken = {u.properties["mailNickname"] for u in self.users.values()}
        while nickname in taken:
            nickname += "2"
        address = f"{nickname}@{self.domain}"
        facts: Json = {
            "businessPhones": [], "displayName": display_name, "givenName": words[0],
            "jobTitle": None, "mail": address if mailbox else None, "mobilePhone": None,
            "officeLocation": None, "preferredLanguage": None, "surname": words[-1],
            "userPrincipalName": address, "accountEnabled": purpose == "user",
            "mailNickname": nickname, "userType": "Member", "department": None,
            "createdDateTime": self.clock.stamp(), "deletedDateTime": None, "companyName": None,
            "usageLocation": None, "assignedPlans": [], "city": None,
            "assignedLicenses": [LICENCE] if mailbox and purpose == "user" else [],
            "proxyAddresses": [f"SMTP:{address}"] if mailbox else [], "otherMails": [],
            "onPremisesSyncEnabled": None, "country": None, "employeeId": None,
        }  # fmt: skip
        user = User(user_id or self.new_id(), facts | properties, purpose)
        self.users[user.id] = user
        self.user_log.record(user.id, self.next_sequence(), "full")
        if mailbox:
            self.mailboxes[user.id] = Mailbox(user.id, self.clock.stamp, self.rng.getrandbits(128))
        return user

    def add_group(self, display_name: str, members: list[str], **properties: Any) -> Group:
        """A Microsoft 365 group, unless properties say otherwise."""
        nickname = "".join(c for c in display_name if c.isascii() and c.isalnum())
        facts: Json = {
            "displayName": display_name, "description": None, "groupTypes": ["Unified"],
            "mail": f"{nickname}@{self.domain}", "mailEnabled": True, "mailNickname": nickname,
            "securityEnabled": False, "visibility": "Private", "deletedDateTime": None,
            "createdDateTime": self.clock.stamp(), "resourceProvisioningOptions": [],
        }  # fmt: skip
        group = Group(self.new_id(), facts | properties, list(members))
        self.groups[group.id] = group
        self.group_log.record(group.id, self.next_sequence(), "full")
        return group

    def change_user(self, user_id: str, **properties: Any) -> None:
        """Change properties of a user; shows in users/delta."""
        self.users[user_id].properties.update(properties)
        self.user_log.record(user_id, self.next_sequence(), "full")

    def remove_user(self, user_id: str, *, for_good: bool = False) -> None:
        """Delete a user with mailbox; soft, as long as it is not for good."""
        user, mailbox = self.users.pop(user_id), self.mailboxes.pop(user_id, None)
        for group in self.groups.values():
            group.members = [one for one in group.members if one != user_id]
        if not for_good:
            self.deleted_users[user_id] = (user, self.clock.now(), mailbox)
        self.archives.pop(user_id, None)
        self.user_log.record(user_id, self.next_sequence(), "deleted" if for_good else "changed")

    def user(self, reference: str) -> User:
        """A user by id or userPrincipalName; Graph's 404 else."""
        found = self.users.get(reference) or self.users.get(reference.lower())
        if found is None:
            lower = reference.lower()
            for user in self.users.values():
                if user.properties["userPrincipalName"].lower() == lower:
                    return user
            raise GraphError(
                404,
                "Request_ResourceNotFound",
                f"Resource '{reference}' does not exist or one of its queried reference-property "
                "objects are not present.",
            )
        return found

    def mailbox(self, reference: str) -> Mailbox:
        """The mailbox of a user; Exchange's 404s else."""
        try:
            user = self.user(reference)
        except GraphError:
            raise GraphError(
                404, "ErrorInvalidUser", f"The requested user '{reference}' is invalid."
            ) from None
        found = self.mailboxes.get(user.id)
        if found is None:
            raise GraphError(
                404,
                "MailboxNotEnabledForRESTAPI",
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
            )
        return found
