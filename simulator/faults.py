"""Faults on demand and by chance: one letter says what becomes of a request.

By map: a rule has a pattern (a regular expression searched in "GET /users/x/messages/delta", the
path in one spelling, without version) and a string of letters, one per matching request, e.g.
"..t.x": the third is throttled, the fifth cut off. By chance: probabilities per letter; the dice
depend on the seed, the request and how often it came, not on the order of requests, and nothing
is refused more than twice in a row. The login service fails by rule only.

Letters, the request not executed: t 429, T 429 with Retry-After as an HTTP date, n 429 without
Retry-After, u 503, U 503 without Retry-After, g 504, e 500, w 502 with an HTML page, b 509,
q 507, c 401 with a claims challenge, a 401, p 403, m 404, X cut behind the headers.
Executed first: d then 504 all the same, x cut mid-body, h truncated JSON, f links point to a
foreign host, s slow. A dot is no fault.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from simulator.web import GraphError, Json

BEFORE = "tTnuUgewbqcapmX"
AFTER = "dxhfs"
FOREIGN_HOST = "https://graph.microsoft.com.foreign.invalid"
_IN_A_ROW_MAX = 2

HOSTILE = {
    "t": 0.01, "T": 0.003, "n": 0.003, "u": 0.01, "g": 0.005, "e": 0.004, "w": 0.003,
    "c": 0.001, "X": 0.003, "x": 0.005, "h": 0.003, "s": 0.01,
}  # fmt: skip


@dataclass(slots=True)
class Rule:
    """Letters for the requests that match a pattern."""

    pattern: str
    letters: str
    loop: bool = False
    used: int = 0
    app_id: str | None = None
    regex: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.regex = re.compile(self.pattern)
        unknown = set(self.letters) - set(BEFORE + AFTER + ".")
        if unknown:
            raise ValueError(f"unknown fault letters {sorted(unknown)}")

    def next(self) -> str:
        """The letter of the next matching request."""
        if self.used >= len(self.letters):
            if not self.loop:
                return "."
            self.used = 0
        self.used += 1
        return self.letters[self.used - 1]


class Faults:
    """What goes wrong in a tenant."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self.rules: list[Rule] = []
        self.chances: dict[str, float] = {}
        self.slow_s = 0.02

    def calm(self) -> None:
        """No faults any more."""
        self.rules.clear()
        self.chances.clear()

    def hostile(self) -> None:
        """Faults by chance."""
        self.chances = dict(HOSTILE)

    def map(self, pattern: str, letters: str, *, loop: bool = False) -> Rule:
        """Add a rule; rules are asked in the order they were added, the first match counts."""
        rule = Rule(pattern, letters, loop)
        self.rules.append(rule)
        return rule

    def letter(self, operation: str, target: str, *, by_chance: bool = True) -> str:
        """What becomes of this request; target is the whole URL with method."""
        for rule in self.rules:
            if rule.regex.search(operation):
                return rule.next()
        if not self.chances or not by_chance:
            return "."
        self._seen[target] += 1
        found = self._by_chance(target)
        if found != "." and self._in_a_row[target] >= _IN_A_ROW_MAX:
            found = "."
        self._in_a_row[target] = 0 if found in ".s" else self._in_a_row[target] + 1
        return found

    def _by_chance(self, target: str) -> str:
        dice = random.Random(f"{self._seed} {target} {self._seen[target]}").random()
        for letter, chance in self.chances.items():
            dice -= chance
            if dice < 0:
                return letter
        return "."


def refusal(letter: str, limits: str, retry_after: dict[str, str]) -> GraphError:
    """The error answer of a letter of BEFORE other than c, w and X, in the service's manner."""
    if letter in "tTn":
        headers = {} if letter == "n" else retry_after
        if limits == "outlook":
            return GraphError(
                429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.",
                headers,
            )  # fmt: skip
        if limits == "sharepoint":
            return GraphError(
                429, "activityLimitReached", "The request has been throttled", headers,
                "throttledRequest",
            )  # fmt: skip
        return GraphError(429, "TooManyRequests", "Too many requests.", headers)
    if letter in "uU":
        headers = retry_after if letter == "u" else {}
        return GraphError(503, "serviceNotAvailable", "The service is unavailable.", headers)
    status, code, message = _PLAIN[letter]
    if letter == "p" and limits == "outlook":
        code = "ErrorAccessDenied"
    if letter == "m" and limits == "outlook":
        code = "ErrorItemNotFound"
    return GraphError(status, code, message)


_PLAIN = {
    "g": (504, "UnknownError", "Gateway timeout."),
    "d": (504, "UnknownError", "Gateway timeout."),
    "e": (500, "InternalServerError", "An internal server error occurred."),
    "b": (509, "bandwidthLimitExceeded", "Bandwidth limit exceeded."),
    "q": (507, "quotaLimitReached", "Insufficient space available."),
    "a": (401, "InvalidAuthenticationToken", "Access token validation failure."),
    "p": (403, "accessDenied", "Access denied."),
    "m": (404, "itemNotFound", "The resource could not be found."),
}


def with_foreign_links(body: Json) -> Json:
    """The same answer with its links pointing to another host."""
    changed = dict(body)
    for name in ("@odata.nextLink", "@odata.deltaLink"):
        if name in changed:
            changed[name] = re.sub(r"^https://[^/]+", FOREIGN_HOST, str(changed[name]))
    return changed
