"""How long one step of a restore works, and what it leaves to the next one.

Rule 1: between two items, two versions of a file or two ranges of a long one a step may end; what
        the next one needs lies sealed in the vault: rows of the report, addresses of uploads.
Rule 2: what a step notes once is there for all steps of the restore behind it, and so are the rows
        of batches that are done.
Rule 3: every step gets something done, and an upload is begun only so many times: no batch goes on
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

LOOK_BACK = 100  # batches; what belongs together is written one after another


class RestoreStep:
    """One attempt at one batch."""

    def __init__(
        self, app: App, repository: Repository, request: WriteBatch, insist: Callable[[], None]
    ) -> None:
        self._app, self._repository, self._insist = app, repository, insist
        self._base = f"restore/{request.run}"
        self._number = request.batch
        self._batch = f"{request.batch:06d}"
        self._pulse = runs.Pulse(app, request.org, request.run)
        self._ends = app.clock.monotonic() + app.settings.step_seconds
        self._behind = request.batch  # of batches from here on the rows are known
        self._made: dict[str, str] = {}

    def is_first(self) -> bool:
        """Whether no step has begun to write the batch: it would have left what was there."""
        return self._repository.get_record(f"{self._base}/before/{self._batch}") is None

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

    def noted(self, key: str) -> str:
        """What a step of the restore noted first under a key; "" for nothing."""
        record = self._repository.get_record(self._note(key))
        return str(record["value"]) if record else ""

    def note(self, key: str, value: str) -> None:
        """Notes something for all later steps of the restore."""
        self._repository.put_record(self._note(key), {"value": value})

    def written(self, item_id: str) -> str:
        """The id in the target of an item of the last LOOK_BACK batches; "" where there is none."""
        while item_id not in self._made and self._behind > max(0, self._number - LOOK_BACK):
            self._behind -= 1
            done = self._repository.get_record(f"{self._base}/done/{self._behind:06d}") or []
            self._made |= {row["id"]: row["new_id"] for row in done}
        return self._made.get(item_id, "")

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
        return f"{self._base}/kept/{self._batch}/{_name(key)}"

    def _note(self, key: str) -> str:
        return f"{self._base}/noted/{_name(key)}"


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]
