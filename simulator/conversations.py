"""Conversations of Microsoft 365 groups: conversations, threads, posts and their attachments.

Rules
- A group of type Unified has a mailbox of its own; any other group answers as one without.
- Read only for applications: what starts or answers a conversation is delegated only, and refused.
- A conversation and a thread tell when their newest post arrived, who wrote, and whether any post
  has an attachment; a post that is deleted changes what they tell.
- Posts come newest first, with their whole body; attachments are asked for post by post.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.mail_json import (
    View,
    applied,
    attachment_json,
    attachment_select,
    change_key,
    wants_immutable,
)
from simulator.mailbox import Attachment, Mailbox, Message, not_found
from simulator.mailids import parse_item_id
from simulator.plain_lists import listed
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Group-Conversation.Read.All", "Group-Conversation.ReadWrite.All", "Group.Read.All",
        "Group.ReadWrite.All")  # fmt: skip
WRITE = ("Group-Conversation.ReadWrite.All", "Group.ReadWrite.All")
_DELEGATED = ("delegated permissions only",)
_BROKEN_PAGE = 10
_PREVIEW = 255
_NAMES = ("createdDateTime", "lastModifiedDateTime", "categories", "receivedDateTime")


@dataclass(slots=True)
class Thread:
    """A thread with its posts, oldest first; each post is a message of the group's mailbox."""

    id: str
    topic: str
    posts: list[Message] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    """By number of a post: the number of the one it answers."""


@dataclass(slots=True)
class Conversation:
    """A conversation, nearly always of one thread."""

    id: str
    topic: str
    threads: list[Thread] = field(default_factory=list)


@dataclass(slots=True)
class GroupMailbox:
    """The mailbox of a group."""

    mailbox: Mailbox
    conversations: list[Conversation] = field(default_factory=list)
    numbers: int = 0

    def start(self, topic: str) -> Thread:
        """A new conversation with one thread."""
        conversation = Conversation(self._id("AAQk", "Q"), topic)
        self.conversations.append(conversation)
        return self.branch(conversation)

    def branch(self, conversation: Conversation) -> Thread:
        """Another thread of a conversation."""
        thread = Thread(self._id("AAQk", "T"), conversation.topic)
        conversation.threads.append(thread)
        return thread

    def _id(self, prefix: str, kind: str) -> str:
        self.numbers += 1
        raw = self.mailbox.guid + kind.encode() + self.numbers.to_bytes(4, "big") + bytes(24)
        return prefix + base64.b64encode(raw).decode("ascii").replace("/", "-").replace("+", "_")


def group_mailbox(tenant: Tenant, group_id: str) -> GroupMailbox:
    """The mailbox of a group; Graph's and Exchange's 404s else."""
    group = tenant.groups.get(group_id)
    if group is None:
        text = f"Resource '{group_id}' does not exist or one of its queried reference-property "
        raise GraphError(404, "Request_ResourceNotFound", f"{text}objects are not present.")
    if not group.unified:
        text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        raise GraphError(404, "MailboxNotEnabledForRESTAPI", text)
    kept: dict[str, GroupMailbox] = tenant.room.setdefault("group mailboxes", {})
    if group_id not in kept:
        guid = int(group_id.replace("-", ""), 16)
        kept[group_id] = GroupMailbox(Mailbox(group_id, tenant.clock.stamp, guid))
    return kept[group_id]


def conversation_json(one: Conversation) -> Json:
    """A conversation as Graph shows it."""
    posts = [post for thread in one.threads for post in thread.posts]
    return {"id": one.id, "topic": one.topic} | _told(posts)


def thread_json(one: Thread) -> Json:
    """A thread as Graph shows it."""
    return {"id": one.id, "topic": one.topic} | _told(one.posts) | {"isLocked": False}


def post_json(box: GroupMailbox, thread: Thread, post: Message, view: View) -> Json:
    """A post as Graph shows it by default."""
    properties = post.properties
    key = change_key(box.mailbox, post.change)
    shown: Json = {"@odata.etag": f'W/"{key}"', "id": _post_id(box, post, view), "changeKey": key}
    shown |= {name: properties.get(name) for name in _NAMES}
    shown |= {
        "hasAttachments": post.has_attachments, "body": properties["body"],
        "from": properties.get("from"), "sender": properties.get("sender"),
        "newParticipants": [], "conversationThreadId": thread.id,
    }  # fmt: skip
    return shown


