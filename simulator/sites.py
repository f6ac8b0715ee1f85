"""Sites: collections and subsites, their document libraries, other geographies, locks and archives.

Rules
- tenant.sites holds every site by its id "host,collection,web" as Graph shows it; what lies here is
  what Graph does not show in it: parents, libraries, locks, what no listing tells.
- A subsite is told by GET /sites/{id}/sites of the site above it, and by no listing of sites.
- Locks and archives are of a site collection: subsites and libraries are refused with it.
- Whoever serves something of a site calls open_site first: 404 and the refusals are the same
  everywhere.
- archivalDetails come only where $select names siteCollection.
- GET /sites/getAllSites goes through one geography after another, each on pages of its own.

https://learn.microsoft.com/graph/api/site-getallsites /site-list-subsites /site-delta /drive-list
https://learn.microsoft.com/graph/api/resources/site /sitecollection /sharepointids
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from simulator.directory_delta import sites_delta
from simulator.drive_state import Drive
from simulator.plain_lists import listed
from simulator.tenant import Group, Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_ROOM = "sites"
DRIVES_ROOM = "site drives"
"""In tenant.room: ids of drives by site id."""
LISTING, DELTA = "getAllSites", "delta"
_SITES = ("Sites.Read.All", "Sites.ReadWrite.All", "Sites.Manage.All", "Sites.FullControl.All")
_ALL_SITES = ("Sites.Read.All", "Sites.ReadWrite.All")
_LOCKED = "Access to this site has been blocked. Please contact the administrator to resolve this."
_PAGE, _PAGE_MAX = 100, 999


@dataclass(slots=True)
class SiteState:
    """What is known of the tenant's sites beside what Graph shows."""

    parents: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By site collection: the status and the inner code of every answer."""
    archived: dict[str, str] = field(default_factory=dict)
    """By site: its archiveStatus."""
    hidden: dict[str, frozenset[str]] = field(default_factory=dict)
    """By site: which of LISTING and DELTA do not tell of it."""
    of_groups: dict[str, str] = field(default_factory=dict)
    """By group: its root site."""
    licensed: bool = True
    """Whether the tenant has SharePoint at all."""


def state(tenant: Tenant) -> SiteState:
    """The state of the tenant's sites."""
    found: SiteState = tenant.room.setdefault(_ROOM, SiteState())
    return found


# Making and changing sites


def add_site(
    tenant: Tenant,
    name: str,
    url: str,
    *,
    parent: str = "",
    drives: int = 1,
    personal: bool = False,
    geography: str = "",
    hidden: Collection[str] = (),
) -> str:
    """A site with so many empty document libraries; its id.

    parent: the site it is a subsite of. geography: a dataLocationCode ("EUR"). hidden: which of
    LISTING and DELTA do not tell of it; of a subsite neither does.
    """
    host = urlsplit(url).netloc
    collection = parent.split(",")[1] if parent else tenant.new_id()
    site_id = f"{host},{collection},{tenant.new_id()}"
    now = tenant.clock.stamp()
    facts: Json = {
        "id": site_id, "displayName": name, "name": url.rstrip("/").rpartition("/")[2],
        "webUrl": url, "createdDateTime": now, "lastModifiedDateTime": now,
    }  # fmt: skip
    if not parent:
        facts["root"] = {}
        facts["siteCollection"] = {"hostname": host}
        if geography:
            facts["siteCollection"]["dataLocationCode"] = geography
    if personal:
        facts["isPersonalSite"] = True
    here = state(tenant)
    here.hidden[site_id] = frozenset((LISTING, DELTA) if parent else hidden)
    if parent:
        here.parents[site_id] = parent
    tenant.sites[site_id] = facts
    tenant.room.setdefault(DRIVES_ROOM, {})[site_id] = []
    for number in range(drives):
        add_library(tenant, site_id, f"Library {number + 1}" if number else "Documents")
    return site_id


def add_library(tenant: Tenant, site_id: str, name: str, *, told: bool = True) -> Drive:
    """A new, empty document library. told: the site counts as changed, and its feed says so."""
    site = tenant.sites[site_id]
    drive_id = "b!" + base64.urlsafe_b64encode(tenant.rng.randbytes(48)).decode("ascii")
    path = "Shared%20Documents" if name == "Documents" else name.replace(" ", "%20")
    drive = Drive(
        drive_id,
        {"group": {"displayName": f"{site['displayName']} Owners"}},
        tenant.clock.now() - timedelta(days=1),
        seed=tenant.seed,
        drive_type="documentLibrary",
        name=name,
        web_url=f"{site['webUrl']}/{path}",
    )
    tenant.drives[drive_id] = drive
    attach(tenant, site_id, drive_id)
    if told:
        tenant.sites[site_id] = {**site, "lastModifiedDateTime": tenant.clock.stamp()}
    return drive


