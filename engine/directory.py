"""The tenant's directory as an installation knows it: brought up to date by every run, searched by
people, and never a reason to ask for everybody again.

Rule 1: records are a cache. What is missing, torn or too old is read anew, whole.
Rule 2: a feed of groups or sites that cannot be read does not stop anything; what was known of it
        stays, and the run says so where somebody needs it. One that was never read is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from base import log
from engine.assembly import App
from m365.directory import (
    FEEDS,
    GROUPS,
    REMOVED,
    SITES,
    USERS,
    Feed,
    Group,
    Person,
    Reading,
    Site,
    deleted_users,
    group_of,
    person_of,
    read_feed,
    site_of,
)
from m365.graph.auth import Tokens
from m365.graph.client import GraphReader
from m365.graph.errors import Forbidden, GraphProblem, ResourceGone
from m365.graph.permissions import missing_roles
from m365.holdings import NO_DRIVE
from m365.site_listing import with_listed
from state.directory import Kept, Record

_NO_WORD = re.compile(r"[^a-z0-9]")
PERMISSION_MISSING = "permission-missing"
LINK_LASTS = timedelta(days=3)  # stored anew behind that, of the 7 days in which it is known
WHOLE_EVERY = timedelta(days=30)  # so that whatever no delta told is found all the same
LISTED_EVERY = timedelta(days=7)  # sites, besides their delta: a tenant of several geographies
LISTING = "sites-listing"  # of the record that says when


@dataclass(frozen=True)
class Known:
    """The directory. `unread`: feeds that could not be read now, with the code of the reason."""

    people: Mapping[str, Person]
    removed: Mapping[str, Person]  # who left, while Microsoft can still bring them back
    groups: Mapping[str, Group]
    sites: Mapping[str, Site]
    unread: Mapping[str, str] = field(default_factory=dict)
    removed_sites: Mapping[str, Site] = field(default_factory=dict)
    _within: dict[str, frozenset[str]] = field(default_factory=dict)

    def within(self, group_id: str) -> frozenset[str]:
        """Everybody in a group and in the groups in it, however they contain one another."""
        if group_id not in self._within:
            met, waiting = {group_id}, [group_id]
            members: set[str] = set()
            while waiting:
                group = self.groups.get(waiting.pop())
                inside = group.members if group else frozenset()
                members |= inside
                waiting += [one for one in inside & self.groups.keys() if one not in met]
                met |= inside & self.groups.keys()
            self._within[group_id] = frozenset(members - self.groups.keys())
        return self._within[group_id]

    @cached_property
    def groups_by_name(self) -> Mapping[str, str]:
        """Group ids by id and by address, in small letters."""
        found = {one.mail.casefold(): one.id for one in self.groups.values() if one.mail}
        return found | {one.casefold(): one for one in self.groups}

    def onedrive_since(self, person: Person) -> str:
        """When the site of a person's OneDrive was first seen, ISO; "" where there is none by the
        name that it is given.
        """
        return self._onedrives.get(onedrive_name(person), "")

    @cached_property
    def _onedrives(self) -> Mapping[str, str]:
        return {personal_name(one.url): one.changed for one in self.sites.values() if one.personal}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever read."""
        return not (self.people or self.removed)


def onedrive_name(person: Person) -> str:
    """The name that the site of a person's OneDrive is given: the principal name, with _ for
    whatever is no letter or digit.
    """
    return _NO_WORD.sub("_", person.user_principal_name.casefold())


def personal_name(url: str) -> str:
    """The name of a personal site in an address that lies in it; "" in others."""
    _, found, tail = url.casefold().partition("/personal/")
    return tail.partition("/")[0] if found else ""


