"""What sites have and where channels keep files, whatever the answers look like."""

from __future__ import annotations

from typing import Any

import pytest

from base.errors import Throttled
from m365.directory import SITES, Site, site_of
from m365.site_holdings import (
    Channel,
    ChannelFiles,
    Library,
    Listed,
    channels_of,
    files_of,
    libraries_of,
    root_sites_of,
    subsites_of,
)
from m365.site_listing import with_listed
from tests.m365.test_batch import answering
from tests.m365.test_directory import NOW, STAMP, error
from tests.m365.wire_fake import Hostile, says

HOST = "https://contoso.sharepoint.com"
GONE, CLOSED = error(404, "itemNotFound"), error(423, "resourceLocked")


def ok(**body: Any) -> dict[str, Any]:
    return {"status": 200, "body": body}


def told(**fates: Any) -> Any:
    """A $batch that answers by the id in the second place of each address."""
    return answering(lambda item: fates[item["url"].split("/")[2].partition("?")[0]])


def test_each_site_has_libraries_or_a_reason() -> None:
    library = {"id": "b!1", "name": "Documents", "webUrl": f"{HOST}/sites/a/Shared"}
    odd = [{"id": "b!2", "name": None, "webUrl": f"{HOST}/sites/a/Plans"}, {"id": "b!3"}]
    fates = {
        "a": ok(value=[library, *odd, {"name": "no id"}, None, "odd"]),
        "b": ok(value=[]),
        "c": GONE,
        "d": error(403, "accessDenied"),
        "e": error(500, "generalException"),
        "f": ok(),
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", told(**fates))
        found = libraries_of(fake.reader(), list(fates))
        assert found == {
            "a": Listed(
                (
                    Library("b!1", "Documents", f"{HOST}/sites/a/Shared"),
                    Library("b!2", "Plans", f"{HOST}/sites/a/Plans"),
                    Library("b!3", "b!3", ""),
                )
            ),
            "b": Listed(),
            "c": Listed(reason="vanished"),
            "d": Listed(reason="forbidden"),
            "e": Listed(reason="graph-unstable"),
            "f": Listed(reason="graph-unstable"),  # no list is not an empty one
        }


def test_what_of_the_closed_sites_is_archived_is_asked_of_those_alone() -> None:
    archived = {"archivalDetails": {"archiveStatus": "somethingNew"}}
    collections = {
        "a": ok(id="a", siteCollection=archived),
        "b": ok(id="b", siteCollection={"archivalDetails": None}),
        "c": CLOSED,
        "d": ok(id="d"),
    }

    def answer(item: dict[str, Any]) -> dict[str, Any]:
        name = item["url"].split("/")[2].partition("?")[0]
        if "siteCollection" in item["url"]:
            return collections[name]
        return ok(value=[]) if name == "e" else CLOSED if name != "a" else error(403, "notAllowed")

    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(answer))
        found = libraries_of(fake.reader(), ["a", "b", "c", "d", "e"])
        reasons = {key: one.reason for key, one in found.items()}
        assert reasons == {"a": "archived", "b": "locked", "c": "locked", "d": "locked", "e": ""}
        assert [len(heard.json()["requests"]) for heard in fake.heard] == [5, 4]


def test_lists_go_on_behind_their_first_page_empty_pages_included() -> None:
    with Hostile() as fake:
        link = f"{fake.origin}/v1.0/sites/a/drives?$skiptoken=2"
        page = {"value": [{"id": "b!1", "name": "One"}], "@odata.nextLink": link}
        fake.on("/v1.0/$batch", told(a={"status": 200, "body": page}))
        fake.on(
            "/v1.0/sites/a/drives",
            says({"value": [], "@odata.nextLink": link.replace("=2", "=3")}),
            says({"value": [{"id": "b!2", "name": "Two"}]}),
        )
        found = libraries_of(fake.reader(), ["a"])["a"]
        assert [one.name for one in found.entries] == ["One", "Two"]


def test_a_pause_is_not_mistaken_for_a_site_without_libraries() -> None:
    refused = {"status": 429, "headers": {"Retry-After": "60"}}
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: refused))
        with pytest.raises(Throttled):
            libraries_of(fake.reader(), ["a"])


def test_ids_are_quoted_into_addresses_and_ask_for_little() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: ok(value=[])))
        libraries_of(fake.reader(), ["host,a,b/../c?x"])
        (request,) = fake.heard[0].json()["requests"]
        quoted = "host%2Ca%2Cb%2F..%2Fc%3Fx"
        assert request["url"] == f"/sites/{quoted}/drives?$select=id,name,webUrl"


