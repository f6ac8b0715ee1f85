"""What protecting mailboxes asks of Graph: a first backup, a quiet night, and progressive mail.

The minimum is what the documented interface allows for the same content, however it is asked:
pages as large as they come, one request for the MIME of a message, one for all attachments of a
message, one per feed that has to be asked whether anything changed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks._fidelity_mail import is_protected
from benchmarks._installation import Installation, installed
from simulator import Tenant, contoso
from simulator.calendar_state import calendars_of
from simulator.contacts import book_of
from simulator.content import Letter, Person
from simulator.content_kinds import inline_image, plain_html, text_only, with_file
from simulator.contoso import Cast, Profile
from simulator.mailbox import Folder, Mailbox
from simulator.todo import todo_of

DAY_S = 86_400.0
PAGE_MAX = 1_000  # a page of a message delta is never larger
SERVICES = ("mail", "calendar", "contacts", "tasks", "settings")
_PROFILE = "exchange benchmark"
_UNTIL = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
_FOLDERS = ("inbox", "inbox", "inbox", "sentitems", "archive")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is protected."""

    messages: int = 1_200  # of the mailbox with everything in it
    plain: int = 4_000  # of the mailbox without attachments
    attached: int = 4_000  # of the mailbox where every message has some


@dataclass(slots=True)
class Asked:
    """What one tenant was asked, and what it minded."""

    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def whole(size: Size) -> Asked:
    """A first backup of everything at once, then two quiet nights: one on which live counts are
    compared, as every week, and an ordinary one.
    """
    contoso.PROFILES[_PROFILE] = Profile((Cast("Adele Vance", size.messages, -1, special=True),))
    tenant = contoso.build(_PROFILE, seed=3)
    with installed(tenant) as installation:
        installation.choose(services=list(SERVICES), protection="full")
        first = _by_service(installation)
        installation.clock.sleep(DAY_S)
        counted = _by_service(installation)
        installation.clock.sleep(DAY_S)
        idle = _by_service(installation)
        (mailbox,) = tenant.mailboxes.values()
        items = {name: _items(installation, name, mailbox) for name in SERVICES}
    least = {name: _MINIMA[name](tenant, mailbox) for name in SERVICES}
    figures = {
        "requests_over_minimum": _ratio(first, {name: least[name][0] for name in SERVICES}),
        "idle_requests_per_mailbox": sum(idle.values()),
        "idle_requests_minimum": sum(least[name][1] for name in SERVICES),
        "idle_requests_over_minimum": _ratio(idle, {name: least[name][1] for name in SERVICES}),
        "weekly_count_requests": sum(counted.values()) - sum(idle.values()),
        "requests_per_item_by_service": {
            name: round(first[name] / items[name], 4) for name in SERVICES
        },
        "requests_first_by_service": dict(first),
        "requests_idle_by_service": dict(idle),
        "requests_minimum_by_service": {name: list(least[name]) for name in SERVICES},
        "items_by_service": items,
        "folders": sum(1 for one in mailbox.folders.values() if _holds_messages(one)),
    }
    return Asked(figures, _minded(tenant))


def progressive(size: Size) -> Asked:
    """The first pass over two mailboxes: one without attachments, one with nothing else."""
    tenant = Tenant(11)
    plain, attached = (tenant.add_user(name) for name in ("Plain Mail", "Full Mail"))
    _fill(tenant.mailboxes[plain.id], size.plain, [plain_html, text_only])
    _fill(tenant.mailboxes[attached.id], size.attached, [with_file, inline_image])
    with installed(tenant) as installation:
        installation.choose(services=["mail"], protection="progressive")
        run = installation.back_up(follow_up=False)
        spent = {one.drain.resource: one.requests for one in installation.spent}
    figures = {
        "progressive_requests_per_plain_message": round(
            spent[f"mailbox:{plain.id}"] / size.plain, 4
        ),
        "progressive_requests_per_message_with_attachments": round(
            spent[f"mailbox:{attached.id}"] / size.attached, 4
        ),
        "progressive_state": run["state"],
    }
    return Asked(figures, _minded(tenant))


