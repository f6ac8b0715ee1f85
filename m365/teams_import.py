"""What a message becomes in migration mode, and what of it does not come along.

https://learn.microsoft.com/microsoftteams/platform/graph-api/import-messages/import-external-messages-to-teams
https://learn.microsoft.com/graph/api/chatmessage-post
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from base.clock import parse_iso
from base.item import Cause, StoredItem, Trouble
from m365.chat_message import HOSTED

HOSTED_BYTES_MAX = 2_500_000  # of one message, so that the request stays below 4 MB
_TAKEN = ("subject", "summary", "importance", "locale")
_ATTACHMENT = ("id", "contentType", "contentUrl", "content", "name", "thumbnailUrl", "teamsAppId")

Raw = Mapping[str, Any]


def moment_of(raw: Raw) -> int:
    """When a message was sent, in milliseconds since 1970; 0 where nobody knows."""
    try:
        return round(parse_iso(str(raw.get("createdDateTime"))).timestamp() * 1000)
    except ValueError:
        return 0


def sender_of(raw: Raw) -> str:
    """Who sent it, by id; "" where nobody knows."""
    identities = raw.get("from")
    for identity in identities.values() if isinstance(identities, dict) else ():
        if isinstance(identity, dict):
            return str(identity.get("id") or "")
    return ""


def is_own_work(raw: Raw) -> bool:
    """Whether Teams itself wrote it: somebody joined, a channel was renamed."""
    return bool(raw.get("eventDetail")) or raw.get("messageType") not in (None, "", "message")


def body_of(item: StoredItem, moment: int) -> tuple[dict[str, Any], tuple[Trouble, ...]]:
    """The JSON to send, and what is not in it."""
    raw = item.raw
    content = dict(raw.get("body") or {})
    text, pictures, troubles = _with_pictures(item, str(content.get("content") or ""))
    body: dict[str, Any] = {
        "createdDateTime": _stamp(moment),
        "from": _without_nulls(raw.get("from")),
        "body": {"contentType": content.get("contentType") or "html", "content": text},
    }
    body |= {name: raw[name] for name in _TAKEN if raw.get(name)}
    attachments = [one for one in raw.get("attachments") or () if isinstance(one, dict)]
    if attachments:
        kept = [{k: one[k] for k in _ATTACHMENT if one.get(k) is not None} for one in attachments]
        body["attachments"] = kept
    if raw.get("mentions"):
        body["mentions"] = [_without_nulls(one) for one in raw["mentions"]]
    if pictures:
        body["hostedContents"] = pictures
    return body, troubles


def _with_pictures(
    item: StoredItem, text: str
) -> tuple[str, list[dict[str, Any]], tuple[Trouble, ...]]:
    """The body with its hosted contents under temporary addresses, as far as they fit."""
    pictures: list[dict[str, Any]] = []
    troubles: list[Trouble] = []
    size = 0
    for part in item.parts:
        if part.role != HOSTED:
            continue
        key = str(part.meta.get("id") or "")
        temporary = str(len(pictures) + 1)
        shown, count = _address(key).subn(f"../hostedContents/{temporary}/$value", text)
        size += part.size
        if not count or size > HOSTED_BYTES_MAX:
            cause = Cause.TOO_LARGE if count else Cause.NOT_SUPPORTED
            size -= part.size
            troubles.append(Trouble(item.id, f"{HOSTED}:{key}", cause, retry=False))
            continue
        text = shown
        pictures.append(
            {
                "@microsoft.graph.temporaryId": temporary,
                "contentBytes": base64.b64encode(part.read()).decode("ascii"),
                "contentType": str(part.meta.get("contentType") or "image/png"),
            }
        )
    return text, pictures, tuple(troubles)


def _address(key: str) -> re.Pattern[str]:
    """Matches every spelling of the address of one hosted content, with all that is before it."""
    spelled = "|".join(sorted({re.escape(key), re.escape(quote(key, safe=""))}))
    return re.compile(rf"(?:https?:)?[^\s\"'<>]*/hostedContents(?:/|\(')(?:{spelled})(?:'\))?"
                      r"(?:/(?:\$|%24)value)?", re.IGNORECASE)  # fmt: skip


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def _stamp(moment: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03d}Z"
