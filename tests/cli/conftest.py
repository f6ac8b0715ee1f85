"""A house for the command line to talk to, and a copy of its vault to recover from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import organizations
from tests.api import house as houses

RECOVERY = "a recovery passphrase of tests"


@pytest.fixture(scope="session")
def house() -> Iterator[houses.House]:
    with houses.house() as made:
        yield made


@pytest.fixture(scope="session")
def copy(house: houses.House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blobs alone, somewhere else."""
    folder = tmp_path_factory.mktemp("copy") / "vault"
    shutil.copytree(house.app.settings.data_dir / "vaults" / houses.ORG, folder)
    return folder


@pytest.fixture(scope="session")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that opens the copy."""
    file = tmp_path_factory.mktemp("secret") / "passphrase"
    file.write_text("a passphrase for tests\n")
    return file


@pytest.fixture(scope="session")
def recoverable(house: houses.House) -> Path:
    """An empty vault whose recovery passphrase is RECOVERY."""
    organizations.create(
        house.app,
        organizations.NewOrganization(
            id="recoverable",
            name="Recoverable",
            tenant_id="recoverable.example",
            credential=None,
            recovery_passphrase=RECOVERY,
        ),
    )
    return house.app.settings.data_dir / "vaults" / "recoverable"
