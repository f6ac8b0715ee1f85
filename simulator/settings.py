"""Settings of a mailbox: mailboxSettings, inbox rules, master categories, focused-inbox overrides.

Rules
- Ids of rules are only unique in their mailbox: two mailboxes have rules of the same id.
- Words a rule looks for come back in capitals, as in Microsoft's example.
- A folder a rule names has to exist in the mailbox.
- An override for an address that has one changes that one (documented for POST overrides).
- Who may do what is Microsoft's permission table: it lists the reading permissions alone for
  reading. Rules have no entry there: the API pages name MailboxSettings, and `rules_refused`
  makes the tenant answer 403 all the same.
"""

import base64
import struct
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from simulator.mailbox import not_found
from simulator.plain_lists import listed
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

_READ = ("MailboxSettings.Read",)
_WRITE = ("MailboxSettings.ReadWrite",)
_RULES = ("MailboxSettings.Read", "MailboxSettings.ReadWrite")
_OVERRIDES_READ = ("Mail.Read",)
_OVERRIDES_WRITE = ("Mail.ReadWrite",)
_DEFAULTS: Json = {
    "archiveFolder": None, "timeZone": "UTC", "dateFormat": "yyyy-MM-dd", "timeFormat": "HH:mm",
    "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
    "language": {"locale": "en-US", "displayName": "English (United States)"},
    "automaticRepliesSetting": {
        "status": "disabled", "externalAudience": "none", "internalReplyMessage": "",
        "externalReplyMessage": "",
    },
    "workingHours": {
        "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"],
        "startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000",
        "timeZone": {"name": "UTC"},
    },
}  # fmt: skip
SCHEDULE = ("scheduledStartDateTime", "scheduledEndDateTime")
_REPLIES = "automaticRepliesSetting"
_SETTABLE = frozenset(
    ("automaticRepliesSetting", "dateFormat", "delegateMeetingMessageDeliveryOptions", "language",
     "timeFormat", "timeZone", "workingHours")
)  # fmt: skip
_COLORS = frozenset(("none", *(f"preset{number}" for number in range(25))))
_LANGUAGES = {"en-us": "English (United States)", "de-de": "German (Germany)"}


def rules(tenant: Tenant, user_id: str) -> list[Json]:
    """The inbox rules of a mailbox."""
    found: list[Json] = tenant.room.setdefault("rules", {}).setdefault(user_id, [])
    return found


def overrides(tenant: Tenant, user_id: str) -> list[Json]:
    """The focused-inbox overrides of a mailbox."""
    found: list[Json] = tenant.room.setdefault("overrides", {}).setdefault(user_id, [])
    return found


def categories(tenant: Tenant, user_id: str) -> list[Json]:
    """The master categories of a mailbox."""
    found: list[Json] = tenant.room.setdefault("categories", {}).setdefault(user_id, [])
    return found


def settings(tenant: Tenant, user_id: str) -> Json:
    """mailboxSettings as they are now, with what only the service sets.

    The schedule of automatic replies that have none is the day from this hour on.
    """
    found = _DEFAULTS | _chosen(tenant, user_id)
    if not is_scheduled(found):
        hour = tenant.clock.now().replace(minute=0, second=0, microsecond=0)
        day = (hour, hour + timedelta(days=1))
        found[_REPLIES] = found[_REPLIES] | dict(zip(SCHEDULE, map(_moment, day), strict=True))
    return found | {"userPurpose": tenant.users[user_id].purpose}


def is_scheduled(found: Json) -> bool:
    """Whether settings say when automatic replies begin and end."""
    return str(found[_REPLIES]["status"]).lower() == "scheduled"


def change_settings(tenant: Tenant, user_id: str, changes: Json) -> None:
    """What a PATCH does: complex properties are merged."""
    now, chosen = settings(tenant, user_id), _chosen(tenant, user_id)
    for name, value in changes.items():
        old = now.get(name)
        merged = old | value if isinstance(old, dict) and isinstance(value, dict) else value
        chosen[name] = merged
    if "language" in changes:
        locale = str(chosen["language"].get("locale", ""))
        shown = _LANGUAGES.get(locale.lower(), locale)
        chosen["language"] = {"locale": locale, "displayName": shown}


