"""What the directory remembers beyond its objects: who was in which group when, sites that came and
went, users who can still be restored.

Rules: whatever changes users, groups, members or sites of a tenant, in whatever way, shows in the
feeds: what is compared is what was there the last time somebody looked.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from simulator.feed import ChangeLog
from simulator.tenant import Group, Tenant, User
from simulator.web import GraphError, Json

RESTORABLE = timedelta(days=30)
_ROOM = "directory"
Membership = Literal["added", "removed"]


@dataclass(slots=True)
class State:
    """Kept in the tenant's room."""

    site_log: ChangeLog[str] = field(default_factory=ChangeLog)
    sites: dict[str, Json] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    member_log: dict[tuple[str, str], tuple[int, Membership]] = field(default_factory=dict)
    """By group and member: the last change."""
    born: dict[str, int] = field(default_factory=dict)
    """By group: the sequence at which it was first seen."""


def looked(tenant: Tenant) -> State:
    """The state, brought up to what the tenant is now."""
    state: State = tenant.room.setdefault(_ROOM, State())
    hidden = tenant.room["sites"].hidden if "sites" in tenant.room else {}
    for key, site in tenant.sites.items():
        if state.sites.get(key) != site and "delta" not in hidden.get(key, ()):
            state.sites[key] = dict(site)
            state.site_log.record(key, tenant.next_sequence(), "full")
    for key in state.sites.keys() - tenant.sites.keys():
        del state.sites[key]
        state.site_log.record(key, tenant.next_sequence(), "deleted")
    for group in tenant.groups.values():
        _look_at(tenant, state, group)
    return state


def _look_at(tenant: Tenant, state: State, group: Group) -> None:
    before = state.members.get(group.id)
    state.born.setdefault(group.id, tenant.sequence)
    if before == group.members:
        return
    state.members[group.id] = list(group.members)
    changes: list[tuple[str, Membership]] = [
        *((one, "added") for one in group.members if one not in (before or ())),
        *((one, "removed") for one in before or () if one not in group.members),
    ]
    for member, change in changes:
        state.member_log[group.id, member] = (tenant.next_sequence(), change)
    if before is not None:
        tenant.group_log.record(group.id, tenant.next_sequence(), "full")


def members_since(tenant: Tenant, group: Group, since: int) -> list[tuple[str, Membership]]:
    """What changed among a group's members after a sequence; everybody of one that is newer."""
    state = looked(tenant)
    if since < state.born[group.id]:
        return [(member, "added") for member in group.members]
    return [
        (member, change)
        for (group_id, member), (sequence, change) in state.member_log.items()
        if group_id == group.id and sequence > since
    ]


def change_members(tenant: Tenant, group_id: str, add: list[str], remove: list[str]) -> None:
    """Let users or groups into a group, and others out."""
    looked(tenant)
    group = tenant.groups[group_id]
    group.members = [one for one in group.members if one not in remove]
    group.members += [one for one in add if one not in group.members]
    looked(tenant)


def remove_group(tenant: Tenant, group_id: str, *, for_good: bool = False) -> None:
    """Delete a group; soft, as long as it is not for good."""
    looked(tenant)
    group = tenant.groups.pop(group_id)
    for other in tenant.groups.values():
        other.members = [one for one in other.members if one != group_id]
    if not for_good:
        tenant.deleted_groups[group_id] = (group, tenant.clock.now())
    kind: Literal["deleted", "changed"] = "deleted" if for_good else "changed"
    tenant.group_log.record(group_id, tenant.next_sequence(), kind)


def deleted_users(tenant: Tenant) -> list[Json]:
    """Users in the bin, as the directory shows them: the id before the principal name."""
    found = []
    for user, at, _ in tenant.deleted_users.values():
        if at + RESTORABLE >= tenant.clock.now():
            name = user.id.replace("-", "") + str(user.properties["userPrincipalName"])
            facts = {
                "userPrincipalName": name,
                "deletedDateTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            found.append({"id": user.id} | user.properties | facts)
    return found


def deleted_groups(tenant: Tenant) -> list[Json]:
    """Groups in the bin."""
    return [
        {"id": group.id} | group.properties | {"deletedDateTime": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        for group, at in tenant.deleted_groups.values()
        if at + RESTORABLE >= tenant.clock.now()
    ]


def restore(tenant: Tenant, object_id: str) -> User | Group:
    """Bring a user, with mailbox, or a group back; Graph's 404 else."""
    if object_id in tenant.deleted_users:
        user, _, mailbox = tenant.deleted_users.pop(object_id)
        tenant.users[object_id] = user
        if mailbox is not None:
            tenant.mailboxes[object_id] = mailbox
        tenant.user_log.record(object_id, tenant.next_sequence(), "full")
        return user
    if object_id in tenant.deleted_groups:
        group, _ = tenant.deleted_groups.pop(object_id)
        tenant.groups[object_id] = group
        tenant.group_log.record(object_id, tenant.next_sequence(), "full")
        return group
    raise GraphError(
        404, "Request_ResourceNotFound", f"Resource '{object_id}' does not exist in the bin."
    )
