"""Who and what there is in a tenant: users, groups and their members, sites; kept up by delta.

Rules
- Nothing is keyed on a display name: it may be empty, and it may be everybody's.
- An entry of a feed may be a piece: it is laid over what is known of its object. A property that is
  missing is as before, one that is null has become empty.
- What comes several times in a round counts as it came last; but the members of a large group come
  in parts, and parts add up until one of them says @removed.
- A whole reading ends with deletions: what was known and did not come is not there any more. A
  reading that breaks off changes nothing.
- What was removed stays known, with the time, for the 30 days in which Microsoft can restore it.
- One odd entry never spoils a listing: without an id it is passed over.

Facts this file rests on: learn.microsoft.com/graph/delta-query-users, /delta-query-groups,
/delta-query-overview, /api/site-delta, /api/site-getallsites, /api/directory-deleteditems-list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from base.clock import parse_iso
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ResyncNeeded,
    TransientFailure,
    Unauthorized,
)
from m365.graph.sdk import ControlPlane

Record = Mapping[str, Any]
LISTED = "listed"  # in a record of a site: only a listing told of it, no delta
REMOVED = "removed"  # in a record: when it was, or was found to be, ISO
CHANGED = "changed"  # in a record: when anything else in it changed, ISO
RESTORABLE = timedelta(days=30)
_READINGS_MAX = 2  # of the whole, where the service forgets its own links meanwhile
_DIRECTORY, _SHAREPOINT = Scope.directory(), Scope.sharepoint()


@dataclass(frozen=True, slots=True)
class Feed:
    """One delta feed of the directory and the properties that are kept of its objects."""

    name: str
    path: str
    keeps: tuple[str, ...]
    permission: str
    selects: bool = True
    scope: Scope = _DIRECTORY
    listing: str = ""  # what lists the same without delta

    @property
    def params(self) -> dict[str, str]:
        """Options of a first request; links carry them on."""
        return {"$select": ",".join(("id", *self.keeps))} if self.selects else {}


USERS = Feed(
    "users",
    "/users/delta",
    ("displayName", "mail", "userPrincipalName", "accountEnabled", "userType", "assignedLicenses"),
    "User.Read.All",
)
GROUPS = Feed(
    "groups",
    "/groups/delta",
    (
        "displayName",
        "mail",
        "mailEnabled",
        "securityEnabled",
        "groupTypes",
        "resourceProvisioningOptions",
        "members",
    ),
    "GroupMember.Read.All",
)
SITES = Feed(
    "sites",
    "/sites/delta",
    ("displayName", "name", "webUrl", "isPersonalSite", "lastModifiedDateTime"),
    "Sites.Read.All",
    selects=False,
    scope=_SHAREPOINT,
    listing="/sites/getAllSites",
)
FEEDS = (USERS, GROUPS, SITES)


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the tenant. `display_name` is never empty; `licensed` is None where not told."""

    id: str
    display_name: str
    mail: str
    user_principal_name: str
    account_enabled: bool
    user_type: str  # "Member", "Guest"
    licensed: bool | None = None
    changed: str = ""  # ISO; "" where unknown
    removed: str = ""  # ISO; "" for who is there

    @property
    def is_guest(self) -> bool:
        return self.user_type.casefold() == "guest"


@dataclass(frozen=True, slots=True)
class Group:
    """A group. `unified`: a Microsoft 365 group, which has a mailbox of conversations."""

    id: str
    display_name: str
    mail: str
    unified: bool
    team: bool
    members: frozenset[str]  # ids of users and groups, one level
    removed: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """A SharePoint site; `personal`: the site of somebody's OneDrive."""

    id: str
    display_name: str
    url: str
    personal: bool
    changed: str = ""  # ISO; "" where unknown
    removed: str = ""
    parent: str = ""  # id of the site it follows: of a subsite the one above, of a channel's site
    # that of its team


@dataclass(frozen=True, slots=True)
class Reading:
    """What a feed's objects are now, and the link from which to go on ("" where there is none)."""

    records: Mapping[str, Record]
    link: str
    whole: bool


