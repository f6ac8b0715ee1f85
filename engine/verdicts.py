"""What a connection test means to a person: a verdict per service and side, and warnings.

The permissions themselves come from the registry of services; nothing is listed twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from m365 import SERVICES
from m365.connection import FIND_PEOPLE, Check, ConnectionReport
from m365.directory import GROUPS, SITES
from m365.graph.permissions import FULL_ACCESS_AS_APP, covering_role
from m365.registration import READ_APPLICATIONS, CredentialEnd, ExchangeRoles
from m365.service import Service
from m365.site_holdings import CHANNELS_PERMISSION

SOON_DAYS = 30
# What the backup application does without, and what that costs.
OPTIONAL: Mapping[str, str] = {
    READ_APPLICATIONS: "When the secret ends, and permissions outside Graph, cannot be seen.",
    GROUPS.permission: "Policies cannot select by group.",
    SITES.permission: "Sites cannot be found.",
    CHANNELS_PERMISSION: "Sites of private and shared channels may be missing.",
    "MailboxSettings.Read": "Shared, room and equipment mailboxes look like those of people.",
    "Organization.Read.All": "The tenant's name cannot be shown.",
}
GRANTED, MISSING, NARROWED = "granted", "missing", "narrowed"
REFUSED, EXPORT_ONLY, NOT_TESTED = "refused-by-tenant", "export-only", "not-tested"


@dataclass(frozen=True, slots=True)
class Side:
    """Whether one service can be backed up, or restored. `says` is a sentence for a person."""

    state: str
    needs: tuple[str, ...]
    says: str
    missing: tuple[str, ...] = ()
    covered_by: Mapping[str, str] = field(default_factory=dict)  # by a wider one that is held


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the test means for one service; `protected`: the policy in force names it."""

    service: str
    title: str
    protected: bool
    backup: Side
    restore: Side


@dataclass(frozen=True, slots=True)
class Notice:
    """What is not broken and should be seen to. `level`: "warning", or "note" to know about."""

    code: str
    application: str  # "backup", "restore"
    level: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about one application."""

    name: str  # "backup", "restore"
    client_id: str
    report: ConnectionReport
    end: CredentialEnd
    exchange: ExchangeRoles

    @property
    def failed(self) -> bool:
        """Nothing could be tried: it does not sign in, or Graph does not answer."""
        return bool(self.report.problem) and not self.report.checks


def needs(services: Iterable[Service], side: str) -> dict[str, list[str]]:
    """Each application permission of a side ("backup", "restore"), and the services it is for."""
    found: dict[str, list[str]] = {}
    for service in services:
        for permission in needed(service, side):
            found.setdefault(permission, []).append(service.name)
    return found


def needed(service: Service, side: str) -> tuple[str, ...]:
    """The least permissions of one service: to be backed up its owners have to be found first."""
    if side == "restore":
        return service.writes
    found_by = (FIND_PEOPLE, GROUPS.permission) if service.resource_kind == "group" else ()
    return tuple(dict.fromkeys((FIND_PEOPLE, *found_by, *service.reads)))


def optional(side: str) -> Mapping[str, str]:
    """What an application of a side does without, and what that costs: of restores, what only an
    option needs.
    """
    if side == "backup":
        return OPTIONAL
    return {
        permission: f"{service.title}: a restore cannot ask for `{option}`."
        for service in SERVICES.values()
        for option in service.option_writes
        for permission in service.writes_with((option,))
        if permission not in service.writes
    }


def verdict(
    service: Service, protected: Collection[str], backup: Found, restore: Found | None
) -> Verdict:
    """What both applications can do for one service."""
    return Verdict(
        service.name,
        service.title,
        service.name in protected,
        _side(service, "backup", backup),
        _side(service, "restore", restore),
    )


def works(found: Found | None) -> bool:
    """Whether an application can do all it is for; a tenant's refusal is coverage, no fault."""
    if found is None:
        return True
    return not found.report.problem and all(
        check.granted or _is_refusal(check) for check in found.report.checks
    )


def disables(check: Check, side: str) -> tuple[str, ...]:
    """What does not work without a permission, in sentences."""
    if check.permission == FIND_PEOPLE:
        return ("Nobody can be found in the directory: nothing is backed up.",)
    done = "backed up" if side == "backup" else "restored"
    return tuple(f"{SERVICES[name].title}: nothing is {done}." for name in check.needed_by)


def _side(service: Service, side: str, found: Found | None) -> Side:
    permissions = needed(service, side)
    done = "backed up" if side == "backup" else "restored"
    if side == "restore" and service.writer is None:
        return Side(EXPORT_ONLY, (), "Microsoft lets no application write it; it is exported.")
    if found is None:
        return Side(NOT_TESTED, permissions, "There is no restore application yet.")
    if found.failed:
        return Side(NOT_TESTED, permissions, f"The connection fails: nothing is {done}.")
    checks = {check.permission: check for check in found.report.checks}
    tried = [checks.get(one) or _by_token(one, service, found) for one in permissions]
    covered = {one.permission: one.covered_by for one in tried if one.covered_by and one.granted}
    missing = tuple(one.permission for one in tried if not one.granted)
    if not missing:
        some = any(one.narrowed for one in tried)
        says = f"For some mailboxes only can it be {done}." if some else f"It can be {done}."
        return Side(NARROWED if some else GRANTED, permissions, says, (), covered)
    if all(_is_refusal(one) for one in tried if not one.granted):
        says = "The tenant refuses it to applications; the coverage statement says so."
        return Side(REFUSED, permissions, says, missing, covered)
    if all(one.narrowed for one in tried if not one.granted):
        says = f"Nothing is {done}: granted, but refused for every mailbox tried."
        return Side(NARROWED, permissions, says, missing, covered)
    says = f"Nothing is {done} without {' and '.join(missing)}."
    return Side(MISSING, permissions, says, missing, covered)


