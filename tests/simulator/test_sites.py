"""Sites: listings by geography, subsites, libraries, locks, archives, what the feed tells."""

import pytest

from simulator import Tenant, serve, sites
from tests.simulator.wire import Wire, settled

HOST = "https://contoso.sharepoint.com"


@pytest.fixture
def tenant():
    return Tenant(31)


@pytest.fixture
def wire(tenant):
    with serve(tenant) as running:
        yield Wire(running, tenant.backup_app)


def test_all_sites_come_one_geography_after_another(wire, tenant):
    here = sites.add_site(tenant, "Here", f"{HOST}/sites/here", geography="NAM")
    there = sites.add_site(
        tenant, "There", "https://contosoeur.sharepoint.com/sites/there", geography="EUR"
    )
    pages, _ = wire.walk("/sites/getAllSites")
    assert [[one["id"] for one in page] for page in pages] == [[there], [here]]
    assert pages[0][0]["siteCollection"]["dataLocationCode"] == "EUR"
    first = wire.get("/sites/getAllSites")["@odata.nextLink"]
    assert "/sites/oneDrive.getAllSites?$skiptoken=" in first


def test_a_subsite_is_told_by_the_site_above_it_and_by_no_listing(wire, tenant):
    top = sites.add_site(tenant, "Top", f"{HOST}/sites/top")
    below = sites.add_site(tenant, "Below", f"{HOST}/sites/top/below", parent=top)
    deep = sites.add_site(tenant, "Deep", f"{HOST}/sites/top/below/deep", parent=below)
    assert [one["id"] for one in wire.get(f"/sites/{top}/sites")["value"]] == [below]
    assert [one["id"] for one in wire.get(f"/sites/{below}/sites")["value"]] == [deep]
    assert [one["id"] for one in wire.walk("/sites/getAllSites")[0][0]] == [top]
    assert set(settled(wire.walk("/sites/delta")[0])) == {top}
    assert wire.get(f"/sites/{deep}")["displayName"] == "Deep"


def test_a_site_has_several_libraries_and_a_default_one(wire, tenant):
    site = sites.add_site(tenant, "Top", f"{HOST}/sites/top", drives=12)
    pages, _ = wire.walk(f"/sites/{site}/drives")
    names = [one["name"] for page in pages for one in page]
    assert names[:2] == ["Documents", "Library 2"]
    assert (len(names), len(pages)) == (12, 2)
    drive = wire.get(f"/sites/{site}/drive")
    assert drive["id"] == tenant.room["site drives"][site][0]
    assert "sharePointIds" not in drive
    ids = wire.get(f"/drives/{drive['id']}?$select=id,sharePointIds")["sharePointIds"]
    assert site == f"contoso.sharepoint.com,{ids['siteId']},{ids['webId']}"


def test_a_groups_drives_are_those_of_its_root_site(wire, tenant):
    group = tenant.add_group("Team", [])
    site = sites.add_site(tenant, "Team", f"{HOST}/sites/team", drives=2)
    assert wire.code("GET", f"/groups/{group.id}/sites/root") == (404, "itemNotFound")
    sites.give_group(tenant, group.id, site)
    assert wire.get(f"/groups/{group.id}/sites/root")["id"] == site
    ids = [one["id"] for one in wire.get(f"/groups/{group.id}/drives")["value"]]
    assert ids == tenant.room["site drives"][site]
    assert wire.get(f"/groups/{group.id}/drive")["id"] == ids[0]


@pytest.mark.parametrize("status", [403, 423])
def test_a_lock_refuses_everything_of_a_site_and_of_its_subsites(wire, tenant, status):
    site = sites.add_site(tenant, "Top", f"{HOST}/sites/top")
    below = sites.add_site(tenant, "Below", f"{HOST}/sites/top/below", parent=site)
    drive = tenant.room["site drives"][below][0]
    sites.lock_site(tenant, site, status=status)
    for path in (f"/sites/{site}", f"/sites/{below}/drives", f"/drives/{drive}/root/delta"):
        assert wire.code("GET", path) == (status, "notAllowed")
    sites.unlock_site(tenant, site)
    assert wire.get(f"/sites/{below}/drives")["value"]


def test_an_archived_site_says_so_where_its_collection_is_selected(wire, tenant):
    site = sites.add_site(tenant, "Old", f"{HOST}/sites/old")
    sites.archive_site(tenant, site)
    assert wire.code("GET", f"/sites/{site}/drives") == (403, "notAllowed")
    shown = wire.get(f"/sites/{site}?$select=id,siteCollection")
    assert shown["siteCollection"]["archivalDetails"] == {"archiveStatus": "fullyArchived"}
    assert "archivalDetails" not in wire.get(f"/sites/{site}")["siteCollection"]


def test_a_deleted_site_takes_its_subsites_and_libraries_with_it(wire, tenant):
    site = sites.add_site(tenant, "Top", f"{HOST}/sites/top")
    below = sites.add_site(tenant, "Below", f"{HOST}/sites/top/below", parent=site)
    drive = tenant.room["site drives"][below][0]
    _, link = wire.walk("/sites/delta")
    sites.delete_site(tenant, site)
    for path in (f"/sites/{site}", f"/sites/{below}", f"/drives/{drive}"):
        assert wire.code("GET", path) == (404, "itemNotFound")
    assert wire.walk(link)[0] == [[{"id": site, "deleted": {"state": "deleted"}}]]


def test_a_new_library_changes_its_site_unless_the_feed_keeps_it_to_itself(wire, tenant):
    site = sites.add_site(tenant, "Top", f"{HOST}/sites/top")
    _, link = wire.walk("/sites/delta")
    tenant.clock.advance(60)
    sites.add_library(tenant, site, "Silent", told=False)
    pages, link = wire.walk(link)
    assert pages == [[]]
    sites.add_library(tenant, site, "Told")
    assert [one["id"] for one in wire.walk(link)[0][0]] == [site]
    assert len(wire.get(f"/sites/{site}/drives")["value"]) == 3


def test_the_site_of_a_channel_may_be_missing_from_feed_and_listing(wire, tenant):
    group = tenant.add_group("Team", [])
    hidden = (sites.LISTING, sites.DELTA)
    site = sites.add_channel_site(tenant, group, "Board only", hidden=hidden)
    assert wire.walk("/sites/getAllSites")[0] == [[]]
    assert wire.walk("/sites/delta")[0] == [[]]
    assert wire.get(f"/sites/{site}")["webUrl"] == f"{HOST}/sites/Team-Boardonly"


def test_mutations_name_sites_by_their_names(wire, tenant):
    def act(action, **more):
        (result,) = wire.control("POST", "/mutate", {"actions": [{"action": action, **more}]})[
            "results"
        ]
        return result

    site = act("add_site", name="A", url=f"{HOST}/sites/a")["id"]
    below = act("add_site", name="B", url=f"{HOST}/sites/a/b", parent="A", drives=2)["id"]
    act("add_library", site="B", name="Third")
    assert len(wire.get(f"/sites/{below}/drives")["value"]) == 3
    act("archive_site", site="A")
    assert wire.code("GET", f"/sites/{below}") == (403, "notAllowed")
    act("unlock_site", site="A")
    act("lock_site", site="A")
    assert wire.code("GET", f"/sites/{site}") == (423, "notAllowed")
    act("unlock_site", site="A")
    act("remove_site", site="A")
    assert wire.code("GET", f"/sites/{below}") == (404, "itemNotFound")
