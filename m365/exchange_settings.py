"""Which mailboxes a user has in Exchange, for the import and export API.

A tenant or national cloud that does not have this API is no error: it says so with 400, 403, 404 or
501, each in its own words, and so does a user without a mailbox.

https://learn.microsoft.com/graph/api/usersettings-list-exchange (User.Read.All)
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from m365.graph.client import GraphReader, Scope
from m365.graph.errors import Forbidden, GraphProblem, ResourceGone

FIND_MAILBOX = "User.Read.All"
_NO_MAILBOX = frozenset(
    (
        "mailboxnotenabledforrestapi",
        "mailboxnotsupportedforrestapi",
        "errorinvaliduser",
        "errornonexistentmailbox",
        "request_resourcenotfound",
    )
)
_NOT_OFFERED = (400, 404, 405, 501)


class ApiNotOffered(Forbidden):
    """This tenant or cloud does not have the mailbox import and export API."""

    code: ClassVar[str] = "mailbox-export-not-offered"
    hint = "Nothing to do: mail is protected without it. The service can be taken off the policy."


def settings_of(reader: GraphReader, user_id: str, scope: Scope, *, beta: bool) -> dict[str, Any]:
    """The exchangeSettings of a user. Raises ResourceGone (no mailbox) and ApiNotOffered."""
    path = f"{'/beta' if beta else ''}/users/{quote(user_id, safe='')}/settings/exchange"
    try:
        return reader.get(path, scope=scope)
    except GraphProblem as problem:
        judged = judged_settings(problem)
        if judged is problem:
            raise
        raise judged from problem


def judged_settings(problem: GraphProblem) -> GraphProblem:
    """What a refusal of exchangeSettings means: no mailbox, no such API, or what it says itself."""
    code, status = problem.graph_code.lower(), problem.status_code
    if code in _NO_MAILBOX:
        kind: type[GraphProblem] = ResourceGone
        text = "The user has no mailbox in Exchange Online."
    elif status in _NOT_OFFERED:
        kind, text = ApiNotOffered, "The tenant does not offer the mailbox import and export API."
    else:
        return problem
    return problem.told_as(kind, text)
