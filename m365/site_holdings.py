"""What sites have: document libraries and subsites; and where the channels of teams keep files.

Rules
- A site that may not be opened is an answer with a reason, never an error.
- Twenty sites a request. A pause the service asks for is never mistaken for an empty site.
- Ids of sites are compared without regard to case: Graph spells the same one in two ways.

Facts this file rests on: learn.microsoft.com/graph/api/drive-list, /api/site-list-subsites,
/api/resources/sitecollection (archivalDetails come only where they are selected),
/api/team-list-allchannels, /api/channel-get-filesfolder, /api/resources/sharepointids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from m365.directory import Site, site_of
from m365.graph.batch import BatchAnswer, BatchRequest
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    Locked,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)
from m365.holdings import FORBIDDEN, LOCKED

ARCHIVED = "archived"
VANISHED = "vanished"  # listed, and not there
CHANNELS_PERMISSION = "Channel.ReadBasic.All"
_LIST_COST = 2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Library:
    """A document library: a drive of a site."""

    id: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Listed(Generic[_T]):
    """What there is; or nothing, and the reason (kebab-case) why it cannot be told."""

    entries: tuple[_T, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """A private or shared channel, which keeps its files in a site of its own. `tenant`: whose it
    is; "" where that is not told.
    """

    id: str
    name: str
    tenant: str


@dataclass(frozen=True, slots=True)
class ChannelFiles:
    """Where a channel keeps its files; `site` None where the service does not say which it is."""

    drive: str = ""
    site: Site | None = None
    reason: str = ""


def libraries_of(reader: GraphReader, site_ids: Sequence[str]) -> dict[str, Listed[Library]]:
    """The document libraries of sites, those that SharePoint hides left out. Raises Throttled.

    Where a site is closed the reason says whether it is archived, as far as it is told.
    """
    found = _each(
        reader,
        site_ids,
        lambda one: f"/sites/{quote(one, safe='')}/drives?$select=id,name,webUrl",
        _library,
    )
    locked = [key for key, one in found.items() if one.reason == LOCKED]
    return found | {key: Listed(reason=ARCHIVED) for key in _archived(reader, locked)}


def subsites_of(reader: GraphReader, site_ids: Sequence[str]) -> dict[str, Listed[Site]]:
    """The sites one level below each. Raises Throttled."""
    select = "$select=id,displayName,name,webUrl"
    return _each(
        reader, site_ids, lambda one: f"/sites/{quote(one, safe='')}/sites?{select}", _site
    )


def root_sites_of(reader: GraphReader, group_ids: Sequence[str]) -> dict[str, str]:
    """The ids of groups' own sites; "" for a group without one. Raises Throttled."""
    requests = [
        BatchRequest(f"/groups/{quote(one, safe='')}/sites/root?$select=id") for one in group_ids
    ]
    answers = reader.batch(requests, Scope.sharepoint())
    return {
        group_id: str(_object(answer).get("id") or "")
        for group_id, answer in zip(group_ids, answers, strict=True)
    }


def channels_of(reader: GraphReader, team_ids: Sequence[str]) -> dict[str, Listed[Channel]]:
    """The channels of teams that are not standard, those shared with a team included.

    Raises Throttled.
    """
    select = "$select=id,displayName,membershipType,tenantId"
    return _each(
        reader,
        team_ids,
        lambda one: f"/teams/{quote(one, safe='')}/allChannels?{select}",
        _channel,
        Scope.other("teams-channels"),
        cost=1,
    )


def files_of(
    reader: GraphReader, channels: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], ChannelFiles]:
    """Where channels, as (team, channel), keep their files. Raises Throttled."""
    folders = reader.batch(
        [
            BatchRequest(
                f"/teams/{quote(team, safe='')}/channels/{quote(channel, safe='')}/filesFolder"
            )
            for team, channel in channels
        ],
        Scope.other("teams"),
    )
    found: dict[tuple[str, str], ChannelFiles] = {}
    for key, answer in zip(channels, folders, strict=True):
        try:
            parent = answer.json().get("parentReference") or {}
            site = _site_by_id(parent.get("siteId"))
            found[key] = ChannelFiles(str(parent.get("driveId") or ""), site)
        except Unauthorized:
            raise
        except GraphProblem as problem:
            found[key] = ChannelFiles(reason=_reason(problem))
    drives = list(dict.fromkeys(one.drive for one in found.values() if one.drive))
    sites = _sites_of_drives(reader, drives)
    return {key: replace(one, site=sites.get(one.drive) or one.site) for key, one in found.items()}


