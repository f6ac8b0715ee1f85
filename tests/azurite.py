"""The fixture `azurite`: a connection string of a real Azurite. As a module: runs one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from local.azurite import AzuriteMissing, start_azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Azurite for the whole run; skipped without Node, unless HOLDFAST_REQUIRE_AZURITE is set."""
    with tempfile.TemporaryDirectory(prefix="holdfast-azurite-") as folder:
        try:
            running = start_azurite(Path(folder))
        except AzuriteMissing as missing:
            reason = f"{missing.message} {missing.hint}"
            if os.environ.get("HOLDFAST_REQUIRE_AZURITE", "") not in ("", "0"):
                pytest.fail(f"HOLDFAST_REQUIRE_AZURITE is set. {reason}")
            pytest.skip(reason)
        with running:
            yield running.connection_string


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-azurite-") as folder:
        with start_azurite(Path(folder)) as running:
            print(running.connection_string, flush=True)
            with suppress(KeyboardInterrupt):
                running.wait()


if __name__ == "__main__":
    main()
