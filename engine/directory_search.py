"""Finding people, groups, teams and sites by name or address, in what the last run knew of them.

Answers hold Microsoft's own properties, and ours beside them: which services somebody has, and why
the others are missing. Before the first run the tenant itself is asked, for a few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine import directory, policies, selection
from engine.assembly import App
from engine.directory import Known
from engine.holdings import ASK, Holdings
from engine.site_holdings import SiteHoldings, with_every_site
from engine.site_rows import NOT_SELECTED
from m365 import SERVICES
from m365.directory import Directory, Group, Person, Site
from m365.holdings import NO_DRIVE
from state.resources import PROTECTED
from state.rows import Cursor, CursorInvalid


@dataclass(frozen=True, slots=True)
class Named:
    """An entry of a selection: the list it belongs to, its text there, and what people call it."""

    kind: str  # "users", "groups", "sites", "teams"
    value: str
    name: str
    address: str


_Entry = Person | Group | Site


def search(
    app: App, org: str, kind: str, text: str, *, after: str = "", limit: int, deleted: bool = False
) -> tuple[list[dict[str, Any]], str]:
    """One page of "users", "groups", "teams" or "sites" whose name or address holds the text, by
    name; `deleted`: of users who left and can still be restored. Answers the page and `after`.
    """
    known = with_every_site(app, org, directory.known(app, org))
    entries = _of_kind(known, kind, deleted)
    if not entries and not deleted and not _was_read(known, kind):
        return Directory(app.reader(org)).search(kind, text, limit), ""
    wanted = text.strip().casefold()
    found = [one for one in entries if any(wanted in name.casefold() for name in _names(one))]
    found.sort(key=lambda one: (one.display_name.casefold(), one.id))
    start = _start(found, after)
    page = found[start : start + limit]
    shown = _Shown(app, org, known)
    more = Cursor.of(page[-1].id) if start + limit < len(found) else ""
    return [shown.json(one) for one in page], more


def named(app: App, org: str, document: Mapping[str, Any]) -> dict[str, dict[str, list[Named]]]:
    """What people call the entries of a policy's selections, by selection and list; an entry that
    nobody answers to keeps its own text.
    """
    known = with_every_site(app, org, directory.known(app, org))
    users = _by_name(one for some in (known.removed, known.people) for one in some.values())
    groups, web = _by_name(known.groups.values()), _by_name(known.sites.values())
    lists = {"users": users, "groups": groups, "sites": web, "teams": groups}
    return {
        name: {
            key: [_named(key, text, lists[key]) for text in entries]
            for key, entries in (document.get(name) or {}).items()
            if key in lists
        }
        for name in ("selection", "drives", "sites", "teams")
    }


def picked(app: App, org: str, kinds: Iterable[str], text: str, limit: int) -> list[Named]:
    """A few entries of each kind for a picker."""
    return [
        Named(kind, one["id"], one.get("displayName") or one["id"], _address_of(one))
        for kind in kinds
        for one in search(app, org, kind, text, limit=limit)[0]
    ]


def _by_name(entries: Iterable[_Entry]) -> dict[str, _Entry]:
    return {name.casefold(): one for one in entries for name in _keys(one) if name}


def _keys(entry: _Entry) -> Iterable[str]:
    """What a policy may name an entry by."""
    match entry:
        case Person():
            return entry.mail, entry.user_principal_name, entry.id
        case Group():
            return entry.mail, entry.id
        case Site():
            return entry.url, entry.id


def _named(key: str, text: str, there: Mapping[str, _Entry]) -> Named:
    entry = there.get(text.strip().casefold())
    if entry is None:
        return Named(key, text, text, "")
    address = entry.url if isinstance(entry, Site) else entry.mail
    return Named(key, text, entry.display_name, address)


def _address_of(entry: Mapping[str, Any]) -> str:
    names = ("mail", "userPrincipalName", "webUrl")
    return next((str(entry[name]) for name in names if entry.get(name)), "")


def sites(app: App, org: str) -> dict[str, int]:
    """How many SharePoint sites there are, are selected, and have something protected."""
    shown = _Shown(app, org, directory.known(app, org))
    rows = app.resources.all(org)
    held = {row.facts.get("site") for row in rows if row.state == PROTECTED and row.head >= 0}
    found = shown.sites.values()
    return {
        "found": len(found),
        "selected": sum(map(shown.takes, found)),
        "protected": sum(one.id in held for one in found),
    }


def _of_kind(known: Known, kind: str, deleted: bool) -> list[_Entry]:
    if kind == "users":
        return list((known.removed if deleted else known.people).values())
    if kind == "sites":
        return [one for one in known.sites.values() if not one.personal]
    return [one for one in known.groups.values() if one.team or kind == "groups"]


def _was_read(known: Known, kind: str) -> bool:
    """Whether an empty list is an answer."""
    return (
        not known.is_empty
        if kind == "users"
        else bool(known.sites if kind == "sites" else known.groups)
    )


def _names(entry: _Entry) -> Iterable[str]:
    match entry:
        case Person():
            return entry.display_name, entry.mail, entry.user_principal_name, entry.id
        case Group():
            return entry.display_name, entry.mail, entry.id
        case Site():
            return entry.display_name, entry.url, entry.id


def _start(found: list[_Entry], after: str) -> int:
    last = Cursor.read(after)
    if not last:
        return 0
    for at, entry in enumerate(found):
        if entry.id == last:
            return at + 1
    raise CursorInvalid("The list has changed since its last page.")


class _Shown:
    """Entries as the API shows them."""

    def __init__(self, app: App, org: str, known: Known) -> None:
        policy = policies.current(app, org)
        self._holdings = Holdings(app, org, None)
        self._people = selection.People(policy["selection"], known)
        self._web = selection.Web(policy["sites"])
        self._held = SiteHoldings(app, org, None)
        self._held.find(known)
        self.sites = self._held.sites
        self._services = frozenset(policy["services"])

    def json(self, entry: _Entry) -> dict[str, Any]:
        match entry:
            case Person():
                return self._person(entry)
            case Group():
                return self._group(entry)
            case Site():
                return self._site(entry)

    def _person(self, person: Person) -> dict[str, Any]:
        services, missing = [], {}
        for name, service in SERVICES.items():
            kind = service.resource_kind
            if kind not in (*ASK, "user") or not self._is_meant(name):
                continue
            found = self._holdings.found(kind, person)
            there = found.id if found else kind == "user"  # everybody is a user
            if there and not person.removed:
                services.append(name)
            else:
                missing[name] = found.reason if found and found.reason else NOT_SELECTED
        return {
            "id": person.id,
            "displayName": person.display_name,
            "mail": person.mail or None,
            "userPrincipalName": person.user_principal_name or None,
            "accountEnabled": person.account_enabled,
            "userType": person.user_type,
            "licensed": person.licensed,
            "purpose": self._holdings.purpose(person.id) or None,
            "deletedDateTime": person.removed or None,
            "selected": not person.removed and self._people.person(person) is not None,
            "services": services,
            "missing": missing if not person.removed else {},
        }

    def _is_meant(self, service: str) -> bool:
        """Optional services are shown where the policy names them."""
        return service in self._services or not SERVICES[service].optional

    def _group(self, group: Group) -> dict[str, Any]:
        kinds = {"group": group.unified, "team": group.team}
        own = [name for name, one in SERVICES.items() if kinds.get(one.resource_kind)]
        return {
            "id": group.id,
            "displayName": group.display_name,
            "mail": group.mail or None,
            "groupTypes": ["Unified"] if group.unified else [],
            "resourceProvisioningOptions": ["Team"] if group.team else [],
            "members": len(group.members),
            "selected": self._people.group(group) is not None,
            "services": own,
            "missing": {},
        }

    def takes(self, site: Site) -> bool:
        """Whether the policy chooses a site."""
        return self._web.takes(site, self._held.above(site))

    def _site(self, site: Site) -> dict[str, Any]:
        services, missing = [], {}
        for name, service in SERVICES.items():
            if service.resource_kind not in ("drive", "site") or not self._is_meant(name):
                continue
            listed = self._held.libraries(site.id)
            reason = listed.reason
            if service.resource_kind == "drive" and not listed.entries:
                reason = reason or NO_DRIVE
            if not self.takes(site) or name not in self._services:
                reason = NOT_SELECTED
            if reason:
                missing[name] = reason
            else:
                services.append(name)
        return {
            "id": site.id,
            "displayName": site.display_name,
            "webUrl": site.url,
            "selected": self.takes(site),
            "services": services,
            "missing": missing,
        }
