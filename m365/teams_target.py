"""The channels of the team that a restore writes into, and which of them a stored one becomes.

Rules
- A channel is found by its id, else by its name among channels of the same kind. None is created,
  and messages of a private channel never go to one that more people read.
- A channel that another team or tenant shares with this one is no target.

https://learn.microsoft.com/graph/api/channel-list
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from base.item import StoredItem
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, ItemGone, ResourceGone
from m365.service import Folder, Resource
from m365.teams_json import Raw


class ChannelMissing(GraphProblem):
    """The team has no channel that could take what a stored channel held."""

    code: ClassVar[str] = "channel-missing"
    hint = (
        "Create a channel of that name and kind in the team and restore again. A restore creates "
        "none and takes no other: somebody could read what he could not read before."
    )


class MessagesStay(GraphProblem):
    """Messages that were written into a channel cannot be taken away by an application."""

    code: ClassVar[str] = "messages-stay"
    hint = "Members of the channel can delete their messages in Teams; owners those of all."


class TargetChannels:
    """The channels of one team."""

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self.team = resource.graph_id
        self.scope = Scope.team(resource.graph_id)
        self._writer = writer
        self._known: dict[str, Raw] | None = None

    def root(self) -> Folder:
        """The team; raises ResourceGone where there is none."""
        self.listed()
        return Folder(self.team)

    def listed(self, *, anew: bool = False) -> dict[str, Raw]:
        """What the team hosts, by id; asked for once, unless it is to be as it is now."""
        if self._known is None or anew:
            path = f"/teams/{quote(self.team, safe='')}/channels"
            try:
                pages = follow(self._writer, path, scope=self.scope)
                found = [raw for page in pages for raw in page.value if raw.get("id")]
            except ItemGone as problem:
                raise problem.told_as(ResourceGone, "The group has no team.") from problem
            self._known = {str(raw["id"]): raw for raw in found}
        return self._known

    def original(self, stored: StoredItem) -> Folder | None:
        """The channel itself, where the team still has it."""
        if not stored.parent:
            return self.root()
        return Folder(stored.id) if stored.id in self.listed() else None

    def place(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        """The folder of a restore, which is only a name, or the channel for a stored one."""
        if stored is None:
            return Folder(into.id, (*into.path, name))
        if stored.id in self.listed():
            return Folder(stored.id, into.path)
        kind = stored.raw.get("membershipType")
        for channel_id, raw in self.listed().items():
            same_name = str(raw.get("displayName") or "").casefold() == name.casefold()
            if same_name and raw.get("membershipType") == kind:
                return Folder(channel_id, into.path)
        raise ChannelMissing("The team has no channel of that name and kind.")