def refresh(app: App, org: str, reader: GraphReader) -> Known:
    """Reads what has changed in the directory and keeps it; an idle night is a request per feed.

    Raises Forbidden where even users may not be read, Throttled, TransientFailure, SignInFailed.
    """
    records: dict[str, Mapping[str, Record]] = {}
    unread: dict[str, str] = {}
    for feed in FEEDS:
        kept = app.directory.read(org, feed.name)
        records[feed.name] = kept.records
        if feed is not USERS and not may(reader, feed.permission):
            unread[feed.name] = PERMISSION_MISSING
            continue
        try:
            records[feed.name] = _read(app, org, reader, feed, kept)
        except Forbidden as refused:
            if feed is USERS:
                raise
            unread[feed.name] = refused.code
        except ResourceGone:  # a tenant without SharePoint
            if feed is not SITES:
                raise
            unread[feed.name] = NO_DRIVE
        except GraphProblem as problem:
            if feed is USERS or kept.whole_at is None:
                raise
            unread[feed.name] = problem.code
    return _known(records, unread)


def known(app: App, org: str) -> Known:
    """The directory as the last run left it; asks nobody."""
    return _known({feed.name: app.directory.read(org, feed.name).records for feed in FEEDS})


def may(reader: GraphReader, permission: str) -> bool:
    """Whether the token at hand has an application permission, or one that includes it."""
    tokens = reader.tokens
    return not isinstance(tokens, Tokens) or not missing_roles([permission], tokens.roles())


def _read(app: App, org: str, reader: GraphReader, feed: Feed, kept: Kept) -> Mapping[str, Record]:
    now = app.clock.now()
    due = kept.whole_at is None or now - kept.whole_at >= WHOLE_EVERY
    reading = read_feed(reader, feed, "" if due else kept.link, kept.records, now)
    listed = _with_listed(app, org, reader, reading) if feed is SITES else None
    records = dict(listed or reading.records)
    if feed is USERS and (reading.whole or _more_removed(kept.records, records)):
        for user_id, record in deleted_users(reader):
            before = records.get(user_id, {REMOVED: True})
            if before.get(REMOVED):
                records[user_id] = {**record, **before, REMOVED: record[REMOVED]}
    if _worth_writing(app, kept, reading, records):
        whole_at = now if reading.whole else kept.whole_at
        after = Kept(records, reading.link, now if reading.link else None, whole_at)
        app.directory.write(org, feed.name, kept, after)
    if listed is not None:
        app.directory.write(org, LISTING, app.directory.read(org, LISTING), Kept(whole_at=now))
    return records


def _with_listed(
    app: App, org: str, reader: GraphReader, reading: Reading
) -> Mapping[str, Record] | None:
    """What sites there are by delta and by listing; None where it is not time to list them: that is
    once a week, and behind every whole reading.
    """
    listed_at = app.directory.read(org, LISTING).whole_at
    now = app.clock.now()
    if not reading.link or (
        not reading.whole and listed_at is not None and now - listed_at < LISTED_EVERY
    ):
        return None
    try:
        return with_listed(reader, SITES, reading.records, now)
    except GraphProblem as problem:  # the next run tries again
        log.event("sites-not-listed", org=org, code=problem.code)
        return None


def _more_removed(before: Mapping[str, Record], after: Mapping[str, Record]) -> bool:
    return any(
        record.get(REMOVED) and not before.get(key, {}).get(REMOVED)
        for key, record in after.items()
        if record is not before.get(key)
    )


def _worth_writing(app: App, kept: Kept, reading: Reading, records: Mapping[str, Record]) -> bool:
    if reading.whole or records != kept.records:
        return True
    return kept.link_at is None or app.clock.now() - kept.link_at >= LINK_LASTS


def _known(
    records: Mapping[str, Mapping[str, Record]], unread: Mapping[str, str] | None = None
) -> Known:
    everybody = {key: person_of(key, record) for key, record in records[USERS.name].items()}
    groups = {key: group_of(key, record) for key, record in records[GROUPS.name].items()}
    sites = {key: site_of(key, record) for key, record in records[SITES.name].items()}
    return Known(
        people={key: one for key, one in everybody.items() if not one.removed},
        removed={key: one for key, one in everybody.items() if one.removed},
        groups={key: one for key, one in groups.items() if not one.removed},
        sites={key: one for key, one in sites.items() if not one.removed},
        unread=unread or {},
        removed_sites={key: one for key, one in sites.items() if one.removed},
    )
