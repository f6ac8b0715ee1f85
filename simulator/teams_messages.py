"""Messages of channels: lists, replies, the feed of changes, and what Teams keeps for them.

Rules
- $top is 50 at most, 20 else; a list takes $top and $expand=replies and nothing more.
- Expanded replies are cut; replies@odata.nextLink goes on with them.
- A round without a token tells of the last eight months only. A later one tells of every message
  that changed; a changed reply shows its root.
- Replies are in no list of messages, only below their root.

https://learn.microsoft.com/graph/api/channel-list-messages /chatmessage-list-replies
https://learn.microsoft.com/graph/api/chatmessage-delta /chatmessage-list-hostedcontents
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from simulator.chat_message import (
    ChatMessage,
    Home,
    hosted_content,
    hosted_json,
    message_json,
)
from simulator.feed import Page, Plan, Position
from simulator.teams import Channel, channel_of, home_of, limited, team_of
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("ChannelMessage.Read.All", "Group.Read.All", "Group.ReadWrite.All")
WINDOW = timedelta(days=243)  # eight months
_TOP, _TOP_MAX = 20, 50
_EXPANDED_MAX = 1_000
_EXPANDED_FEW = 2  # where the tenant does all that is allowed
_OPTIONS = frozenset(("$top", "$expand", "$skiptoken"))
_FILTER = re.compile(r"lastModifiedDateTime\s+gt\s+(\S+)", re.IGNORECASE)
_Messages = list[ChatMessage]


def list_messages(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/messages: those that answer none, the newest first."""
    found = _open(tenant, team, channel)
    _only(request, _OPTIONS)
    home = home_of(tenant, team, found)
    page, following = _page(tenant, request, found.talk.roots())
    expand = _expands(request)
    return _listed(
        request,
        f"{home.path}/messages",
        [_shown(tenant, found, one, home, request, expand) for one in page],
        following,
    )


def get_message(tenant: Tenant, request: Request, team: str, channel: str, message: str) -> Answer:
    """GET …/messages/{message}."""
    found = _open(tenant, team, channel)
    one = _root(found, message)
    home = home_of(tenant, team, found)
    return Answer(200, _shown(tenant, found, one, home, request, _expands(request)))


def list_replies(tenant: Tenant, request: Request, team: str, channel: str, message: str) -> Answer:
    """GET …/messages/{message}/replies, the newest first."""
    found = _open(tenant, team, channel)
    _only(request, frozenset(("$top", "$skiptoken")))
    root, home = _root(found, message), home_of(tenant, team, found)
    page, following = _page(tenant, request, found.talk.replies(root.id))
    shown = [message_json(one, home, request.url_base) for one in page]
    return _listed(request, f"{home.path}/messages/{root.id}/replies", shown, following)


def get_reply(
    tenant: Tenant, request: Request, team: str, channel: str, message: str, reply: str
) -> Answer:
    """GET …/messages/{message}/replies/{reply}."""
    found = _open(tenant, team, channel)
    one = _reply(found, message, reply)
    return Answer(200, message_json(one, home_of(tenant, team, found), request.url_base))


def list_hosted(
    tenant: Tenant, request: Request, team: str, channel: str, message: str, reply: str = ""
) -> Answer:
    """GET …/hostedContents."""
    one = _any(_open(tenant, team, channel), message, reply)
    shown = hosted_json(one)
    return Answer(200, {"@odata.count": len(shown), "value": shown})


def get_hosted(
    tenant: Tenant, request: Request, team: str, channel: str, message: str, hosted: str,
    reply: str = "",
) -> Answer:  # fmt: skip
    """GET …/hostedContents/{hosted}: the entry, without its bytes."""
    one = _any(_open(tenant, team, channel), message, reply)
    found = hosted_content(one, hosted)
    return Answer(200, {"id": found.id, "contentBytes": None, "contentType": None})


def hosted_value(
    tenant: Tenant, request: Request, team: str, channel: str, message: str, hosted: str,
    reply: str = "",
) -> Answer:  # fmt: skip
    """GET …/hostedContents/{hosted}/$value."""
    one = _any(_open(tenant, team, channel), message, reply)
    found = hosted_content(one, hosted)
    whole = found.content.read(0, found.content.size)
    return Answer(200, whole, {"Content-Type": found.content_type})


