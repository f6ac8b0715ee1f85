"""What the members of a team write to each other in its channels, and what a month changes."""

import random
from collections import Counter
from datetime import datetime, timedelta

from simulator import prose
from simulator.chat_message import (
    ChatMessage,
    Hosted,
    application_identity,
    card,
    hosted,
    hosted_link,
    mention,
    reference,
    truth,
    user_identity,
)
from simulator.content_kinds import png
from simulator.filebytes import LiteralBytes
from simulator.teams import (
    Channel,
    Membership,
    Team,
    add_channel,
    add_foreign_channel,
    add_team,
    teams,
)
from simulator.tenant import Tenant
from simulator.web import Json

_NAMES: tuple[tuple[str, Membership], ...] = (
    ("Announcements / crane 🏗️", "standard"), ("Budget", "private"), ("Suppliers", "shared"),
)  # fmt: skip
_ELSEWHERE = (
    "https://graph.microsoft.com/v1.0/teams/x/channels/y/messages/1/hostedContents/z/$value"
)
_PICTURE_BYTES = 9_000


def fill_teams(tenant: Tenant, count: int, until: datetime) -> None:
    """Makes every Microsoft 365 group a team."""
    for group in [one for one in tenant.groups.values() if one.unified]:
        dice = random.Random(f"{tenant.seed} team {group.properties['displayName']}")
        fill_team(tenant, group.id, dice, count, until)


def fill_team(
    tenant: Tenant, group_id: str, dice: random.Random, count: int, until: datetime
) -> Team:
    """A team whose channels hold `count` messages each, and one of every oddity."""
    team = add_team(tenant, group_id, until - timedelta(days=750))
    general = next(iter(team.channels.values()))
    for name, membership in _NAMES:
        add_channel(tenant, team, name, until - timedelta(days=700), membership)
    for channel in team.channels.values():
        scribe = _Scribe(tenant, team, channel, dice)
        scribe.furnish()
        at = until - timedelta(days=690)
        scribe.talk.event(at, "channelAdded", scribe.somebody(), channelId=channel.id)
        for _ in range(count):
            at = until - timedelta(days=dice.randint(3, 680), minutes=dice.randint(0, 900))
            scribe.thread(at, dice.choice((0, 0, 1, 2, 4)))
    _oddities(_Scribe(tenant, team, general, dice), until - timedelta(days=30))
    quiet = add_channel(tenant, team, "Quiet", until - timedelta(days=100), delta_refused=True)
    _Scribe(tenant, team, quiet, dice).thread(until - timedelta(days=99), 3)
    add_channel(tenant, team, "Nothing here", until - timedelta(days=90))
    add_channel(tenant, team, "Not ready", until - timedelta(days=1), unprovisioned=True)
    add_foreign_channel(tenant, team, "Harbour authority", until - timedelta(days=60))
    return team


def team_month(
    tenant: Tenant, group_id: str, dice: random.Random, now: datetime, done: Counter[str]
) -> None:
    """Messages, replies to old ones, edits, deletions, reactions; a channel comes, one is renamed,
    one goes.
    """
    team = teams(tenant).get(group_id)
    if team is None:
        return
    living = [one for one in team.channels.values() if not one.deleted and not one.unprovisioned]
    for channel in living:
        scribe = _Scribe(tenant, team, channel, dice)
        scribe.month(now, done)
    renamed = dice.choice(living[1:])
    renamed.name = f"Renamed {now:%B} {renamed.name}"[:50]
    new = add_channel(tenant, team, f"New {now:%B} {len(team.channels)}", now)
    _Scribe(tenant, team, new, dice).thread(now, 1)
    done["channels made"] += 1
    if len(living) > 4:
        dice.choice(living[4:]).deleted = True
        done["channels deleted"] += 1


def teams_truth(tenant: Tenant) -> Json:
    """By team: its channels with all that was ever written into them."""
    return {
        team.id: [
            {
                "id": one.id, "name": one.name, "membership": one.membership,
                "members": list(one.members), "tabs": [tab["displayName"] for tab in one.tabs],
                "messages": truth(one.talk),
            }
            for one in team.channels.values()
            if not one.deleted
        ]
        for team in teams(tenant).values()
    }  # fmt: skip


