"""An installation that was backed up once, and copies of it that a test may hurt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import World, app_for, calm_tenant, world


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path_factory.mktemp("backed-up")) as one:
        one.back_up()
        yield one


@pytest.fixture
def made(backed_up: World, tmp_path: Path) -> World:
    """A copy of the installation, of the same tenant."""
    shutil.copytree(backed_up.folder / "data", tmp_path / "data")
    return World(app_for(backed_up.running, tmp_path), backed_up.running)
