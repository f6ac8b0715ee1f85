"""Teams and their channels: settings, members, tabs, where files lie; what is shared with a team.

Rules
- A team belongs to a group whose resourceProvisioningOptions name "Team"; without one 404.
- /channels lists what a team hosts; /allChannels also what others share with it. The id of an
  incoming channel is looked up with the team that hosts it, which its @odata.id names; one of
  another tenant (tenantId) is refused to applications from here.
- A deleted channel is in no list; asked for, it is not there.
- Private and shared channels have members and a site of their own; the others have the team's.
- filesFolder answers 404 until somebody opened the tab of files ("not ready yet").
- At most four requests a second of one app on one team; a migration allows five on a channel.

https://learn.microsoft.com/graph/api/resources/team /channel /team-list-allchannels
https://learn.microsoft.com/graph/api/channel-get-filesfolder /channel-list-members
https://learn.microsoft.com/graph/throttling-limits (Microsoft Teams)
"""

import base64
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from simulator.chat_message import Home, Talk, stamp
from simulator.drive_json import item_json
from simulator.tenant import Tenant
from simulator.throttle import Window
from simulator.web import Answer, GraphError, Handler, Json, Request, Route

Membership = Literal["standard", "private", "shared"]
REQUESTS_PER_SECOND = 4
_TEAM = ("Team.ReadBasic.All", "TeamSettings.Read.All", "TeamSettings.ReadWrite.All",
         "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All",
         "Directory.ReadWrite.All")  # fmt: skip
_CHANNELS = ("Channel.ReadBasic.All", "ChannelSettings.Read.All", "ChannelSettings.ReadWrite.All")
_HOSTED_CHANNELS = (*_CHANNELS, "Directory.Read.All", "Directory.ReadWrite.All", "Group.Read.All",
                    "Group.ReadWrite.All")  # fmt: skip
_MEMBERS = ("TeamMember.Read.All", "TeamMember.ReadWrite.All")
_CHANNEL_MEMBERS = ("ChannelMember.Read.All", "ChannelMember.ReadWrite.All")
_TABS = ("TeamsTab.Read.All", "TeamsTab.ReadWrite.All", "TeamsTab.ReadWriteForTeam.All",
         "TeamsTab.ReadWriteSelfForTeam.All", "Directory.Read.All", "Directory.ReadWrite.All",
         "Group.Read.All", "Group.ReadWrite.All")  # fmt: skip
_FILES = ("Files.Read.All", "Files.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All",
          "Sites.Read.All", "Sites.ReadWrite.All")  # fmt: skip
_PAGE = 100


@dataclass(slots=True)
class Channel:
    """A channel with its messages. `folder`: drive and item of its files, once there are any."""

    id: str
    name: str
    created: datetime
    tenant_id: str
    membership: Membership = "standard"
    description: str | None = None
    archived: bool = False
    members: list[str] = field(default_factory=list)
    tabs: list[Json] = field(default_factory=list)
    shared_with: set[str] = field(default_factory=set)
    folder: tuple[str, str] | None = None
    facts: Json = field(default_factory=dict)
    """What else it shows: email, isFavoriteByDefault, layoutType."""
    talk: Talk = field(default_factory=Talk)
    delta_refused: bool = False
    """Its feed answers 400 to its own links, as seen in practice."""
    replies_unnoticed: bool = False
    """Its feed says nothing of replies, as seen in practice."""
    unprovisioned: bool = False
    """Its messages answer 404."""
    deleted: bool = False
    original_created: datetime | None = None
    migration: str | None = None
    migrator: str = ""
    """The app that started the migration under way."""


@dataclass(slots=True)
class Team:
    """A team; its members are those of its group."""

    id: str
    created: datetime
    channels: dict[str, Channel] = field(default_factory=dict)
    foreign: list[Channel] = field(default_factory=list)
    """Channels that other tenants share with it."""
    archived: bool = False
    settings: Json = field(default_factory=dict)


def teams(tenant: Tenant) -> dict[str, Team]:
    """Every team by the id of its group."""
    found: dict[str, Team] = tenant.room.setdefault("teams", {})
    return found


def add_team(tenant: Tenant, group_id: str, created: datetime) -> Team:
    """Makes a group a team, with its General channel."""
    tenant.groups[group_id].properties["resourceProvisioningOptions"] = ["Team"]
    team = teams(tenant)[group_id] = Team(group_id, created)
    add_channel(tenant, team, "General", created)
    return team


def add_channel(
    tenant: Tenant,
    team: Team,
    name: str,
    created: datetime,
    membership: Membership = "standard",
    **facts: object,
) -> Channel:
    """A new channel of a team; `facts` are further fields of Channel."""
    channel = Channel(_channel_id(tenant), name, created, tenant.id, membership)
    for key, value in facts.items():
        setattr(channel, key, value)
    team.channels[channel.id] = channel
    return channel