def _by_token(permission: str, service: Service, found: Found) -> Check:
    """A permission of a service that the policy does not name: it is not tried."""
    held = covering_role(permission, found.report.roles)
    wider = "" if held == permission else held
    return Check(permission, (service.name,), bool(held), "token", covered_by=wider)


def _is_refusal(check: Check) -> bool:
    return check.narrowed and all(SERVICES[name].refusable for name in check.needed_by)


def warnings(backup: Found, restore: Found | None, now: datetime) -> Iterator[Notice]:
    """What should be seen to, the urgent first."""
    both = [backup, restore] if restore else [backup]
    for found in both:
        yield from _ending(found, now)
    for found in both:
        yield from _exchange_web_services(found)
    if restore is not None and restore.client_id == backup.client_id:
        yield Notice(
            "one-application", "backup", "warning",
            "Backup and restore use the same application: whoever holds its secret can write.",
            "Register a second application for restores, and take the write permissions from this.",
        )  # fmt: skip
    if backup.report.can_write:
        yield Notice(
            "backup-can-write", "backup", "warning",
            f"The backup application may also write: {', '.join(backup.report.can_write)}. It "
            "never does.",
            "Take these permissions away from it, so that it could not.",
        )  # fmt: skip
    for found in both:
        yield from _narrowed(found)
    for found in both:
        yield from _unused(found)


def _ending(found: Found, now: datetime) -> Iterator[Notice]:
    kind, ends, name = found.end.kind, found.end.ends, found.name
    if ends is not None:
        days = (ends - now).days
        if days <= SOON_DAYS:
            when = f"in {days} days" if days > 1 else "within two days" if days >= 0 else "already"
            yield Notice(
                f"{kind}-ends-soon", name, "warning",
                f"The {kind} of the {name} application ends {when}, on {ends:%Y-%m-%d}.",
                f"Make a new {kind} in Entra and enter it here before that day.",
            )  # fmt: skip
        return
    if found.failed:
        return
    why = {
        "graph-forbidden": f"no application here has {READ_APPLICATIONS}",
        "item-gone": "the application is registered in another tenant",
        "resource-gone": "the application is registered in another tenant",
    }.get(found.end.code, f"Entra does not show it ({found.end.code})")
    yield Notice(
        f"{kind}-end-unknown", name, "note",
        f"When the {kind} of the {name} application ends cannot be seen: {why}.",
        "Note the day somewhere else.",
    )  # fmt: skip


def _exchange_web_services(found: Found) -> Iterator[Notice]:
    roles = found.exchange.roles
    if FULL_ACCESS_AS_APP in roles:
        yield Notice(
            "ews-permission", found.name, "warning",
            f"The {found.name} application holds {FULL_ACCESS_AS_APP} of Office 365 Exchange "
            "Online: everything in every mailbox, through Exchange Web Services.",
            "Remove it: nothing here uses it. Since 1 October 2026 Microsoft answers these "
            "services only to tenants that allow them, and they end for all on 1 April 2027.",
        )  # fmt: skip
    others = [role for role in roles if role != FULL_ACCESS_AS_APP]
    if others:
        yield Notice(
            "exchange-roles", found.name, "note",
            f"The {found.name} application holds roles of Office 365 Exchange Online that are not "
            f"used here: {', '.join(others)}.",
            "Remove them unless something else needs them.",
        )  # fmt: skip
    if not found.exchange.seen and not found.failed:
        yield Notice(
            "ews-unknown", found.name, "note",
            f"Whether the {found.name} application still holds {FULL_ACCESS_AS_APP} cannot be "
            f"seen in a token for Graph without {READ_APPLICATIONS}.",
            "Look at the application's permissions in Entra, under Office 365 Exchange Online.",
        )  # fmt: skip


def _narrowed(found: Found) -> Iterator[Notice]:
    narrowed = [c for c in found.report.checks if c.narrowed and not _is_refusal(c)]
    if narrowed:
        names = ", ".join(check.permission for check in narrowed)
        yield Notice(
            "access-narrowed", found.name, "warning",
            f"{names}: granted, and refused for some or all of the people it was tried on.",
            "RBAC for Applications or an application access policy in Exchange, or access rules of "
            "SharePoint, may narrow it. Changes there take up to two hours.",
        )  # fmt: skip


def _unused(found: Found) -> Iterator[Notice]:
    known = (*needs(SERVICES.values(), found.name), *OPTIONAL, *optional(found.name))
    used = {role.lower() for role in (FIND_PEOPLE, *known)}
    held = found.report.roles
    covering = {covering_role(role, held).lower() for role in known}
    changing = found.report.can_write if found.name == "backup" else ()  # said already
    left = [one for one in held if one.lower() not in used | covering and one not in changing]
    if left:
        yield Notice(
            "not-needed", found.name, "note",
            f"The {found.name} application holds more than it needs: {', '.join(left)}.",
            "Remove what nothing else needs.",
        )  # fmt: skip
