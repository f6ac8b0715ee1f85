"""Teams: the team with its settings and members, its channels, and every message in them.

Rules
- The feed "team" tells which channels there are; "channel:<id>" tells of one channel and its
  messages. A quiet team costs one request, and one for each channel.
- Settings, members, tabs and the folder of files are asked for when the list of channels tells
  something new, behind an event that a channel shows, and every DETAILS_EVERY.
- A round of a channel is the list where it is due, then the feed of changes (teams_link.py): the
  feed's first round tells of the last eight months only.
- A channel that another tenant shares is told of and not read: applications may read it in its own
  tenant only. One that another team of the tenant shares is read with that team.
- A channel that is not listed is asked for before it is taken for gone.
- What keeps the messages of one channel away is a row of the ledger. Where channels refuse and
  none can be read, the tenant refuses, and that concerns the team.

https://learn.microsoft.com/graph/api/team-get /team-list-members /team-list-allchannels
https://learn.microsoft.com/graph/api/channel-list-tabs /channel-list-members
https://learn.microsoft.com/graph/api/channel-get-filesfolder
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote

from base.clock import iso
from base.item import Cause, Change, FeedPage, Gone, Part, Trouble
from m365.chat_message import COLUMNS, hosted_parts
from m365.feeds import each_whole
from m365.graph.auth import Tokens
from m365.graph.client import GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)
from m365.graph.permissions import missing_roles
from m365.service import LiveCount, Resource, Service
from m365.teams_channel import ChannelReader
from m365.teams_json import (
    Raw,
    change_of,
    channel_folder,
    channel_of,
    channel_path,
    digest,
    is_foreign,
    is_hosted_elsewhere,
    message_path,
    part_of,
    place_of,
    team_folder,
)
from m365.teams_link import ChannelLink, TeamLink
from m365.teams_writer import team_writer

FEED = "team"
_FILES = "Files.Read.All"
_PROTECTED = (402, 403)  # what answers say where a protected API was not approved, or not paid for
_T = TypeVar("_T")


class TeamSource:
    """Reads one team; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._scope = Scope.team(resource.graph_id)
        self._team = resource.graph_id
        self._base = f"/teams/{quote(resource.graph_id, safe='')}"
        self._unread: dict[str, Trouble] = {}  # by channel: of the page that is being taken
        self._some_read = False
        self._refusal: Forbidden | None = None

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        feeds = dict(links)
        if FEED not in finished:
            for page in self._listing(links):
                feeds[page.part] = page.link
                for part in page.dropped_parts:
                    feeds.pop(part, None)
                yield page
        done = {FEED, *finished}
        waiting = [(part, link) for part, link in feeds.items() if part not in done]
        yield from each_whole(self._channel(part, ChannelLink.read(link)) for part, link in waiting)
        if self._refusal and not self._some_read and finished <= {FEED}:
            raise self._refusal

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        if change.kind != "folder":
            path = message_path(self._team, change.id)
            return self._of_item(lambda: hosted_parts(self._reader, path, change, self._scope))
        if change.parent and is_foreign(change.raw, self._reader.tenant):
            return [], [Trouble(change.id, "messages", Cause.NOT_SUPPORTED, retry=False)]
        unread = self._unread.get(change.id)
        return [], [unread] if unread else []

    def complete(self, item_id: str) -> Change:
        if item_id == self._team:
            return self._root()
        if "/" not in item_id:
            path = channel_path(self._team, item_id)
            return self._of_item(lambda: self._folder(self._get(path)))
        path = message_path(self._team, item_id)
        return change_of(place_of(item_id)[0], self._of_item(lambda: self._get(path)))

    def merge(self, raw: Mapping[str, object], change: Change) -> Change:
        return change  # messages always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # nothing tells how many messages there are

    # --- The team and its channels ---

    def _listing(self, links: Mapping[str, str]) -> Iterator[FeedPage]:
        """What is new of each channel, then the team with what is gone."""
        now = self._reader.clock.now()
        team = TeamLink.read(links.get(FEED, ""))
        known = {part: ChannelLink.read(link) for part, link in links.items() if part != FEED}
        listed = {str(raw["id"]): raw for raw in self._channels() if raw.get("id")}
        for channel_id, raw in listed.items():
            before = known.get(part_of(channel_id), ChannelLink())
            if before.is_due(now) or before.listed != digest(raw):
                yield self._told(raw, before)
        entries: list[Change | Gone] = []
        if team.is_due(now) or any(one.due for one in known.values()):
            root = self._root()
            if root.fingerprint != team.told:
                entries.append(root)
            team = TeamLink(iso(now), root.fingerprint)
        unlisted = {part: one for part, one in known.items() if channel_of(part) not in listed}
        gone = [part for part, one in unlisted.items() if one.elsewhere or self._is_gone(part)]
        entries += [Gone(channel_of(part)) for part in gone]
        yield FeedPage(FEED, tuple(entries), team.write(), more=False, dropped_parts=tuple(gone))

    def _told(self, raw: Raw, before: ChannelLink) -> FeedPage:
        """A channel, where it says something else than before."""
        folder = self._folder(raw)
        elsewhere = not self._is_read(raw)
        now = iso(self._reader.clock.now())
        link = replace(before, listed=digest(raw), asked=now, due=False, elsewhere=elsewhere)
        if folder.fingerprint == before.told:
            return FeedPage(part_of(folder.id), (), link.write(), more=True)
        link = replace(link, told=folder.fingerprint, unread="")
        self._unread.pop(folder.id, None)
        return FeedPage(part_of(folder.id), (folder,), link.write(), more=True)

    def _channels(self) -> Iterator[Raw]:
        try:
            for page in follow(self._reader, f"{self._base}/allChannels", scope=self._scope):
                yield from page.value
        except ItemGone as problem:
            raise self._no_team(problem) from problem

    def _root(self) -> Change:
        try:
            team = self._get(self._base)
        except ItemGone as problem:
            raise self._no_team(problem) from problem
        return team_folder(self._team, team, self._whole(f"{self._base}/members"))

    def _folder(self, raw: Raw) -> Change:
        """A channel with its details: members where it has any of its own."""
        details: dict[str, Any] = {}
        if self._is_read(raw):
            path = channel_path(self._team, str(raw["id"]))
            if raw.get("membershipType") != "standard":
                details["members"] = self._whole(f"{path}/members")
            details["tabs"] = self._whole(f"{path}/tabs", {"$expand": "teamsApp"})
            if self._may_read_files:
                details["filesFolder"] = _unless_refused(lambda: self._get(f"{path}/filesFolder"))
        return channel_folder(self._team, raw, details)

    @cached_property
    def _may_read_files(self) -> bool:
        """Whether it makes sense to ask where files lie: a detail that needs a right to drives."""
        tokens = getattr(self._reader, "tokens", None)
        return not isinstance(tokens, Tokens) or not missing_roles((_FILES,), tokens.roles())

    def _is_read(self, raw: Raw) -> bool:
        foreign = is_foreign(raw, self._reader.tenant)
        return not foreign and not is_hosted_elsewhere(raw, self._team)

    def _is_gone(self, part: str) -> bool:
        """Whether a channel that is not listed is really not there."""
        try:
            self._of_item(lambda: self._get(channel_path(self._team, channel_of(part))))
        except ItemGone:
            return True
        except Forbidden:
            return False  # it is there, or nobody would mind
        return False

    def _whole(self, path: str, params: Mapping[str, str] | None = None) -> list[Raw] | None:
        """A list to its end; None where it may not be read."""
        pages = follow(self._reader, path, params, scope=self._scope)
        return _unless_refused(lambda: [one for page in pages for one in page.value])

    # --- Messages ---

    def _channel(self, part: str, link: ChannelLink) -> Iterator[FeedPage]:
        channel_id = channel_of(part)
        if link.elsewhere:
            yield FeedPage(part, (), link.write(), more=False)
            return
        reader = ChannelReader(self._reader, self._scope, self._team, channel_id)
        try:
            for page in reader.pages(link):
                self._some_read = True
                yield self._readable_again(page, link)
                link = replace(link, unread="")
        except (Unauthorized, TransientFailure):
            raise
        except GraphProblem as problem:
            yield self._unreadable(part, reader.state, link.unread, problem)

    def _readable_again(self, page: FeedPage, link: ChannelLink) -> FeedPage:
        """A page of a channel whose messages could not be read before tells of the channel anew."""
        if not link.unread:
            return page
        self._unread.pop(channel_of(page.part), None)
        return replace(page, entries=(self.complete(channel_of(page.part)), *page.entries))

    def _unreadable(
        self, part: str, link: ChannelLink, known: str, problem: GraphProblem
    ) -> FeedPage:
        """The channel with the reason why its messages cannot be read, unless that is known.

        In the middle of a whole list the feed is left unfinished: its end would delete what was not
        seen.
        """
        sweeps = link.sweeping and bool(link.whole)
        channel_id = channel_of(part)
        try:
            raw = self._of_item(lambda: self._get(channel_path(self._team, channel_id)))
        except ItemGone:
            return FeedPage(part, (Gone(channel_id),), "", more=False, dropped_parts=(part,))
        protected = problem.status_code in _PROTECTED
        if protected:
            self._refusal = self._refused(problem)
        after = link.given_up(problem.code)
        if known == problem.code:
            return FeedPage(part, (), after.write(), more=sweeps)
        cause = Cause.FORBIDDEN if protected else problem.code
        detail = f"{problem.graph_code} {problem.request_id}".strip()
        self._unread[channel_id] = Trouble(channel_id, "messages", cause, False, detail)
        folder = self._folder(raw)
        folder = replace(folder, fingerprint=f"{folder.fingerprint} {problem.code}")
        return FeedPage(part, (folder,), after.write(), more=sweeps)

    def _refused(self, problem: GraphProblem) -> Forbidden:
        return problem.told_as(
            Forbidden,
            "Messages of channels may not be read: a permission is missing, or Microsoft has yet to"
            " approve the application for protected APIs.",
        )

    def _no_team(self, problem: GraphProblem) -> ResourceGone:
        return problem.told_as(ResourceGone, "The group has no team.")

    def _of_item(self, ask: Callable[[], _T]) -> _T:
        """The answer about a channel or message. That it is not there is told apart from a team
        that is not: some codes of a 404 could mean both.
        """
        try:
            return ask()
        except ResourceGone as problem:
            try:
                self._get(self._base)
            except ItemGone:
                raise self._no_team(problem) from problem
            raise problem.told_as(
                ItemGone, "The channel or message is not there any more."
            ) from problem

    def _get(self, path: str) -> Raw:
        return self._reader.get(path, scope=self._scope)


