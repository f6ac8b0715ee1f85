"""Contoso's sites beside those of its team and its people: several libraries, a subsite, the site
of a private channel, one in another geography, one archived, one locked.
"""

from collections.abc import Callable

from simulator import sites
from simulator.content_files import Furnisher
from simulator.teams import teams
from simulator.tenant import Tenant
from simulator.web import Json

Furnish = Callable[[Json, str, int], Furnisher]
"""A new drive of an owner, at an address, with so many files."""
_HOST, _OTHER_HOST = "https://contoso.sharepoint.com", "https://contosoeur.sharepoint.com"


def add_sites(tenant: Tenant, furnish: Furnish) -> None:
    """Adds them; the project's site and its team have to be there."""
    project, site_id = next(
        (key, one) for key, one in sites.state(tenant).of_groups.items() if one in tenant.sites
    )
    _library(tenant, site_id, "Drawings", 6, furnish)
    below = _site(tenant, "Cranes", f"{_HOST}/sites/HarbourProject/cranes", parent=site_id)
    _library(tenant, below, "Documents", 5, furnish)
    intranet = next(key for key, one in tenant.sites.items() if one["displayName"] == "Intranet")
    _library(tenant, intranet, "Documents", 8, furnish)
    abroad = _site(tenant, "Berlin Office", f"{_OTHER_HOST}/sites/Berlin", geography="EUR")
    _library(tenant, abroad, "Documents", 4, furnish)
    for name, close in (("Old Quay", sites.archive_site), ("Audit 2024", sites.lock_site)):
        closed = _site(tenant, name, f"{_HOST}/sites/{name.replace(' ', '')}")
        _library(tenant, closed, "Documents", 2, furnish)
        close(tenant, closed)
    for channel in teams(tenant)[project].channels.values():
        if channel.membership == "private":
            _channel_files(tenant, project, channel.name, furnish)
            drive_id = tenant.room[sites.DRIVES_ROOM][list(tenant.sites)[-1]][0]
            channel.folder = (drive_id, tenant.drives[drive_id].root.id)
            return


def _channel_files(tenant: Tenant, group_id: str, name: str, furnish: Furnish) -> None:
    group = tenant.groups[group_id]
    hidden = (sites.LISTING, sites.DELTA)
    site_id = sites.add_channel_site(tenant, group, name, drives=0, hidden=hidden)
    _dated(tenant, site_id)
    _library(tenant, site_id, "Documents", 3, furnish)


def _site(tenant: Tenant, name: str, url: str, *, parent: str = "", geography: str = "") -> str:
    site_id = sites.add_site(tenant, name, url, parent=parent, geography=geography, drives=0)
    _dated(tenant, site_id)
    return site_id


def _dated(tenant: Tenant, site_id: str) -> None:
    """The same seed makes the same site, whatever time it is."""
    day = "2024-11-20T09:00:00Z"
    tenant.sites[site_id] |= {"createdDateTime": day, "lastModifiedDateTime": day}


def _library(tenant: Tenant, site_id: str, name: str, files: int, furnish: Furnish) -> None:
    site = tenant.sites[site_id]
    owner: Json = {"group": {"displayName": f"{site['displayName']} Owners"}}
    path = "Shared%20Documents" if name == "Documents" else name
    furnisher = furnish(owner, f"{site['webUrl']}/{path}", files)
    furnisher.done()
    furnisher.drive.name = name
    sites.attach(tenant, site_id, furnisher.drive.id)