def attach(tenant: Tenant, site_id: str, drive_id: str) -> None:
    """Makes a drive one of a site's; the first is its default library."""
    tenant.room.setdefault(DRIVES_ROOM, {}).setdefault(site_id, []).append(drive_id)


def remove_library(tenant: Tenant, drive_id: str) -> None:
    """Deletes a document library."""
    for drives in tenant.room.get(DRIVES_ROOM, {}).values():
        if drive_id in drives:
            drives.remove(drive_id)
    del tenant.drives[drive_id]


def give_group(tenant: Tenant, group_id: str, site_id: str) -> None:
    """Makes a site the root site of a Microsoft 365 group; its first drive is the group's."""
    state(tenant).of_groups[group_id] = site_id
    drives = tenant.room.get(DRIVES_ROOM, {}).get(site_id, [])
    tenant.groups[group_id].drive_id = drives[0] if drives else None


def add_channel_site(
    tenant: Tenant, group: Group, channel: str, *, drives: int = 1, hidden: Collection[str] = ()
) -> str:
    """The site of a private or shared channel of a team; its id. Its only drive holds the files."""
    nickname, tail = group.properties["mailNickname"], channel.replace(" ", "")
    root = state(tenant).of_groups.get(group.id, "")
    host = root.partition(",")[0] or "contoso.sharepoint.com"
    name = f"{group.properties['displayName']}-{channel}"
    url = f"https://{host}/sites/{nickname}-{tail}"
    return add_site(tenant, name, url, drives=drives, hidden=hidden)


def lock_site(
    tenant: Tenant, site_id: str, *, status: int = 423, code: str = "resourceLocked"
) -> None:
    """Every request about the site, its subsites and libraries is refused: 423 or 403 notAllowed,
    with an inner code.
    """
    state(tenant).refused[site_id.split(",")[1]] = (status, code)


def unlock_site(tenant: Tenant, site_id: str) -> None:
    """Takes a lock or an archive back."""
    here = state(tenant)
    here.refused.pop(site_id.split(",")[1], None)
    here.archived.pop(site_id, None)


def archive_site(
    tenant: Tenant, site_id: str, *, status: int = 403, archive_status: str = "fullyArchived"
) -> None:
    """Microsoft 365 Archive: the site is only told about; what is in it is refused."""
    lock_site(tenant, site_id, status=status)
    state(tenant).archived[site_id] = archive_status


def delete_site(tenant: Tenant, site_id: str) -> None:
    """Deletes a site with its subsites and libraries; sites/delta says so."""
    here = state(tenant)
    for child in [one for one, parent in here.parents.items() if parent == site_id]:
        delete_site(tenant, child)
    for drive_id in tenant.room.get(DRIVES_ROOM, {}).pop(site_id, []):
        tenant.drives.pop(drive_id, None)
    for group_id in [one for one, site in here.of_groups.items() if site == site_id]:
        del here.of_groups[group_id]
        tenant.groups[group_id].drive_id = None
    here.parents.pop(site_id, None)
    del tenant.sites[site_id]


# What others ask


def open_site(tenant: Tenant, reference: str) -> str:
    """The id of a site that a path names; 404 where there is none, 403 and 423 where it is locked
    or archived.
    """
    site_id = _named(tenant, reference)
    refuse_locked(tenant, site_id)
    return site_id


def refuse_locked(tenant: Tenant, site_id: str) -> None:
    """Raises what a locked or archived site answers."""
    refused = state(tenant).refused.get(site_id.split(",")[1])
    if refused is not None:
        status, inner_code = refused
        raise GraphError(status, "notAllowed", _LOCKED, inner_code=inner_code)


def site_of(tenant: Tenant, drive_id: str) -> str:
    """The site a drive is a library of; "" for others."""
    drives = tenant.room.get(DRIVES_ROOM, {})
    return next((site for site, ids in drives.items() if drive_id in ids), "")


def site_drives(tenant: Tenant, reference: str) -> list[str]:
    """Ids of the drives of a site that is open."""
    return list(tenant.room.get(DRIVES_ROOM, {}).get(open_site(tenant, reference), []))


def group_drives(tenant: Tenant, group_id: str) -> list[str]:
    """Ids of the drives of a group: those of its root site, or the one it was given."""
    group = tenant.groups.get(group_id)
    site = state(tenant).of_groups.get(group_id)
    if site is not None:
        return site_drives(tenant, site)
    return [group.drive_id] if group is not None and group.drive_id else []