def list_conversations(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}/conversations, the newest first."""
    box = group_mailbox(tenant, group)
    values = [conversation_json(one) for one in box.conversations]
    values.sort(key=lambda one: str(one["lastDeliveredDateTime"]), reverse=True)
    return listed(tenant, request, f"/groups/{group}/conversations", values)


def get_conversation(tenant: Tenant, request: Request, group: str, conversation: str) -> Answer:
    """GET …/conversations/{conversation}."""
    return Answer(200, conversation_json(_conversation(tenant, group, conversation)))


def delete_conversation(tenant: Tenant, request: Request, group: str, conversation: str) -> Answer:
    """DELETE …/conversations/{conversation}."""
    found = _conversation(tenant, group, conversation)
    group_mailbox(tenant, group).conversations.remove(found)
    return Answer(204)


def list_threads(tenant: Tenant, request: Request, group: str, conversation: str = "") -> Answer:
    """GET …/threads, of the group or of one conversation."""
    box = group_mailbox(tenant, group)
    path = f"/groups/{group}/threads"
    chosen = box.conversations
    if conversation:
        chosen = [_conversation(tenant, group, conversation)]
        path = f"/groups/{group}/conversations/{conversation}/threads"
    values = [thread_json(thread) for one in chosen for thread in one.threads]
    values.sort(key=lambda one: str(one["lastDeliveredDateTime"]), reverse=True)
    return listed(tenant, request, path, values)


def get_thread(
    tenant: Tenant, request: Request, group: str, thread: str, conversation: str = ""
) -> Answer:
    """GET …/threads/{thread}."""
    return Answer(200, thread_json(_thread(tenant, group, thread, conversation)))


def delete_thread(
    tenant: Tenant, request: Request, group: str, thread: str, conversation: str = ""
) -> Answer:
    """DELETE …/threads/{thread}; the last one takes its conversation along."""
    remove_thread(group_mailbox(tenant, group), _thread(tenant, group, thread, conversation))
    return Answer(204)


def remove_thread(box: GroupMailbox, thread: Thread) -> None:
    """Takes a thread away, and its conversation when it was the last."""
    for one in list(box.conversations):
        one.threads = [kept for kept in one.threads if kept is not thread]
        if not one.threads:
            box.conversations.remove(one)


def list_posts(
    tenant: Tenant, request: Request, group: str, thread: str, conversation: str = ""
) -> Answer:
    """GET …/posts, with bodies."""
    box, found = group_mailbox(tenant, group), _thread(tenant, group, thread, conversation)
    view = _view(tenant, request)
    values = [post_json(box, found, post, view) for post in reversed(found.posts)]
    return listed(tenant, request, f"/groups/{group}/threads/{thread}/posts", values)


def get_post(
    tenant: Tenant, request: Request, group: str, thread: str, post: str, conversation: str = ""
) -> Answer:
    """GET …/posts/{post}; $expand=inReplyTo shows the post it answers."""
    box, found = group_mailbox(tenant, group), _thread(tenant, group, thread, conversation)
    one, view = _post(box, found, post), _view(tenant, request)
    body = post_json(box, found, one, view)
    if request.query.get("$expand", "").lower() == "inreplyto" and one.number in found.answers:
        earlier = next((p for p in found.posts if p.number == found.answers[one.number]), None)
        body["inReplyTo"] = post_json(box, found, earlier, view) if earlier else None
    return Answer(200, body, applied(request))


def list_attachments(
    tenant: Tenant, request: Request, group: str, thread: str, post: str, conversation: str = ""
) -> Answer:
    """GET …/posts/{post}/attachments, with contentBytes unless $select leaves them out."""
    box, found = group_mailbox(tenant, group), _thread(tenant, group, thread, conversation)
    one, view = _post(box, found, post), _view(tenant, request)
    select = attachment_select(request)
    items = list(one.attachments.values())
    broken = [item.broken for item in items if item.broken is not None]
    if broken and (select is None or "contentBytes" in select):
        raise _cannot_open(broken[0])
    path = f"/groups/{group}/threads/{thread}/posts/{post}/attachments"
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#{path.lstrip('/')}"}
    if tenant.quirks.attachment_paging_broken and len(items) > _BROKEN_PAGE:
        items = items[:_BROKEN_PAGE]
        body["@odata.nextLink"] = f"{request.url_base}{path}?%24skip={_BROKEN_PAGE}"
    body["value"] = [attachment_json(box.mailbox, one, item, view, select=select) for item in items]
    return Answer(200, body, applied(request))


def get_attachment(
    tenant: Tenant, request: Request, group: str, thread: str, post: str, attachment: str,
    conversation: str = "",
) -> Answer:  # fmt: skip
    """GET …/attachments/{attachment}."""
    box, found = group_mailbox(tenant, group), _thread(tenant, group, thread, conversation)
    one, view = _post(box, found, post), _view(tenant, request)
    item = _attachment(one, attachment)
    select = attachment_select(request)
    if item.broken is not None and (select is None or "contentBytes" in select):
        raise _cannot_open(item.broken)
    expand = request.query.get("$expand", "").lower().endswith("itemattachment/item")
    shown = attachment_json(box.mailbox, one, item, view, select=select, expand_item=expand)
    return Answer(200, shown, applied(request))


def get_content(
    tenant: Tenant, request: Request, group: str, thread: str, post: str, attachment: str,
    conversation: str = "",
) -> Answer:  # fmt: skip
    """GET …/attachments/{attachment}/$value; 405 for a reference."""
    box, found = group_mailbox(tenant, group), _thread(tenant, group, thread, conversation)
    item = _attachment(_post(box, found, post), attachment)
    if item.kind == "referenceAttachment":
        text = "$value is not supported for a referenceAttachment."
        raise GraphError(405, "ErrorInvalidRequest", text)
    if item.broken is not None:
        raise _cannot_open(item.broken)
    assert item.content is not None
    whole = item.content.read(0, item.content.size)
    return Answer(200, whole, {"Content-Type": "application/octet-stream"})


def refused(tenant: Tenant, request: Request, **names: str) -> Answer:
    """What starts or answers a conversation: never reached by an application."""
    raise GraphError(403, "ErrorAccessDenied", "Access is denied.")


def _told(posts: list[Message]) -> Json:
    """What a conversation or thread tells of its posts."""
    newest = max(posts, key=lambda post: str(post.properties["receivedDateTime"]), default=None)
    senders = [post.properties["from"]["emailAddress"]["name"] for post in posts]
    words = str(newest.properties["bodyPreview"]) if newest is not None else ""
    return {
        "hasAttachments": any(post.has_attachments for post in posts),
        "lastDeliveredDateTime": newest.properties["receivedDateTime"] if newest else None,
        "uniqueSenders": list(dict.fromkeys(senders)),
        "preview": words[:_PREVIEW],
    }


def _post_id(box: GroupMailbox, post: Message, view: View) -> str:
    return box.mailbox.message_id(post, immutable=view.immutable, salt=view.salt)


def _view(tenant: Tenant, request: Request) -> View:
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    return View(immutable, tenant.rng.getrandbits(32) if salted else 0)


def _conversation(tenant: Tenant, group: str, wanted: str) -> Conversation:
    for one in group_mailbox(tenant, group).conversations:
        if one.id == wanted:
            return one
    raise not_found()


def _thread(tenant: Tenant, group: str, wanted: str, conversation: str) -> Thread:
    chosen = group_mailbox(tenant, group).conversations
    if conversation:
        chosen = [_conversation(tenant, group, conversation)]
    for one in chosen:
        for thread in one.threads:
            if thread.id == wanted:
                return thread
    raise not_found()


def _post(box: GroupMailbox, thread: Thread, wanted: str) -> Message:
    found = box.mailbox.find(wanted)
    if found not in thread.posts:
        raise not_found()
    return found


def _attachment(post: Message, wanted: str) -> Attachment:
    parsed = parse_item_id(wanted)
    item = post.attachments.get(parsed.attachment) if parsed else None
    if item is None:
        raise not_found()
    return item


def _cannot_open(code: str) -> GraphError:
    return GraphError(500, code, "OLE conversion failed for an attachment.")


_C = "/groups/{group}/conversations"
_OF_GROUP = "/groups/{group}/threads"
_OF_ONE = f"{_C}/{{conversation}}/threads"
_Handler = Callable[..., Answer]
_IN_THREADS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "", list_threads, READ),
    ("POST", "", refused, _DELEGATED),
    ("GET", "/{thread}", get_thread, READ),
    ("DELETE", "/{thread}", delete_thread, WRITE),
    ("POST", "/{thread}/reply", refused, _DELEGATED),
    ("GET", "/{thread}/posts", list_posts, READ),
    ("GET", "/{thread}/posts/{post}", get_post, READ),
    ("GET", "/{thread}/posts/{post}/attachments", list_attachments, READ),
    ("GET", "/{thread}/posts/{post}/attachments/{attachment}", get_attachment, READ),
    ("GET", "/{thread}/posts/{post}/attachments/{attachment}/$value", get_content, READ),
)
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _C, list_conversations, READ),
    ("POST", _C, refused, _DELEGATED),
    ("GET", f"{_C}/{{conversation}}", get_conversation, READ),
    ("DELETE", f"{_C}/{{conversation}}", delete_conversation, WRITE),
    *((method, _OF_GROUP + path, run, roles) for method, path, run, roles in _IN_THREADS),
    *((method, _OF_ONE + path, run, roles) for method, path, run, roles in _IN_THREADS),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, roles, "outlook")
    for method, pattern, handler, roles in _OPERATIONS
)
