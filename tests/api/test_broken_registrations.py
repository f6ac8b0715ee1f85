"""What the connection test answers for five registrations that are broken, each in another way.

`python -m tests.api.test_broken_registrations` writes docs/connection-test.md anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.connection import lines
from engine import verdicts
from m365 import SERVICES
from m365.registration import READ_APPLICATIONS
from simulator import AppRegistration, Tenant
from tests import project
from tests.api.house import API, House, over
from tests.engine.world import calm_tenant, world

PAGE = project.ROOT / "docs" / "connection-test.md"
PROTECTED = ("mail", "calendar", "drive")


def least(side: str) -> tuple[str, ...]:
    """What the registry says these services need, and the permission to look at oneself."""
    found = verdicts.needs([SERVICES[name] for name in PROTECTED], side)
    return (*found, READ_APPLICATIONS)


HEAD = """# What the connection test says

`holdfast connection ORG`, the console's Connection page and
`POST /api/v1/organizations/{org}/connection-test` answer the same: per service whether it can be
backed up and restored, what is missing, and what should be seen to. Below is what is said of five
registrations that are broken, each in another way, under a policy for mail, calendars and files.

This page is written from the answers by `python -m tests.api.test_broken_registrations`, and a
test fails when they change.
"""
Answer = dict[str, Any]


@dataclass(frozen=True)
class Registration:
    """The two applications of one organization, before something is broken."""

    tenant: Tenant
    backup: AppRegistration
    restore: AppRegistration
    house: House

    def answer(self, tenant_id: str = "") -> Answer:
        """Takes the organization in, and tests its connection."""
        body = {
            "id": f"org-{self.backup.app_id[:8]}",
            "name": "Contoso",
            "tenant_id": tenant_id or self.tenant.id,
            "credential": _credential(self.backup),
            "restore_credential": _credential(self.restore),
        }
        client = self.house.client
        made = client.post(f"{API}/organizations", json=body)
        assert made.status_code == 201, made.text
        path = f"{API}/organizations/{body['id']}"
        policy = client.put(f"{path}/policy", json={"services": PROTECTED, "version": 0})
        assert policy.status_code == 200, policy.text
        tested = client.post(f"{path}/connection-test")
        assert tested.status_code == 200, tested.text
        for app in (self.backup, self.restore):
            assert next(iter(app.secrets)) not in tested.text
        return dict(tested.json())


def _credential(app: AppRegistration) -> dict[str, str]:
    secret = next(iter(app.secrets))
    return {"kind": "client_secret", "client_id": app.app_id, "client_secret": secret}


@contextmanager
def one_house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with world(calm_tenant(seed=9), Path(folder)) as made:
            yield over(made)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with one_house() as made:
        yield made


@pytest.fixture
def registration(house: House) -> Registration:
    return register(house)


def register(house: House) -> Registration:
    tenant = house.world.tenant
    with tenant.lock:
        backup = tenant.add_app("Holdfast backup", least("backup"))
        restore = tenant.add_app("Holdfast restore", least("restore"))
    return Registration(tenant, backup, restore, house)


# --- The five ---


def expired(one: Registration) -> Answer:
    """The secret of the backup application expired yesterday"""
    ended = one.tenant.clock.now() - timedelta(days=1)
    one.backup.secret_ends = dict.fromkeys(one.backup.secrets, ended)
    return one.answer()


def lacking(one: Registration) -> Answer:
    """The backup may not read calendars, the restore may not write mail"""
    one.backup.roles.remove("Calendars.Read")
    one.restore.roles.remove("Mail.ReadWrite")
    return one.answer()


def elsewhere(one: Registration) -> Answer:
    """The tenant id is that of another tenant"""
    return one.answer(tenant_id="00000000-0000-4000-8000-00000000abcd")


def mighty(one: Registration) -> Answer:
    """The backup application may write, and still holds full_access_as_app"""
    one.backup.roles |= {"Mail.ReadWrite", "Files.ReadWrite.All"}
    one.backup.roles -= {"Mail.Read", "Files.Read.All"}
    one.backup.exchange_roles.add("full_access_as_app")
    return one.answer()


def unconsented(one: Registration) -> Answer:
    """Nobody has consented to the backup application's permissions"""
    one.backup.roles.clear()
    return one.answer()