def test_subsites_have_a_name_whatever_is_missing() -> None:
    fates = {"a": ok(value=[{"id": "s1", "webUrl": f"{HOST}/a/b"}, {"id": 7}]), "b": GONE}
    with Hostile() as fake:
        fake.on("/v1.0/$batch", told(**fates))
        found = subsites_of(fake.reader(), ["a", "b"])
        assert found["a"].entries == (Site("s1", f"{HOST}/a/b", f"{HOST}/a/b", False),)
        assert found["b"].reason == "vanished"


def test_a_group_without_a_site_has_none() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/$batch", told(a=ok(id="host,1,2"), b=GONE, c=ok(id=None)))
        found = root_sites_of(fake.reader(), ["a", "b", "c"])
        assert found == {"a": "host,1,2", "b": "", "c": ""}


def test_only_channels_that_are_not_standard_have_sites_of_their_own() -> None:
    channels = [
        {"id": "1", "displayName": "General", "membershipType": "standard"},
        {"id": "2", "displayName": "Board", "membershipType": "private", "tenantId": "t"},
        {"id": "3", "displayName": None, "membershipType": "somethingNew"},
        {"id": "4", "displayName": "untold"},
    ]
    with Hostile() as fake:
        fake.on("/v1.0/$batch", told(a=ok(value=channels), b=error(403, "Forbidden")))
        found = channels_of(fake.reader(), ["a", "b"])
        assert found["a"].entries == (Channel("2", "Board", "t"), Channel("3", "3", ""))
        assert found["b"].reason == "forbidden"


def test_a_channels_site_is_found_by_the_parts_its_drive_tells() -> None:
    parts = {"siteId": "C", "webId": "W", "siteUrl": f"{HOST}/sites/Oslo-Board/"}
    fates = {
        "/teams/t/channels/1/filesFolder": ok(parentReference={"driveId": "b!1"}),
        "/teams/t/channels/2/filesFolder": ok(parentReference={"driveId": "b!2"}),
        "/teams/t/channels/3/filesFolder": ok(parentReference=None),
        "/teams/t/channels/4/filesFolder": error(404, "NotFound"),
        "/teams/t/channels/5/filesFolder": ok(
            parentReference={"driveId": "b!5", "siteId": "h,C,W"}
        ),
        "/drives/b%215?$select=id,sharePointIds": error(403, "accessDenied"),
        "/drives/b%211?$select=id,sharePointIds": ok(id="b!1", sharePointIds=parts),
        "/drives/b%212?$select=id,sharePointIds": ok(id="b!2", sharePointIds={"siteId": "C"}),
    }
    with Hostile() as fake:
        fake.on("/v1.0/$batch", answering(lambda item: fates[item["url"]]))
        found = files_of(fake.reader(), [("t", number) for number in "12345"])
        site = Site("contoso.sharepoint.com,C,W", "Oslo-Board", parts["siteUrl"], False)
        assert found == {
            ("t", "1"): ChannelFiles("b!1", site),
            ("t", "2"): ChannelFiles("b!2"),
            ("t", "3"): ChannelFiles(),
            ("t", "4"): ChannelFiles(reason="vanished"),
            ("t", "5"): ChannelFiles("b!5", Site("h,C,W", "h,C,W", "", False)),
        }


# --- Listed sites ---


def test_a_listing_adds_what_no_delta_told_and_takes_only_that_away() -> None:
    known = {
        "told": {"displayName": "Told", "changed": "then"},
        "only": {"displayName": "Only", "listed": True, "changed": "then"},
        "back": {"displayName": "Back", "removed": "2026-11-20T00:00:00+00:00"},
    }
    entries = [
        {"id": "new", "name": "New", "webUrl": f"{HOST}/sites/new", "siteCollection": {}},
        {"id": "back", "displayName": "Back"},
        {"id": None},
        {"id": "TOLD", "displayName": "Told"},
        {"id": "gone", "deleted": {"state": "deleted"}},
    ]
    with Hostile() as fake:
        link = f"{fake.origin}/v1.0/sites/oneDrive.getAllSites?$skiptoken=U1A"
        fake.on("/v1.0/sites/getAllSites", says({"value": [], "@odata.nextLink": link}))
        fake.on("/v1.0/sites/oneDrive.getAllSites", says({"value": entries}))
        found = with_listed(fake.reader(), SITES, known, NOW)
    assert found["told"] == known["told"]
    assert found["only"]["removed"] == STAMP
    assert not site_of("back", found["back"]).removed
    assert site_of("new", found["new"]) == Site("new", "New", f"{HOST}/sites/new", False, STAMP)
    assert found.keys() == {"told", "only", "back", "new"}
