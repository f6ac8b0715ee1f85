"""Which restore points of a resource are kept: grandfather, father, son, with the reasons for each.

Pure: points and rules in, a verdict per point out. Nothing here reads or deletes anything.

Rule 1: the newest point and the newest good one are always kept, whatever the rules say.
Rule 2: a rule such as daily=7 keeps the newest good point of each of the last seven days that have
        one; days without a point do not count. Weeks are ISO weeks. Days, weeks, months and years
        are those of the organization's time zone. Where there are fewer days, nothing is added:
        the oldest point is not kept for being the oldest.
Rule 3: no rule at all keeps everything. A point that is held is kept.
Rule 4: the order is that of the numbers. A point whose time lies ahead (a clock was wrong) has its
        day like others, and is recent until that day is over.
Rule 5: a void point (a round that was given up) holds nothing of its own and goes as soon as a
        newer point exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self

from base.errors import InvalidInput

_COUNT_MAX = 100_000
_BUCKETS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("hourly", lambda at: f"{at:%Y-%m-%dT%H}{at:%z}"),  # with the offset: one hour comes twice
    ("daily", lambda at: f"{at:%Y-%m-%d}"),
    ("weekly", lambda at: f"{at:%G-W%V}"),
    ("monthly", lambda at: f"{at:%Y-%m}"),
    ("yearly", lambda at: f"{at:%Y}"),
)


class RetentionInvalid(InvalidInput):
    """Retention rules that cannot be meant."""

    code = "retention-invalid"
    hint = "Use whole numbers of 0 and more: last, within_days, hourly, daily, weekly, monthly …"


@dataclass(frozen=True, slots=True)
class Retention:
    """How many points to keep by each rule; 0: the rule does not apply."""

    last: int = 0
    within_days: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @property
    def keeps_everything(self) -> bool:
        return not any(asdict(self).values())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises RetentionInvalid."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise RetentionInvalid("There is no such retention rule.", rules=unknown)
        for name, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise RetentionInvalid("A retention rule is a whole number.", field=name)
            if not 0 <= value <= _COUNT_MAX:
                raise RetentionInvalid("A retention rule is out of range.", field=name)
        return cls(**values)

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Point:
    """A restore point; `ok` is false for a void one, `held` says who wants it kept."""

    number: int
    created: datetime
    ok: bool = True
    held: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A point is kept for `reasons`; without any it expires."""

    number: int
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return bool(self.reasons)


def plan(points: Sequence[Point], rules: Retention, now: datetime, zone: tzinfo) -> list[Verdict]:
    """A verdict per point, in the order of numbers."""
    ordered = sorted(points, key=lambda point: point.number)
    reasons: dict[int, list[str]] = {point.number: [] for point in ordered}
    for number, reason in _reasons(ordered, rules, now, zone):
        reasons[number].append(reason)
    return [Verdict(point.number, tuple(reasons[point.number])) for point in ordered]


def _reasons(
    ordered: Sequence[Point], rules: Retention, now: datetime, zone: tzinfo
) -> Iterator[tuple[int, str]]:
    good = [point for point in reversed(ordered) if point.ok]  # newest first
    if ordered:
        yield ordered[-1].number, "newest"
    if good:
        yield good[0].number, "newest good one"
    for point in ordered:
        if point.held:
            yield point.number, f"held: {point.held}"
    if rules.keeps_everything:
        for point in good:
            yield point.number, "no rule removes anything"
        return
    for point in good[: rules.last]:
        yield point.number, f"last {rules.last}"
    for point in good:
        if rules.within_days and now - point.created <= timedelta(days=rules.within_days):
            yield point.number, f"within {rules.within_days} days"
    for name, bucket_of in _BUCKETS:
        seen: set[str] = set()
        for point in good:
            bucket = bucket_of(point.created.astimezone(zone))
            if bucket not in seen and len(seen) < getattr(rules, name):
                seen.add(bucket)
                yield point.number, f"{name} {bucket}"
