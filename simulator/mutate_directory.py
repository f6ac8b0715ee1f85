"""Changes to users, groups and sites by name, for mutate.py; users and groups are named by id,
principal name or displayName.
"""

from collections.abc import Callable
from typing import Any

from simulator import directory_state, sites
from simulator.mailbox import Mailbox
from simulator.tenant import Group, Tenant
from simulator.web import Json


def _change_user(tenant: Tenant, a: Json) -> None:
    """{user, properties={}, purpose?}: "shared" is a conversion to a shared mailbox."""
    user = tenant.users[_id(tenant, a["user"])]
    user.purpose = str(a.get("purpose", user.purpose))
    tenant.change_user(user.id, **a.get("properties", {}))


def _add_mailbox(tenant: Tenant, a: Json) -> None:
    """{user}: it is provisioned; the directory hears of its address."""
    user = tenant.users[_id(tenant, a["user"])]
    tenant.mailboxes[user.id] = Mailbox(user.id, tenant.clock.stamp, tenant.rng.getrandbits(128))
    tenant.change_user(user.id, mail=user.properties["userPrincipalName"])


def _restore_user(tenant: Tenant, a: Json) -> None:
    """{user}: an id or the displayName of somebody in the bin; a group's as well."""
    text = str(a["user"])
    binned: list[Any] = [one[0] for one in tenant.deleted_users.values()]
    binned += [one[0] for one in tenant.deleted_groups.values()]
    found = [one for one in binned if text in (one.id, one.properties["displayName"])]
    directory_state.restore(tenant, found[0].id if found else text)


def _add_group(tenant: Tenant, a: Json) -> Json:
    """{name, members=[], properties={}}."""
    members = [_id(tenant, one) for one in a.get("members", ())]
    return {"id": tenant.add_group(str(a["name"]), members, **a.get("properties", {})).id}


def _change_members(tenant: Tenant, a: Json) -> None:
    """{group, add=[], remove=[]}: users or groups."""
    add, remove = ([_id(tenant, one) for one in a.get(key, ())] for key in ("add", "remove"))
    directory_state.change_members(tenant, _id(tenant, a["group"]), add, remove)


def _remove_group(tenant: Tenant, a: Json) -> None:
    """{group, for_good=false}."""
    group_id = _id(tenant, a["group"])
    directory_state.remove_group(tenant, group_id, for_good=bool(a.get("for_good")))


def _add_site(tenant: Tenant, a: Json) -> Json:
    """{name, url, parent="", drives=1, geography=""}; parent: id or displayName of a site."""
    parent = _site(tenant, a["parent"]) if a.get("parent") else ""
    drives, geography = int(a.get("drives", 1)), str(a.get("geography", ""))
    name, url = str(a["name"]), str(a["url"])
    return {
        "id": sites.add_site(tenant, name, url, parent=parent, drives=drives, geography=geography)
    }


def _add_library(tenant: Tenant, a: Json) -> Json:
    """{site, name}."""
    return {"id": sites.add_library(tenant, _site(tenant, a["site"]), str(a["name"])).id}


def _remove_site(tenant: Tenant, a: Json) -> None:
    """{site}: its id or displayName."""
    directory_state.looked(tenant)
    sites.delete_site(tenant, _site(tenant, a["site"]))


def _lock_site(tenant: Tenant, a: Json) -> None:
    """{site, status=423}."""
    sites.lock_site(tenant, _site(tenant, a["site"]), status=int(a.get("status", 423)))


def _unlock_site(tenant: Tenant, a: Json) -> None:
    """{site}: from a lock or an archive."""
    sites.unlock_site(tenant, _site(tenant, a["site"]))


def _archive_site(tenant: Tenant, a: Json) -> None:
    """{site, status=403}."""
    sites.archive_site(tenant, _site(tenant, a["site"]), status=int(a.get("status", 403)))


def _site(tenant: Tenant, reference: Any) -> str:
    text = str(reference)
    for key, site in tenant.sites.items():
        if text in (key, site["displayName"]):
            return key
    raise KeyError(f"no site {text!r}")


def _id(tenant: Tenant, reference: Any) -> str:
    text = str(reference)
    for one in (*tenant.users.values(), *tenant.groups.values()):
        names = [one.id, one.properties["displayName"]]
        if not isinstance(one, Group):
            names.append(one.properties["userPrincipalName"])
        if text in names:
            return one.id
    raise KeyError(f"no user or group {text!r}")


ACTIONS: dict[str, Callable[[Tenant, Json], Json | None]] = {
    "change_user": _change_user, "add_mailbox": _add_mailbox, "restore_user": _restore_user,
    "add_group": _add_group, "change_members": _change_members, "remove_group": _remove_group,
    "add_site": _add_site, "remove_site": _remove_site, "add_library": _add_library,
    "lock_site": _lock_site, "unlock_site": _unlock_site, "archive_site": _archive_site,
}  # fmt: skip
