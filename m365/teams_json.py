"""A team and its channels as folders, the ids of what lies in them, and where Graph has it.

An item's id is that of its channel, of the message that begins its thread, and of the reply: Graph
finds a message below its channel only, and no id is unique beyond it.

https://learn.microsoft.com/graph/api/resources/team /channel
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from base.item import Change
from m365.chat_message import message
from m365.graph.errors import ItemGone

_HOST = re.compile(r"/teams(?:/|\(')(?P<team>[^/()']+)", re.IGNORECASE)
_FOLDER = ("id", "name", "webUrl")  # of filesFolder; sizes and times change with every file

Raw = dict[str, Any]


def part_of(channel_id: str) -> str:
    """The name of a channel's feed."""
    return f"channel:{channel_id}"


def channel_of(part: str) -> str:
    """The channel of a feed."""
    return part.partition(":")[2]


def item_id(channel_id: str, raw: Mapping[str, Any]) -> str:
    """The id of a message or reply."""
    key, root = str(raw["id"]), raw.get("replyToId")
    place = (channel_id, str(root), key) if root else (channel_id, key)
    return "/".join(quote(one, safe="") for one in place)


def place_of(item_id: str) -> tuple[str, str, str]:
    """Channel, message and reply ("") of an item; raises ItemGone for what is none."""
    place = [unquote(one) for one in item_id.split("/")]
    if len(place) not in (2, 3) or not all(place):
        raise ItemGone("There is no such message.")
    return (place[0], place[1], place[2]) if len(place) == 3 else (place[0], place[1], "")


def channel_path(team_id: str, channel_id: str) -> str:
    """Where a channel is."""
    return f"/teams/{quote(team_id, safe='')}/channels/{quote(channel_id, safe='')}"


def message_path(team_id: str, item_id: str) -> str:
    """Where a message or reply is."""
    channel_id, root, reply = place_of(item_id)
    path = f"{channel_path(team_id, channel_id)}/messages/{quote(root, safe='')}"
    return f"{path}/replies/{quote(reply, safe='')}" if reply else path


def change_of(channel_id: str, raw: Mapping[str, Any]) -> Change:
    """A message or reply of a channel."""
    return message(raw, item_id(channel_id, raw), channel_id)


def team_folder(team_id: str, team: Mapping[str, Any], members: list[Raw] | None) -> Change:
    """The team as the folder of its channels; members under "members", where they may be read."""
    raw = _kept(team)
    if members is not None:
        raw["members"] = _sorted(members)
    name = str(team.get("displayName") or "(no name)")
    return Change(team_id, "", "folder", name, raw, fingerprint=digest(raw))


def channel_folder(team_id: str, channel: Mapping[str, Any], details: Mapping[str, Any]) -> Change:
    """A channel as the folder of its messages; `details`: members, tabs and filesFolder, as far as
    they were asked for and may be read.
    """
    raw = _kept(channel)
    for name in ("members", "tabs"):
        if details.get(name) is not None:
            raw[name] = _sorted(details[name])
    if details.get("filesFolder") is not None:
        folder = details["filesFolder"]
        raw["filesFolder"] = {key: folder.get(key) for key in _FOLDER}
        drive = (folder.get("parentReference") or {}).get("driveId")
        raw["filesFolder"]["parentReference"] = {"driveId": drive}
    name = str(channel.get("displayName") or "(no name)")
    return Change(str(channel["id"]), team_id, "folder", name, raw, fingerprint=digest(raw))


def is_foreign(channel: Mapping[str, Any], tenant: str) -> bool:
    """Whether a channel belongs to another tenant, which alone may read it."""
    owner = str(channel.get("tenantId") or "")
    return bool(owner) and owner.lower() != tenant.lower()


def is_hosted_elsewhere(channel: Mapping[str, Any], team_id: str) -> bool:
    """Whether another team shares the channel with this one: it is read with that team."""
    match = _HOST.search(str(channel.get("@odata.id") or ""))
    return match is not None and unquote(match["team"]).lower() != team_id.lower()


def digest(raw: Mapping[str, Any]) -> str:
    """Changes when an answer tells something else."""
    text = json.dumps(_kept(raw), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _kept(raw: Mapping[str, Any]) -> Raw:
    """Without what tells of the answer, but for the place of what is hosted elsewhere."""
    return {k: v for k, v in raw.items() if not k.startswith("@odata.") or k == "@odata.id"}


def _sorted(entries: list[Raw]) -> list[Raw]:
    """In an order that does not change by itself."""
    return sorted(
        (_kept(one) | {k: v for k, v in one.items() if k == "@odata.type"} for one in entries),
        key=lambda one: str(one.get("id")),
    )