def _oddities(scribe: "_Scribe", at: datetime) -> None:
    """One of everything a message can be."""
    talk = scribe.talk
    picture, second = scribe.picture(), scribe.picture()
    shown = f'<div><img src="{hosted_link(picture)}"> and <img src="{hosted_link(second)}"></div>'
    pictures = scribe.say(shown, at, hosted=(picture, second), subject="Two pictures")
    scribe.say("<p>Seen</p>", at + timedelta(hours=1), reply_to=pictures.id)
    inside = scribe.picture()
    scribe.say(f'<img src="{hosted_link(inside)}">', at + timedelta(hours=2), hosted=(inside,),
               reply_to=pictures.id)  # fmt: skip
    snippet = scribe.keep(b"print('crane')\n" * 20, "text/plain")
    code = card("c0de", "codesnippet", f'{{"codeSnippetUrl": "{hosted_link(snippet)}"}}')
    body = '<attachment id="c0de"></attachment>'
    scribe.say(body, at + timedelta(hours=3), hosted=(snippet,), attachments=[code])
    scribe.say(f'<img src="{_ELSEWHERE}">', at + timedelta(hours=4))
    file = reference("f11e", "Plan.docx", "https://contoso.sharepoint.com/sites/x/Plan.docx")
    scribe.say('<attachment id="f11e"></attachment>', at + timedelta(hours=5), attachments=[file])
    somebody = scribe.somebody()
    name = str(somebody["user"]["displayName"])
    scribe.say(f'<at id="0">{name}</at> look', at + timedelta(hours=6),
               mentions=[mention(0, name, somebody)], importance="urgent")  # fmt: skip
    bot = application_identity(scribe.tenant.new_id(), "Build Bot")
    talk.post(bot, {"contentType": "text", "content": "Build <7> & done"}, at)
    gone = scribe.say("<p>Not meant for here</p>", at + timedelta(hours=7))
    talk.delete(gone, at + timedelta(hours=8))
    edited = scribe.say("<p>Frist</p>", at + timedelta(hours=9))
    talk.edit(edited, "<p>First</p>", at + timedelta(hours=10))
    talk.react(edited, scribe.somebody(), "👍", at + timedelta(hours=11))
    talk.react(edited, scribe.somebody(), "heart", at + timedelta(hours=11))
    talk.event(at, "membersAdded", scribe.somebody(), members=[])
    scribe.thread(at, 60, words="Many answers")
    scribe.say("<p>" + "never ending " * 900 + "</p>", at + timedelta(hours=12))


class _Scribe:
    """Writes into one channel."""

    def __init__(self, tenant: Tenant, team: Team, channel: Channel, dice: random.Random) -> None:
        self.tenant, self.team, self.channel, self.dice = tenant, team, channel, dice
        self.talk = channel.talk
        members = tenant.groups[team.id].members
        self.people = [tenant.users[one] for one in members if one in tenant.users]

    def furnish(self) -> None:
        """Tabs, members of its own where it has any, and the folder of its files."""
        channel = self.channel
        channel.tabs = [
            {
                "id": self.tenant.new_id(), "displayName": "Notes",
                "webUrl": "https://teams.microsoft.com/l/entity/notes", "configuration": {
                    "entityId": "notes", "contentUrl": "https://contoso.example/notes",
                    "websiteUrl": None, "removeUrl": None,
                }, "teamsApp": {
                    "id": "06805b9e-77e3-4b93-ac81-525eb87513b8", "displayName": "Notes",
                    "distributionMethod": "store", "externalId": None,
                },
            }
        ]  # fmt: skip
        if channel.membership != "standard":
            channel.members = [one.id for one in self.people[:2]]
        drive = self.tenant.drives.get(self.tenant.groups[self.team.id].drive_id or "")
        if drive is not None and channel.membership == "standard":
            by = user_identity(self.people[0].id, None)
            name, at = _folder_name(channel), channel.created
            item = drive.create_folder(drive.root, name, "replace", by, at)
            channel.folder = (drive.id, item.id)

    def somebody(self) -> Json:
        """A member as the sender of something."""
        user = self.dice.choice(self.people)
        return user_identity(user.id, str(user.properties["displayName"]))

    def say(self, content: str, at: datetime, **facts: object) -> ChatMessage:
        """A message in HTML."""
        body = {"contentType": "html", "content": content}
        return self.talk.post(self.somebody(), body, at, **facts)  # type: ignore[arg-type]

    def thread(self, at: datetime, replies: int, words: str = "") -> ChatMessage:
        """A message with so many replies."""
        text = words or prose.sentence(self.dice)
        root = self.say(f"<p>{text}</p>", at, subject=self.dice.choice((None, None, "News")))
        for _ in range(replies):
            at += timedelta(minutes=self.dice.randint(1, 300))
            self.say(f"<p>{prose.sentence(self.dice)}</p>", at, reply_to=root.id)
        return root

    def picture(self) -> Hosted:
        """A pasted picture."""
        seed = f"picture {self.dice.getrandbits(40)}"
        content = png(seed, _PICTURE_BYTES)
        return hosted(self.dice.getrandbits(40), content)

    def keep(self, data: bytes, content_type: str) -> Hosted:
        """Other content that Teams keeps."""
        return hosted(self.dice.getrandbits(40), LiteralBytes(data), content_type)

    def month(self, now: datetime, done: Counter[str]) -> None:
        """What happens in one channel."""
        talk, dice = self.talk, self.dice
        kept = [one for one in talk.messages.values() if one.sender and not one.deleted]
        if len(kept) > 3:
            edited, deleted, liked = dice.sample(kept, 3)
            talk.edit(edited, "<p>As I meant it</p>", now)
            talk.delete(deleted, now)
            talk.react(liked, self.somebody(), "🎉", now)
            done["messages edited"] += 1
            done["messages deleted"] += 1
        roots = [one for one in talk.roots() if not one.deleted]
        if roots:
            self.say("<p>Late answer</p>", now, reply_to=dice.choice(roots).id)
            done["replies written"] += 1
        picture = self.picture()
        self.say(f'<img src="{hosted_link(picture)}">', now, hosted=(picture,))
        done["messages written"] += 1


def _folder_name(channel: Channel) -> str:
    return channel.name.replace("/", "-").strip()
