"""Contoso: a seeded organization in four sizes, and what happens to it in a month.

tiny is for unit tests (under a second), small for the demo, medium for a long look, large for
memory and speed (50,000 messages in one mailbox, a file of a gigabyte).
"""

import base64
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator import contoso_directory, contoso_people, contoso_sites, sites
from simulator.chats_content import fill_chats
from simulator.content import Person
from simulator.content_files import Furnisher
from simulator.content_kinds import pdf
from simulator.contoso_archive import add_archive
from simulator.contoso_calendar import fill_calendars
from simulator.contoso_mail import Writer, fill_mailbox
from simulator.contoso_month import month
from simulator.conversations_content import fill_conversations
from simulator.drive import Drive
from simulator.lists_content import fill_lists
from simulator.notes import fill_notes
from simulator.pages_content import fill_sites
from simulator.planner_content import fill_planner
from simulator.settings_content import fill_settings
from simulator.teams_content import fill_teams
from simulator.tenant import Clock, Tenant, User
from simulator.web import Json

__all__ = ["PROFILES", "Cast", "Profile", "build", "month"]

UNTIL = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
_PEOPLE_MAX = 200  # contacts of one mailbox, and tasks
_EVENTS_MAX = 400
_DOMAIN = "contoso.onmicrosoft.com"
_PROJECT = "Harbour Project"


@dataclass(frozen=True, slots=True)
class Cast:
    """One user of a profile; files -1 means no drive, messages -1 no mailbox."""

    name: str
    messages: int
    files: int
    purpose: str = "user"
    properties: tuple[tuple[str, Any], ...] = ()
    special: bool = False
    """Carries the oddities of mail and drive."""
    archive: int = 0
    """Messages in the in-place archive; 0 means there is none."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How large an organization is."""

    cast: tuple[Cast, ...]
    mean_file_bytes: int = 60_000
    large_file_bytes: int = 0
    big_mail: bool = False
    team_files: int = -1
    """Files of the one team site; -1 means there is none."""
    conversations: int = 3
    """Of the group, beside the odd ones."""
    tasks: int = 6
    """Of the plan of each group, beside the odd ones of the first."""
    pages: int = 3
    """Of each site, beside the odd ones of the first."""
    later: bool = False
    """Mailboxes above 5,000 messages are made while they are read."""


_GUEST = (("userType", "Guest"), ("userPrincipalName", f"nora_ships.example#EXT#@{_DOMAIN}"))
_OTHERS = (
    Cast("Sales Inbox", 100, -1, purpose="shared"),
    Cast("Nora Guest", -1, -1, properties=_GUEST),
    Cast("Gone Larsen", 60, 20, properties=(("accountEnabled", False),)),
    Cast("Build Service", -1, 15),
    Cast("Fresh Starter", 40, -1),
    Cast("Meeting Room Oslo", 12, -1, purpose="room"),
    Cast("Projector", 2, -1, purpose="equipment"),
)
PROFILES: dict[str, Profile] = {
    "tiny": Profile(
        (
            Cast("Adele Vance", 32, 12, special=True, archive=9),
            Cast("Jörg Müller", 6, 4),
            Cast("Sales Inbox", 3, -1, purpose="shared"),
        ),
        mean_file_bytes=12_000,
    ),
    "small": Profile(
        (
            Cast("Adele Vance", 520, 110, special=True, archive=120),
            Cast("Jörg Müller", 300, 70),
            Cast("田中 太郎", 180, 40),
            *_OTHERS,
        ),
        mean_file_bytes=300_000,
        large_file_bytes=40_000_000,
        big_mail=True,
        team_files=25,
        conversations=25,
    ),
    "medium": Profile(
        (
            Cast("Adele Vance", 3_000, 800, special=True, archive=1_500),
            Cast("Jörg Müller", 2_000, 500, special=True),
            *(Cast(f"Person {number:02d}", 400, 60) for number in range(20)),
            *_OTHERS,
        ),
        mean_file_bytes=220_000,
        large_file_bytes=300_000_000,
        big_mail=True,
        team_files=200,
        conversations=150,
    ),
    "large": Profile(
        (Cast("Adele Vance", 50_000, 1_000, special=True), Cast("Jörg Müller", 500, 100), *_OTHERS),
        mean_file_bytes=220_000,
        large_file_bytes=1_000_000_000,
        big_mail=True,
        team_files=50,
        later=True,
    ),
}