def _sites_of_drives(reader: GraphReader, drive_ids: Sequence[str]) -> dict[str, Site | None]:
    url = "/drives/{}?$select=id,sharePointIds"
    requests = [BatchRequest(url.format(quote(one, safe=""))) for one in drive_ids]
    answers = reader.batch(requests, Scope.sharepoint())
    return {
        drive_id: _site_by_parts(_ids_in(_object(answer)))
        for drive_id, answer in zip(drive_ids, answers, strict=True)
    }


def _site_by_id(site_id: Any) -> Site | None:
    """The site of an id as long as sites have it; of a drive's folder it may be a part of it."""
    if not isinstance(site_id, str) or site_id.count(",") != 2:
        return None
    return Site(site_id, site_id, "", False)


def _ids_in(drive: Mapping[str, Any]) -> Any:
    """The sharePointIds of a drive, which items spell with a small p."""
    return drive.get("sharePointIds") or drive.get("sharepointIds")


def _site_by_parts(ids: Any) -> Site | None:
    """The site that sharepointIds speak of: "host,collection,web"."""
    ids = ids if isinstance(ids, dict) else {}
    url, collection, web = (str(ids.get(name) or "") for name in ("siteUrl", "siteId", "webId"))
    host = urlsplit(url).netloc
    if not (host and collection and web):
        return None
    return Site(f"{host},{collection},{web}", url.rstrip("/").rpartition("/")[2], url, False)


def _archived(reader: GraphReader, site_ids: Sequence[str]) -> list[str]:
    """Those of which it is told that they are archived."""
    url = "/sites/{}?$select=id,siteCollection"
    requests = [BatchRequest(url.format(quote(one, safe=""))) for one in site_ids]
    answers = reader.batch(requests, Scope.sharepoint()) if requests else []
    collections = [_object(answer).get("siteCollection") for answer in answers]
    return [
        site_id
        for site_id, collection in zip(site_ids, collections, strict=True)
        if isinstance(collection, dict)
        and isinstance(collection.get("archivalDetails"), dict)
        and collection["archivalDetails"].get("archiveStatus")
    ]


def _each(
    reader: GraphReader,
    ids: Sequence[str],
    url: Callable[[str], str],
    entry_of: Callable[[Mapping[str, Any]], _T | None],
    scope: Scope | None = None,
    cost: int = _LIST_COST,
) -> dict[str, Listed[_T]]:
    """One list for each id."""
    scope = scope or Scope.sharepoint()
    answers = reader.batch([BatchRequest(url(one), cost=cost) for one in ids], scope)
    found: dict[str, Listed[_T]] = {}
    for one, answer in zip(ids, answers, strict=True):
        try:
            entries = [entry_of(raw) for raw in _rows(reader, answer.json(), scope, cost)]
            found[one] = Listed(tuple(entry for entry in entries if entry is not None))
        except Unauthorized:
            raise
        except GraphProblem as problem:
            found[one] = Listed(reason=_reason(problem))
    return found


def _rows(
    reader: GraphReader, body: Mapping[str, Any], scope: Scope, cost: int
) -> Iterable[Mapping[str, Any]]:
    """The entries of a list whose first page came in a batch."""
    if not isinstance(body.get("value"), list):
        raise TransientFailure("A list came without entries.")
    yield from _objects(body["value"])
    link = body.get("@odata.nextLink")
    if isinstance(link, str) and link:
        for page in follow(reader, link, scope=scope, cost_first=cost, cost_next=cost):
            yield from _objects(page.value)


def _objects(values: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, dict)]


def _object(answer: BatchAnswer) -> Mapping[str, Any]:
    """What came back; {} where it was refused or is not there."""
    try:
        return answer.json()
    except Unauthorized:
        raise
    except GraphProblem:
        return {}


def _reason(problem: GraphProblem) -> str:
    match problem:
        case Locked():
            return LOCKED
        case Forbidden():
            return FORBIDDEN
        case ResourceGone() | ItemGone():
            return VANISHED
        case _:
            return problem.code


def _library(raw: Mapping[str, Any]) -> Library | None:
    key, url = raw.get("id"), str(raw.get("webUrl") or "")
    if not isinstance(key, str) or not key:
        return None
    return Library(key, str(raw.get("name") or url.rpartition("/")[2] or key), url)


def _site(raw: Mapping[str, Any]) -> Site | None:
    key = raw.get("id")
    return site_of(key, raw) if isinstance(key, str) and key else None


def _channel(raw: Mapping[str, Any]) -> Channel | None:
    key, kind = raw.get("id"), str(raw.get("membershipType") or "").casefold()
    if not isinstance(key, str) or not key or kind in ("", "standard"):
        return None
    return Channel(key, str(raw.get("displayName") or key), str(raw.get("tenantId") or ""))
