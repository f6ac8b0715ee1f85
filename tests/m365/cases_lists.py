"""Lists of a site: what the services' suite knows of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import simulator
from m365.lists import SERVICE
from m365.service import Resource, Service
from simulator.lists_json import allows_several, item_json, kind_of, word
from simulator.lists_state import (
    ListItem,
    SiteList,
    delete_item,
    lists_of,
    people_of,
    person,
)
from simulator.sites import add_site
from simulator.web import Headers, Request
from tests.m365.stage import Truth, canonical

SIMPLE = ("text", "choice", "number", "currency", "boolean", "dateTime")
REFERRING = ("lookup", "personOrGroup")


class ListsCase:
    """Lists of the site with one column of every sort."""

    service: Service = SERVICE

    def resource(self, tenant: simulator.Tenant) -> Resource:
        return Resource("site", site_of(tenant))

    def fresh_target(self, tenant: simulator.Tenant) -> Resource:
        url = "https://contoso.sharepoint.com/sites/EmptyTarget"
        site_id = add_site(tenant, "Empty Target", url, drives=0)
        people, known = people_of(tenant, site_id), people_of(tenant, site_of(tenant))
        people.last_id = 40  # the same people, under other numbers
        for item in known.items.values():
            introduce(tenant, site_id, item)
        return Resource("site", site_id)

    def truth(self, tenant: simulator.Tenant, resource: Resource) -> Counter[Truth]:
        """Every row: its list, its name, and the object that stands for it."""
        found: Counter[Truth] = Counter()
        for one in protected(tenant, resource.graph_id):
            for item in one.items.values():
                raw = canonical(object_of(tenant, resource.graph_id, one, item))
                title = " ".join(str(item.values.get("Title", "")).split()) or f"({item.id})"
                sha256 = hashlib.sha256(raw).hexdigest()
                found[Truth((one.title, title), len(raw), sha256)] += 1
        return found

    def main_part(self) -> str:
        return "raw"

    def lose_links(self, tenant: simulator.Tenant, resource: Resource) -> None:
        for one in lists_of(tenant, resource.graph_id).values():
            one.forget_tokens()

    def idle_requests_max(self, folders: int) -> int:
        return folders  # the listing, and every list but the library; the root is a folder too

    def vanish(self, tenant: simulator.Tenant, resource: Resource, item_id: str) -> None:
        list_id, _, number = item_id.rpartition(":")
        of = lists_of(tenant, resource.graph_id)[list_id]
        delete_item(tenant, of, of.items[int(number)])

    def remove_resource(self, tenant: simulator.Tenant, resource: Resource) -> None:
        del tenant.sites[resource.graph_id]

    def content_pattern(self) -> str:
        return r"/items/delta"

    def restored(self, tenant: simulator.Tenant, target: Resource) -> Counter[tuple[Any, ...]]:
        return facts_of(tenant, target.graph_id)

    def expected(self, tenant: simulator.Tenant, resource: Resource) -> Counter[tuple[Any, ...]]:
        return facts_of(tenant, resource.graph_id)


def object_of(
    tenant: simulator.Tenant, site_id: str, of: SiteList, item: ListItem
) -> dict[str, Any]:
    """The row as Graph shows it, without what changes without meaning, and with the words of its
    lookups and people.
    """
    query = {"$expand": "fields"}
    request = Request("GET", "", (), query, Headers({}), b"", None, "")
    raw = {
        name: value
        for name, value in item_json(tenant, site_id, of, item, request).items()
        if name != "eTag" and not name.endswith(("@odata.etag", "@odata.context"))
    }
    raw["fields"] = {k: v for k, v in raw["fields"].items() if k != "@odata.etag"}
    words: dict[str, Any] = {}
    for column in of.columns:
        if kind_of(column) in REFERRING and column["name"] in item.values:
            value = item.values[column["name"]]
            numbers = value if allows_several(column) else [value]
            words[column["name"]] = [_told(tenant, site_id, column, one) for one in numbers]
    return raw | ({"words": words} if words else {})


def _told(
    tenant: simulator.Tenant, site_id: str, column: dict[str, Any], number: int
) -> dict[str, Any]:
    found = {"id": number, "value": word(tenant, site_id, column, number)}
    if kind_of(column) == "personOrGroup":
        found["email"] = people_of(tenant, site_id).items[number].values["EMail"]
    return found


def site_of(tenant: simulator.Tenant) -> str:
    """The first site that has lists with rows."""
    return str(next(iter(tenant.room["lists"])))


def introduce(tenant: simulator.Tenant, site_id: str, known: ListItem) -> int:
    """Makes somebody known to a site."""
    return person(tenant, site_id, known.values["Title"], known.values["EMail"])


def protected(tenant: simulator.Tenant, site_id: str) -> list[SiteList]:
    """The lists whose rows are backed up unless a policy says otherwise."""
    found = lists_of(tenant, site_id).values()
    return [one for one in found if not (one.hidden or one.system or one.is_library)]


def facts_of(tenant: simulator.Tenant, site_id: str) -> Counter[tuple[Any, ...]]:
    """Of every row that can come back whole what a person would miss: plain values, the words of
    lookups, the addresses of people.
    """
    found: Counter[tuple[Any, ...]] = Counter()
    for one in protected(tenant, site_id):
        for item in one.items.values():
            if item.attachments or item.content_type == "Folder":
                continue
            said = tuple(sorted(_said(tenant, site_id, one, item)))
            found[one.title, said] += 1
    return found


def _said(
    tenant: simulator.Tenant, site_id: str, of: SiteList, item: ListItem
) -> list[tuple[str, str]]:
    found = []
    for column in of.columns:
        value = item.values.get(column["name"])
        if value is None or column["name"] == "HoldfastRestore":
            continue
        if kind_of(column) in SIMPLE and column["name"] not in ("Link", "Place", "Topic"):
            found.append((column["name"], repr(value)))
        elif kind_of(column) in REFERRING:
            numbers = value if allows_several(column) else [value]
            found.append((column["name"], repr(_words(tenant, site_id, column, numbers))))
    return found


def _words(
    tenant: simulator.Tenant, site_id: str, column: dict[str, Any], numbers: list[int]
) -> list[str | None]:
    if kind_of(column) == "personOrGroup":
        people = people_of(tenant, site_id).items
        return [people[number].values["EMail"] for number in numbers]
    return [word(tenant, site_id, column, number) for number in numbers]