def build(profile: str = "small", seed: int = 1, clock: Clock | None = None) -> Tenant:
    """The organization of a profile; the same seed gives the same one."""
    plan = PROFILES[profile]
    tenant = Tenant(seed, name="Contoso", domain=_DOMAIN, clock=clock)
    users = [
        tenant.add_user(
            cast.name, mailbox=cast.messages >= 0, purpose=cast.purpose, **dict(cast.properties)
        )
        for cast in plan.cast
    ]
    people = [_person(user) for user in users if user.id in tenant.mailboxes]
    for cast, user in zip(plan.cast, users, strict=True):
        dice = random.Random(f"{seed} {cast.name}")
        if cast.messages >= 0:
            fill_mailbox(
                tenant.mailboxes[user.id],
                Writer(_person(user), people, cast.messages, dice, UNTIL),
                cast.messages,
                special=cast.special,
                big=plan.big_mail,
                later=plan.later,
            )
            count = min(max(cast.messages // 5, 2), _PEOPLE_MAX)
            others = random.Random(f"{seed} people {cast.name}")
            contoso_people.fill(tenant, user.id, others, count, special=cast.special)
            days = random.Random(f"{seed} calendar {cast.name}")
            count = min(max(cast.messages // 8, 2), _EVENTS_MAX)
            fill_calendars(tenant, user.id, count, days, UNTIL, special=cast.special)
            fill_settings(tenant, user.id, special=cast.special)
            if cast.special:
                fill_notes(tenant, user.id, random.Random(f"{seed} notes {cast.name}"), 4)
        if cast.archive:
            dice_of_archive = random.Random(f"{seed} {cast.name} archive")
            writer = Writer(_person(user), people, cast.archive, dice_of_archive, UNTIL)
            add_archive(tenant, user, writer, cast.archive, dice_of_archive)
        if cast.files >= 0:
            _add_drive(tenant, user, cast, plan, dice)
    if plan.team_files >= 0:
        _add_team(tenant, users, plan, random.Random(f"{seed} team"))
    else:
        tenant.add_group(_PROJECT, [user.id for user in users])
    for group in tenant.groups.values():
        talk = random.Random(f"{seed} conversations {group.properties['displayName']}")
        fill_conversations(tenant, group.id, talk, plan.conversations, UNTIL)
    contoso_directory.furnish(tenant)
    _add_work(tenant, plan, seed)
    return tenant


def _add_work(tenant: Tenant, plan: Profile, seed: int) -> None:
    """What people do together: sites, plans, lists, teams, chats."""
    fill_sites(tenant, plan.pages)
    fill_planner(tenant, UNTIL, plan.tasks)
    _add_lists(tenant, plan, seed)
    fill_teams(tenant, plan.conversations, UNTIL)
    fill_chats(tenant, random.Random(f"{seed} chats"), plan.conversations * 4, UNTIL)
    if plan.team_files >= 0:
        files = random.Random(f"{seed} sites")
        contoso_sites.add_sites(
            tenant,
            lambda owner, url, count: _furnished(
                tenant, owner, url, "documentLibrary", count, plan, files
            ),
        )


def _person(user: User) -> Person:
    return Person(str(user.properties["displayName"]), str(user.properties["mail"]))


def _add_drive(tenant: Tenant, user: User, cast: Cast, plan: Profile, dice: random.Random) -> None:
    nickname = str(user.properties["mailNickname"]).lower()
    owner = {"user": {"id": user.id, "displayName": cast.name, "email": f"{nickname}@{_DOMAIN}"}}
    url = f"https://contoso-my.sharepoint.com/personal/{nickname}_contoso/Documents"
    furnisher = _furnished(tenant, owner, url, "business", cast.files, plan, dice)
    if cast.special:
        furnisher.special()
        furnisher.hostile_names()
        if plan.large_file_bytes:
            furnisher.large("harbour model.bin", plan.large_file_bytes)
    furnisher.done()
    user.drive_id = furnisher.drive.id


def _add_team(tenant: Tenant, users: list[User], plan: Profile, dice: random.Random) -> None:
    """A Microsoft 365 group with a site and its document library."""
    members = [user.id for user in users if user.properties["userType"] == "Member"]
    group = tenant.add_group(_PROJECT, members[:4], resourceProvisioningOptions=["Team"])
    owner = {"group": {"id": group.id, "displayName": "Harbour Project"}}
    url = "https://contoso.sharepoint.com/sites/HarbourProject"
    furnisher = _furnished(
        tenant, owner, f"{url}/Shared%20Documents", "documentLibrary", plan.team_files, plan, dice
    )
    furnisher.done()
    site_id = sites.add_site(tenant, _PROJECT, url, drives=0)
    sites.attach(tenant, site_id, furnisher.drive.id)
    sites.give_group(tenant, group.id, site_id)


def _add_lists(tenant: Tenant, plan: Profile, seed: int) -> None:
    """Lists of every site that is no OneDrive."""
    for site_id, site in tenant.sites.items():
        if not site.get("isPersonalSite"):
            rolls = random.Random(f"{seed} lists {site['webUrl']}")
            fill_lists(tenant, site_id, rolls, folders=plan.team_files >= 0)


def _furnished(
    tenant: Tenant, owner: Json, url: str, drive_type: str, files: int, plan: Profile,
    dice: random.Random,
) -> Furnisher:  # fmt: skip
    """A new drive with ordinary files and one that every drive has."""
    drive_id = "b!" + base64.urlsafe_b64encode(tenant.rng.randbytes(48)).decode("ascii")
    name = "OneDrive" if drive_type == "business" else "Documents"
    created = UNTIL - timedelta(days=760)
    drive = Drive(
        drive_id, owner, created, seed=tenant.seed, drive_type=drive_type, name=name, web_url=url
    )
    tenant.drives[drive_id] = drive
    furnisher = Furnisher(drive, dice, owner, UNTIL)
    furnisher.ordinary(max(files - 1, 0), plan.mean_file_bytes)
    furnisher.file(drive.root, "Company handbook.pdf", pdf("company handbook", 180_000))
    return furnisher