def _unless_refused(ask: Callable[[], _T]) -> _T | None:
    """The answer, or None where there is none for us: a detail, without which the rest is kept."""
    try:
        return ask()
    except (Forbidden, ItemGone, ResourceGone):
        return None


SERVICE = Service(
    name="teams",
    title="Teams",
    resource_kind="team",
    item_kind="channel-message",
    reads=(
        "Team.ReadBasic.All",
        "TeamMember.Read.All",
        "Channel.ReadBasic.All",
        "ChannelMember.Read.All",
        "ChannelMessage.Read.All",
        "TeamsTab.Read.All",
    ),
    writes=("Channel.ReadBasic.All", "Files.ReadWrite.All"),
    columns=COLUMNS,
    source=TeamSource,
    writer=team_writer,
    options={
        "migration": (
            "Messages are written into the channel itself, with their sender and time, by migration"
            " mode: members see a banner until the restore is over, the channel is dated back for"
            " good, and no application can take the messages away again, so an undo leaves them."
        ),
    },
    option_writes={
        "migration": ("Channel.ReadBasic.All", "ChannelMessage.Read.All", "Teamwork.Migrate.All")
    },
    page_unless="migration",
    not_captured=(
        (
            "Channels that another tenant shares with a team: applications may read them only in"
            " the tenant that owns them. The channel is listed, with the reason."
        ),
        "Apps, tags and shifts of a team, and what a tab shows: tabs are kept as links.",
        "Files: a message holds links to them; they are protected with the drive they lie in.",
        (
            "What a message said between two backups: Teams keeps no versions of an edit. A message"
            " that was written and deleted between two backups leaves a tombstone."
        ),
    ),
    not_restorable=(
        (
            "Without the option migration, each channel comes back as one page in its files: no"
            " application may write messages of others otherwise."
        ),
        "Reactions, who has read what, that a message was edited, and messages that were deleted.",
        (
            "What Teams itself wrote (members who joined, channels renamed), settings of the team,"
            " its members, tabs, and channels that are gone: a message needs one of that name."
        ),
        "Code snippets and pictures inside of cards; the text beside them comes back.",
    ),
    refusable=True,
)
