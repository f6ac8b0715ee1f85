"""The connection test: both applications, and what a missing permission disables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import connection
from tests.engine.world import ORG, World, calm_tenant, world


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=3), tmp_path) as one:
        yield one


def test_both_applications_are_tried(made: World) -> None:
    found = connection.test(made.app, ORG)

    assert found["ok"]
    assert [one["permission"] for one in found["restore"]["checks"]] == [
        "Mail.ReadWrite",
        "Files.ReadWrite.All",
    ]


def test_a_restore_application_without_a_permission_is_named_with_its_service(
    made: World,
) -> None:
    made.tenant.restore_app.roles -= {"Mail.ReadWrite"}
    made.tenant.tokens.revoke_all()

    found = connection.test(made.app, ORG)

    missing = [one for one in found["restore"]["checks"] if not one["granted"]]
    assert not found["ok"]
    assert [(one["permission"], list(one["needed_by"])) for one in missing] == [
        ("Mail.ReadWrite", ["mail"])
    ]


def test_the_least_permissions_are_enough(made: World) -> None:
    made.tenant.backup_app.roles.clear()
    made.tenant.backup_app.roles.update({"User.Read.All", "Mail.Read", "Files.Read.All"})
    made.tenant.tokens.revoke_all()

    assert connection.test(made.app, ORG)["backup"]["ok"]
    assert made.back_up()["state"] == "green"
    assert made.mail_in_vault() == made.mail_in_tenant()
