"""Problems Microsoft Graph answers with, one class per thing the caller can do about it.

Rules
- A class is chosen by what is known for certain: a documented code first, then the HTTP status.
- Codes are compared without regard to case; of nested innerError codes the deepest known counts.
- `message` of Graph is no contract and may name people or files: it is looked at, never passed on.
- Texts of ours hold codes and request ids; no URL, id of an item, or content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from base.errors import Problem

_G = TypeVar("_G", bound="GraphProblem")


class GraphProblem(Problem):
    """Graph refused a request, and repeating it as it is would not help.

    `graph_code` is the deepest known code of the answer as Graph spells it, `status_code` its HTTP
    status (0: there was none), `request_id` what Microsoft's support asks for.
    """

    code: ClassVar[str] = "graph-refused"
    status: ClassVar[int] = 502
    hint = "Report the code and the request id; Microsoft can find the request by it."

    def __init__(
        self,
        message: str,
        *,
        graph_code: str = "",
        status_code: int = 0,
        request_id: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message,
            hint=hint,
            graph_code=graph_code,
            graph_status=status_code,
            request_id=request_id,
        )
        self.graph_code = graph_code
        self.status_code = status_code
        self.request_id = request_id

    def told_as(self, kind: type[_G], message: str) -> _G:
        """The same refusal for what it means here, with what Microsoft's support asks for."""
        return kind(
            message,
            graph_code=self.graph_code,
            status_code=self.status_code,
            request_id=self.request_id,
        )


class Unauthorized(GraphProblem):
    """401 after a fresh token."""

    code = "graph-unauthorized"
    hint = "Run the connection test: the application's credential or consent is no longer accepted."


class Forbidden(GraphProblem):
    """403: the application may not do this here."""

    code = "graph-forbidden"
    hint = "Run the connection test: it names the permission that is missing and what it is for."


class ItemGone(GraphProblem):
    """404: the item went away between the list and the call."""

    code = "item-gone"
    status = 404
    hint = "Nothing to do: what was deleted in Microsoft 365 shows as deleted in the next snapshot."


class ResourceGone(GraphProblem):
    """The mailbox or drive itself is not there (any more)."""

    code = "resource-gone"
    status = 404
    hint = "The mailbox or drive does not exist or lost its licence; its snapshots stay."


class ResyncNeeded(GraphProblem):
    """The service forgot a delta link: read the feed anew, and find deletions by difference.

    `location` is the link to start from where the service gave one ("" otherwise), already checked
    against the allow-list. `upload_differences`: resyncChangesUploadDifferences, keep local extras.
    """

    code = "resync-needed"
    hint = "Nothing to do: the whole feed is read again and compared with the last snapshot."

    def __init__(
        self,
        message: str,
        *,
        location: str = "",
        upload_differences: bool = False,
        graph_code: str = "",
        status_code: int = 0,
        request_id: str = "",
    ) -> None:
        super().__init__(
            message, graph_code=graph_code, status_code=status_code, request_id=request_id
        )
        self.location = location
        self.upload_differences = upload_differences


class Clash(GraphProblem):
    """409 or 412: something else was written there meanwhile. Read it again and decide."""

    code = "graph-clash"
    status = 409
    hint = "The target changed meanwhile; plan the restore again."


class Locked(GraphProblem):
    """423, or an archived or held site."""

    code = "graph-locked"
    status = 423
    hint = (
        "The site or item is locked or archived by its owner; it can be read once it is unlocked."
    )


class ResourceLocked(Locked):
    """All of a drive or site is locked or archived, not one item."""

    code = "resource-locked"
    hint = "Nothing to do here: it is read again once its owner unlocks or reactivates it."


class PathTooLong(GraphProblem):
    """The path of what was to be written has more characters than SharePoint takes."""

    code = "path-too-long"
    status = 400
    hint = "Restore into a folder nearer to the top of the drive, or under a shorter name."


class Malware(GraphProblem):
    """The service found malware in the content and does not hand it out."""

    code = "malware"
    hint = "Microsoft 365 blocks this file; remove or release it there."