def add_foreign_channel(tenant: Tenant, team: Team, name: str, created: datetime) -> Channel:
    """A channel that another tenant shares with a team."""
    channel = Channel(_channel_id(tenant), name, created, tenant.new_id(), "shared")
    team.foreign.append(channel)
    return channel


def team_of(tenant: Tenant, team_id: str) -> Team:
    """A team by id; Graph's 404 else."""
    found = teams(tenant).get(team_id)
    if found is None or team_id not in tenant.groups:
        raise GraphError(404, "NotFound", f"No team found with Group Id {team_id}")
    return found


def channel_of(tenant: Tenant, team_id: str, channel_id: str) -> Channel:
    """A channel that a team hosts; 403 for one of another tenant, else Graph's 404."""
    team = team_of(tenant, team_id)
    found = team.channels.get(channel_id)
    if found is not None and not found.deleted:
        return found
    if any(one.id == channel_id for one in team.foreign):
        raise GraphError(403, "Forbidden", "The channel belongs to another tenant.")
    raise GraphError(404, "NotFound", "ChannelNotFound")


def home_of(tenant: Tenant, team_id: str, channel: Channel) -> Home:
    """Where the messages of a channel live."""
    return Home(f"/teams/{team_id}/channels/{channel.id}", tenant.id, team_id, channel.id)


def incoming(tenant: Tenant, team: Team) -> Iterator[tuple[str, Channel]]:
    """(hosting team, channel) of what others of the tenant share with a team."""
    for host in teams(tenant).values():
        for channel in host.channels.values():
            if team.id in channel.shared_with and not channel.deleted:
                yield host.id, channel


def limited(handler: Handler) -> Handler:
    """A handler behind the limit of one team."""

    @functools.wraps(handler)
    def run(tenant: Tenant, request: Request, **names: str) -> Answer:
        app_id = request.app.app_id if request.app is not None else ""
        windows: dict[str, Window] = tenant.room.setdefault("team windows", {})
        name = f"{app_id} {names['team']}"
        window = windows.setdefault(name, Window(1.0, tenant.clock.elapsed_s))
        if window.add(1) > REQUESTS_PER_SECOND:
            tenant.counters.throttled["team-requests"] += 1
            headers = {"Retry-After": str(window.reset_s())}
            raise GraphError(429, "TooManyRequests", "Too many requests on one team.", headers)
        return handler(tenant, request, **names)

    return run


def collection(request: Request, path: str, values: list[Json], page: int = _PAGE) -> Answer:
    """One page of a list of a team, with its nextLink."""
    skip = int(request.query.get("$skiptoken", "0"))
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path.lstrip('/')}"}
    body["@odata.count"] = len(values)
    if skip + page < len(values):
        body["@odata.nextLink"] = f"{request.url_base}{path}?$skiptoken={skip + page}"
    body["value"] = values[skip : skip + page]
    return Answer(200, body)


def team_json(tenant: Tenant, team: Team) -> Json:
    """A team as Graph shows it."""
    group = tenant.groups[team.id]
    members = [one for one in group.members if one in tenant.users]
    return {
        "id": team.id, "createdDateTime": stamp(team.created),
        "displayName": group.properties["displayName"],
        "description": group.properties["description"], "internalId": f"19:{team.id}@thread.tacv2",
        "classification": None, "specialization": "none", "visibility": "private",
        "webUrl": f"https://teams.microsoft.com/l/team/{team.id}?tenantId={tenant.id}",
        "isArchived": team.archived, "tenantId": tenant.id, "isMembershipLimitedToOwners": False,
        "discoverySettings": {"showInTeamsSearchAndSuggestions": True},
        "memberSettings": {"allowCreateUpdateChannels": True} | team.settings,
        "guestSettings": {"allowCreateUpdateChannels": False, "allowDeleteChannels": False},
        "messagingSettings": {"allowUserEditMessages": True, "allowUserDeleteMessages": True},
        "funSettings": {"allowGiphy": True, "giphyContentRating": "moderate"},
        "summary": {
            "ownersCount": 1 if members else 0, "membersCount": max(0, len(members) - 1),
            "guestsCount": 0,
        },
    }  # fmt: skip


def channel_json(channel: Channel, request: Request | None = None, host: str = "") -> Json:
    """A channel as Graph shows it; with its @odata.id where another team hosts it."""
    shown: Json = {}
    if host and request is not None:
        base = f"{request.url_base}/tenants/{channel.tenant_id}/teams/{host}"
        shown["@odata.id"] = f"{base}/channels/{channel.id}"
    return shown | {
        "id": channel.id, "createdDateTime": stamp(channel.created),
        "displayName": channel.name, "description": channel.description,
        "isFavoriteByDefault": None, "email": None, "tenantId": channel.tenant_id,
        "webUrl": f"https://teams.microsoft.com/l/channel/{quote(channel.id, safe='')}",
        "membershipType": channel.membership, "isArchived": channel.archived,
        "migrationMode": channel.migration,
        "originalCreatedDateTime": (
            stamp(channel.original_created) if channel.original_created else None
        ),
    } | channel.facts  # fmt: skip


