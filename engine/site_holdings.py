"""What was found out about sites: their subsites, their document libraries, the sites of channels;
and when to ask again.

Rule 1: libraries are asked for by every run, so that a new one is protected the next night: at
        first of the sites that are new or that the directory says changed; then of the others in
        turn, as many as A_RUN or a seventh of all. So each is asked within a week's runs however
        many there are.
Rule 2: subsites and the channels of teams, which hardly ever change without the directory saying
        so, are asked for when the site or team is new or changed, and once a week.
Rule 3: an answer that says nothing (a failure of the service) changes nothing that is known, and
        the run says so. A site that is closed keeps the libraries it had, with the reason.
Rule 4: answers are kept as they come in, so planning may stop at any time and go on later; a night
        without news writes nothing. When an answer came is written once a week.

Theory of operation
One record a site: {"libraries": [[id, name, url]], "reason", "asked", "below": [[id, name, url]],
"looked"}; one a team: {"root": site id, "channels": {id: {…}}, "looked"}; "failed" says that the
last look told nothing. Where in the turn a run was is written into the link of the sites' records,
where it matters: behind a planning step that was interrupted, and where not all sites are asked by
one run.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from base.clock import parse_iso
from engine.assembly import App
from engine.directory import Known, may
from engine.holdings import MoreToAsk
from m365.directory import Site
from m365.graph.client import GraphReader
from m365.holdings import FORBIDDEN, LOCKED
from m365.site_holdings import (
    ARCHIVED,
    CHANNELS_PERMISSION,
    VANISHED,
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
from state.directory import Kept, Record

NAME, CHANNELS = "site-holdings", "site-channels"  # of the records
ANOTHER_TENANT = "another-tenant"
A_RUN = 1_000  # sites asked for libraries without a reason: fifty requests
_WEEK = timedelta(days=7)
_AT_ONCE = 20  # between two looks at the clock: one request
_TOLD = ("", LOCKED, ARCHIVED, FORBIDDEN, VANISHED)  # reasons that are answers


@dataclass(frozen=True, slots=True)
class ChannelSite:
    """A channel with a drive of its own; or with the reason why nobody here can read it."""

    id: str
    name: str
    team: str  # the site of its team, "" where that is not known
    drive: str
    site: str  # "" where the service does not say which
    url: str
    reason: str


class SiteHoldings:
    """What each site has. `began`: when the run began, which asks for every library once."""

    def __init__(
        self,
        app: App,
        org: str,
        reader: GraphReader | None,
        deadline: float = 0,
        began: datetime | None = None,
    ) -> None:
        self._app, self._org, self._reader, self._deadline = app, org, reader, deadline
        self._now = app.clock.now()
        self._began = (began or self._now).isoformat()
        self._kept = {name: app.directory.read(org, name) for name in (NAME, CHANNELS)}
        self._records: dict[str, Record] = dict(self._kept[NAME].records)
        self._teams: dict[str, Record] = dict(self._kept[CHANNELS].records)
        self._turn = self._kept[NAME].link
        self.sites: Mapping[str, Site] = {}  # all that are not personal; filled by find
        self.untold: set[str] = set()  # codes of answers that said nothing
        self.answers = 0  # that this step has brought

    def find(self, known: Known) -> None:
        """Finds the sites that the directory does not list. Raises Throttled, MoreToAsk."""
        if self._reader is not None and may(self._reader, CHANNELS_PERMISSION):
            teams = [one.id for one in known.groups.values() if one.team]
            self._in_parts([one for one in teams if self._is_due(self._teams.get(one))],
                           self._note_channels)  # fmt: skip
        self.sites = self._tree(known)
        looked: set[str] = set()
        while self._reader is not None:
            due = [
                key
                for key, one in self.sites.items()
                if key not in looked and self._is_due(self._record(key), one)
            ]
            if not due:
                break
            looked.update(due)
            self._in_parts(due, self._note_subsites)
            self.sites = self._tree(known)

    def ask(self, chosen: Collection[str]) -> None:
        """Finds out which libraries sites have. Raises Throttled, MoreToAsk."""
        ids = sorted(chosen)
        self._in_parts([key for key in ids if self._is_news(key)], self._note_libraries)
        most = max(A_RUN, -(-len(ids) // 7))
        turn = json.loads(self._turn) if self._turn else {}
        if turn.get("began") != self._began:
            after = str(turn.get("after", "")) if len(ids) > most else ""
            turn = {"began": self._began, "after": after, "left": min(most, len(ids))}
        start = bisect_right(ids, turn["after"])
        waiting = (ids[start:] + ids[:start])[: turn["left"]]
        self._in_parts(waiting, lambda some: self._take_turn(some, turn))
        if len(ids) <= most:
            self._turn = ""

    def libraries(self, site_id: str) -> Listed[Library]:
        """The libraries of a site as far as they are known, and why they cannot be read."""
        held = self._record(site_id)
        found = tuple(Library(*one) for one in held.get("libraries", ()))
        return Listed(found, str(held.get("reason", "")))

    def above(self, site: Site) -> Iterator[Site]:
        """The sites that a site follows, the nearest first."""
        met = {site.id}
        while site.parent in self.sites and site.parent not in met:
            site = self.sites[site.parent]
            met.add(site.id)
            yield site

    def channels(self, known: Known) -> Iterator[ChannelSite]:
        """The private and shared channels of the teams that are there; one that a team shares with
        others comes once, with its files.
        """
        found: dict[str, ChannelSite] = {}
        for one in self._every_channel(known):
            if one.id not in found or one.drive:
                found[one.id] = one
        yield from found.values()

    def _every_channel(self, known: Known) -> Iterator[ChannelSite]:
        for team_id, record in self._teams.items():
            team = known.groups.get(team_id)
            for key, one in record.get("channels", {}).items() if team else ():
                name = f"{team.display_name} / {one['name']}" if team else ""
                root = str(record.get("root", ""))
                yield ChannelSite(
                    key, name, root, one["drive"], one["site"], one["url"], one["reason"]
                )

    def save(self) -> None:
        """Keeps the answers; those about sites and teams that are not there any more go."""
        self._save(CHANNELS, self._teams, "")
        if self.sites:
            records = {key: one for key, one in self._records.items() if key in self.sites}
            self._save(NAME, records, self._turn)

    def _save(self, name: str, records: Mapping[str, Record], link: str) -> None:
        kept = self._kept[name]
        if records != kept.records or link != kept.link:
            after = Kept(records, link, whole_at=self._now)
            self._app.directory.write(self._org, name, kept, after)
            self._kept[name] = self._app.directory.read(self._org, name)

    # --- The tree of sites ---

    def _tree(self, known: Known) -> dict[str, Site]:
        """The sites of the directory, with those below them and those of channels."""
        spelled = {key.casefold(): key for key, one in known.sites.items() if not one.personal}
        found = {key: known.sites[key] for key in spelled.values()}
        teams = [key for key in self._teams if key in known.groups and known.groups[key].team]
        self._teams = {key: self._teams[key] for key in teams}
        for channel in self.channels(known):
            if channel.site:
                site = Site(channel.site, channel.name, channel.url, False, parent=channel.team)
                _graft(found, spelled, site)
        waiting = list(found)
        for site_id in waiting:
            for key, name, url in self._record(site_id).get("below", ()):
                if _graft(found, spelled, Site(key, name, url, False, parent=site_id)):
                    waiting.append(key)
        return found

    def _record(self, site_id: str) -> Record:
        return self._records.get(site_id, {})

    # --- When to ask ---

    def _is_due(self, held: Record | None, site: Site | None = None) -> bool:
        """Whether it is time to look for what is below a site, or for the channels of a team."""
        looked = str((held or {}).get("looked", ""))
        if not looked or (site is not None and site.changed > looked):
            return True
        if held and held.get("failed") and looked < self._began:
            return True
        return self._now - parse_iso(looked) >= _WEEK

    def _is_news(self, site_id: str) -> bool:
        """Whether nobody asked a site for its libraries yet, or it has changed since."""
        asked = str(self._record(site_id).get("asked", ""))
        return not asked or self.sites[site_id].changed > asked

    # --- Asking ---

    def _in_parts(self, ids: Sequence[str], note: Callable[[list[str]], None]) -> None:
        for at in range(0, len(ids), _AT_ONCE):
            if at and self._app.clock.monotonic() >= self._deadline:
                raise MoreToAsk
            note(list(ids[at : at + _AT_ONCE]))
            self.answers += 1

    def _take_turn(self, ids: list[str], turn: dict[str, Any]) -> None:
        """Asks the next sites, without those that this run has asked already."""
        due = [key for key in ids if str(self._record(key).get("asked", "")) < self._began]
        self._note_libraries(due)
        turn["after"], turn["left"] = ids[-1], turn["left"] - len(ids)
        self._turn = json.dumps(turn)

    def _note_libraries(self, ids: list[str]) -> None:
        assert self._reader is not None, "asked with a reader only"
        for site_id, answer in (libraries_of(self._reader, ids) if ids else {}).items():
            held = self._record(site_id)
            if answer.reason not in _TOLD:
                self.untold.add(answer.reason)
                if held.get("asked"):
                    continue
            libraries = [[one.id, one.name, one.url] for one in answer.entries]
            if answer.reason:
                libraries = held.get("libraries", [])
            self._set(site_id, {"libraries": libraries, "reason": answer.reason})

    def _note_subsites(self, ids: list[str]) -> None:
        assert self._reader is not None, "asked with a reader only"
        for site_id, answer in subsites_of(self._reader, ids).items():
            held = self._record(site_id)
            below = [[one.id, one.display_name, one.url] for one in answer.entries]
            failed = answer.reason not in _TOLD
            if answer.reason:
                below = held.get("below", [])
            if failed:
                self.untold.add(answer.reason)
            looked = {"below": below, "failed": failed, "looked": self._now.isoformat()}
            self._records[site_id] = {**held, **looked}

    def _set(self, site_id: str, facts: Mapping[str, Any]) -> None:
        """Takes an answer about libraries over, unless it is the one of less than a week ago."""
        held = self._record(site_id)
        asked = str(held.get("asked", ""))
        same = all(held.get(name) == value for name, value in facts.items())
        if same and not self._is_news(site_id) and self._now - parse_iso(asked) < _WEEK:
            return
        self._records[site_id] = {**held, **facts, "asked": self._now.isoformat()}

    def _note_channels(self, ids: list[str]) -> None:
        assert self._reader is not None, "asked with a reader only"
        found = channels_of(self._reader, ids)
        roots = root_sites_of(self._reader, ids)
        own = self._reader.tenant.casefold()
        new = [
            (team, one.id)
            for team, listed in found.items()
            for one in listed.entries
            if _is_ours(one, own) and not self._channel(team, one.id).get("drive")
        ]
        files: dict[tuple[str, str], ChannelFiles] = {}
        for some in _few_of_each(new):
            files |= files_of(self._reader, some)
        for team, listed in found.items():
            held = self._teams.get(team, {})
            channels = held.get("channels", {})
            failed = listed.reason not in _TOLD
            if failed:
                self.untold.add(listed.reason)
            if not listed.reason:
                channels = {
                    one.id: self._channel_facts(team, one, files.get((team, one.id)), own)
                    for one in listed.entries
                }
            self._teams[team] = {
                "root": roots[team] or held.get("root", ""),
                "channels": channels,
                "failed": failed,
                "looked": self._now.isoformat(),
            }

    def _channel(self, team: str, channel: str) -> Mapping[str, Any]:
        held: Mapping[str, Any] = self._teams.get(team, {}).get("channels", {}).get(channel, {})
        return held

    def _channel_facts(
        self, team: str, channel: Channel, files: ChannelFiles | None, own: str
    ) -> dict[str, str]:
        if not _is_ours(channel, own):
            return _facts(channel.name, reason=ANOTHER_TENANT)
        if files is None:
            return {**self._channel(team, channel.id), "name": channel.name}
        site = files.site
        return _facts(
            channel.name,
            files.drive,
            site.id if site else "",
            site.url if site else "",
            files.reason,
        )


def with_every_site(app: App, org: str, known: Known) -> Known:
    """The directory with the sites that it does not list, as far as earlier runs have found them;
    asks nobody.
    """
    holdings = SiteHoldings(app, org, None)
    holdings.find(known)
    personal = {key: one for key, one in known.sites.items() if one.personal}
    return replace(known, sites={**holdings.sites, **personal})


def _facts(
    name: str, drive: str = "", site: str = "", url: str = "", reason: str = ""
) -> dict[str, str]:
    return {"name": name, "drive": drive, "site": site, "url": url, "reason": reason}


def _few_of_each(channels: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Parts with at most four channels of a team: so many requests a second are allowed on one."""
    waiting = list(channels)
    while waiting:
        some: list[tuple[str, str]] = []
        for one in waiting:
            if len(some) < _AT_ONCE and sum(one[0] == team for team, _ in some) < 4:
                some.append(one)
        yield some
        waiting = [one for one in waiting if one not in some]


def _is_ours(channel: Channel, tenant: str) -> bool:
    """Whether a channel may belong to this tenant, which may be named by its domain."""
    return channel.tenant.casefold() in ("", tenant) or "." in tenant


def _graft(found: dict[str, Site], spelled: dict[str, str], site: Site) -> bool:
    """Puts a site under the one it follows; whether it was not known yet."""
    key = spelled.setdefault(site.id.casefold(), site.id)
    if key not in found:
        found[key] = site
        return True
    if not found[key].parent and key != site.parent:
        found[key] = replace(found[key], parent=site.parent)
    return False
