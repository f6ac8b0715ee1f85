"""The directory around Contoso's people: groups in groups, sites, OneDrive sites, who has left."""

import re

from simulator import directory_state
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
    add_site(tenant, "Intranet", f"https://{_HOST}/sites/Intranet")
    for user in list(tenant.users.values()):
        if user.drive_id is not None:
            name = re.sub("[^a-z0-9]", "_", str(user.properties["userPrincipalName"]).lower())
            url = f"https://{_MY_HOST}/personal/{name}"
            add_site(tenant, str(user.properties["displayName"]), url, personal=True)
    left = tenant.add_user("Left Berg", mailbox=False)
    tenant.remove_user(left.id)
    closed = tenant.add_group("Closed Project", people[:1], **_SECURITY)
    directory_state.remove_group(tenant, closed.id)


def add_site(tenant: Tenant, name: str, url: str, *, personal: bool = False) -> str:
    """A site without content; its id."""
    host = url.split("/")[2]
    site_id = f"{host},{tenant.new_id()},{tenant.new_id()}"
    tenant.sites[site_id] = {
        "id": site_id, "displayName": name, "name": url.rpartition("/")[2], "webUrl": url,
        "createdDateTime": "2024-11-20T09:00:00Z", "siteCollection": {"hostname": host},
        "isPersonalSite": personal,
    }  # fmt: skip
    return site_id