def read_feed(
    reader: GraphReader, feed: Feed, link: str, known: Mapping[str, Record], now: datetime
) -> Reading:
    """Brings the known records up to date; from nothing with link "", or where it is not accepted.

    Raises Forbidden, Throttled, TransientFailure, SignInFailed; then nothing has changed.
    """
    if link:
        try:
            return _round(reader, feed, link, known, now)
        except (Forbidden, Unauthorized, TransientFailure):
            raise
        except GraphProblem:
            pass  # 410 in some spelling, or it is refused: the whole is read anew
    for _ in range(_READINGS_MAX):
        try:
            return _round(reader, feed, "", known, now)
        except ResyncNeeded:
            continue
        except (Forbidden, Unauthorized, TransientFailure):
            raise
        except GraphProblem:
            if not feed.listing:
                raise
            return _round(reader, feed, "", known, now, start=feed.listing)
    return _round(reader, feed, "", known, now)


def deleted_users(reader: GraphReader) -> Iterator[tuple[str, Record]]:
    """Users who can still be restored, with when they were deleted; none where that is not told."""
    params = {
        "$select": "id,displayName,mail,userPrincipalName,userType,deletedDateTime",
        "$top": "999",
    }
    path = "/directory/deletedItems/microsoft.graph.user"
    try:
        for page in follow(reader, path, params, scope=_DIRECTORY):
            for entry in page.value:
                user_id, at = entry.get("id"), entry.get("deletedDateTime")
                if isinstance(user_id, str) and user_id and isinstance(at, str):
                    yield user_id, {**_deleted_user(user_id, entry), REMOVED: at}
    except GraphProblem:
        return  # it says no more than when somebody left


def person_of(user_id: str, record: Record) -> Person:
    """A user from its record."""
    address = str(record.get("userPrincipalName") or "")
    mail = str(record.get("mail") or "")
    licences = record.get("assignedLicenses")
    return Person(
        id=user_id,
        display_name=str(record.get("displayName") or address or mail or user_id),
        mail=mail,
        user_principal_name=address,
        account_enabled=record.get("accountEnabled") is not False,
        user_type=str(record.get("userType") or "Member"),
        licensed=bool(licences) if isinstance(licences, list) else None,
        changed=str(record.get(CHANGED) or ""),
        removed=str(record.get(REMOVED) or ""),
    )


def group_of(group_id: str, record: Record) -> Group:
    """A group from its record."""
    mail = str(record.get("mail") or "")
    return Group(
        id=group_id,
        display_name=str(record.get("displayName") or mail or group_id),
        mail=mail,
        unified=_holds(record.get("groupTypes"), "unified"),
        team=_holds(record.get("resourceProvisioningOptions"), "team"),
        members=frozenset(record.get("members") or ()),
        removed=str(record.get(REMOVED) or ""),
    )


def site_of(site_id: str, record: Record) -> Site:
    """A site from its record."""
    url = str(record.get("webUrl") or "")
    return Site(
        id=site_id,
        display_name=str(record.get("displayName") or record.get("name") or url or site_id),
        url=url,
        personal=record.get("isPersonalSite") is True or "/personal/" in url.casefold(),
        changed=str(record.get(CHANGED) or ""),
        removed=str(record.get(REMOVED) or ""),
    )


class Directory:
    """The tenant behind a reader, a few objects at a time: for pickers and for its name."""

    def __init__(self, reader: GraphReader) -> None:
        self._reader = reader

    def search(self, kind: str, text: str, limit: int) -> list[dict[str, Any]]:
        """A few "users", "groups", "teams" or "sites" by name, for pickers, as Graph shows them."""
        return self._control().search(kind, text, limit)

    def organization(self) -> dict[str, Any]:
        """The tenant itself: id, displayName."""
        return self._control().organization()

    def _control(self) -> ControlPlane:
        return self._reader.control_plane()


def _round(
    reader: GraphReader,
    feed: Feed,
    link: str,
    known: Mapping[str, Record],
    now: datetime,
    start: str = "",
) -> Reading:
    """One round from a link, or of everything without one; `start` lists instead of a delta."""
    objects = _Objects(feed, {} if not link else known, known)
    path, params = (link, None) if link else (start or feed.path, feed.params)
    end = ""
    for page in follow(reader, path, params, scope=feed.scope, cost_first=_cost(feed, link)):
        for entry in page.value:
            objects.take(entry)
        end = page.link
    return Reading(objects.settled(now.isoformat()), end, whole=not link)


