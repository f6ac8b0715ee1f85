"""Fixtures of the state tests: real tables of both adapters, counted, and a clock that obeys."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from state.counting import CountingTables
from state.records import Records
from state.tables.azure_tables import AzureTables
from state.tables.sqlite import SqliteTables
from tests.azurite import azurite

__all__ = ["azurite"]

NOW = datetime(2026, 11, 24, 6, 0, 0, 123456, tzinfo=UTC)
_NUMBERS = itertools.count()


class FixedClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOW).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Mirror:
    """A Sealing that anybody can see through, which is enough to see what was sealed."""

    def seal(self, org: str, text: str) -> str:
        return f"sealed for {org}: {text[::-1]}"

    def open(self, org: str, text: str) -> str:
        mark = f"sealed for {org}: "
        assert text.startswith(mark), "opened what was never sealed"
        return text.removeprefix(mark)[::-1]


def fresh_prefix() -> str:
    """Letters for the tables of one test, since all tests share one Azurite."""
    return "t" + "".join(chr(ord("a") + int(digit)) for digit in str(next(_NUMBERS))) + "z"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["sqlite", pytest.param("azure", marks=pytest.mark.azurite)])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CountingTables]:
    """Tables of each adapter, with counts of operations."""
    if request.param == "sqlite":
        tables = SqliteTables(tmp_path / "state.sqlite")
    else:
        connection = request.getfixturevalue("azurite")
        tables = AzureTables.from_connection_string(connection, fresh_prefix())
    yield CountingTables(tables)
    tables.close()


@pytest.fixture
def records(counted: CountingTables, clock: FixedClock) -> Records:
    return Records(counted, clock, Mirror())
