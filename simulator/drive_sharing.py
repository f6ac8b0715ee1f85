"""Permissions of drive items, and versions made current again: what writes them.

Rules
- An invitation grants; a mail goes out unless sendInvitation is false, and is counted.
- Recipients are people and groups of the directory. Applications cannot invite new guests.
- Inviting somebody who has a permission changes that one; a link of the same type and scope is
  given again.
- Every operation costs five units, and counts against "specific sharing APIs".

https://learn.microsoft.com/graph/api/driveitem-invite, /api/driveitem-createlink,
/api/permission-update, /api/permission-delete, /api/driveitemversion-restore,
/api/driveitem-permanentdelete, /api/driveitem-restore (OneDrive personal alone).
"""

from typing import TYPE_CHECKING

from simulator.drive_download import one_version
from simulator.drive_item import Item
from simulator.drive_json import permissions_json
from simulator.drive_names import invalid, not_found
from simulator.drive_state import Drive
from simulator.throttle import Window
from simulator.web import Answer, GraphError, Json, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant

COST = 5
_WINDOW_S = 300.0
_ROLES = ("read", "write")
_TYPES = {"view": "read", "edit": "write"}
_SCOPES = ("anonymous", "organization", "users")


def invite(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    """200 with a permission per recipient; 207 with the error of each that failed."""
    _count(tenant, request)
    wish = request.json()
    recipients, roles = wish.get("recipients") or [], wish.get("roles") or []
    if not recipients or not roles or any(role not in _ROLES for role in roles):
        raise invalid("Recipients and roles of read or write are required.")
    if item.kind == "root" and drive.drive_type == "personal":
        raise GraphError(403, "accessDenied", "The root cannot be shared.")
    people = [_identity(tenant, one) for one in recipients]
    if not any(people) and not drive.quirks.invite_errors_inside:
        raise GraphError(
            400, "invalidRequest", "The recipients could not be resolved.",
            inner_code="noResolvedUsers",
        )  # fmt: skip
    if wish.get("sendInvitation") is not False:
        tenant.counters.sharing_mail["invitation"] += sum(map(bool, people))
    value = []
    for person in people:
        if person is None:
            value.append(
                {"roles": roles, "error": {"code": "invalidRequest", "message": "Not resolved."}}
            )
        else:
            value.append(_granted(tenant, drive, item, person, roles, wish))
    return Answer(200 if all(people) else 207, {"value": value})


def create_link(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    """201 with a new link, 200 with the one that is there already."""
    _count(tenant, request)
    wish = request.json()
    kind, scope = wish.get("type"), wish.get("scope", "organization")
    if kind not in _TYPES or scope not in _SCOPES:
        raise invalid("Unknown type or scope of a link.")
    if scope == "anonymous" and not drive.quirks.anonymous_links:
        raise GraphError(403, "accessDenied", "Sharing has been disabled on this site.")
    people = [_identity(tenant, one) for one in wish.get("recipients") or []]
    if not all(people):
        raise invalid("The recipients could not be resolved.")
    if people and wish.get("sendNotification") is not False:
        tenant.counters.sharing_mail["link"] += len(people)
    for known in item.permissions:
        link = known.get("link") or {}
        if (link.get("type"), link.get("scope")) == (kind, scope) and scope != "users":
            return Answer(200, known)
    key = f"{tenant.rng.getrandbits(64):016x}"
    permission: Json = {
        "id": key,
        "roles": [_TYPES[str(kind)]],
        "link": {
            "type": kind, "scope": scope, "webUrl": f"{drive.web_url}/:x:/g/{key}",
            "preventsDownload": False,
        },
        "shareId": f"u!{key}",
        "grantedToIdentities": people,
        "grantedToIdentitiesV2": people,
        "hasPassword": bool(wish.get("password")),
    }  # fmt: skip
    _expires(permission, wish)
    drive.share(item, permission, tenant.clock.now())
    return Answer(201, permission)


def get_permission(
    tenant: "Tenant", request: Request, drive: Drive, item: Item, permission: str
) -> Answer:
    return Answer(200, _permission(drive, item, permission))


def update_permission(
    tenant: "Tenant", request: Request, drive: Drive, item: Item, permission: str
) -> Answer:
    """Only roles may change."""
    _count(tenant, request)
    found, roles = _own(drive, item, permission), request.json().get("roles")
    if not roles or any(role not in _ROLES for role in roles):
        raise invalid("Only roles of read or write may be set.")
    found["roles"] = roles
    drive.shared(item, tenant.clock.now())
    return Answer(200, found)


def delete_permission(
    tenant: "Tenant", request: Request, drive: Drive, item: Item, permission: str
) -> Answer:
    _count(tenant, request)
    item.permissions.remove(_own(drive, item, permission))
    drive.shared(item, tenant.clock.now())
    return Answer(204)


def restore_version(tenant: "Tenant", drive: Drive, item: Item, version: str, by: Json) -> Answer:
    """The content of an old version once more, as the newest."""
    old = one_version(item, version)
    if old.number == item.version:
        raise invalid("This is the current version.")
    drive.write(item, old.content, by, tenant.clock.now())
    return Answer(204)


def delete_for_good(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    """Past the recycle bin."""
    drive.delete(item, tenant.clock.now(), for_good=True)
    return Answer(204)


def restore_deleted(tenant: "Tenant", request: Request, **where: str) -> Answer:
    """Documented for OneDrive personal alone."""
    raise GraphError(501, "notSupported", "Operation not supported")


def _granted(
    tenant: "Tenant", drive: Drive, item: Item, person: Json, roles: list[str], wish: Json
) -> Json:
    for known in item.permissions:
        if _key(known.get("grantedToV2") or {}) == _key(person):
            known["roles"] = roles
            drive.shared(item, tenant.clock.now())
            return known
    permission: Json = {
        "id": f"{tenant.rng.getrandbits(64):016x}",
        "roles": list(roles),
        "grantedToV2": person,
        "grantedTo": {"user": person[next(iter(person))]},
    }
    _expires(permission, wish)
    drive.share(item, permission, tenant.clock.now())
    return permission


def _expires(permission: Json, wish: Json) -> None:
    if wish.get("expirationDateTime"):
        permission["expirationDateTime"] = wish["expirationDateTime"]


def _key(person: Json) -> set[str]:
    return {str(one.get("id")) for one in person.values() if isinstance(one, dict)}


def _identity(tenant: "Tenant", recipient: Json) -> Json | None:
    """{"user": …} or {"group": …} of the directory; None for whom it does not know."""
    wanted = str(recipient.get("email") or recipient.get("alias") or "").lower()
    object_id = str(recipient.get("objectId") or "")
    for kind, known in (("user", tenant.users), ("group", tenant.groups)):
        for one in known.values():
            names = {str(one.properties.get(k)).lower() for k in ("mail", "userPrincipalName")}
            if one.id == object_id or (wanted and wanted in names):
                name = one.properties.get("displayName")
                return {kind: {"id": one.id, "displayName": name}}
    return None


def _permission(drive: Drive, item: Item, key: str) -> Json:
    for one in permissions_json(drive, item):
        if one["id"] == key:
            return one
    raise not_found()


def _own(drive: Drive, item: Item, key: str) -> Json:
    found = _permission(drive, item, key)
    if "inheritedFrom" in found:
        raise invalid("An inherited permission is changed where it comes from.")
    return next(one for one in item.permissions if one["id"] == key)


def _count(tenant: "Tenant", request: Request) -> None:
    """Specific sharing APIs: 300 in five minutes, per app and tenant."""
    app_id = request.app.app_id if request.app is not None else "anonymous"
    windows = tenant.room.setdefault("sharing windows", {})
    window = windows.setdefault(app_id, Window(_WINDOW_S, tenant.clock.elapsed_s))
    if window.add(1) > tenant.limits.sharing_calls:
        tenant.counters.throttled["sharing"] += 1
        headers = {"Retry-After": str(window.reset_s())}
        raise GraphError(429, "activityLimitReached", "The request has been throttled", headers)
