"""What stories and steps say to one another: small frozen dataclasses, JSON in and out.

The platform stores these in plain text: ids, counts and codes only. No name, address, path, token or link.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


class Message:
    """JSON in and out for a frozen dataclass of plain values."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Unknown keys are ignored: an older instance may still send them during an upgrade."""
        known = cls.__dataclass_fields__  # type: ignore[attr-defined]
        return cls(**{key: value for key, value in data.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True)
class BackupRun(Message):
    """Starts the story of one backup."""

    org: str
    run: str
    steps_at_once: int = 8


@dataclass(frozen=True, slots=True)
class Planned(Message):
    """What plan_backup answers: how many shards the work list has. `state`: planned, failed, busy."""

    state: str
    shards: int = 0
    resources: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Shard(Message):
    """Some resources of a run, drained one after another or a few at a time."""

    org: str
    run: str
    shard: int
    steps_at_once: int = 8


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """One step: follow one service of one resource for a few minutes. `snapshot` is the number being built."""

    org: str
    run: str
    service: str
    resource: str
    snapshot: int


@dataclass(frozen=True, slots=True)
class Drained(Message):
    """How a step ended.

    `state`: more, done, unchanged, throttled (wait `retry_after_s`), failed (`code`), gone, cancelled.
    Counts are of this step.
    """

    state: str
    retry_after_s: float = 0.0
    code: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunClosed(Message):
    """The end of a run: green, amber, red or cancelled, with its totals."""

    state: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestoreRun(Message):
    """Starts the story of one planned restore."""

    org: str
    run: str
    steps_at_once: int = 4


@dataclass(frozen=True, slots=True)
class RestorePlanned(Message):
    """`state`: planned, failed. `batches` are written one after another per target resource."""

    state: str
    batches: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class WriteBatch(Message):
    """One step of a restore."""

    org: str
    run: str
    batch: int


@dataclass(frozen=True, slots=True)
class BatchWritten(Message):
    """`state`: done, more (the same batch goes on), throttled, failed, cancelled."""

    state: str
    retry_after_s: float = 0.0
    code: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportRun(Message):
    """Starts the story of one download."""

    org: str
    run: str


@dataclass(frozen=True, slots=True)
class Exported(Message):
    """`state`: more, done, failed."""

    state: str
    code: str = ""
    counts: dict[str, int] = field(default_factory=dict)