def add_rule(tenant: Tenant, user_id: str, given: Json) -> Json:
    """A new rule from what a client sent."""
    present = rules(tenant, user_id)
    numbers = tenant.room.setdefault("rule numbers", {})
    numbers[user_id] = numbers.get(user_id, 0) + 1
    packed = struct.pack(">BBBBI", 1, 0, 0, 0, 0x9E5D669E + numbers[user_id])
    rule: Json = {
        "id": base64.b64encode(packed).decode("ascii"),
        "displayName": given.get("displayName"),
        "sequence": given.get("sequence") or len(present) + 1,
        "isEnabled": given.get("isEnabled") is not False,
        "hasError": False,
        "isReadOnly": False,
    }
    for name in ("conditions", "actions", "exceptions"):
        if given.get(name):
            rule[name] = _predicates(given[name])
    present.append(rule)
    return rule


def add_category(tenant: Tenant, user_id: str, name: str, color: str) -> Json:
    """A new master category."""
    category = {"id": _fresh_id(tenant), "displayName": name, "color": color}
    categories(tenant, user_id).append(category)
    return category


def add_override(tenant: Tenant, user_id: str, sender: Json, kind: str) -> Json:
    """A new override, or the one the address has already, changed."""
    address = str(sender.get("address", ""))
    found = overrides(tenant, user_id)
    for one in found:
        if one["senderEmailAddress"]["address"].lower() == address.lower():
            one["classifyAs"] = kind
            one["senderEmailAddress"] = {"name": sender.get("name", ""), "address": address}
            return one
    made: Json = {
        "id": _fresh_id(tenant), "classifyAs": kind,
        "senderEmailAddress": {"name": sender.get("name", ""), "address": address},
    }  # fmt: skip
    found.append(made)
    return made


