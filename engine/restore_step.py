"""How long one step of a restore works, and what it leaves to the next one.

Rule 1: between two items, two versions of a file or two ranges of a long one a step may end; what
        the next one needs lies sealed in the vault: rows of the report, addresses of uploads.
Rule 2: every step gets something done, and an upload is begun only so many times: no batch goes on
        for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from base.messages import WriteBatch
from engine import runs
from engine.assembly import App
from vault import Repository


class RestoreStep:
    """One attempt at one batch."""

    def __init__(
        self, app: App, repository: Repository, request: WriteBatch, insist: Callable[[], None]
    ) -> None:
        self._app, self._repository, self._insist = app, repository, insist
        self._base = f"restore/{request.run}"
        self._batch = f"{request.batch:06d}"
        self._pulse = runs.Pulse(app, request.org, request.run)
        self._ends = app.clock.monotonic() + app.settings.step_seconds

    def is_over(self) -> bool:
        """Whether the step has worked long enough; says that the run lives. Raises Throttled once
        another attempt has taken over.
        """
        self._insist()
        self._pulse.beat()
        return self._app.clock.monotonic() >= self._ends

    def kept(self, key: str) -> Sequence[str]:
        """Everything steps of this batch kept under a key, in order."""
        names = self._repository.list_records(f"{self._place(key)}/")
        records = (self._repository.get_record(name) for name in sorted(names))
        return [str(record["value"]) for record in records if record]

    def keep(self, key: str, number: int, value: str) -> None:
        """Keeps the `number`-th value, for good: it may be a secret, and is sealed."""
        self._repository.put_record(f"{self._place(key)}/{number:03d}", {"value": value})

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the report that earlier steps of the batch have finished."""
        names = self._repository.list_records(f"{self._base}/rows/{self._batch}/")
        found: list[dict[str, Any]] = []
        for name in sorted(names):
            found += self._repository.get_record(name) or []
        return found

    def keep_rows(self, first: int, rows: list[dict[str, Any]]) -> None:
        """Keeps rows of this step, of which the first is the `first`-th of the batch."""
        if rows:
            self._repository.put_record(f"{self._base}/rows/{self._batch}/{first:06d}", rows)

    def _place(self, key: str) -> str:
        return f"{self._base}/kept/{self._batch}/{hashlib.sha256(key.encode()).hexdigest()[:24]}"