def delta(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """GET …/messages/delta."""
    found = _open(tenant, team, channel)
    home = home_of(tenant, team, found)
    position = _position(tenant, request, found, f"channel messages {team} {channel}")
    options = position.round.options
    page = tenant.feeds.page(position, _top(options), tenant.quirks)
    if found.delta_refused:
        page = Page([], page.next_token or page.delta_token, None)
    expand = options.get("$expand", "").lower().startswith("replies")
    kept = [found.talk.messages[key] for key, _ in page.entries if key in found.talk.messages]
    values = [_shown(tenant, found, one, home, request, expand) for one in kept]
    link = f"{request.url_base}{home.path}/messages/{_spelled(tenant)}"
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(chatMessage)"}
    if page.next_token is not None:
        body["@odata.nextLink"] = f"{link}?$skiptoken={page.next_token}"
    else:
        body["@odata.deltaLink"] = f"{link}?$deltatoken={page.delta_token}"
    typed = {"@odata.type": "#microsoft.graph.chatMessage"}
    return Answer(200, body | {"value": [typed | one for one in values]})


def all_messages(tenant: Tenant, request: Request, team: str) -> Answer:
    """GET …/channels/getAllMessages: replies among the others, of all channels that are hosted."""
    hosted = [one for one in team_of(tenant, team).channels.values() if not one.deleted]
    shown = [
        message_json(one, home_of(tenant, team, channel), request.url_base)
        for channel in hosted
        for one in channel.talk.messages.values()
    ]
    shown.sort(key=lambda one: str(one["id"]), reverse=True)
    skip, top = int(request.query.get("$skiptoken", "0")), _top(request.query)
    following = str(skip + top) if skip + top < len(shown) else None
    path = f"/teams/{team}/channels/getAllMessages"
    return _listed(request, path, shown[skip : skip + top], following)


def _position(tenant: Tenant, request: Request, channel: Channel, feed: str) -> Position[str]:
    """Where a request goes on; a round begins without a token and with that of a round's end."""
    token = request.query.get("$skiptoken") or request.query.get("$deltatoken")
    if not token:
        _only(request, frozenset(("$top", "$expand", "$filter")))
        plan = _plan(tenant, channel, request.query, None)
        return tenant.feeds.start(feed, plan, dict(request.query))
    if channel.delta_refused:
        text = "Parameter 'DeltaToken' not supported for this request."
        raise GraphError(400, "BadRequest", text)
    position = cast("Position[str]", tenant.feeds.find(feed, token, tenant.quirks))
    if position.offset >= 0:
        return position
    options = position.round.options
    plan = _plan(tenant, channel, options, position.round.plan.sequence)
    return tenant.feeds.start(feed, plan, options)


def _plan(tenant: Tenant, channel: Channel, options: Json, since: int | None) -> Plan[str]:
    """What a round tells of, the oldest change first; some of it twice where that is allowed."""
    talk = channel.talk
    limit = _filtered(options) or (tenant.clock.now() - WINDOW if since is None else None)
    changed: dict[str, int] = {}
    for one in talk.messages.values():
        unnoticed = since is not None and channel.replies_unnoticed and one.reply_to
        if one.change > (since or 0) and not unnoticed:
            root = one.reply_to or one.id
            if limit is None or one.modified > limit:
                changed[root] = max(changed.get(root, 0), one.change)
    keys = sorted(changed, key=lambda key: changed[key])
    dice = tenant.rng
    again = [key for key in keys if dice.random() < tenant.quirks.p_duplicate]
    return Plan([(key, "now") for key in again + keys], talk.changes)


def _filtered(options: Json) -> datetime | None:
    text = options.get("$filter")
    if text is None:
        return None
    match = _FILTER.fullmatch(str(text).strip())
    if match is None:
        raise GraphError(400, "BadRequest", "Only lastModifiedDateTime gt is supported.")
    return datetime.fromisoformat(match[1])


def _shown(
    tenant: Tenant, channel: Channel, one: ChatMessage, home: Home, request: Request, expand: bool
) -> Json:
    shown = message_json(one, home, request.url_base)
    if not expand:
        return shown
    replies = channel.talk.replies(one.id)
    few = _EXPANDED_FEW if tenant.quirks.p_short_page else _EXPANDED_MAX
    shown["replies@odata.count"] = len(replies)
    if len(replies) > few:
        path = f"{request.url_base}{home.path}/messages/{one.id}/replies"
        shown["replies@odata.nextLink"] = f"{path}?$skiptoken={replies[few - 1].id}"
    shown["replies"] = [message_json(each, home, request.url_base) for each in replies[:few]]
    return shown


def _page(tenant: Tenant, request: Request, messages: _Messages) -> tuple[_Messages, str | None]:
    """A page and the token behind it: what is older than the message it names."""
    before = request.query.get("$skiptoken", "")
    mark, _, empty = before.partition(".")
    rest = [one for one in messages if not mark or int(one.id) < int(mark)]
    quirks, size = tenant.quirks, _top(request.query)
    if rest and not empty and tenant.rng.random() < quirks.p_empty_page:
        return [], f"{mark or int(rest[0].id) + 1}.e"
    if size > 1 and tenant.rng.random() < quirks.p_short_page:
        size -= size // 2
    page = rest[:size]
    return page, page[-1].id if len(rest) > size else None


def _listed(request: Request, path: str, values: list[Json], following: str | None) -> Answer:
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path.lstrip('/')}"}
    body["@odata.count"] = len(values)
    if following is not None:
        kept = {k: v for k, v in request.query.items() if k in ("$top", "$expand")}
        query = "&".join(f"{k}={v}" for k, v in (kept | {"$skiptoken": following}).items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{query}"
    return Answer(200, body | {"value": values})


def _open(tenant: Tenant, team: str, channel: str) -> Channel:
    found = channel_of(tenant, team, channel)
    if found.unprovisioned:
        raise GraphError(404, "NotFound", "The channel's conversation is not ready yet.")
    return found


def _root(channel: Channel, message: str) -> ChatMessage:
    found = channel.talk.find(message)
    if found.reply_to is not None:
        raise GraphError(404, "NotFound", "The message was not found.")
    return found


def _reply(channel: Channel, message: str, reply: str) -> ChatMessage:
    found = channel.talk.find(reply)
    if found.reply_to != _root(channel, message).id:
        raise GraphError(404, "NotFound", "The reply was not found.")
    return found


def _any(channel: Channel, message: str, reply: str) -> ChatMessage:
    return _reply(channel, message, reply) if reply else _root(channel, message)


def _expands(request: Request) -> bool:
    return request.query.get("$expand", "").lower().startswith("replies")


def _only(request: Request, known: frozenset[str]) -> None:
    unknown = sorted(set(request.query) - known)
    if unknown:
        text = f"Query option '{unknown[0]}' is not supported."
        raise GraphError(400, "BadRequest", text)


def _top(options: Json) -> int:
    text = str(options.get("$top", _TOP))
    if not text.isdigit() or not 1 <= int(text) <= _TOP_MAX:
        raise GraphError(400, "BadRequest", "$top has to be between 1 and 50.")
    return int(text)


def _spelled(tenant: Tenant) -> str:
    odd = tenant.quirks.odd_link_spellings
    return tenant.rng.choice(("delta", "delta()", "microsoft.graph.delta()")) if odd else "delta"


_M = "/teams/{team}/channels/{channel}/messages"
_OPERATIONS: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (_M, list_messages),
    (f"{_M}/delta", delta),
    (f"{_M}/{{message}}", get_message),
    (f"{_M}/{{message}}/hostedContents", list_hosted),
    (f"{_M}/{{message}}/hostedContents/{{hosted}}", get_hosted),
    (f"{_M}/{{message}}/hostedContents/{{hosted}}/$value", hosted_value),
    (f"{_M}/{{message}}/replies", list_replies),
    (f"{_M}/{{message}}/replies/{{reply}}", get_reply),
    (f"{_M}/{{message}}/replies/{{reply}}/hostedContents", list_hosted),
    (f"{_M}/{{message}}/replies/{{reply}}/hostedContents/{{hosted}}", get_hosted),
    (f"{_M}/{{message}}/replies/{{reply}}/hostedContents/{{hosted}}/$value", hosted_value),
    ("/teams/{team}/channels/getAllMessages", all_messages),
)
ROUTES: tuple[Route, ...] = tuple(
    Route("GET", pattern, limited(handler), READ) for pattern, handler in _OPERATIONS
)
