"""From measurements to figures, and from figures to verdicts; docs/performance.md explains each.

Everything here is arithmetic on rows of benchmarks/_worker.py: one per chain and round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PACK_BYTES = 16 * 1024 * 1024
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure, what it may be at most or at least, and whether a miss fails the benchmark."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None
    judged: bool = True  # times and memory depend on the machine: reported, not judged

    def verdict(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The bound as the report shows it; `met` is None where the figure is not known."""
        value = figures[self.figure]
        met: bool | None = None
        if value is not None:
            met = (self.at_most is None or value <= self.at_most) and (
                self.at_least is None or value >= self.at_least
            )
        named = {"at_most": self.at_most, "at_least": self.at_least}
        limits = {name: limit for name, limit in named.items() if limit is not None}
        return {"figure": self.figure, "value": value, **limits, "met": met, "judged": self.judged}


BOUNDS = (
    Bound("requests_over_minimum", at_most=1),
    Bound("idle_requests_over_bound", at_most=1),
    Bound("idle_requests_per_drive", at_most=1),
    Bound("idle_blob_writes", at_most=0),
    Bound("blob_writes_over_minimum", at_most=1.1),
    Bound("table_writes_per_item", at_most=0.1),
    Bound("peak_rss_mb", at_most=300, judged=False),
    Bound("messages_per_cpu_s", at_least=250, judged=False),
    Bound("file_mb_per_cpu_s", at_least=80, judged=False),
)


def figures_of(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure of the report from the worker's measurements."""
    held: Mapping[str, Mapping[str, int]] = measured["held"]
    first, idle = _rounds(measured["chains"])
    return {
        **_requests(first, idle, held),
        **_storage(first, idle, held),
        **_speed(first, held),
        "peak_rss_mb": _rounded(measured["peak_rss_mb"]),
        "seconds_first": _rounded(_sum(first, "seconds")),
        "seconds_idle": _rounded(_sum(idle, "seconds")),
    }


def verdicts(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All bounds with what they say about the figures."""
    return [bound.verdict(figures) for bound in BOUNDS]


def passed(bounds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no bound that is judged was missed."""
    return all(bound["met"] is not False for bound in bounds if bound["judged"])


Rows = Sequence[Mapping[str, Any]]
Held = Mapping[str, Mapping[str, int]]


def _rounds(rows: Rows) -> tuple[Rows, Rows]:
    first = [row for row in rows if row["round"] == "first"]
    return first, [row for row in rows if row["round"] == "idle"]


def _requests(first: Rows, idle: Rows, held: Held) -> dict[str, Any]:
    mail = [row for row in first if row["service"] == "mail"]
    minimum = sum(_requests_allowed(held[_chain(row)]) for row in mail)
    quiet = [row for row in idle if row["service"] == "mail"]
    folders = [held[_chain(row)]["folders"] for row in quiet]
    ratios = [row["requests"] / (n + 3) for row, n in zip(quiet, folders, strict=True)]
    drives = [row["requests"] for row in idle if row["service"] == "drive"]
    return {
        "requests_over_minimum": _rounded(_sum(mail, "requests") / minimum, 4),
        "requests_first_mail": _sum(mail, "requests"),
        "requests_first_mail_batched_ones_too": sum(sum(row["routes"].values()) for row in mail),
        "requests_first_drive": _sum(first, "requests") - _sum(mail, "requests"),
        "idle_requests_per_mailbox": _rounded(_sum(quiet, "requests") / len(quiet)),
        "idle_folders_per_mailbox": _rounded(sum(folders) / len(folders)),
        "idle_requests_over_bound": _rounded(max(ratios), 4),
        "idle_requests_per_drive": max(drives),
    }


def _requests_allowed(held: Mapping[str, int]) -> float:
    """n·(1 + attachments needing their own call) + 2·folders + n/100 of one mailbox."""
    messages = held["items"]
    return messages + held["attachments"] + 2 * held["folders"] + messages / 100


def _storage(first: Rows, idle: Rows, held: Held) -> dict[str, Any]:
    stored, writes = _sum(first, "stored_bytes"), _sum(first, "blob_writes")
    minimum = stored / PACK_BYTES + 2 * _sum(first, "pages") + len(first)
    items = sum(one["items"] + one["folders"] for one in held.values())
    raw = sum(one["raw_bytes"] for one in held.values())
    unique = sum(one["unique_bytes"] for one in held.values())
    records = _sum(first, "table_writes") - _sum(first, "chunk_writes")
    return {
        "blob_writes_over_minimum": _rounded(writes / minimum, 4),
        "blob_writes": writes,
        "committed_steps": _sum(first, "pages"),
        "idle_blob_writes": _sum(idle, "blob_writes"),
        "table_writes_per_item": _rounded(records / items, 5),
        "table_writes": records,
        "table_rows": _sum(first, "table_rows") - _sum(first, "chunk_rows"),
        "chunk_table_writes": _sum(first, "chunk_writes"),
        "chunk_table_rows": _sum(first, "chunk_rows"),
        "items": items,
        "raw_bytes": raw,
        "unique_bytes": unique,
        "stored_bytes": stored,
        "stored_of_raw": _rounded(stored / raw, 4),
        "dedup_factor": _rounded(raw / unique, 4),
        "compression_factor": _rounded(unique / stored, 4),
    }


def _speed(first: Rows, held: Held) -> dict[str, Any]:
    mail = [row for row in first if row["service"] == "mail"]
    drives = [row for row in first if row["service"] == "drive"]
    messages = sum(held[_chain(row)]["items"] for row in mail)
    mail_bytes = sum(held[_chain(row)]["raw_bytes"] for row in mail)
    per_drive = [_megabytes(held[_chain(row)]) / row["cpu_s"] for row in drives]
    file_mb = sum(_megabytes(held[_chain(row)]) for row in drives)
    return {
        "messages": messages,
        "messages_per_cpu_s": _rounded(messages / _sum(mail, "cpu_s")),
        "messages_per_s": _rounded(messages / _sum(mail, "seconds")),
        "mail_mb_per_cpu_s": _rounded(mail_bytes / MB / _sum(mail, "cpu_s")),
        "message_bytes_mean": _rounded(mail_bytes / messages, 0),
        "file_mb": _rounded(file_mb),
        "file_mb_per_cpu_s": _rounded(file_mb / _sum(drives, "cpu_s")),
        "file_mb_per_cpu_s_by_drive": [_rounded(one) for one in sorted(per_drive)],
        "file_mb_per_s": _rounded(file_mb / _sum(drives, "seconds")),
    }


def _chain(row: Mapping[str, Any]) -> str:
    return f"{row['service']}/{row['resource']}"


def _megabytes(held: Mapping[str, int]) -> float:
    return held["raw_bytes"] / MB


def _sum(rows: Rows, name: str) -> Any:
    return sum(row[name] for row in rows)


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
