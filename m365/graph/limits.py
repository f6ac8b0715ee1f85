"""The documented limits of Microsoft Graph, what a request costs, and which limits it falls under.

Numbers, read in November 2026; Microsoft changes them without notice:
https://learn.microsoft.com/graph/throttling-limits
https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self
from urllib.parse import parse_qs, urlsplit

UNITS, UPLOADS, WRITES, SLOTS = "units", "uploads", "writes", "slots"


class Purpose(IntEnum):
    """What a request is for; the lower goes first."""

    RESTORE = 0
    BACKUP = 1  # what changed since the last time
    FIRST = 2  # a first full, and what may follow later


@dataclass(frozen=True, slots=True)
class Scope:
    """Which limits a request falls under. `key` is the mailbox's user id or the team's id, ""
    elsewhere.
    """

    kind: str
    key: str = ""

    @classmethod
    def mailbox(cls, user_id: str) -> Self:
        """Everything in one mailbox: mail, calendar, contacts, tasks."""
        return cls("mailbox", user_id.lower())

    @classmethod
    def sharepoint(cls) -> Self:
        """All drives, lists and sites of the tenant."""
        return cls("sharepoint")

    @classmethod
    def directory(cls) -> Self:
        """Users, groups, organization."""
        return cls("directory")

    @classmethod
    def team(cls, team_id: str) -> Self:
        """Everything in one team: its channels and their messages."""
        return cls("team", team_id.lower())

    @classmethod
    def other(cls, kind: str) -> Self:
        """Another resource with limits of its own, by its name in OTHERS."""
        return cls(kind)


@dataclass(frozen=True, slots=True)
class Part:
    """One limit: at most `limit` within any `seconds` (0: at the same time).

    `slack_s` is how much longer than documented we remember what was sent, because a request may
    be under way so long before it is counted; `cell_s` how finely. `kept` is not for backups, so
    that a restore finds it at once; beside a restore all backups together get `beside_restore` of
    the limit. `unclaimed` is what those may use who have claimed nothing (see shares.py). Who does
    not know yet what it needs claims `limit // first`, and who is there `limit // least`.
    """

    name: str
    limit: int
    seconds: float
    cell_s: float = 0.0
    slack_s: float = 0.0
    kept: int = 0
    beside_restore: float = 1.0
    unclaimed: int = 0
    first: int = 4
    least: int = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What we may use; the defaults are the documented limits of the smallest tenants.

    Of a mailbox's 10,000 requests a hundred stay unused: for the few requests of those who look
    into it without a claim.
    """

    mailbox_slots: int = 4
    mailbox_readers: int = 3  # of the slots, for backups, unless a batch needs all
    mailbox_visit: int = 20  # requests, one after another, that need no claim
    mailbox_requests_per_10_min: int = 9_900
    mailbox_upload_bytes_per_5_min: int = 150_000_000
    sharepoint_units_per_min: int = 1_250
    sharepoint_units_per_day: int = 1_200_000
    directory_units_per_10_s: int = 3_500
    directory_writes_per_150_s: int = 3_000
    app_requests_per_10_s: int = 130_000  # of one application over all tenants
    wait_max_s: float = 5.0

    @classmethod
    def for_licences(cls, licences: int) -> Self:
        """SharePoint's limits grow with the number of licences in the tenant."""
        steps = sum(licences > bound for bound in (1_000, 5_000, 15_000, 50_000))
        return cls(
            sharepoint_units_per_min=1_250 * (steps + 1),
            sharepoint_units_per_day=1_200_000 * (steps + 1),
        )

    def with_licences(self, licences: int) -> Self:
        """These limits, with SharePoint's for so many licences where those are larger."""
        if licences <= 1_000:
            return self
        larger = self.for_licences(licences)
        per_min = max(self.sharepoint_units_per_min, larger.sharepoint_units_per_min)
        per_day = max(self.sharepoint_units_per_day, larger.sharepoint_units_per_day)
        return replace(self, sharepoint_units_per_min=per_min, sharepoint_units_per_day=per_day)

    def parts(self, kind: str) -> tuple[Part, ...]:
        """The limits of a kind of scope; "app" is the application as a whole."""
        match kind:
            case "mailbox":
                requests, uploads = (
                    self.mailbox_requests_per_10_min,
                    self.mailbox_upload_bytes_per_5_min,
                )
                return (
                    Part(UNITS, requests, 600, 2.0, 1.0, kept=requests // 100, least=4),
                    Part(UPLOADS, uploads, 300, 2.0, 1.0, least=4),
                    Part(SLOTS, self.mailbox_slots, 0, kept=1, unclaimed=1),
                )
            case "sharepoint":
                units = self.sharepoint_units_per_min
                kept = _kept(units)
                return (Part(UNITS, units, 60, 0.25, 0.5, kept=kept, beside_restore=0.3),)
            case "directory":
                units = self.directory_units_per_10_s
                return (
                    Part(UNITS, units, 10, 0.1, 0.3, kept=_kept(units), beside_restore=0.5),
                    Part(WRITES, self.directory_writes_per_150_s, 150, 1.0, 0.5),
                )
            case "app":
                return (
                    Part(UNITS, self.app_requests_per_10_s, 10, 0.1, 0.2, first=100, least=100),
                )
            case _:
                return OTHERS.get(kind, ())


def _kept(units: int) -> int:
    """A fiftieth, of whole thousands."""
    return units // 1_000 * 20


def _per_second(requests: int) -> tuple[Part, ...]:
    """A rate, counted over five seconds, so that one slow answer does not waste it."""
    return (Part(UNITS, requests * 5, 5, 0.05, 0.2),)


# Behind every lane of a kind with keys stands one more limit, of all of them together. Teams counts
# by the kind of request; messages of channels, of which there are most, may be asked for least
# often, and all that is asked for in teams counts among them. One team allows four requests a
# second besides.
BEHIND = {"mailbox": "mailboxes", "team": "channel-messages"}

# Per app and tenant.
OTHERS: dict[str, tuple[Part, ...]] = {
    "teams": _per_second(30),
    "teams-channels": _per_second(60),
    "teams-messages": _per_second(20),
    "teams-message-writes": _per_second(50),
    "teams-all-messages": _per_second(200),
    "teams-creation": _per_second(10),
    # Counted by the second, in which a pause looks like no need: a claim keeps half, or all of it.
    "channel-messages": (Part(UNITS, 20, 1, 0.05, 0.2, first=2, least=2),),
    "team": (Part(UNITS, 4, 1, 0.05, 0.2, first=1, least=1),),
    "sharing": (Part(UNITS, 300, 300, 2.0, 1.0),),  # SharePoint's "specific sharing APIs"
    "onenote": (Part(UNITS, 240, 60, 0.5, 0.5),),
    "subscriptions": (Part(UNITS, 5_000, 20, 0.2, 0.3),),
    "reports": (Part(UNITS, 14, 600, 2.0, 1.0),),
    "extensions": (Part(UNITS, 455, 10, 0.1, 0.3),),
    "announcements": (Part(UNITS, 240, 60, 0.5, 0.5),),
}


def directory_cost(url: str) -> int:
    """Resource units of one request to users, groups and their kin.

    users 2, members and getByIds 3, transitiveMembers 5, anything else 1; $select and a $top below
    20 take one off, $expand puts one on; never below 1.
    """
    parts = urlsplit(url)
    path = re.sub(r"^/(?:v1\.0|beta)(?=/)", "", parts.path).rstrip("/").lower()
    last = path.rpartition("/")[2]
    if last == "transitivemembers":
        cost = 5
    elif last in ("members", "getbyids") or last.endswith(".getbyids"):
        cost = 3
    else:
        cost = 2 if re.fullmatch(r"/users(?:/[^/]+|/(?:microsoft\.graph\.)?delta.*)?", path) else 1
    options = parse_qs(parts.query)
    top = options.get("$top", [""])[0]
    cost -= "$select" in options
    cost += "$expand" in options
    cost -= top.isdecimal() and int(top) < 20
    return max(1, cost)