def sharepoint_ids(tenant: Tenant, drive_id: str) -> Json | None:
    """sharepointIds of a drive; None where it is no library of a site."""
    site = site_of(tenant, drive_id)
    if not site:
        return None
    _, collection, web = site.split(",")
    return {"siteId": collection, "siteUrl": tenant.sites[site].get("webUrl"), "webId": web}


def _named(tenant: Tenant, reference: str) -> str:
    """A site by its id, without regard to case, by its host alone, or "root"."""
    if reference in tenant.sites:
        return reference
    for site_id, site in tenant.sites.items():
        if site.get("isPersonalSite") or site_id in state(tenant).parents:
            continue
        host, collection, _ = site_id.split(",")
        if reference == "root" or reference.lower() in (site_id.lower(), host, collection):
            return site_id
    raise GraphError(404, "itemNotFound", "Requested site could not be found")


# Over HTTP


def refuse_unlicensed(tenant: Tenant) -> None:
    """Raises what a tenant without SharePoint answers."""
    if not state(tenant).licensed:
        raise GraphError(400, "BadRequest", "Tenant does not have a SPO license.")


def delta(tenant: Tenant, request: Request) -> Answer:
    """GET /sites/delta."""
    refuse_unlicensed(tenant)
    return sites_delta(tenant, request)


def all_sites(tenant: Tenant, request: Request) -> Answer:
    """GET /sites/getAllSites: one geography after another."""
    refuse_unlicensed(tenant)
    hidden = state(tenant).hidden
    rows = [one for key, one in tenant.sites.items() if LISTING not in hidden.get(key, ())]
    codes = sorted({_geography(one) for one in rows})
    token = _token_read(request.query.get("$skiptoken", ""))
    code, start = token or (codes[0] if codes else "", 0)
    here = [one for one in rows if _geography(one) == code]
    size = request.whole("$top", _PAGE, _PAGE_MAX)
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#sites"}
    behind = [one for one in codes if one > code]
    if start + size < len(here):
        body["@odata.nextLink"] = _next_link(request, code, start + size)
    elif behind:
        body["@odata.nextLink"] = _next_link(request, behind[0], 0)
    body["value"] = [_shown(tenant, request, one) for one in here[start : start + size]]
    return Answer(200, body)


def get_site(tenant: Tenant, request: Request, site: str) -> Answer:
    """GET /sites/{site}: a lock refuses it; an archived site is still told about."""
    site_id = _named(tenant, site)
    if site_id not in state(tenant).archived:
        refuse_locked(tenant, site_id)
    return Answer(200, _shown(tenant, request, tenant.sites[site_id]))


def list_subsites(tenant: Tenant, request: Request, site: str) -> Answer:
    """GET /sites/{site}/sites: one level."""
    site_id = open_site(tenant, site)
    parents = state(tenant).parents
    found = [tenant.sites[one] for one, parent in parents.items() if parent == site_id]
    return listed(tenant, request, f"/sites/{site_id}/sites", found)


def group_root(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}/sites/root."""
    found = state(tenant).of_groups.get(group)
    if found is None:
        raise GraphError(404, "itemNotFound", "Requested site could not be found")
    return get_site(tenant, request, found)


def _shown(tenant: Tenant, request: Request, site: Json) -> Json:
    wanted = request.query.get("$select")
    if wanted is None:
        return site
    names = {name.strip().partition("/")[0] for name in wanted.split(",")} | {"id"}
    shown = {name: value for name, value in site.items() if name in names}
    archived = state(tenant).archived.get(site["id"])
    if archived and "siteCollection" in shown:
        details = {"archivalDetails": {"archiveStatus": archived}}
        shown["siteCollection"] = {**shown["siteCollection"], **details}
    return shown


def _geography(site: Json) -> str:
    return str(site.get("siteCollection", {}).get("dataLocationCode", ""))


def _next_link(request: Request, code: str, start: int) -> str:
    text = base64.urlsafe_b64encode(f"SPGeoDataLocationCode {code} {start}".encode()).decode()
    return f"{request.url_base}/sites/oneDrive.getAllSites?$skiptoken={text.rstrip('=')}"


def _token_read(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    try:
        _, code, start = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ")
        return code, int(start)
    except ValueError:
        raise GraphError(400, "invalidRequest", "The page token is not valid.") from None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/sites/delta", delta, _SITES, "sharepoint"),
    Route("GET", "/sites/getAllSites", all_sites, _ALL_SITES, "sharepoint", 2),
    Route("GET", "/sites/{site}", get_site, _SITES, "sharepoint"),
    Route("GET", "/sites/{site}/sites", list_subsites, _SITES, "sharepoint", 2),
    Route("GET", "/groups/{group}/sites/root", group_root, _SITES, "sharepoint"),
)
