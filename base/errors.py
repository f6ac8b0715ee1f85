"""One family of errors: a stable code, a sentence, and what to do about it.

Rule 1: `message`, `hint` and `details` are shown to people and written to logs, so they never hold
customer content, file names, subjects, addresses, tokens, secrets or URLs with a query.
Rule 2: `code` is kebab-case, never changes its meaning, and has a heading in docs/problems.md.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Problem(Exception):
    """An error a person can act on.

    Subclasses set `code`, `status` (the HTTP status the API answers with) and a default `hint`;
    `details` holds short JSON values such as a permission's name or a request id.
    """

    code: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    hint: str = "Run it again; if it keeps failing, report the code and the time."

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        self.details = details

    def to_json(self) -> dict[str, Any]:
        """Shape: {code, message, hint, details}."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class InvalidInput(Problem):
    """What the caller sent cannot be used; nothing was changed."""

    code = "invalid-input"
    status = 422
    hint = "Correct the named field and send the request again."


class NotFound(Problem):
    """The named thing does not exist here."""

    code = "not-found"
    status = 404
    hint = "List the parent collection to see which ids exist."


class Conflict(Problem):
    """The request clashes with the present state."""

    code = "conflict"
    status = 409
    hint = "Read the present state and decide again."


class ConfigurationProblem(Problem):
    """A setting is missing or contradicts another one."""

    code = "configuration"
    status = 500
    hint = "Correct the setting and start again; docs/operations.md lists all of them."


class Throttled(Problem):
    """A service asks us to wait; never an item's failure.

    `retry_after_s` is seconds from now, as the service said or as our back-off chose.
    """

    code = "throttled"
    status = 503
    hint = "Nothing to do: the work goes on by itself after the pause."

    def __init__(self, message: str, retry_after_s: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s
