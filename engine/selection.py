"""Whom and what a policy chooses: everybody, only some, or all but some; by user, group, pattern.

Rule 1: rules are read anew at every run against the directory of that moment: who joins a chosen
        group is protected from the next run on.
Rule 2: who leaves a chosen group stays protected as long as the policy says "keep" for leavers and
        names that group still. Each row remembers by which entry it was chosen.
Rule 3: an entry that names nobody is an error when it is written, never when a run meets it: what
        it named may have gone since.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from base.errors import InvalidInput
from engine.directory import Known
from m365.directory import GROUPS, SITES, Group, Person, Site

PEOPLE: Mapping[str, Any] = {
    "mode": "all",
    "users": [],
    "groups": [],
    "patterns": [],
    "leavers": "keep",
}
WEB: Mapping[str, Any] = {"mode": "all", "sites": [], "patterns": []}
TEAMS: Mapping[str, Any] = {"mode": "all", "teams": [], "patterns": []}
_SELECTIONS = ("selection", "drives", "sites", "teams")  # of a policy document
_PATTERN_MAX = 500
_BY_GROUP = "group:"


class SelectionInvalid(InvalidInput):
    """The selection cannot be meant: it names nobody, or a pattern that matches nothing."""

    code = "selection-invalid"


class SelectionUnknown(InvalidInput):
    """The selection names users, groups or sites that the tenant does not have; `positions` says
    which entries of `field`, counted from 0.
    """

    code = "selection-unknown"
    hint = "Search the directory for the id or the address, or wait until the entry exists."


class People:
    """A selection of people and of groups' mailboxes, against one directory."""

    def __init__(self, selection: Mapping[str, Any], known: Known) -> None:
        chosen = {**PEOPLE, **selection}
        self.mode = str(chosen["mode"])
        self._keeps_leavers = chosen["leavers"] == "keep"
        self._named = {str(one).strip().casefold() for one in chosen["users"]}
        self._groups = {str(one).strip().casefold() for one in chosen["groups"]}
        self._pattern = _compiled(chosen["patterns"])
        self._entries = {_entry(name) for name in self._groups}
        self._by_group: dict[str, str] = {}
        self.lost_groups = 0  # entries that name no group (any more)
        for name in sorted(self._groups):
            group_id = known.groups_by_name.get(name)
            self.lost_groups += group_id is None
            for person_id in known.within(group_id) if group_id else ():
                self._by_group.setdefault(person_id, _entry(name))

    @property
    def needs_groups(self) -> bool:
        """Whether nobody can be chosen without knowing who is in groups."""
        return self.mode != "all" and bool(self._groups)

    def person(self, person: Person, before: str = "") -> str | None:
        """By what a person is chosen ("" where nobody has to remember), None for who is not.

        `before` is the answer of the last run.
        """
        names = {person.id, person.mail, person.user_principal_name}
        return self._chosen(self._hit(names, self._named, self._by_group.get(person.id)), before)

    def group(self, group: Group) -> str | None:
        """The same for a group's own mailbox."""
        return self._chosen(self._hit({group.id, group.mail}, self._groups, None), "")

    def _hit(self, names: Iterable[str], named: set[str], by_group: str | None) -> str | None:
        folded = {name.casefold() for name in names if name}
        if folded & named:
            return ""
        if self._pattern is not None and any(map(self._pattern.match, folded)):
            return ""
        return by_group

    def _chosen(self, hit: str | None, before: str) -> str | None:
        match self.mode:
            case "include":
                left = before in self._entries and self._keeps_leavers
                return before if hit is None and left else hit
            case "exclude":
                return "" if hit is None else None
            case _:
                return ""


class Web:
    """A selection of SharePoint sites."""

    def __init__(self, selection: Mapping[str, Any]) -> None:
        chosen = {**WEB, **selection}
        self._mode = str(chosen["mode"])
        self._named = {_address(str(one)) for one in chosen["sites"]}
        self._pattern = _compiled(_address(str(one)) for one in chosen["patterns"])

    @property
    def narrowed(self) -> bool:
        """Whether somebody has chosen, so that sites are meant to be protected."""
        return self._mode != "all"

    def takes(self, site: Site, above: Iterable[Site] = ()) -> bool:
        """Whether a site is chosen: by itself or with one of those `above`, which it follows."""
        hit = any(map(self._names, (site, *above)))
        return {"include": hit, "exclude": not hit}.get(self._mode, True)

    def _names(self, site: Site) -> bool:
        names = {site.id.casefold(), _address(site.url)} - {""}
        if names & self._named:
            return True
        return self._pattern is not None and self._pattern.match(_address(site.url)) is not None


