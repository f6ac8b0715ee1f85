"""What people set in their mailboxes: rules, categories, overrides, replies; and how it changes."""

import random
from collections import Counter

from simulator.mailbox import Mailbox
from simulator.settings import (
    SCHEDULE,
    add_category,
    add_override,
    add_rule,
    categories,
    change_settings,
    is_scheduled,
    overrides,
    rules,
    settings,
)
from simulator.tenant import Tenant
from simulator.web import Json

_CATEGORIES = (
    ("Red category", "preset0"), ("Orange category", "preset1"), ("Harbour 🚢", "preset9"),
    ("Steuer / Buchhaltung", "preset3"), ("Green category", "preset4"),
    ("Blue category", "preset7"),
    ("Purple category", "preset8"), ("Später", "none"), ("Visits", "preset12"),
    ("Ärger & Co", "preset24"), ("Private", "preset15"), ("Quarterly", "preset2"),
    ("Follow up", "preset5"),
)  # fmt: skip
_HOURS: Json = {
    "daysOfWeek": ["monday", "tuesday", "thursday"], "startTime": "09:00:00.0000000",
    "endTime": "18:30:00.0000000",
    "timeZone": {
        "@odata.type": "#microsoft.graph.customTimeZone", "bias": -200,
        "name": "Customized Time Zone",
        "standardOffset": {"time": "02:00:00.0000000", "dayOccurrence": 4, "dayOfWeek": "sunday",
                           "month": 5, "year": 0},
        "daylightOffset": {"daylightBias": -100, "time": "02:00:00.0000000", "dayOccurrence": 2,
                           "dayOfWeek": "sunday", "month": 10, "year": 0},
    },
}  # fmt: skip


def fill_settings(tenant: Tenant, user_id: str, *, special: bool) -> None:
    """What a mailbox has from the beginning; special: one of every sort."""
    mailbox = tenant.mailboxes[user_id]
    for name, color in _CATEGORIES if special else _CATEGORIES[:2]:
        add_category(tenant, user_id, name, color)
    add_rule(tenant, user_id, _spam())
    add_override(
        tenant, user_id, {"name": "Harbour News", "address": "news@harbour.example"}, "other"
    )
    if not special:
        client_only = add_rule(tenant, user_id, {"displayName": "Play a sound 🔔", "sequence": 6})
        client_only |= {"isReadOnly": True, "hasError": True}
        return
    add_override(tenant, user_id, {"name": "Jörg", "address": "joerg@harbour.example"}, "focused")
    _special_rules(tenant, user_id, mailbox)
    change_settings(
        tenant,
        user_id,
        {
            "automaticRepliesSetting": {
                "status": "Scheduled", "externalAudience": "All",
                "internalReplyMessage": "<html>\n<body>\n<p>On Monday.<br>\n</p></body>\n</html>\n",
                "externalReplyMessage": "<html>\n<body>\n<p>Am Montag.</p></body>\n</html>\n",
            },
            "timeZone": "W. Europe Standard Time",
            "dateFormat": "dd.MM.yyyy",
            "timeFormat": "HH:mm",
            "language": {"locale": "de-DE"},
            "workingHours": _HOURS,
        },
    )  # fmt: skip


def settings_month(
    tenant: Tenant, user_id: str, dice: random.Random, number: int, done: Counter[str]
) -> None:
    """A month of one mailbox's settings: one thing new, one changed, one gone of each."""
    present = [one for one in rules(tenant, user_id) if not one["isReadOnly"]]
    if len(present) > 2:
        rules(tenant, user_id).remove(dice.choice(present))
        done["rules deleted"] += 1
    elif present:
        present[0]["isEnabled"] = not present[0]["isEnabled"]
        done["rules switched"] += 1
    wanted = {"subjectContains": [f"month {number}"]}
    given = {"displayName": "Month", "conditions": wanted, "actions": {"markAsRead": True}}
    add_rule(tenant, user_id, given)
    named = categories(tenant, user_id)
    if len(named) > 2:
        del named[dice.randrange(len(named))]
    for first in named[:1]:
        first["color"] = f"preset{(number + 10) % 25}"
    add_category(tenant, user_id, f"Month {number}", "preset6")
    known = overrides(tenant, user_id)
    if len(known) > 1:
        del known[0]
    sender = {"name": f"Month {number}", "address": f"month{number}@harbour.example"}
    add_override(tenant, user_id, sender, "focused")
    replies = {"status": "alwaysEnabled" if number % 2 else "disabled"}
    replies["internalReplyMessage"] = f"<p>Away in month {number}</p>"
    change_settings(tenant, user_id, {"automaticRepliesSetting": replies})
    done["settings changed"] += 1


def settings_truth(tenant: Tenant, user_id: str) -> Json:
    """{settings, rules, categories, overrides} of one mailbox, without what changes by itself."""
    found = settings(tenant, user_id)
    if not is_scheduled(found):
        replies = found["automaticRepliesSetting"].items()
        steady = {name: value for name, value in replies if name not in SCHEDULE}
        found["automaticRepliesSetting"] = steady
    return {
        "settings": found,
        "rules": rules(tenant, user_id),
        "categories": categories(tenant, user_id),
        "overrides": overrides(tenant, user_id),
    }


def _spam() -> Json:
    return {
        "displayName": "Remove spam", "sequence": 1,
        "conditions": {"subjectContains": ["enter to win"]},
        "actions": {"delete": True, "stopProcessingRules": True},
    }  # fmt: skip


def _special_rules(tenant: Tenant, user_id: str, mailbox: Mailbox) -> None:
    partner = {"emailAddress": {"name": "Alex Wilbur", "address": "alexw@partner.example"}}
    projects = next(one for one in mailbox.folders.values() if one.name == "Projects")
    deep = next(iter(projects.children.values()))
    given: tuple[Json, ...] = (
        {
            "displayName": "From partner", "sequence": 2,
            "conditions": {"senderContains": ["adele"], "importance": "high"},
            "actions": {"forwardTo": [partner], "stopProcessingRules": True},
        },
        {
            "displayName": "To the project", "sequence": 3,
            "conditions": {"subjectContains": ["Phase 2"], "withinSizeRange": {"maximumSize": 900}},
            "exceptions": {"sentOnlyToMe": True, "fromAddresses": [partner]},
            "actions": {"moveToFolder": deep.id, "assignCategories": ["Harbour 🚢"]},
        },
        {
            "displayName": "To the project", "sequence": 4, "isEnabled": False,
            "conditions": {"hasAttachments": True},
            "actions": {"copyToFolder": projects.id, "markImportance": "low"},
        },
        {
            "displayName": "Old ones", "sequence": 5,
            "conditions": {"isAutomaticReply": True},
            "actions": {"moveToFolder": mailbox.folder("archive").id, "markAsRead": True},
        },
    )  # fmt: skip
    for one in given:
        add_rule(tenant, user_id, one)
