"""The app without Azure: uvicorn on loopback, stories over the local durable host, an admin token
in a file.

`python -m local.server --port 7071 --data data`: everything the installation keeps lies in the data
folder (vaults, records, stories, the admin token, and the passphrase where none was given).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

import function_app
from api.app import build
from api.auth import AdminToken
from base import log
from base.errors import ConfigurationProblem, Problem
from base.ids import new_passphrase, new_token
from base.settings import Settings
from engine.assembly import App, install
from engine.rebuild import tables_lost
from local.azurite import start_azurite
from local.host_client import run_functions
from vault import WrongKey

STEPS_MAX = 4  # at once in this one process: keeps it below 300 MB


def main(arguments: list[str] | None = None) -> int:
    """Serves until interrupted; answers 2 when it cannot start, with a sentence that says why."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("holdfast").setLevel(logging.INFO)
    try:
        with serving(asked.data, asked.storage) as web:
            print(f"Holdfast   http://127.0.0.1:{asked.port}/", flush=True)
            print(f"API        http://127.0.0.1:{asked.port}/api/v1", flush=True)
            print(f"Sign in with the token in {asked.data / 'admin-token'}", flush=True)
            uvicorn.run(web, host="127.0.0.1", port=asked.port, log_level="warning")
    except Problem as problem:
        print(f"{problem.message} {problem.hint}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serve", description="Holdfast on this machine.")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--storage", choices=("folder", "azurite"), default="folder")
    return parser


@contextmanager
def serving(data: Path, storage: str = "folder") -> Iterator[FastAPI]:
    """The running app over one data folder: durable host, timers and web app."""
    with ExitStack() as stack:
        app = App(_settings(data, storage, stack))
        install(app)
        _try_passphrase(app)
        tables_lost(app)
        steps = min(app.settings.steps_at_once, STEPS_MAX)
        running = run_functions(function_app.app, data / "stories.sqlite", app.clock, steps)
        stack.callback(running.stop)
        token = _kept(data / "admin-token", new_token)
        yield build(app, running.stories, AdminToken(token))


def _try_passphrase(app: App) -> None:
    """Opens one vault: a wrong passphrase is better said now than at the first use."""
    for organization in app.organizations.page(limit=1).items:
        try:
            app.vault(organization.id)
        except WrongKey:
            raise
        except Problem as problem:  # a damaged vault must not keep the others from being served
            log.event("vault-not-opened", org=organization.id, code=problem.code)


def _settings(data: Path, storage: str, stack: ExitStack) -> Settings:
    _make_folder(data)
    given = Settings()
    changed: dict[str, object] = {"data_dir": data}
    if given.passphrase is None:
        changed["passphrase"] = SecretStr(_kept(data / "passphrase", new_passphrase))
    if storage == "azurite":
        azurite = stack.enter_context(start_azurite(data / "azurite"))
        changed["storage"] = "azure"
        changed["storage_connection"] = SecretStr(azurite.connection_string)
    return given.model_copy(update=changed)


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe = data / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationProblem(
            "The data folder cannot be written.", hint="Choose another folder with --data."
        ) from error


def _kept(path: Path, make: Callable[[], str]) -> str:
    """A secret in a file that only its owner reads; made at the first start."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
    return path.read_text().strip()


if __name__ == "__main__":
    sys.exit(main())