FIVE: tuple[Callable[[Registration], Answer], ...] = (
    expired,
    lacking,
    elsewhere,
    mighty,
    unconsented,
)


def states(found: Answer, side: str) -> dict[str, str]:
    return {one["service"]: one[side]["state"] for one in found["services"] if one["protected"]}


def every(state: str, **others: str) -> dict[str, str]:
    return dict.fromkeys(PROTECTED, state) | others


def codes(found: Answer) -> set[str]:
    return {one["code"] for one in found["warnings"] if one["level"] == "warning"}


def test_a_whole_registration_is_good_on_both_sides(registration: Registration) -> None:
    found = registration.answer()

    assert found["ok"]
    assert states(found, "backup") == every("granted")
    assert states(found, "restore") == every("granted")
    assert codes(found) == set()


def test_an_expired_secret_is_named_as_expired(registration: Registration) -> None:
    found = expired(registration)

    assert not found["ok"]
    assert found["backup"]["problem"]["code"] == "wrong-secret"
    assert "expired" in found["backup"]["problem"]["message"]
    assert found["backup"]["problem"]["details"]["aadsts"] == "AADSTS7000222"
    assert states(found, "backup") == every("not-tested")
    assert states(found, "restore") == every("granted")


def test_a_missing_permission_names_service_and_side(registration: Registration) -> None:
    found = lacking(registration)

    assert not found["ok"]
    assert states(found, "backup") == every("granted", calendar="missing")
    assert states(found, "restore") == every("granted", mail="missing")
    calendar = next(one for one in found["services"] if one["service"] == "calendar")
    assert calendar["backup"]["missing"] == ["Calendars.Read"]
    assert calendar["backup"]["says"] == "Nothing is backed up without Calendars.Read."
    lacks = [one for one in found["restore"]["checks"] if not one["granted"]]
    assert [(one["permission"], one["disables"]) for one in lacks] == [
        ("Mail.ReadWrite", ["Mail: nothing is restored."])
    ]


def test_a_wrong_tenant_is_named(registration: Registration) -> None:
    found = elsewhere(registration)

    assert not found["ok"]
    for side in ("backup", "restore"):
        assert found[side]["problem"]["code"] == "unknown-tenant"
        assert set(states(found, side).values()) == {"not-tested"}


def test_more_rights_than_needed_work_and_are_warned_of(registration: Registration) -> None:
    found = mighty(registration)

    assert found["ok"]
    assert codes(found) == {"backup-can-write", "ews-permission"}
    assert found["backup"]["can_write"] == ["Files.ReadWrite.All", "Mail.ReadWrite"]
    mail = next(one for one in found["services"] if one["service"] == "mail")
    assert mail["backup"]["covered_by"] == {"Mail.Read": "Mail.ReadWrite"}
    ews = next(one for one in found["warnings"] if one["code"] == "ews-permission")
    assert "1 April 2027" in ews["hint"]


def test_consent_that_was_never_given_is_named_with_what_it_costs(
    registration: Registration,
) -> None:
    found = unconsented(registration)

    assert not found["ok"]
    assert found["backup"]["problem"]["code"] == "consent-missing"
    assert states(found, "backup") == every("missing")
    assert states(found, "restore") == every("granted")


def test_the_page_shows_what_is_answered_today(house: House) -> None:
    assert PAGE.read_text("utf-8") == page(house), (
        "run `python -m tests.api.test_broken_registrations`"
    )


def page(house: House) -> str:
    """docs/connection-test.md as it should be."""
    shown = [HEAD]
    for breaks in FIVE:
        found = breaks(register(house))
        found["services"] = [one for one in found["services"] if one["protected"]]
        shown.append(f"\n## {breaks.__doc__}\n\n```text\n" + "\n".join(lines(found)) + "\n```\n")
    return "".join(shown)


if __name__ == "__main__":
    with one_house() as served:
        PAGE.write_text(page(served), encoding="utf-8")
    print(PAGE.read_text("utf-8"))
