"""What of an organization is protected and when; a policy is data, every version is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from base import log
from base.errors import InvalidInput, Problem
from engine import directory, selection
from engine.assembly import App
from engine.site_holdings import with_every_site
from m365 import SERVICES
from m365.service import Choice
from state.organizations import Organization
from state.policies import Policy
from vault.retention import Retention

# What comes first, where parts of items may follow (the MIME of mail):
PROGRESSIVE = "progressive"  # in a first round the items; their parts once everybody had theirs
FULL = "full"  # everything at once
FAST = "fast"  # items only, the parts never

DEFAULT: Mapping[str, Any] = {
    "services": [name for name, service in SERVICES.items() if not service.optional],
    "selection": selection.PEOPLE,  # of people: their mailboxes, and their OneDrives
    "drives": None,  # another one for OneDrives
    "sites": selection.WEB,
    "teams": None,  # a selection of teams, apart from that of groups
    "protection": PROGRESSIVE,
    "choices": {},  # by service and name, see m365.service.Choice
    "schedule": None,
    "retention": None,
    "paused": False,
}

_CHOOSING = [name for name, service in SERVICES.items() if service.choices]


class PolicyInvalid(InvalidInput):
    """The policy names something that does not exist."""

    code = "policy-invalid"


def current(app: App, org: str) -> dict[str, Any]:
    """The document in force, whatever its age, with everything filled in."""
    policy = app.policies.current(org)
    document = selection.whole({**DEFAULT, **(policy.document if policy else {})})
    named = document["choices"]
    return {**document, "choices": {name: _chosen(name, named) for name in _CHOOSING}}


def choices(app: App, org: str, service: str) -> dict[str, Any]:
    """What the policy in force decides about how a service is backed up, by keyword."""
    return dict(current(app, org)["choices"].get(service, {}))


def _chosen(service: str, named: Mapping[str, Any]) -> dict[str, Any]:
    known, given = SERVICES[service].choices, named.get(service) or {}
    return {name: given.get(name, choice.default) for name, choice in known.items()}


def show(app: App, org: str) -> dict[str, Any]:
    """The policy with its version and when the next backup starts."""
    record = app.organization(org)
    policy = app.policies.current(org)
    return {
        **current(app, org),
        "version": policy.version if policy else 0,
        "next_run_at": record.next_run_at.isoformat() if record.next_run_at else None,
    }


def change(
    app: App, org: str, document: dict[str, Any], version: int, by: str = ""
) -> dict[str, Any]:
    """Replaces the policy of version `version`; raises RowChanged when another is in force."""
    app.organization(org)
    unknown = [name for name in document["services"] if name not in SERVICES]
    if unknown:
        raise PolicyInvalid("The policy names a service that does not exist.", services=unknown)
    _check_choices(document.get("choices") or {})
    Retention.from_json(document.get("retention") or {})
    selection.check_shape(document)
    _check_known(app, org, document)
    schedule = document.get("schedule")
    now = app.clock.now()
    next_run = next_start(schedule["cron"], schedule["time_zone"], now) if schedule else None
    app.policies.put_if_version(Policy(org, version + 1, now, by, document), version)

    def scheduled(record: Organization) -> Organization:
        return replace(
            record,
            schedule=schedule["cron"] if schedule else "",
            time_zone=schedule["time_zone"] if schedule else "UTC",
            next_run_at=None if document.get("paused") else next_run,
        )

    app.organizations.change(org, scheduled)
    return show(app, org)


def _check_choices(named: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises PolicyInvalid for what no service lets a policy decide."""
    for service, chosen in named.items():
        known = SERVICES[service].choices if service in SERVICES else {}
        for name, value in chosen.items():
            if name not in known:
                raise PolicyInvalid(
                    "There is nothing of that name to be decided.", field=f"choices.{service}"
                )
            if not known[name].allows(value):
                raise PolicyInvalid(
                    "That value cannot be chosen.",
                    hint=f"{known[name].says} {_values(known[name])}",
                    field=f"choices.{service}.{name}",
                )


def _values(choice: Choice) -> str:
    shown = ", ".join(str(one).lower() for one in choice.values)
    return f"Values: {shown}{f', or 1 to {choice.most}' if choice.most else ''}."


def _check_known(app: App, org: str, document: Mapping[str, Any]) -> None:
    """Raises SelectionUnknown for entries that name nobody. Who is not in what the last run knew is
    looked for in the tenant; where that cannot be asked now, the entry is believed.
    """
    if not selection.names_somebody(document):
        return
    in_force = current(app, org)
    try:
        known = with_every_site(app, org, directory.known(app, org))
        selection.check_known(document, in_force, known)
    except selection.SelectionUnknown:
        try:
            known = directory.refresh(app, org, app.reader(org))
        except Problem as problem:
            log.event("selection-not-checked", org=org, code=problem.code)
            return
        selection.check_known(document, in_force, with_every_site(app, org, known))


def retention(app: App, org: str) -> Retention:
    """The rules in force; without any, everything is kept."""
    return Retention.from_json(current(app, org)["retention"] or {})


def next_start(cron: str, time_zone: str, after: datetime) -> datetime:
    """When a schedule fires next, behind `after`; daylight saving as the zone has it."""
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise PolicyInvalid(
            "There is no such time zone.", hint="Use an IANA name such as Europe/Berlin."
        ) from error
    try:
        if len(cron.split()) != 5:
            raise CronSimError("five fields")
        moment: datetime = next(CronSim(cron, after.astimezone(zone)))
    except (CronSimError, StopIteration) as error:
        raise PolicyInvalid(
            "The schedule is not a cron expression that ever fires.",
            hint="Five fields: minute hour day-of-month month day-of-week, such as 0 1 * * *.",
        ) from error
    return moment.astimezone(after.tzinfo)


def services() -> dict[str, str]:
    """Every service that a policy may name, with its title for people."""
    return {name: service.title for name, service in SERVICES.items()}


def offered() -> dict[str, Mapping[str, Choice]]:
    """What policies may decide, by service and name."""
    return {name: SERVICES[name].choices for name in _CHOOSING}
