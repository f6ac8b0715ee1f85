"""Channels and messages that together use every property, and what became of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from base.item import StoredItem
from benchmarks._fidelity import Scene, Shown, named
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant
from simulator.chat_message import ChatMessage
from simulator.teams import Channel, add_channel, add_team, teams

_UNTIL = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
_ADDRESS = re.compile(r"https?://[^\"\s<>]*?/hostedContents/(?P<id>[^/\"\s<>]+)/\$value")
_Raw = Mapping[str, Any]
_Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A message as one of the three tells of it, with the digests of what Teams keeps for it."""

    place: str
    """The name of its channel or chat."""
    raw: _Raw
    hosted: Mapping[str, str] = field(default_factory=dict)


class Teams:
    """Teams among the subjects of the measurement."""

    service = "teams"

    def furnish(self, tenant: Tenant) -> Scene:
        team = next(iter(teams(tenant).values()))
        group = tenant.groups[team.id]
        target = add_team(tenant, tenant.add_group("Fresh Start", group.members).id, _UNTIL)
        for channel in team.channels.values():
            if channel.name != "General":
                add_channel(tenant, target, channel.name, _UNTIL, channel.membership)
        channel = next(iter(team.channels.values()))
        by, drive = {"user": {"displayName": "Nora"}}, next(iter(tenant.drives.values()))
        folder = drive.create_folder(drive.root, "General", "replace", by, _UNTIL)
        channel.folder = (drive.id, folder.id)
        _furnish(channel)
        policy = {"teams": {"mode": "include", "teams": [team.id]}}
        return Scene(team.id, target.id, policy, options=("migration",))

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        channels, said = [], []
        for raw in graph.all(f"/teams/{where}/channels"):
            path = f"/teams/{where}/channels/{quote(raw['id'])}"
            held = teams(tenant)[where].channels[raw["id"]]
            raw |= graph.get(path, select="summary")
            raw |= {name: graph.all(f"{path}/{name}") for name in ("members", "tabs")}
            if held.folder is not None:
                raw["filesFolder"] = graph.get(f"{path}/filesFolder")
            channels.append(raw)
            if not held.unprovisioned:
                for one in graph.all(f"{path}/messages"):
                    at = f"{path}/messages/{one['id']}"
                    said.append(_asked(graph, raw["displayName"], at, one))
                    said += [
                        _asked(graph, raw["displayName"], f"{at}/replies/{reply['id']}", reply)
                        for reply in graph.all(f"{at}/replies")
                    ]
        return named((*_channels(channels, said), *messages(said)))

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        view = installation.view(self.service, f"team:{where}")
        names = {one.id: one.name for one in view.catalog.items() if one.kind == "folder"}
        channels, said = [], []
        for entry in view.catalog.items():
            item = view.item(entry.id)
            raw = {**item.raw, **entry.facts.get("volatile", {})}
            if entry.kind != "folder":
                said.append(Said(names[entry.parent], raw, digests(item)))
            elif entry.parent:
                channels.append(raw)
        return named((*_channels(channels, said), *messages(said)))


def _furnish(channel: Channel) -> None:
    """What else a channel and its messages can have."""
    channel.description = "For everybody"
    channel.archived = True
    channel.facts = {"email": "general@contoso.example", "isFavoriteByDefault": True}
    channel.facts["layoutType"] = "post"
    channel.migration, channel.original_created = "completed", channel.created
    full(next(one for one in channel.talk.messages.values() if one.mentions))


def full(message: ChatMessage) -> None:
    """Gives a message what it can have besides."""
    message.subject, message.summary, message.locale = "Berths", "All of them", "de-de"
    message.policy_violation = {"dlpAction": "none", "justificationText": "Checked"}
    message.history = [{"actions": "reactionAdded", "modifiedDateTime": "2026-11-01T10:00:00Z"}]


def _asked(graph: Graph, place: str, path: str, raw: _Raw) -> Said:
    keys = [one["id"] for one in graph.all(f"{path}/hostedContents")]
    data = {key: graph.raw(f"{path}/hostedContents/{quote(key)}/$value") for key in keys}
    return Said(place, raw, {key: hashlib.sha256(held).hexdigest() for key, held in data.items()})


def digests(item: StoredItem) -> dict[str, str]:
    """Of what is stored of a message's hosted contents, by their ids."""
    parts = [part for part in item.parts if part.role == "hosted"]
    return {part.meta["id"]: hashlib.sha256(part.read()).hexdigest() for part in parts}


def _channels(channels: Sequence[_Raw], said: Sequence[Said]) -> Iterator[tuple[str, str, _Facts]]:
    for raw in channels:
        facts = dict(raw)
        name = str(raw["displayName"])
        facts["messages"] = sorted(
            one.raw["id"] for one in said if one.place == name and comes_back(one.raw)
        )
        facts["tabs"] = [(one["displayName"], one["webUrl"]) for one in raw.get("tabs", ())]
        facts["members"] = sorted(one["userId"] for one in raw.get("members", ()))
        if raw["membershipType"] == "standard":
            del facts["members"]  # those of the team
        if "filesFolder" in raw:
            facts["filesFolder"] = raw["filesFolder"]["name"]
        yield "channel", name, facts


def comes_back(raw: _Raw) -> bool:
    """Whether a message can be written again: what is deleted and what Teams wrote cannot."""
    return not raw["deletedDateTime"] and not raw["eventDetail"]


def messages(said: Sequence[Said]) -> Iterator[tuple[str, str, _Facts]]:
    """Messages with digests in place of addresses of what Teams keeps."""
    answers: dict[tuple[str, str], list[str]] = {}
    for one in said:
        if one.raw.get("replyToId") and comes_back(one.raw):
            answers.setdefault((one.place, one.raw["replyToId"]), []).append(one.raw["id"])
    for one in said:
        name = f"{one.place} {one.raw['createdDateTime']}"
        if not comes_back(one.raw):
            whys = ("deletedDateTime", "eventDetail", "messageType")
            yield (
                "chatMessage",
                name,
                {
                    **{why: one.raw[why] for why in whys if one.raw[why] != "message"},
                    "@odata.type": None,
                },
            )
            continue
        facts: _Facts = _addressed(one.raw, one.hosted)
        facts["hostedContents"] = sorted(one.hosted.values())
        facts["replies"] = sorted(answers.get((one.place, one.raw["id"]), ()))
        if facts.get("channelIdentity"):
            facts["channelIdentity"] = one.place
        yield "chatMessage", name, facts


def _addressed(value: Any, hosted: Mapping[str, str]) -> Any:
    """A value with digests in place of addresses of hosted contents."""
    if isinstance(value, Mapping):
        return {name: _addressed(inner, hosted) for name, inner in value.items()}
    if isinstance(value, list):
        return [_addressed(one, hosted) for one in value]
    if not isinstance(value, str):
        return value
    return _ADDRESS.sub(lambda found: hosted.get(found["id"], found[0]), value)
