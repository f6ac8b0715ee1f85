"""Migration mode: messages written into a channel with the sender and the time they had.

Rules
- Applications write messages in migration mode only, and only the app that started it may write
  and complete it.
- startMigration moves createdDateTime of the channel into the past; nothing older can be written.
  Started twice: 400.
- Messages need createdDateTime and from; no two of a channel have the same time; none is ahead of
  the present; a reply needs its root. Reactions are not taken.

https://learn.microsoft.com/graph/api/channel-startmigration /channel-completemigration
https://learn.microsoft.com/microsoftteams/platform/graph-api/import-messages/import-external-messages-to-teams
"""

import base64
import binascii
from datetime import datetime

from simulator.chat_message import HERE, ChatMessage, Hosted, hosted, message_json
from simulator.teams import Channel, channel_of, home_of, limited
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_MIGRATE = ("Teamwork.Migrate.All",)
IN_PROGRESS, COMPLETED = "inProgress", "completed"
_TAKEN = frozenset(
    ("createdDateTime", "from", "body", "subject", "summary", "importance", "locale",
     "attachments", "mentions", "hostedContents", "messageType", "replyToId", "@odata.type")
)  # fmt: skip


def start(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """POST …/startMigration {"conversationCreationDateTime"}."""
    found = channel_of(tenant, team, channel)
    if found.migration == IN_PROGRESS:
        raise _refused("The channel is in migration mode already.")
    text = (request.json() if request.body else {}).get("conversationCreationDateTime")
    at = _time(text) if text else tenant.clock.now()
    if text and at >= found.created:
        raise _refused("conversationCreationDateTime has to be before the channel was created.")
    found.original_created = found.original_created or found.created
    found.created = min(at, found.created)
    found.migration, found.migrator = IN_PROGRESS, _app(request)
    return Answer(204)


def complete(tenant: Tenant, request: Request, team: str, channel: str) -> Answer:
    """POST …/completeMigration."""
    found = channel_of(tenant, team, channel)
    _check_migrating(found, request)
    found.migration, found.migrator = COMPLETED, ""
    return Answer(204)


def post_message(
    tenant: Tenant, request: Request, team: str, channel: str, message: str = ""
) -> Answer:
    """POST …/messages and …/messages/{message}/replies."""
    found = channel_of(tenant, team, channel)
    _check_migrating(found, request)
    if message and found.talk.find(message).reply_to is not None:
        raise _refused("A reply cannot be answered.")
    one = _written(tenant, found, request.json(), message or None)
    return Answer(201, message_json(one, home_of(tenant, team, found), request.url_base))


def _written(tenant: Tenant, channel: Channel, body: Json, root: str | None) -> ChatMessage:
    unknown = sorted(set(body) - _TAKEN)
    if unknown:
        raise _refused(f"The property '{unknown[0]}' cannot be set.")
    if not body.get("from") or not body.get("createdDateTime"):
        raise _refused("createdDateTime and from are needed in migration mode.")
    at = _time(body["createdDateTime"])
    if at < channel.created or at > tenant.clock.now():
        raise _refused("createdDateTime is outside of what can be imported.")
    if str(round(at.timestamp() * 1000)) in channel.talk.messages:
        raise GraphError(409, "Conflict", "A message with this createdDateTime exists.")
    content, kept = _with_hosted(tenant, body)
    return channel.talk.post(
        _identity(body["from"]),
        {"contentType": body["body"].get("contentType", "text"), "content": content},
        at,
        reply_to=root,
        hosted=tuple(kept),
        subject=body.get("subject"),
        summary=body.get("summary"),
        importance=body.get("importance") or "normal",
        locale=body.get("locale") or "en-us",
        attachments=[_attachment(one) for one in body.get("attachments") or ()],
        mentions=[
            {**one, "mentioned": _identity(one.get("mentioned") or {})}
            for one in body.get("mentions") or ()
        ],
    )


def _with_hosted(tenant: Tenant, body: Json) -> tuple[str, list[Hosted]]:
    """The body with addresses of its own hosted contents in place of temporary ones."""
    content, kept = str(body["body"].get("content") or ""), []
    for one in body.get("hostedContents") or ():
        try:
            data = base64.b64decode(one["contentBytes"], validate=True)
        except (KeyError, binascii.Error):
            raise _refused("contentBytes of a hosted content make no sense.") from None
        new = hosted(tenant.rng.getrandbits(40), data, one.get("contentType") or "image/png")
        temporary = f"../hostedContents/{one['@microsoft.graph.temporaryId']}/$value"
        if temporary not in content:
            raise _refused("A hosted content is not shown in the body.")
        content = content.replace(temporary, f"{HERE}/hostedContents/{new.id}/$value")
        kept.append(new)
    if "../hostedContents/" in content:
        raise _refused("The body shows a hosted content that was not sent.")
    return content, kept


def _identity(given: Json) -> Json:
    return {"application": None, "device": None, "user": None} | given


def _attachment(one: Json) -> Json:
    names = ("id", "contentType", "contentUrl", "content", "name", "thumbnailUrl", "teamsAppId")
    return {name: one.get(name) for name in names}


def _check_migrating(channel: Channel, request: Request) -> None:
    if channel.migration != IN_PROGRESS:
        raise GraphError(403, "Forbidden", "The channel is not in migration mode.")
    if channel.migrator != _app(request):
        raise GraphError(403, "Forbidden", "Another application migrates the channel.")


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        raise _refused("A time makes no sense.") from None


def _app(request: Request) -> str:
    return request.app.app_id if request.app is not None else ""


def _refused(text: str) -> GraphError:
    return GraphError(400, "BadRequest", text)


_C = "/teams/{team}/channels/{channel}"
ROUTES: tuple[Route, ...] = (
    Route("POST", f"{_C}/startMigration", limited(start), _MIGRATE),
    Route("POST", f"{_C}/completeMigration", limited(complete), _MIGRATE),
    Route("POST", f"{_C}/messages", limited(post_message), _MIGRATE),
    Route("POST", f"{_C}/messages/{{message}}/replies", limited(post_message), _MIGRATE),
)
