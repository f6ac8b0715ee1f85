"""Chats of Teams: one-on-one, groups and meetings; their members, messages, and the export of all.

Rules
- A chat is seen by whoever is or was a member: each from the moment his history begins. Who left
  keeps what he has seen; a chat of another tenant is in the export, and not found by itself.
- getAllMessages of a user: every message of every chat he sees, in no order that is promised, some
  twice; tombstones for 21 days after the deletion. $top 50 at most; $filter knows
  lastModifiedDateTime gt and lt, joined by "and". There is no delta.
- A tenant may refuse the export (402, 403, 404): it was a protected API, and may be one still.
- Messages of one chat: $top 50 at most, 20 else; $orderby createdDateTime or lastModifiedDateTime,
  desc only; $filter lastModifiedDateTime gt/lt (with that order) or createdDateTime lt.
- Limits of the documentation: 20 requests a second for messages, 200 for the export, 30 else.

https://learn.microsoft.com/graph/api/chats-getallmessages /chat-list /chat-get
https://learn.microsoft.com/graph/api/chat-list-messages /graph/throttling-limits
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import quote

from simulator.chat_message import (
    ChatMessage,
    Home,
    Talk,
    hosted_content,
    hosted_json,
    message_json,
    stamp,
)
from simulator.tenant import Tenant
from simulator.throttle import Window
from simulator.web import Answer, GraphError, Handler, Json, Request, Route

Kind = Literal["oneOnOne", "group", "meeting"]
READ = ("Chat.Read.All", "Chat.ReadWrite.All")
BASIC = ("Chat.ReadBasic.All", *READ)
TOMBSTONES = timedelta(days=21)
_TOP, _TOP_MAX = 20, 50
_PER_SECOND = {"export": 200, "messages": 20, "chats": 30}
_ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
_TERM = re.compile(r"(?P<name>\w+)\s+(?P<op>gt|lt|ge|le)\s+(?P<at>\S+)", re.IGNORECASE)
_REFUSALS = {
    402: ("PaymentRequired", "Evaluation mode capacity has been exceeded."),
    403: ("Forbidden", "Invoked API requires Protected API access in application-only context."),
    404: ("NotFound", "The requested resource was not found."),
}


@dataclass(slots=True)
class Chat:
    """A chat. `members`: users with where their history begins; `left`: who is no member any more,
    with when he left.
    """

    id: str
    kind: Kind
    topic: str | None
    created: datetime
    updated: datetime
    members: dict[str, datetime] = field(default_factory=dict)
    left: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    guests: list[Json] = field(default_factory=list)
    """Members of other tenants, as Graph shows them."""
    talk: Talk = field(default_factory=Talk)
    federated: bool = False
    """It lies in another tenant: only exports show it."""
    deleted: bool = False
    closed: bool = False
    """Its messages are refused with 403."""
    late: set[str] = field(default_factory=set)
    """Messages that exports do not know of yet."""


def chats(tenant: Tenant) -> dict[str, Chat]:
    """Every chat by id."""
    found: dict[str, Chat] = tenant.room.setdefault("chats", {})
    return found


def add_chat(
    tenant: Tenant,
    kind: Kind,
    members: list[str],
    created: datetime,
    topic: str | None = None,
    *,
    federated: bool = False,
) -> Chat:
    """A new chat of users of the tenant."""
    if kind == "oneOnOne":
        chat_id = f"19:{'_'.join(sorted(members))}@unq.gbl.spaces"
    else:
        prefix = "meeting_" if kind == "meeting" else ""
        chat_id = f"19:{prefix}{tenant.new_id().replace('-', '')}@thread.v2"
    chat = Chat(chat_id, kind, topic, created, created, dict.fromkeys(members, _ALWAYS))
    chat.federated = federated
    chats(tenant)[chat.id] = chat
    return chat


def refuse_export(tenant: Tenant, status: int) -> None:
    """From now on getAllMessages answers with 402, 403 or 404; 0 ends that."""
    tenant.room["chats refused"] = status


def limited(kind: str, handler: Handler) -> Handler:
    """A handler behind the limit of one kind of request."""

    @functools.wraps(handler)
    def run(tenant: Tenant, request: Request, **names: str) -> Answer:
        app_id = request.app.app_id if request.app is not None else ""
        windows: dict[str, Window] = tenant.room.setdefault("chat windows", {})
        window = windows.setdefault(f"{app_id} {kind}", Window(1.0, tenant.clock.elapsed_s))
        if window.add(1) > _PER_SECOND[kind]:
            tenant.counters.throttled[f"chats-{kind}"] += 1
            headers = {"Retry-After": str(window.reset_s())}
            raise GraphError(429, "TooManyRequests", "Too many requests.", headers)
        return handler(tenant, request, **names)

    return run


def all_messages(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/chats/getAllMessages."""
    user_id = tenant.user(user).id
    refused = tenant.room.get("chats refused", 0)
    if refused:
        raise GraphError(refused, *_REFUSALS[refused])
    _only(request, ("$top", "$filter", "$skiptoken", "model"))
    keys, at = _round(tenant, request, user_id)
    size, told_empty = _top(request), request.query.get("$skiptoken", "").endswith(".e")
    if at < len(keys) and not told_empty and tenant.rng.random() < tenant.quirks.p_empty_page:
        size = 0
    elif size > 1 and tenant.rng.random() < tenant.quirks.p_short_page:
        size -= size // 2
    values = []
    for chat_id, message_id in keys[at : at + size]:
        chat = chats(tenant).get(chat_id)
        message = chat.talk.messages.get(message_id) if chat else None
        if chat is not None and message is not None:
            shown = message_json(message, home_of(tenant, chat), request.url_base)
            values.append({"@odata.type": "#microsoft.graph.chatMessage"} | shown)
    path = f"/users/{user}/chats/getAllMessages"
    following = None
    if at + size < len(keys):
        following = f"{request.query.get('$skiptoken', '').split('.')[0] or _kept(tenant, keys)}"
        following += f".{at + size}" + ("" if size else ".e")
    return _listed(request, path, "Collection(chatMessage)", values, following)


