"""The feed of the messages of one folder."""

from dataclasses import replace
from typing import cast

from simulator import feed
from simulator.feed import Plan, Position, Variant
from simulator.mail_folders import READ, add_links, delta_size, id_options
from simulator.mail_json import View, applied, message_json, view_of
from simulator.mail_query import matcher
from simulator.mailbox import Folder, Mailbox
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_PAGE = 10
_FILTERED_MAX = 5000
_OPTIONS = ("$select", "$top", "$expand", "$filter", "$orderby", "changeType")


def messages_delta(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """GET …/mailFolders/{folder}/messages/delta: one page of a round."""
    mailbox = tenant.mailbox(user)
    found = mailbox.folder(folder)
    position = _position(tenant, request, mailbox, found)
    quirks, options = tenant.quirks, position.round.options
    page = tenant.feeds.page(position, delta_size(request, _PAGE), quirks)
    view = view_of(tenant, request, options)
    if quirks.delta_expand == "ignored" and view.attachments:
        view = replace(view, attachments=False)
    values = [_entry(mailbox, found, *entry, view) for entry in page.entries]
    body: Json = {"@odata.context": f"{request.url_base}/$metadata#Collection(message)"}
    path = f"/users/{mailbox.user_id}/mailFolders/{found.id}/messages/delta"
    if quirks.odd_link_spellings:
        path = f"/users('{mailbox.user_id}')/mailFolders('{found.id}')/messages/delta"
    add_links(body, request, path, page.next_token, page.delta_token)
    body["value"] = [value for value in values if value is not None]
    return Answer(200, body, applied(request))


def _position(tenant: Tenant, request: Request, mailbox: Mailbox, folder: Folder) -> Position[int]:
    name = f"messages/{mailbox.user_id}/{folder.id}"
    token = request.query.get("$skiptoken") or request.query.get("$deltatoken")
    if token is None:
        return _first(tenant, request, name, mailbox, folder)
    position = cast("Position[int]", tenant.feeds.find(name, token, tenant.quirks))
    options = position.round.options
    same = options["immutable"] == id_options(request)["immutable"]
    if not same and tenant.quirks.mixed_id_types == "refused":
        raise GraphError(
            400, "SyncStateInvalid", "The sync state was created with another type of ids."
        )
    if position.offset >= 0:
        return position
    plan = feed.plan_since(
        folder.log, position.round.plan.sequence, mailbox.sequence, tenant.quirks, tenant.rng
    )
    return tenant.feeds.start(name, _narrowed(plan, folder, options, first=False), options)


def _first(
    tenant: Tenant, request: Request, name: str, mailbox: Mailbox, folder: Folder
) -> Position[int]:
    query = request.query
    unknown = [k for k in query if k not in _OPTIONS]
    if unknown:
        raise GraphError(
            400, "ErrorInvalidUrlQuery", f"The query parameter '{unknown[0]}' is not supported."
        )
    _check_filter(query.get("$filter"))
    if query.get("$orderby", "receivedDateTime desc").strip() != "receivedDateTime desc":
        raise GraphError(
            400, "ErrorInvalidUrlQueryOrderBy", "Only receivedDateTime desc is supported."
        )
    if query.get("changeType", "created") not in ("created", "updated", "deleted"):
        raise GraphError(400, "ErrorInvalidUrlQuery", "changeType is not valid.")
    if "$expand" in query and tenant.quirks.delta_expand == "refused":
        raise GraphError(
            400, "ErrorInvalidUrlQuery", "The query parameter '$expand' is not supported."
        )
    view_of(tenant, request)
    options = {k: query[k] for k in _OPTIONS if k in query} | id_options(request)
    plan = feed.plan_first(folder.log, mailbox.sequence, tenant.quirks, tenant.rng)
    return tenant.feeds.start(name, _narrowed(plan, folder, options, first=True), options)


def _check_filter(text: str | None) -> None:
    if text is None:
        return
    words = text.split()
    if len(words) != 3 or words[0] != "receivedDateTime" or words[1] not in ("ge", "gt"):
        raise GraphError(
            400, "ErrorInvalidUrlQueryFilter", "Only receivedDateTime ge or gt is supported."
        )


def _narrowed(
    plan: Plan[int], folder: Folder, options: dict[str, str], *, first: bool
) -> Plan[int]:
    entries = plan.entries
    kinds = options.get("changeType")
    if kinds is not None:
        gone = kinds == "deleted"
        entries = [e for e in entries if (e[1] in ("deleted", "changed")) is gone]
    if "$filter" in options:
        test = matcher(options["$filter"])
        messages = folder.messages
        entries = [e for e in entries if e[0] not in messages or test(messages[e[0]])]
        if first:
            entries = entries[:_FILTERED_MAX]
    if "$orderby" in options:
        entries = sorted(entries, key=lambda e: _received(folder, e[0]), reverse=True)
    top = options.get("$top")
    if top is not None and (not top.isdigit() or int(top) < 1):
        raise GraphError(400, "BadRequest", f"Invalid value '{top}' for $top.")
    # $top caps the whole first round, not its pages.
    return feed.top_of_total(Plan(entries, plan.sequence), int(top) if top and first else None)


def _received(folder: Folder, number: int) -> str:
    message = folder.messages.get(number)
    return str(message.properties.get("receivedDateTime")) if message is not None else ""


def _entry(
    mailbox: Mailbox, folder: Folder, number: int, variant: Variant, view: View
) -> Json | None:
    message = folder.messages.get(number)
    if variant in ("deleted", "changed"):
        if message is not None:
            removed = mailbox.message_id(message, immutable=view.immutable, salt=view.salt)
        else:
            removed = mailbox.removed_id(folder, number, immutable=view.immutable, salt=view.salt)
        return {
            "@odata.type": "#microsoft.graph.message",
            "id": removed,
            "@removed": {"reason": variant},
        }
    if message is None:
        return None
    if variant == "read":
        return {
            "@odata.type": "#microsoft.graph.message",
            "id": mailbox.message_id(message, immutable=view.immutable, salt=view.salt),
            "isRead": message.properties.get("isRead"),
        }
    return message_json(mailbox, message, view, older=variant == "older", typed=True)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/users/{user}/mailFolders/{folder}/messages/delta",
        messages_delta,
        READ,
        "outlook",
    ),
)
