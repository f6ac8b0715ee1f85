"""What the census says of sites: which of them are protected, and why others are not.

Rule 1: a library follows its site, a subsite the sites above it, and the site of a channel that of
        its team: who chooses or leaves out one of those means what follows it.
Rule 2: no drive has two rows. The site of somebody's OneDrive is covered by the OneDrive; one whose
        owner is not there any more is a row of its own, as is a channel that nobody here can read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine import selection
from engine.directory import PERMISSION_MISSING, Known, may, onedrive_name, personal_name
from engine.holdings import Holdings
from engine.site_holdings import ChannelSite, SiteHoldings
from m365.directory import SITES, Site
from m365.graph.client import GraphReader
from m365.holdings import NO_DRIVE
from m365.site_holdings import CHANNELS_PERMISSION, VANISHED

NOT_SELECTED = "not-selected"
LEFT = "left-the-directory"
SITES_UNTOLD = "sites-not-told"  # for want of an optional permission
# Owners of rows that stand for several sites: all, those of channels that nobody told of, and of
# channels whose team has none.
_ALL, _UNTOLD, _CHANNELS = "sites", "channels-sites", "channels"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says; `graph_id` "" where there is nothing to protect."""

    graph_id: str
    name: str
    address: str
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""  # in place of a Graph id; "" for what stands for its owner as a whole


class SiteRows:
    """What there is to say of every site, service by service."""

    def __init__(
        self,
        policy: Mapping[str, Any],
        reader: GraphReader,
        known: Known,
        holdings: Holdings,
        sites: SiteHoldings,
    ) -> None:
        self._reader, self._known, self._holdings, self._sites = reader, known, holdings, sites
        self._web = selection.Web(policy["sites"])
        self._chosen: set[str] | None = None
        self._asked = False

    def of(
        self, kind: str, missing: tuple[str, ...], with_points: Collection[str]
    ) -> Iterator[tuple[str, list[Entry]]]:
        """By owner, mostly the id of a site: entries for a service of a kind ("drive", "site").

        `missing`: permissions of the service that are not granted. `with_points`: owners of rows
        with restore points. Raises Throttled, MoreToAsk.
        """
        chosen = self._find()
        if not missing and not self._asked:
            self._sites.ask(chosen)
            self._asked = True
        met = self._holdings.drives()
        found = {
            site.id: self._drives(site, met) if kind == "drive" else [self._site(site)]
            for site in self._sites.sites.values()
        }
        if kind == "drive":
            for channel in self._sites.channels(self._known):
                owner = channel.team if channel.team in found else _CHANNELS
                found.setdefault(owner, []).extend(self._channel(channel, met))
        for owner, entries in found.items():
            facts: dict[str, Any] = {"site": owner}
            reason = "" if owner in chosen or owner == _CHANNELS else NOT_SELECTED
            if not reason and missing:
                reason, facts["permissions"] = PERMISSION_MISSING, list(missing)
            yield owner, [_said(one, reason, facts) for one in entries]
        if kind == "drive":
            yield from self._ownerless(with_points)
        yield from self._untold(kind, bool(missing))

    def _find(self) -> set[str]:
        if self._chosen is None:
            self._sites.find(self._known)
            self._chosen = {
                site.id
                for site in self._sites.sites.values()
                if self._web.takes(site, self._sites.above(site))
            }
        return self._chosen

    def _drives(self, site: Site, met: set[str]) -> list[Entry]:
        held = self._sites.libraries(site.id)
        reason = LEFT if held.reason == VANISHED else held.reason
        new = [one for one in held.entries if one.id not in met]
        met.update(one.id for one in new)
        return [
            Entry(one.id, f"{site.display_name} / {one.name}", one.url or site.url, reason)
            for one in new
        ] or [Entry("", site.display_name, site.url, reason or NO_DRIVE)]

    def _site(self, site: Site) -> Entry:
        reason = self._sites.libraries(site.id).reason
        return Entry(site.id, site.display_name, site.url, LEFT if reason == VANISHED else reason)

    def _channel(self, channel: ChannelSite, met: set[str]) -> Iterator[Entry]:
        """A channel whose site nobody knows; none where files were never put into it."""
        if channel.site or channel.reason == VANISHED or channel.drive in met:
            return
        if channel.drive or channel.reason:
            met.add(channel.drive or channel.id)
            yield Entry(channel.drive, channel.name, channel.url, channel.reason, key=channel.id)

    def _ownerless(self, with_points: Collection[str]) -> Iterator[tuple[str, list[Entry]]]:
        """Sites of OneDrives whose owner is not in the directory."""
        owned = {onedrive_name(one) for one in self._known.people.values()}
        owned |= self._holdings.personal_sites()
        left = {onedrive_name(one): one for one in self._known.removed.values()}
        for site in self._known.sites.values():
            name = personal_name(site.url)
            if not site.personal or not name or name in owned:
                continue
            owner = left.get(name)
            if owner is not None and owner.id in with_points:
                continue  # whose OneDrive has a row already
            facts = {"site": site.id} | ({"deleted": owner.removed} if owner is not None else {})
            yield site.id, [Entry("", site.display_name, site.url, LEFT, facts)]

    def _untold(self, kind: str, lacking: bool) -> Iterator[tuple[str, list[Entry]]]:
        """Rows that stand for sites of which nobody told: all of them, or those of channels."""
        code = self._known.unread.get(SITES.name)
        if code is not None and not (self._known.sites or self._known.removed_sites):
            facts: dict[str, Any] = {"site": _ALL}
            if code == PERMISSION_MISSING:
                facts["permissions"] = [SITES.permission]
                code = code if lacking or self._web.narrowed else SITES_UNTOLD
            yield _ALL, [Entry("", "SharePoint sites", "", code, facts)]
        elif kind == "drive" and not may(self._reader, CHANNELS_PERMISSION):
            if any(one.team for one in self._known.groups.values()):
                facts = {"site": _UNTOLD, "permissions": [CHANNELS_PERMISSION]}
                name = "Sites of private and shared channels"
                yield _UNTOLD, [Entry("", name, "", SITES_UNTOLD, facts)]


def _said(entry: Entry, reason: str, facts: Mapping[str, Any]) -> Entry:
    return replace(entry, reason=reason or entry.reason, facts={**entry.facts, **facts})