class Teams:
    """A selection of teams, where they are chosen apart from groups."""

    def __init__(self, selection: Mapping[str, Any]) -> None:
        chosen = {**TEAMS, **selection}
        self._mode = str(chosen["mode"])
        self._named = {str(one).strip().casefold() for one in chosen["teams"]}
        self._pattern = _compiled(chosen["patterns"])

    def takes(self, team: Group) -> bool:
        """Whether a team is chosen, by the id or the address of its group."""
        names = {name.casefold() for name in (team.id, team.mail) if name}
        hit = bool(names & self._named)
        if self._pattern is not None:
            hit = hit or any(map(self._pattern.match, names))
        return {"include": hit, "exclude": not hit}.get(self._mode, True)


def whole(document: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document of any age with its selections filled in; `drives` or `teams` None: as
    `selection`.
    """
    drives, teams = document.get("drives"), document.get("teams")
    return {
        **document,
        "selection": {**PEOPLE, **(document.get("selection") or {})},
        "drives": {**PEOPLE, **drives} if drives else None,
        "sites": {**WEB, **(document.get("sites") or {})},
        "teams": {**TEAMS, **teams} if teams else None,
    }


def names_somebody(document: Mapping[str, Any]) -> bool:
    """Whether a policy document has entries that could name nobody."""
    return any(
        (document.get(name) or {}).get(key)
        for name in _SELECTIONS
        for key in ("users", "groups", "sites", "teams")
    )


def check_shape(document: Mapping[str, Any]) -> None:
    """Raises SelectionInvalid for what cannot be meant, whoever is in the tenant."""
    for name in _SELECTIONS:
        chosen = document.get(name) or {}
        lists = [key for key, value in chosen.items() if isinstance(value, (list, tuple))]
        if chosen.get("mode") == "include" and not any(chosen[key] for key in lists):
            raise SelectionInvalid(
                "Nobody is chosen: the lists are empty.",
                hint="Name somebody, or choose everybody.",
                field=name,
            )
        for key in lists:
            for at, entry in enumerate(chosen[key]):
                if not str(entry).strip() or len(str(entry)) > _PATTERN_MAX:
                    raise SelectionInvalid(
                        f"An entry has 1 to {_PATTERN_MAX} characters.",
                        hint="Leave empty entries out.",
                        field=f"{name}.{key}",
                        positions=[at],
                    )


def check_known(document: Mapping[str, Any], in_force: Mapping[str, Any], known: Known) -> None:
    """Raises SelectionUnknown for entries that are new and name nobody in the directory."""
    users = _names_of(known)
    sites = {one.casefold() for one in known.sites}
    sites |= {_address(one.url) for one in known.sites.values()}
    teams = {name for name, key in known.groups_by_name.items() if known.groups[key].team}
    for name, key, there, spelled in (
        ("selection", "users", users, str.casefold),
        ("selection", "groups", known.groups_by_name.keys(), str.casefold),
        ("drives", "users", users, str.casefold),
        ("drives", "groups", known.groups_by_name.keys(), str.casefold),
        ("sites", "sites", sites, _address),
        ("teams", "teams", teams, str.casefold),
    ):
        feeds = {"groups": GROUPS.name, "teams": GROUPS.name, "sites": SITES.name}
        if feeds.get(key) in known.unread:
            continue
        entries = (document.get(name) or {}).get(key, ())
        old = {spelled(one) for one in (in_force.get(name) or {}).get(key, ())}
        lost = [
            at
            for at, one in enumerate(entries)
            if spelled(one.strip()) not in there and spelled(one) not in old
        ]
        if lost:
            raise SelectionUnknown(
                "The tenant has no such entry.", field=f"{name}.{key}", positions=lost[:20]
            )


def _names_of(known: Known) -> set[str]:
    return {
        name.casefold()
        for people in (known.people, known.removed)
        for one in people.values()
        for name in (one.id, one.mail, one.user_principal_name)
        if name
    }


def _compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for patterns of * and ?; a bracket stands for itself."""
    parts = [fnmatch.translate(one.strip().casefold().replace("[", "[[]")) for one in patterns]
    return re.compile("|".join(parts)) if parts else None


def _address(text: str) -> str:
    """An address of a site, or its id, as they are compared: without scheme and last slash."""
    return text.strip().casefold().removeprefix("https://").rstrip("/")


def _entry(name: str) -> str:
    """What a row remembers of the group's entry; a hash, as entries may be addresses."""
    return _BY_GROUP + hashlib.sha256(name.encode()).hexdigest()[:12]
