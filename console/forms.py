"""Posted forms as what the engine takes; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from base.errors import InvalidInput
from engine.organizations import NewOrganization

Fields = Mapping[str, list[str]]

# The choices of the policy page that need no cron expression; {m} and {h} come from the time.
RETENTION = {
    "last": "the newest",
    "within_days": "all of the last … days",
    "hourly": "hourly",
    "daily": "daily",
    "weekly": "weekly",
    "monthly": "monthly",
    "yearly": "yearly",
}
PROTECTIONS = {
    "progressive": "Messages and attachments first; their MIME follows, newest first",
    "full": "Everything at once",
    "fast": "Messages and attachments only, no MIME",
}
RHYTHMS = {
    "daily": ("every day", "{m} {h} * * *"),
    "twice": ("every 12 hours", "{m} */12 * * *"),
    "often": ("every 6 hours", "{m} */6 * * *"),
    "weekly": ("every Sunday", "{m} {h} * * 0"),
}
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def one(form: Fields, name: str, default: str = "") -> str:
    """The first value of a field."""
    return form.get(name, [default])[0].strip()


def new_organization(form: Fields) -> NewOrganization:
    """The fields of "Add an organization". Raises InvalidInput."""
    name, tenant = one(form, "name"), one(form, "tenant_id")
    if not name or len(name) > 200:
        raise InvalidInput("An organization has a name of at most 200 characters.", field="name")
    credential = _credential(form, "")
    if credential is None:
        raise InvalidInput("The backup application is missing.", field="client_id")
    return NewOrganization(
        name=name,
        tenant_id=tenant,
        credential=credential,
        restore_credential=_credential(form, "restore_"),
        recovery_passphrase=one(form, "recovery_passphrase") or None,
    )


def _credential(form: Fields, prefix: str) -> dict[str, str] | None:
    client_id = one(form, f"{prefix}client_id")
    secret = one(form, f"{prefix}client_secret")
    if not client_id and not secret:
        return None
    if not client_id or not secret or len(client_id) > 64:
        raise InvalidInput(
            "An application is given by its id and a client secret.", field=f"{prefix}client_id"
        )
    return {"kind": "client_secret", "client_id": client_id, "client_secret": secret}


def policy(form: Fields) -> tuple[dict[str, Any], int]:
    """The policy document and the version that was read. Raises InvalidInput."""
    services = form.get("service", [])
    if not services:
        raise InvalidInput("Choose at least one service.", field="services")
    protection = one(form, "protection", "progressive")
    if protection not in PROTECTIONS:
        raise InvalidInput("Progressive, full or fast.", field="protection")
    version = one(form, "version", "0")
    document = {
        "services": services,
        "selection": _people(form, ""),
        "drives": _people(form, "drives_") if one(form, "drives_own") == "yes" else None,
        "sites": {
            "mode": _mode(form, "sites_"),
            "sites": _entries(form, "sites_sites"),
            "patterns": _entries(form, "sites_patterns"),
        },
        "teams": _teams(form) if one(form, "teams_own") == "yes" else None,
        "protection": protection,
        "choices": _choices(form),
        "schedule": _schedule(form),
        "retention": _retention(form),
        "paused": one(form, "paused") == "yes",
    }
    return document, int(version) if re.fullmatch(r"[0-9]{1,8}", version) else 0


def _choices(form: Fields) -> dict[str, dict[str, bool | int | str]]:
    """What fields named choice.{service}.{name} hold; a number goes before a word."""
    found: dict[str, dict[str, bool | int | str]] = {}
    for field in sorted(name for name in form if name.startswith("choice.")):
        _, service, name = (*field.split("."), "", "")[:3]
        words = [word.strip() for word in form[field] if word.strip()]
        text = next((word for word in words if word.isdecimal()), words[0] if words else "")
        value = int(text[:6]) if text.isdecimal() else {"true": True, "false": False}.get(text)
        found.setdefault(service, {})[name] = text if value is None else value
    return found


def _people(form: Fields, prefix: str) -> dict[str, Any]:
    return {
        "mode": _mode(form, prefix),
        "users": _entries(form, f"{prefix}users"),
        "groups": _entries(form, f"{prefix}groups"),
        "patterns": _entries(form, f"{prefix}patterns"),
        "leavers": "stop" if one(form, f"{prefix}leavers") == "stop" else "keep",
    }


def _teams(form: Fields) -> dict[str, Any]:
    return {
        "mode": _mode(form, "teams_"),
        "teams": _entries(form, "teams_teams"),
        "patterns": _entries(form, "teams_patterns"),
    }


def _mode(form: Fields, prefix: str) -> str:
    mode = one(form, f"{prefix}mode", "all")
    if mode not in ("all", "include", "exclude"):
        raise InvalidInput("Everybody, only some, or all but some.", field=f"{prefix}mode")
    return mode


def _entries(form: Fields, name: str) -> list[str]:
    """What was ticked and what was typed, one a line, each once."""
    lines = (line.strip() for value in form.get(name, ()) for line in value.splitlines())
    return list(dict.fromkeys(filter(None, lines)))


def _retention(form: Fields) -> dict[str, int] | None:
    """Counts by rule; None where no rule is set: everything is kept."""
    counts = {name: one(form, f"keep_{name}", "0").strip() or "0" for name in RETENTION}
    if not all(re.fullmatch(r"[0-9]{1,6}", count) for count in counts.values()):
        raise InvalidInput("How many restore points to keep is a number.", field="retention")
    rules = {name: int(count) for name, count in counts.items()}
    return rules if any(rules.values()) else None


def _schedule(form: Fields) -> dict[str, str] | None:
    rhythm, time_zone = one(form, "rhythm"), one(form, "time_zone", "UTC")
    if not rhythm:
        return None
    if rhythm == "cron":
        return {"cron": one(form, "cron"), "time_zone": time_zone}
    time = _TIME.fullmatch(one(form, "time", "01:00"))
    if rhythm not in RHYTHMS or time is None:
        raise InvalidInput("A time of day looks like 01:30.", field="time")
    cron = RHYTHMS[rhythm][1].format(h=int(time[1]), m=int(time[2]))
    return {"cron": cron, "time_zone": time_zone}


def rhythm_of(schedule: Mapping[str, str] | None) -> dict[str, str]:
    """The choices that show a stored schedule: {rhythm, time, cron, time_zone}."""
    shown = {"rhythm": "", "time": "01:00", "cron": "", "time_zone": "UTC"}
    if not schedule:
        return shown
    cron = schedule["cron"]
    shown |= {"rhythm": "cron", "cron": cron, "time_zone": schedule["time_zone"]}
    minute, _, rest = cron.partition(" ")
    hour = rest.partition(" ")[0]
    if minute.isdecimal():
        for name, (_, pattern) in RHYTHMS.items():
            if pattern.format(m=minute, h=hour) == cron:
                time = f"{int(hour) if hour.isdecimal() else 0:02}:{int(minute):02}"
                shown |= {"rhythm": name, "time": time}
    return shown


def selection(form: Fields) -> dict[str, Any]:
    """What was chosen in a listing: the shape of a RestoreRequest."""
    snapshot = one(form, "snapshot")
    return {
        "service": one(form, "service"),
        "resource": one(form, "resource"),
        "snapshot": int(snapshot) if re.fullmatch(r"[0-9]{1,9}", snapshot) else None,
        "items": form.get("item", []),
        "folders": form.get("folder", []),
        "target": one(form, "target"),
        "place": one(form, "place", "folder"),
        "conflict": one(form, "conflict", "skip"),
        "options": form.get("option", []),
    }