def _cost(feed: Feed, link: str) -> int:
    """Resource units: SharePoint asks two for a list and for a delta without a token."""
    return 2 if feed.scope.kind == "sharepoint" and not link else 1


class _Objects:
    """The objects of a feed while a round is read."""

    def __init__(self, feed: Feed, base: Mapping[str, Record], known: Mapping[str, Record]) -> None:
        self._feed = feed
        self._base = base  # what pieces are laid over
        self._known = known
        self._met: dict[str, dict[str, Any]] = {}
        self._members: dict[str, set[str]] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        key = entry.get("id")
        if not isinstance(key, str) or not key:
            return
        if "@removed" in entry or entry.get("deleted") is not None:  # sites may have either
            last = self._met.get(key) or self._base.get(key) or self._known.get(key) or {}
            self._met[key] = {**last, REMOVED: last.get(REMOVED) or True}
            return
        last = self._met.get(key) or self._base.get(key) or {}
        piece = {name: _plain(name, entry[name]) for name in self._feed.keeps if name in entry}
        piece.pop("members", None)
        self._met[key] = {**last, **piece}
        self._met[key].pop(REMOVED, None)
        self._met[key].pop(LISTED, None)
        if "members" in self._feed.keeps:
            parts = entry.get("members@delta") or ()
            self._take_members(key, last, parts if isinstance(parts, list) else ())

    def _take_members(self, key: str, last: Record, parts: Iterable[Any]) -> None:
        if key not in self._members:
            self._members[key] = set(last.get("members") or ())
        members = self._members[key]
        for part in parts:
            member = part.get("id") if isinstance(part, dict) else None
            if not isinstance(member, str) or not member:
                continue
            if "@removed" in part:
                members.discard(member)
            elif _may_count(part):
                members.add(member)

    def settled(self, now: str) -> dict[str, Record]:
        """All records behind the round; those that did not change are the very same."""
        for key, members in self._members.items():
            self._met[key]["members"] = sorted(members)
        records = dict(self._base)
        for key, met in self._met.items():
            record = _settled(met, self._known.get(key), now)
            if record is not None:
                records[key] = record
        if self._base is not self._known:
            for key in self._known.keys() - records.keys():
                records[key] = {**self._known[key], REMOVED: self._known[key].get(REMOVED) or now}
        return {key: record for key, record in records.items() if not _forgotten(record, now)}


def _settled(met: dict[str, Any], known: Record | None, now: str) -> Record | None:
    """The record as it is kept: the known one where nothing changed; None for who never was."""
    if met.get(REMOVED) is True:
        if known is None and met.keys() == {REMOVED}:
            return None
        met[REMOVED] = now
    if known is not None and _facts(met) == _facts(known):
        return known
    return {**met, CHANGED: now}


def _facts(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != CHANGED}


def _forgotten(record: Record, now: str) -> bool:
    removed = record.get(REMOVED)
    if not removed:
        return False
    try:
        return parse_iso(str(removed)) + RESTORABLE < parse_iso(now)
    except ValueError:
        return True


def _plain(name: str, value: Any) -> Any:
    """A value as it is kept: of licences only which they are, as there are many people."""
    if name != "assignedLicenses" or not isinstance(value, list):
        return value
    return sorted(str(one.get("skuId") or "")[:8] for one in value if isinstance(one, dict))


def _may_count(member: Mapping[str, Any]) -> bool:
    """Whether a member can have a mailbox or be a group: devices and applications cannot."""
    kind = str(member.get("@odata.type") or "").rpartition(".")[2].casefold()
    return kind in ("", "user", "group", "directoryobject")


def _deleted_user(user_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Of a deleted user. Entra puts the id before the principal name, so that it is free again."""
    kept = {name: entry[name] for name in USERS.keeps if name in entry}
    address, prefix = str(entry.get("userPrincipalName") or ""), user_id.replace("-", "")
    if address.casefold().startswith(prefix.casefold()):
        kept["userPrincipalName"] = address[len(prefix) :]
    return kept


def _holds(values: Any, wanted: str) -> bool:
    return isinstance(values, list) and any(str(one).casefold() == wanted for one in values)
