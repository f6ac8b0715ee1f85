"""How long an answer asks to wait, by its headers (names in lower case)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime


def asked_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The greater of Retry-After (seconds or a date) and RateLimit-Reset; None without both."""
    waits = [_retry_after_s(headers, now)]
    if headers.get("ratelimit-remaining", "").strip() == "0":
        waits.append(seconds_of(headers.get("ratelimit-reset", "")))
    named = [wait for wait in waits if wait is not None]
    return max(named) if named else None


def seconds_of(text: str) -> float | None:
    """A number of seconds as headers have it; None for anything else."""
    text = text.strip()
    return float(text) if text.isdecimal() and len(text) < 9 else None


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    text = headers.get("retry-after", "").strip()
    seconds = seconds_of(text)
    if seconds is not None or not text:
        return seconds or None  # at once is no answer to "when"
    try:
        until = parsedate_to_datetime(text)
        said = headers.get("date", "")  # by the clock of the service, where it says so
        wait = until - (parsedate_to_datetime(said) if said else now)
        return max(0.0, wait.total_seconds()) or None
    except (ValueError, TypeError):
        return None
