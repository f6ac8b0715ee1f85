"""A house with hostile names, for the pages that show them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import house as houses


@pytest.fixture(scope="session")
def house() -> Iterator[houses.House]:
    with houses.house() as made:
        yield made


@pytest.fixture(autouse=True)
def _told_afresh(house: houses.House) -> None:
    house.stories.started.clear()