def _by_service(installation: Installation) -> Counter[str]:
    run = installation.back_up()
    if run["state"] != "green":
        raise RuntimeError(f"a backup ended {run['state']}: {run}")
    found: Counter[str] = Counter()
    for one in installation.spent:
        found[one.drain.service] += one.requests
    return found


def _items(installation: Installation, service: str, mailbox: Mailbox) -> int:
    entries = installation.view(service, f"mailbox:{mailbox.user_id}").catalog.items()
    return sum(1 for entry in entries if entry.kind != "folder")


def _ratio(asked: Mapping[str, int], least: Mapping[str, int]) -> float:
    return round(sum(asked[name] for name in least) / sum(least.values()), 4)


def _minded(tenant: Tenant) -> list[str]:
    """What the tenant counted against its client."""
    offences = [f"{kind}: {count}" for kind, count in tenant.counters.offences.items()]
    over = [
        f"{box}: {n} at once" for box, n in tenant.counters.highest_concurrency.items() if n > 4
    ]
    return [*tenant.counters.violations, *offences, *over]


# --- What must be asked ---


# Each answers the requests of a first backup and of a quiet night, at the least.


def _mail(tenant: Tenant, mailbox: Mailbox) -> tuple[int, int]:
    folders = [one for one in mailbox.folders.values() if _holds_messages(one)]
    messages = [message for one in folders for message in one.messages.values()]
    pages = sum(max(1, -(-len(one.messages) // PAGE_MAX)) for one in folders)
    attached = sum(bool(message.attachments) for message in messages)
    tree = 2  # the feed of folders, and the list with hidden ones, which the feed does not tell of
    return len(messages) + attached + pages + tree, len(folders) + tree


def _calendar(tenant: Tenant, mailbox: Mailbox) -> tuple[int, int]:
    """A delta exists over a window only, so the list is needed beside it; a series shows its
    exceptions and removed days only when it is asked for itself.
    """
    store = calendars_of(tenant, mailbox.user_id)
    own = [one for one in store.calendars.values() if one.owner == store.owner]
    events = [one for one in store.events.values() if one.calendar in own]
    series = sum(one.is_series for one in events)
    attached = sum(bool(one.attachments) + len(one.own_attachments) for one in events)
    groups = 1 + len(store.groups)  # which calendar lies in which
    return 1 + groups + 2 * len(own) + series + attached, 1 + len(own)


def _contacts(tenant: Tenant, mailbox: Mailbox) -> tuple[int, int]:
    """Nothing tells whether a contact has a photo but asking for it."""
    book = book_of(tenant, mailbox.user_id)
    return 1 + len(book.folders) + len(book.contacts), 1 + len(book.folders)


def _tasks(tenant: Tenant, mailbox: Mailbox) -> tuple[int, int]:
    lists = todo_of(tenant, mailbox.user_id).lists.values()
    files = sum(len(task.files) for one in lists for task in one.tasks.values())
    return 1 + len(lists) + files, 1 + len(lists)


def _settings(tenant: Tenant, mailbox: Mailbox) -> tuple[int, int]:
    """Settings, rules, categories, overrides: Graph has no feed for any of them."""
    return 4, 4


_MINIMA: dict[str, Callable[[Tenant, Mailbox], tuple[int, int]]] = {
    "mail": _mail,
    "calendar": _calendar,
    "contacts": _contacts,
    "tasks": _tasks,
    "settings": _settings,
}


def _holds_messages(folder: Folder) -> bool:
    """Whether messages of a folder are protected; the visible root itself holds none."""
    return folder.well_known != "msgfolderroot" and is_protected(folder)


def _fill(mailbox: Mailbox, count: int, kinds: list[Any]) -> None:
    dice = random.Random(f"progressive {count}")
    owner, sender = Person("Owner", "owner@contoso.example"), Person("Nora", "nora@ships.example")
    for number in range(count):
        letter = Letter(dice, sender, (owner,), _UNTIL)
        mailbox.deliver(dice.choice(kinds)(letter), _FOLDERS[number % len(_FOLDERS)])