def list_chats(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/chats, the one that changed last first."""
    user_id = tenant.user(user).id
    if user_id in tenant.room.get("without teams", ()):
        raise GraphError(404, "NotFound", "No user found in Teams.")
    _only(request, ("$top", "$expand", "$skiptoken", "$orderby"))
    mine = [one for one in chats(tenant).values() if user_id in one.members and _here(one)]
    mine.sort(key=lambda one: (one.updated, one.id), reverse=True)
    values = [chat_json(tenant, one, request.query.get("$expand", "")) for one in mine]
    return _cut(tenant, request, f"/users/{user}/chats", "chats", values)


def get_chat(tenant: Tenant, request: Request, chat: str) -> Answer:
    """GET /chats/{chat}."""
    _only(request, ("$expand", "$select"))
    found = _chat(tenant, chat)
    return Answer(200, chat_json(tenant, found, request.query.get("$expand", "")))


def list_members(tenant: Tenant, request: Request, chat: str) -> Answer:
    """GET /chats/{chat}/members."""
    return _cut(
        tenant, request, f"/chats/{chat}/members", "members",
        _members(tenant, _chat(tenant, chat)),
    )  # fmt: skip


def list_messages(tenant: Tenant, request: Request, chat: str) -> Answer:
    """GET /chats/{chat}/messages."""
    found = _chat(tenant, chat)
    if found.closed:
        raise GraphError(403, "Forbidden", "The chat cannot be read.")
    _only(request, ("$top", "$filter", "$orderby", "$skiptoken"))
    name, _, way = request.query.get("$orderby", "createdDateTime desc").partition(" ")
    if name not in ("createdDateTime", "lastModifiedDateTime") or way.lower() != "desc":
        raise GraphError(400, "BadRequest", "The order is not supported.")
    fits = _filter(request.query.get("$filter", ""), name)
    messages = [one for one in found.talk.messages.values() if fits(one)]
    messages.sort(key=lambda one: (_moment(one, name), one.id), reverse=True)
    values = [message_json(one, home_of(tenant, found), request.url_base) for one in messages]
    return _cut(tenant, request, f"/chats/{chat}/messages", "messages", values)


def get_message(tenant: Tenant, request: Request, chat: str, message: str) -> Answer:
    """GET /chats/{chat}/messages/{message}."""
    found = _chat(tenant, chat)
    one = found.talk.find(message)
    return Answer(200, message_json(one, home_of(tenant, found), request.url_base))


def list_hosted(tenant: Tenant, request: Request, chat: str, message: str) -> Answer:
    """GET …/hostedContents."""
    shown = hosted_json(_chat(tenant, chat).talk.find(message))
    return Answer(200, {"@odata.count": len(shown), "value": shown})


def get_hosted(tenant: Tenant, request: Request, chat: str, message: str, hosted: str) -> Answer:
    """GET …/hostedContents/{hosted}: the entry, without its bytes."""
    found = hosted_content(_chat(tenant, chat).talk.find(message), hosted)
    return Answer(200, {"id": found.id, "contentBytes": None, "contentType": None})


def hosted_value(tenant: Tenant, request: Request, chat: str, message: str, hosted: str) -> Answer:
    """GET …/hostedContents/{hosted}/$value."""
    found = hosted_content(_chat(tenant, chat).talk.find(message), hosted)
    whole = found.content.read(0, found.content.size)
    return Answer(200, whole, {"Content-Type": found.content_type})


def chat_json(tenant: Tenant, chat: Chat, expand: str = "") -> Json:
    """A chat as Graph shows it; `expand` may name members and lastMessagePreview."""
    meeting = chat.kind == "meeting"
    url = f"https://teams.microsoft.com/l/chat/{quote(chat.id, safe='')}/0?tenantId={tenant.id}"
    shown: Json = {
        "id": chat.id, "topic": chat.topic, "createdDateTime": stamp(chat.created),
        "lastUpdatedDateTime": stamp(chat.updated), "chatType": chat.kind, "webUrl": url,
        "tenantId": tenant.id, "isHiddenForAllMembers": False, "onlineMeetingInfo": {
            "calendarEventId": f"AAMk{chat.id[-20:-10]}", "joinWebUrl": url, "organizer": None,
        } if meeting else None, "viewpoint": None,
    }  # fmt: skip
    if "members" in expand:
        shown["members"] = _members(tenant, chat)
    if "lastMessagePreview" in expand:
        newest = max(chat.talk.messages.values(), key=lambda one: int(one.id), default=None)
        shown["lastMessagePreview"] = newest and {
            "id": newest.id, "createdDateTime": stamp(newest.created), "body": newest.body,
            "isDeleted": newest.deleted is not None, "messageType": newest.message_type,
            "from": newest.sender, "eventDetail": newest.event,
        }  # fmt: skip
    return shown


def seen_by(tenant: Tenant, user_id: str) -> Iterator[tuple[Chat, ChatMessage]]:
    """What an export of a user holds now."""
    now = tenant.clock.now()
    for chat in chats(tenant).values():
        begins, ends = chat.left.get(user_id, (chat.members.get(user_id), None))
        if begins is None or chat.deleted:
            continue
        for message in chat.talk.messages.values():
            gone = message.deleted is not None and now - message.deleted > TOMBSTONES
            unseen = message.created < begins or (ends is not None and message.created > ends)
            if not gone and not unseen and message.id not in chat.late:
                yield chat, message


def home_of(tenant: Tenant, chat: Chat) -> Home:
    """Where the messages of a chat live."""
    return Home(f"/chats/{chat.id}", tenant.id, chat_id=chat.id)


def _round(tenant: Tenant, request: Request, user_id: str) -> tuple[list[tuple[str, str]], int]:
    """What a reading of the export tells of, fixed at its beginning, and where the page begins."""
    token = request.query.get("$skiptoken")
    if token is not None:
        name, _, at = token.removesuffix(".e").partition(".")
        kept = tenant.room.get("chat exports", {}).get(name)
        if kept is None or not at.isdigit():
            raise GraphError(400, "BadRequest", "The skip token is not valid.")
        return kept, int(at)
    fits = _filter(request.query.get("$filter", ""), "lastModifiedDateTime")
    keys = [(chat.id, one.id) for chat, one in seen_by(tenant, user_id) if fits(one)]
    keys += [key for key in keys if tenant.rng.random() < tenant.quirks.p_duplicate]
    if tenant.quirks.p_duplicate:
        tenant.rng.shuffle(keys)
    return keys, 0


def _kept(tenant: Tenant, keys: list[tuple[str, str]]) -> str:
    exports = tenant.room.setdefault("chat exports", {})
    name = f"U2tpcFZhbHVl{len(exports)}"
    exports[name] = keys
    return name


def lose_exports(tenant: Tenant) -> None:
    """Forgets every reading of an export that is under way: its nextLinks answer 400."""
    tenant.room["chat exports"] = {}


def _filter(text: str, ordered_by: str) -> Callable[[ChatMessage], bool]:
    tests: list[tuple[str, str, datetime]] = []
    for term in filter(None, re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)):
        match = _TERM.fullmatch(term)
        if match is None or match["name"] != ordered_by or match["op"].lower() in ("ge", "le"):
            raise GraphError(400, "BadRequest", "The filter is not supported.")
        tests.append((match["name"], match["op"].lower(), datetime.fromisoformat(match["at"])))

    def fits(one: ChatMessage) -> bool:
        return all(
            _moment(one, name) > at if op == "gt" else _moment(one, name) < at
            for name, op, at in tests
        )

    return fits


def _moment(one: ChatMessage, name: str) -> datetime:
    return one.created if name == "createdDateTime" else one.modified


def _members(tenant: Tenant, chat: Chat) -> list[Json]:
    found = []
    for user_id, begins in chat.members.items():
        user = tenant.users.get(user_id)
        found.append(
            {
                "@odata.type": "#microsoft.graph.aadUserConversationMember",
                "id": f"member-{user_id}", "roles": ["owner"], "userId": user_id,
                "displayName": user.properties["displayName"] if user else None,
                "visibleHistoryStartDateTime": stamp(begins) if begins > _ALWAYS
                else "0001-01-01T00:00:00Z",
                "email": user.properties["mail"] if user else None, "tenantId": tenant.id,
            }
        )  # fmt: skip
    return found + chat.guests


def _here(chat: Chat) -> bool:
    return not chat.federated and not chat.deleted


def _chat(tenant: Tenant, chat_id: str) -> Chat:
    found = chats(tenant).get(chat_id)
    if found is None or not _here(found):
        raise GraphError(404, "NotFound", "Thread not found.")
    return found


def _cut(tenant: Tenant, request: Request, path: str, context: str, values: list[Json]) -> Answer:
    """A page of a list; the token is how many were passed."""
    token, _, told_empty = request.query.get("$skiptoken", "0").partition(".")
    at, size = int(token) if token.isdigit() else 0, _top(request)
    more = at + size < len(values)
    if more and not told_empty and tenant.rng.random() < tenant.quirks.p_empty_page:
        size = 0
    following = f"{at + size}{'' if size else '.e'}" if more else None
    return _listed(request, path, context, values[at : at + size], following)


def _listed(
    request: Request, path: str, context: str, values: list[Json], following: str | None
) -> Answer:
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{context}"}
    body["@odata.count"] = len(values)
    if following is not None:
        query = request.query | {"$skiptoken": following}
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    return Answer(200, body | {"value": values})


def _only(request: Request, known: tuple[str, ...]) -> None:
    unknown = sorted(set(request.query) - set(known))
    if unknown:
        text = f"Query option '{unknown[0]}' is not supported."
        raise GraphError(400, "BadRequest", text)


def _top(request: Request) -> int:
    text = request.query.get("$top", str(_TOP))
    if not text.isdigit() or not 1 <= int(text) <= _TOP_MAX:
        raise GraphError(400, "BadRequest", "$top has to be between 1 and 50.")
    return int(text)


_M = "/chats/{chat}/messages"
_OPERATIONS: tuple[tuple[str, str, Handler, tuple[str, ...]], ...] = (
    ("/users/{user}/chats/getAllMessages", "export", all_messages, READ),
    ("/users/{user}/chats", "chats", list_chats, BASIC),
    ("/chats/{chat}", "chats", get_chat, BASIC),
    ("/chats/{chat}/members", "chats", list_members, ("ChatMember.Read.All", *BASIC)),
    (_M, "messages", list_messages, READ),
    (f"{_M}/{{message}}", "messages", get_message, READ),
    (f"{_M}/{{message}}/hostedContents", "messages", list_hosted, READ),
    (f"{_M}/{{message}}/hostedContents/{{hosted}}", "messages", get_hosted, READ),
    (f"{_M}/{{message}}/hostedContents/{{hosted}}/$value", "messages", hosted_value, READ),
)
ROUTES: tuple[Route, ...] = tuple(
    Route("GET", pattern, limited(kind, handler), roles)
    for pattern, kind, handler, roles in _OPERATIONS
)
