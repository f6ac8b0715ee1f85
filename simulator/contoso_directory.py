"""The directory around Contoso's people: groups in groups, sites, OneDrive sites, who has left."""

import re

from simulator import directory_state, sites
from simulator.tenant import Tenant
from simulator.web import Json

_HOST, _MY_HOST = "contoso.sharepoint.com", "contoso-my.sharepoint.com"
_SECURITY: Json = {
    "groupTypes": [], "mail": None, "mailEnabled": False, "securityEnabled": True,
}  # fmt: skip


def furnish(tenant: Tenant) -> None:
    """Groups that contain one another, a site for everybody, and a user and a group in the bin."""
    people = [user.id for user in tenant.users.values() if user.properties["userType"] == "Member"]
    sales = tenant.add_group("Sales", people[::2], **_SECURITY)
    office = tenant.add_group("Office", [*people[1::2], sales.id], **_SECURITY)
    everybody = tenant.add_group("All of Contoso", [office.id], **_SECURITY)
    directory_state.change_members(tenant, sales.id, [everybody.id], [])  # in a circle
    sites.add_site(tenant, "Intranet", f"https://{_HOST}/sites/Intranet", drives=0)
    for user in list(tenant.users.values()):
        if user.drive_id is not None:
            name = re.sub("[^a-z0-9]", "_", str(user.properties["userPrincipalName"]).lower())
            url = f"https://{_MY_HOST}/personal/{name}"
            whose = str(user.properties["displayName"])
            site = sites.add_site(tenant, whose, url, drives=0, personal=True)
            sites.attach(tenant, site, user.drive_id)
    left = tenant.add_user("Left Berg", mailbox=False)
    tenant.remove_user(left.id)
    closed = tenant.add_group("Closed Project", people[:1], **_SECURITY)
    directory_state.remove_group(tenant, closed.id)