def get_settings(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/mailboxSettings."""
    user_id = _user_id(tenant, user)
    context = f"{request.url_base}/$metadata#users('{user}')/mailboxSettings"
    return Answer(200, {"@odata.context": context} | settings(tenant, user_id))


def get_setting(tenant: Tenant, request: Request, user: str, setting: str) -> Answer:
    """GET …/mailboxSettings/{setting}: one property of them."""
    now = settings(tenant, _user_id(tenant, user))
    name = next((one for one in now if one.lower() == setting.lower()), None)
    if name is None:
        text = f"Resource not found for the segment '{setting}'."
        raise GraphError(404, "ResourceNotFound", text)
    value = now[name]
    context = f"{request.url_base}/$metadata#users('{user}')/mailboxSettings/{name}"
    body = value if isinstance(value, dict) else {"value": value}
    return Answer(200, {"@odata.context": context} | body)


def patch_settings(tenant: Tenant, request: Request, user: str) -> Answer:
    """PATCH …/mailboxSettings."""
    user_id, body = _user_id(tenant, user), _given(request)
    refused = sorted(set(body) - _SETTABLE)
    if refused:
        raise GraphError(400, "ErrorPropertyUpdate", f"{refused[0]} cannot be set.")
    change_settings(tenant, user_id, body)
    return get_settings(tenant, request, user)


def list_categories(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/outlook/masterCategories."""
    path = f"/users/{user}/outlook/masterCategories"
    return listed(tenant, request, path, categories(tenant, _user_id(tenant, user)))


def get_category(tenant: Tenant, request: Request, user: str, category: str) -> Answer:
    """GET …/masterCategories/{category}."""
    return Answer(200, _one(categories(tenant, _user_id(tenant, user)), category))


def create_category(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST …/masterCategories; names are unique."""
    user_id, body = _user_id(tenant, user), _given(request)
    name, color = body.get("displayName"), str(body.get("color", "none"))
    if not isinstance(name, str) or not name.strip() or color.lower() not in _COLORS:
        raise GraphError(400, "ErrorInvalidProperty", "displayName or color is invalid.")
    present = categories(tenant, user_id)
    if any(one["displayName"].lower() == name.lower() for one in present):
        raise GraphError(409, "CategoryAlreadyExists", "A category of that name exists.")
    return Answer(201, add_category(tenant, user_id, name, color))


def patch_category(tenant: Tenant, request: Request, user: str, category: str) -> Answer:
    """PATCH …/masterCategories/{category}: the color alone."""
    found = _one(categories(tenant, _user_id(tenant, user)), category)
    body = _given(request)
    if set(body) != {"color"} or str(body["color"]).lower() not in _COLORS:
        raise GraphError(400, "ErrorPropertyUpdate", "Only the color can be changed.")
    found["color"] = body["color"]
    return Answer(200, found)


def delete_category(tenant: Tenant, request: Request, user: str, category: str) -> Answer:
    """DELETE …/masterCategories/{category}."""
    found = categories(tenant, _user_id(tenant, user))
    found.remove(_one(found, category))
    return Answer(204)


def list_rules(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """GET …/mailFolders/inbox/messageRules; other folders have none."""
    found = _rules_of(tenant, user, folder)
    path = f"/users/{user}/mailFolders/{folder}/messageRules"
    return listed(tenant, request, path, found)


def get_rule(tenant: Tenant, request: Request, user: str, folder: str, rule: str) -> Answer:
    """GET …/messageRules/{rule}."""
    return Answer(200, _one(_rules_of(tenant, user, folder), rule))


def create_rule(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """POST …/messageRules."""
    _rules_of(tenant, user, folder)
    body = _given(request)
    if not body.get("displayName") or not body.get("actions"):
        raise GraphError(400, "ErrorInvalidRule", "A rule needs a name and an action.")
    _refuse_strange_folders(tenant, user, body["actions"])
    return Answer(201, add_rule(tenant, _user_id(tenant, user), body))


def patch_rule(tenant: Tenant, request: Request, user: str, folder: str, rule: str) -> Answer:
    """PATCH …/messageRules/{rule}."""
    found, body = _one(_rules_of(tenant, user, folder), rule), _given(request)
    _refuse_read_only(found)
    if "actions" in body:
        _refuse_strange_folders(tenant, user, body["actions"])
    for name in ("displayName", "sequence", "isEnabled"):
        if name in body:
            found[name] = body[name]
    for name in ("conditions", "actions", "exceptions"):
        if name in body:
            given = body[name] or {}
            kept = {k: v for k, v in found.get(name, {}).items() if k not in given}
            found[name] = kept | _predicates(given)
    return Answer(200, found)


def delete_rule(tenant: Tenant, request: Request, user: str, folder: str, rule: str) -> Answer:
    """DELETE …/messageRules/{rule}."""
    found = _rules_of(tenant, user, folder)
    one = _one(found, rule)
    _refuse_read_only(one)
    found.remove(one)
    return Answer(204)


def list_overrides(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET /users/{user}/inferenceClassification/overrides."""
    path = f"/users/{user}/inferenceClassification/overrides"
    return listed(tenant, request, path, overrides(tenant, _user_id(tenant, user)))


def create_override(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST …/overrides; an address has one override."""
    user_id, body = _user_id(tenant, user), _given(request)
    sender, kind = body.get("senderEmailAddress"), str(body.get("classifyAs", ""))
    if not isinstance(sender, dict) or not sender.get("address"):
        raise GraphError(400, "ErrorInvalidProperty", "senderEmailAddress is required.")
    if kind.lower() not in ("focused", "other"):
        raise GraphError(400, "ErrorInvalidProperty", "classifyAs is focused or other.")
    return Answer(201, add_override(tenant, user_id, sender, kind))


def patch_override(tenant: Tenant, request: Request, user: str, override: str) -> Answer:
    """PATCH …/overrides/{override}: classifyAs alone."""
    found = _one(overrides(tenant, _user_id(tenant, user)), override)
    found["classifyAs"] = _given(request).get("classifyAs", found["classifyAs"])
    return Answer(200, found)


def delete_override(tenant: Tenant, request: Request, user: str, override: str) -> Answer:
    """DELETE …/overrides/{override}."""
    found = overrides(tenant, _user_id(tenant, user))
    found.remove(_one(found, override))
    return Answer(204)


def _moment(at: datetime) -> Json:
    return {"dateTime": f"{at:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}


def _chosen(tenant: Tenant, user_id: str) -> Json:
    """The settings somebody has set."""
    found: Json = tenant.room.setdefault("mailbox settings", {}).setdefault(user_id, {})
    return found


def _fresh_id(tenant: Tenant) -> str:
    """A GUID that costs the tenant's dice nothing."""
    number = tenant.room["settings ids"] = int(tenant.room.get("settings ids", 0)) + 1
    return str(uuid.uuid5(uuid.UUID(tenant.id), f"setting {number}"))


def _user_id(tenant: Tenant, user: str) -> str:
    return tenant.mailbox(user).user_id


def _given(request: Request) -> Json:
    return {name: value for name, value in request.json().items() if "@" not in name}


def _one(entries: list[Json], wanted: str) -> Json:
    for entry in entries:
        if entry["id"] == wanted:
            return entry
    raise not_found()


def _rules_of(tenant: Tenant, user: str, folder: str) -> list[Json]:
    mailbox = tenant.mailbox(user)
    if tenant.quirks.rules_refused:
        text = "Access is denied. Check credentials and try again."
        raise GraphError(403, "ErrorAccessDenied", text)
    if mailbox.folder(folder).well_known != "inbox":
        raise GraphError(400, "ErrorInvalidRequest", "Rules exist for the Inbox only.")
    return rules(tenant, mailbox.user_id)


def _refuse_read_only(rule: Json) -> None:
    if rule.get("isReadOnly"):
        raise GraphError(403, "ErrorAccessDenied", "The rule is read-only.")


def _refuse_strange_folders(tenant: Tenant, user: str, actions: Json) -> None:
    for name in ("moveToFolder", "copyToFolder"):
        if actions.get(name):
            try:
                tenant.mailbox(user).folder(str(actions[name]))
            except GraphError:
                text = f"The folder of {name} does not exist."
                raise GraphError(400, "ErrorInvalidRule", text) from None


def _predicates(given: Json) -> Json:
    """Conditions or actions as they come back: words looked for in capitals, nothing empty."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or "@" in name:
            continue
        capitals = name.endswith("Contains") and isinstance(value, list)
        found[name] = [str(word).upper() for word in value] if capitals else value
    return found


_RULES_AT = "/users/{user}/mailFolders/{folder}/messageRules"
_CATEGORIES_AT = "/users/{user}/outlook/masterCategories"
_OVERRIDES_AT = "/users/{user}/inferenceClassification/overrides"
_SETTINGS_AT = "/users/{user}/mailboxSettings"
_OPERATIONS: tuple[tuple[str, str, Callable[..., Answer], tuple[str, ...]], ...] = (
    ("GET", _SETTINGS_AT, get_settings, (*_READ, *_WRITE)),
    ("PATCH", _SETTINGS_AT, patch_settings, _WRITE),
    ("GET", f"{_SETTINGS_AT}/{{setting}}", get_setting, (*_READ, *_WRITE)),
    ("GET", _CATEGORIES_AT, list_categories, _READ),
    ("POST", _CATEGORIES_AT, create_category, _WRITE),
    ("GET", f"{_CATEGORIES_AT}/{{category}}", get_category, _READ),
    ("PATCH", f"{_CATEGORIES_AT}/{{category}}", patch_category, _WRITE),
    ("DELETE", f"{_CATEGORIES_AT}/{{category}}", delete_category, _WRITE),
    ("GET", _RULES_AT, list_rules, _RULES),
    ("POST", _RULES_AT, create_rule, _WRITE),
    ("GET", f"{_RULES_AT}/{{rule}}", get_rule, _RULES),
    ("PATCH", f"{_RULES_AT}/{{rule}}", patch_rule, _WRITE),
    ("DELETE", f"{_RULES_AT}/{{rule}}", delete_rule, _WRITE),
    ("GET", _OVERRIDES_AT, list_overrides, _OVERRIDES_READ),
    ("POST", _OVERRIDES_AT, create_override, _OVERRIDES_WRITE),
    ("PATCH", f"{_OVERRIDES_AT}/{{override}}", patch_override, _OVERRIDES_WRITE),
    ("DELETE", f"{_OVERRIDES_AT}/{{override}}", delete_override, _OVERRIDES_WRITE),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, permissions, "outlook")
    for method, pattern, handler, permissions in _OPERATIONS
)