def member_json(tenant: Tenant, place: str, user_id: str, *, owner: bool) -> Json:
    """A member of a team or channel."""
    user = tenant.users[user_id].properties
    key = base64.b64encode(f"{place}##{user_id}".encode()).decode("ascii")
    return {
        "@odata.type": "#microsoft.graph.aadUserConversationMember", "id": key,
        "roles": ["owner"] if owner else [], "displayName": user["displayName"],
        "visibleHistoryStartDateTime": "0001-01-01T00:00:00Z", "userId": user_id,
        "email": user["mail"], "tenantId": tenant.id,
    }  # fmt: skip


def get_team(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET /teams/{team}."""
    return Answer(200, team_json(tenant, team_of(tenant, team)))


def list_members(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET …/members."""
    team_of(tenant, team)
    people = [one for one in tenant.groups[team].members if one in tenant.users]
    shown = [member_json(tenant, team, one, owner=one == people[0]) for one in people]
    return collection(request, f"/teams/{team}/members", shown)


def list_channels(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET …/channels."""
    found = team_of(tenant, team)
    shown = [channel_json(one) for one in found.channels.values() if not one.deleted]
    return collection(request, f"/teams/{team}/channels", shown)


def list_all_channels(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET …/allChannels: hosted and incoming."""
    found = team_of(tenant, team)
    shown = [channel_json(one) for one in found.channels.values() if not one.deleted]
    shown += _incoming(tenant, request, found)
    return collection(request, f"/teams/{team}/allChannels", shown, _page_size(tenant))


def list_incoming(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET …/incomingChannels."""
    shown = _incoming(tenant, request, team_of(tenant, team))
    return collection(request, f"/teams/{team}/incomingChannels", shown)


def get_channel(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/channels/{channel}; summary comes only where $select names it."""
    found = channel_of(tenant, team, channel)
    if "summary" not in request.query.get("$select", ""):
        return Answer(200, channel_json(found))
    members = found.members or tenant.groups[team].members
    summary = {"ownersCount": 1, "membersCount": len(members) - 1, "guestsCount": 0}
    return Answer(200, {"id": found.id, "summary": summary | {"hasMembersFromOtherTenants": False}})


def list_channel_members(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/channels/{channel}/members; of a standard channel those of the team."""
    found = channel_of(tenant, team, channel)
    people = tenant.groups[team].members if found.membership == "standard" else found.members
    people = [one for one in people if one in tenant.users]
    shown = [member_json(tenant, channel, one, owner=one == people[0]) for one in people]
    return collection(request, f"/teams/{team}/channels/{channel}/members", shown)


def list_tabs(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/channels/{channel}/tabs; $expand=teamsApp shows the app of each."""
    tabs = channel_of(tenant, team, channel).tabs
    if request.query.get("$expand", "").lower() != "teamsapp":
        tabs = [{key: value for key, value in one.items() if key != "teamsApp"} for one in tabs]
    return collection(request, f"/teams/{team}/channels/{channel}/tabs", tabs)


def files_folder(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/channels/{channel}/filesFolder."""
    found = channel_of(tenant, team, channel)
    if found.folder is None or found.folder[0] not in tenant.drives:
        text = "Folder location for this channel is not ready yet, please try again later."
        raise GraphError(404, "NotFound", text)
    drive = tenant.drives[found.folder[0]]
    shown = item_json(drive, drive.get(found.folder[1]), request, tenant.clock.now())
    return Answer(200, shown | {"createdDateTime": "0001-01-01T00:00:00Z"})


def _incoming(tenant: Tenant, request: Request, team: Team) -> list[Json]:
    shared = [channel_json(one, request, host) for host, one in incoming(tenant, team)]
    return shared + [channel_json(one, request, one.tenant_id) for one in team.foreign]


def _page_size(tenant: Tenant) -> int:
    return 2 if tenant.quirks.p_short_page else _PAGE


def _channel_id(tenant: Tenant) -> str:
    return f"19:{tenant.rng.getrandbits(128):032x}@thread.tacv2"


_C = "/teams/{team}/channels/{channel}"
_OPERATIONS: tuple[tuple[str, Callable[..., Answer], tuple[str, ...]], ...] = (
    ("/teams/{team}", get_team, _TEAM),
    ("/teams/{team}/members", list_members, _MEMBERS),
    ("/teams/{team}/channels", list_channels, _HOSTED_CHANNELS),
    ("/teams/{team}/allChannels", list_all_channels, _CHANNELS),
    ("/teams/{team}/incomingChannels", list_incoming, _CHANNELS),
    (_C, get_channel, _HOSTED_CHANNELS),
    (f"{_C}/members", list_channel_members, _CHANNEL_MEMBERS),
    (f"{_C}/tabs", list_tabs, _TABS),
    (f"{_C}/filesFolder", files_folder, _FILES),
)
ROUTES: tuple[Route, ...] = tuple(
    Route("GET", pattern, limited(handler), roles) for pattern, handler, roles in _OPERATIONS
)
