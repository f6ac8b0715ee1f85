"""What stories and steps say to one another: small frozen dataclasses, JSON in and out.

The platform stores these in plain text: ids, counts and codes only. No names, addresses,
paths, tokens or links.
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
    waits: int = 0  # pauses in a row while it is planned


PLANNING = "planning"  # code of a plan that got on, and needs another step


@dataclass(frozen=True, slots=True)
class Planned(Message):
    """What plan_backup answers: `state` is planned, throttled (wait `retry_after_s`) or failed.

    Lanes share the shards in turn (0, n, 2n …), so about four shards per step at once, the largest
    resources first, keep all lanes busy to the end.
    """

    state: str
    shards: int = 0
    resources: int = 0
    code: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shard(Message):
    """Some resources of a run: what one call of shard_resources answers, at most 50."""

    org: str
    run: str
    shard: int


@dataclass(frozen=True, slots=True)
class Lane(Message):
    """Drains every `lanes`-th shard of a run, one step at a time; so lanes are the steps at once.

    `shard` is the next one to open, `turns` what is left of those opened (Turn as JSON), `crashed`
    the chains given up so far. A later generation of the story starts with the same message.
    """

    org: str
    run: str
    shard: int
    lanes: int
    shards: int
    turns: list[dict[str, Any]] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LaneEnded(Message):
    """What a lane answers: the chains it gave up, as in BackupEnded."""

    crashed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn(Message):
    """A resource waiting in its lane for its next step (a Drain as JSON).

    `not_before` is "" or the time until which it is throttled; `waits` counts how often in a row.
    """

    drain: dict[str, Any]
    not_before: str = ""
    waits: int = 0


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """One step: follow one service of one resource for a few minutes.

    `snapshot` is the number being built. `follow_up`: copies what earlier steps left to follow.
    `recount`: compares live and stored counts once the feeds are read.
    """

    org: str
    run: str
    service: str
    resource: str
    snapshot: int
    follow_up: bool = False
    recount: bool = False


@dataclass(frozen=True, slots=True)
class Drained(Message):
    """How a step ended.

    `state`: more, done, unchanged, throttled (wait `retry_after_s`), failed (`code`), gone,
    locked, refused (`code`), cancelled.
    Counts are of this step.
    """

    state: str
    retry_after_s: float = 0.0
    code: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackupEnded(Message):
    """Asks close_run to add up a backup.

    `code` says why the run as a whole went wrong ("" when it did not). `crashed` names what was
    given up without an answer, each as "{service}/{resource}" with ": " and a code: "step-crashed"
    when a step raised, "throttled-too-long"; a lane that was lost is "lane/{number}".
    """

    org: str
    run: str
    code: str = ""
    crashed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunClosed(Message):
    """The end of a run: green, amber, red or cancelled, with its totals."""

    state: str
    counts: dict[str, int] = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True, slots=True)
class RestoreRun(Message):
    """Starts the story of one planned restore, and asks its first and last step.

    From `batch` on the story fills in: the next batch to write, how many there are (-1: not
    planned yet), how often in a row we were told to wait, batches given up, and a code as in
    BackupEnded. A later generation of the story starts with the same message.
    """

    org: str
    run: str
    steps_at_once: int = 4
    batch: int = 0
    batches: int = -1
    waits: int = 0
    crashed: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class RestorePlanned(Message):
    """`state`: planned, throttled (wait `retry_after_s`) or failed; batches go one by one."""

    state: str
    batches: int = 0
    code: str = ""
    retry_after_s: float = 0.0


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