class QuotaFull(GraphProblem):
    """507: the target has no room left."""

    code = "quota-full"
    status = 507
    hint = "Make room in the target mailbox or drive, then run the restore again."


class Corrupt(GraphProblem):
    """The service itself cannot open the item."""

    code = "corrupt-in-service"
    hint = "The item is damaged in Microsoft 365; open it there to see what is left of it."


class TransientFailure(GraphProblem):
    """500, 502, 503, a broken connection or a cut answer, after all retries."""

    code = "graph-unstable"
    status = 503
    hint = "Nothing to do: the next run tries again."


class GatewayTimeout(TransientFailure):
    """504 after its retries: often a page that is too heavy. Ask for fewer items."""

    code = "graph-timeout"


class AnswerTooLarge(GraphProblem):
    """An answer is larger than any should be; it was not read to its end."""

    code = "answer-too-large"
    hint = "The page is asked for in a smaller form; report it if the resource stays unprotected."


class MaybeDone(GraphProblem):
    """A write was sent and no answer came: look whether it was done before sending it again."""

    code = "write-unconfirmed"
    hint = "Run the restore again: what was written already is found and not written twice."


class ForeignHost(GraphProblem):
    """A link led away from Microsoft Graph; nothing was sent there, and no token."""

    code = "foreign-host"
    hint = (
        "A link in an answer named another host. Check the proxy and the configured Graph address."
    )


class LinkExpired(GraphProblem):
    """A pre-authenticated address is no longer accepted; ask for a fresh one."""

    code = "link-expired"
    hint = "Nothing to do: the next run asks for a fresh address."


class SessionGone(GraphProblem):
    """404 on an upload session: start a new one."""

    code = "upload-session-gone"
    hint = "Nothing to do: the upload starts anew."


_RESOURCE_GONE = frozenset(
    (
        "mailboxnotenabledforrestapi",
        "mailboxnotsupportedforrestapi",
        "errorinvaliduser",
        "errornonexistentmailbox",
        "resourcenotfound",
        "request_resourcenotfound",
    )
)
_RESYNC = frozenset(
    (
        "syncstatenotfound",
        "syncstateinvalid",
        "resyncrequired",
        "resyncchangesapplydifferences",
        "resyncchangesuploaddifferences",
    )
)
_CORRUPT = frozenset(
    ("errorcorruptdata", "errorcannotopenfileattachment", "errorinvalidrecipients")
)
_LOCKED = frozenset(("resourcelocked", "notallowed"))
_TOO_LONG = frozenset(("pathistoolong", "pathtoodeep"))
_MALWARE = frozenset(("malwaredetected",))
_QUOTA = frozenset(("quotalimitreached", "insufficientstorage", "errorquotaexceeded"))
_OTHERS = frozenset(
    (
        "accessdenied", "authorization_requestdenied", "erroraccessdenied", "itemnotfound",
        "erroritemnotfound", "invalidauthenticationtoken", "namealreadyexists", "toomanyrequests",
        "applicationthrottled", "activitylimitreached", "servicenotavailable",
        "unsupportedworkload", "generalexception", "invalidrequest", "badrequest",
        "unknownerror", "conflict", "gone",
        "errorirresolvableconflict", "preconditionfailed", "errorfoldernotfound",
    )
)  # fmt: skip
_KNOWN = _RESOURCE_GONE | _RESYNC | _CORRUPT | _LOCKED | _TOO_LONG | _MALWARE | _QUOTA | _OTHERS

# A missing OneDrive has no code of its own: https://github.com/alcionai/corso (graph/errors.go)
_NO_DRIVE = ("mysite", "does not have a spo license", "does not have a sharepoint license")
_CODE_SHAPE = re.compile(r"[A-Za-z0-9_.\-]{1,80}")  # anything else in `code` is not a code
_DEPTH_MAX = 8

# Requests about a resource as a whole: a 404 there says that the resource is gone, not an item.
_WHOLE_RESOURCE = re.compile(
    r"/(?:v1\.0|beta)(?:"
    r"/drives/[^/]+(?:/root|/items/root)?(?:/(?:microsoft\.graph\.)?delta(?:\([^)]*\))?)?"
    r"|/users/[^/]+(?:/drives?|/mailFolders(?:/(?:microsoft\.graph\.)?delta(?:\(\))?)?)?"
    r")/?",
    re.IGNORECASE,
)


def error_code(body: bytes) -> tuple[str, str]:
    """The deepest known code of an error body, and its message (only to be looked at); ("", "")."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", ""
    if not isinstance(error, dict):  # {"error": "invalid_request"} of an OAuth endpoint
        return (error if isinstance(error, str) and _CODE_SHAPE.fullmatch(error) else ""), ""
    message = error.get("message")
    return _deepest_known(error), message if isinstance(message, str) else ""


def _deepest_known(error: Mapping[str, Any]) -> str:
    found = first = ""
    level: Any = error
    for _ in range(_DEPTH_MAX):
        if not isinstance(level, dict):
            break
        code = level.get("code")
        if isinstance(code, str) and _CODE_SHAPE.fullmatch(code):
            first = first or code
            if code.lower() in _KNOWN:
                found = code
        level = level.get("innerError", level.get("innererror"))
    return found or first


def problem_of(
    status: int, headers: Mapping[str, str], body: bytes, path: str = "", location: str = ""
) -> GraphProblem:
    """The problem an answer of 400 and above stands for.

    `headers` has lower-case names; `path` is the request's path without query, used to tell a
    missing item from a missing resource; `location` is the checked Location of a 410.
    """
    graph_code, message = error_code(body)
    code = graph_code.lower()
    request_id = request_id_of(headers)
    if code in _RESYNC or status == 410:
        return ResyncNeeded(
            "The service no longer knows the delta link.",
            location=location,
            upload_differences=code == "resyncchangesuploaddifferences",
            graph_code=graph_code,
            status_code=status,
            request_id=request_id,
        )
    infected = headers.get("x-virus-infected", "").lower() == "true"
    kind, text = _kind(status, code, message.lower(), path, infected)
    shown = f" ({status} {graph_code})" if graph_code else f" ({status})"
    return kind(text + shown, graph_code=graph_code, status_code=status, request_id=request_id)


def _kind(
    status: int, code: str, message: str, path: str, infected: bool
) -> tuple[type[GraphProblem], str]:
    if infected or code in _MALWARE:
        return Malware, "Microsoft 365 found malware in the content and does not hand it out."
    if code in _TOO_LONG:
        return PathTooLong, "The path is longer than SharePoint takes."
    if code in _CORRUPT:
        return Corrupt, "The service cannot open the item."
    if code in _QUOTA or status == 507:
        return QuotaFull, "The target has no room left."
    if status == 423 or (status == 403 and code in _LOCKED):
        if _WHOLE_RESOURCE.fullmatch(path):
            return ResourceLocked, "The drive or site is locked."
        return Locked, "The item or its site is locked."
    if status in (400, 403, 404):
        if code in _RESOURCE_GONE or any(sign in message for sign in _NO_DRIVE):
            return ResourceGone, "The mailbox, drive or account is not there."
    if status == 404:
        if _WHOLE_RESOURCE.fullmatch(path):
            return ResourceGone, "The mailbox, drive or account is not there."
        return ItemGone, "The item is not there any more."
    return _BY_STATUS.get(status, (GraphProblem, "Microsoft Graph refused the request."))


_BY_STATUS: dict[int, tuple[type[GraphProblem], str]] = {
    401: (Unauthorized, "Microsoft Graph does not accept the token."),
    403: (Forbidden, "The application may not do this."),
    409: (Clash, "Something else is in the way."),
    412: (Clash, "The target was changed meanwhile."),
    500: (TransientFailure, "Microsoft Graph failed, also when asked again."),
    502: (TransientFailure, "Microsoft Graph failed, also when asked again."),
    503: (TransientFailure, "Microsoft Graph is not available."),
    504: (GatewayTimeout, "Microsoft Graph took too long, also when asked again."),
}


def request_id_of(headers: Mapping[str, str]) -> str:
    """The request id of an answer; `headers` has lower-case names."""
    text = headers.get("request-id") or headers.get("sprequestguid") or ""
    return text if _CODE_SHAPE.fullmatch(text) else ""
