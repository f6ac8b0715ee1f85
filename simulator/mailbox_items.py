"""Mailboxes, folders and items as the import and export API shows them (admin/exchange).

It shows the same mailboxes as /users/{id}/messages, with ids of its own: a mailbox is MBX:…, a
folder or item has an id no other API knows. Hidden folders, search folders and Recoverable Items
are left out. An in-place archive that expanded is several mailboxes: the folders of all of them
are told by the first, and parentMailboxUrl (beta) says where each really lies.
"""

import base64
import re
import struct
import uuid
from typing import Any

from simulator import extended
from simulator.mail_json import change_key
from simulator.mailbox import Folder, Mailbox, Message, not_found
from simulator.mailbox_stream import size_of
from simulator.tenant import Tenant
from simulator.web import GraphError, Json, Request

_ID = struct.Struct(">8sI")
_FOLDER, _ITEM, _END = "NJWt", "EDSV", "AAA="
_EXTENDED = re.compile(r"singleValueExtendedProperties\(\$filter=(.*)\)", re.IGNORECASE)
_EXTENDED_ID = re.compile(r"id eq '([^']+)'", re.IGNORECASE)


def mailbox_id(tenant: Tenant, mailbox: Mailbox) -> str:
    """MBX:{mailbox}@{tenant}."""
    return f"MBX:{uuid.UUID(bytes=mailbox.guid)}@{tenant.id}"


def mailbox_of(tenant: Tenant, reference: str) -> Mailbox:
    """A primary mailbox, an archive, or what an archive expanded into."""
    archived = [box for boxes in tenant.archives.values() for box in boxes]
    for box in (*tenant.mailboxes.values(), *archived):
        if mailbox_id(tenant, box).lower() == reference.lower():
            return box
    raise GraphError(404, "ErrorItemNotFound", f"The mailbox '{reference}' was not found.")


def owner_of(tenant: Tenant, reference: str) -> str:
    """Whose mailbox it is: its limits are those of everything this user has in Exchange."""
    try:
        return mailbox_of(tenant, reference).user_id
    except GraphError:
        return reference


def family(tenant: Tenant, mailbox: Mailbox) -> list[Mailbox]:
    """The mailbox itself, and behind an archive's first mailbox what it expanded into."""
    for boxes in tenant.archives.values():
        if boxes and boxes[0] is mailbox:
            return boxes
    return [mailbox]


def folder_id(mailbox: Mailbox, folder: Folder) -> str:
    """A folder's id here; constant."""
    return _encoded(_FOLDER, mailbox, folder.number)


def item_id(mailbox: Mailbox, number: int) -> str:
    """An item's id here; it stays while the item stays in its mailbox."""
    return _encoded(_ITEM, mailbox, number)


def folder_of(mailbox: Mailbox, reference: str) -> Folder:
    """A folder of one mailbox by id or well-known name."""
    if reference.isalpha() and not reference.startswith(_FOLDER):
        return mailbox.folder(reference)
    number = _number(_FOLDER, mailbox, reference)
    for folder in mailbox.folders.values():
        if folder.number == number:
            return folder
    raise not_found()


def item_of(mailbox: Mailbox, reference: str) -> Message:
    """An item of one mailbox by its id."""
    message = mailbox.messages.get(_number(_ITEM, mailbox, reference))
    if message is None:
        raise not_found()
    return message


def is_shown(mailbox: Mailbox, folder: Folder, *, hidden: bool = False) -> bool:
    """Below the root that people see; hidden ones only on request, search folders never."""
    here: Folder | None = folder
    while here is not None and here.well_known != "msgfolderroot":
        if (here.hidden and not hidden) or here.search_filter is not None:
            return False
        here = here.parent
    return here is not None and here is not folder


def is_told(tenant: Tenant, mailbox: Mailbox, folder: Folder) -> bool:
    """Whether the feed tells of it: of what an archive expanded into, only what people made."""
    if not is_shown(mailbox, folder):
        return False
    top = folder
    while top.parent is not None and top.parent.well_known != "msgfolderroot":
        top = top.parent
    further = any(mailbox in boxes[1:] for boxes in tenant.archives.values())
    return top.well_known is None or not further


def children(
    tenant: Tenant, mailbox: Mailbox, folder: Folder, *, hidden: bool
) -> list[tuple[Mailbox, Folder]]:
    """What lies directly in a folder; behind the root also what an archive expanded into."""
    found = [(mailbox, child) for child in folder.children.values()]
    if folder.well_known == "msgfolderroot":
        for box in family(tenant, mailbox)[1:]:
            top = box.folder("msgfolderroot").children.values()
            found += [(box, child) for child in top if child.well_known is None]
    return [(box, child) for box, child in found if is_shown(box, child, hidden=hidden)]


def folder_json(tenant: Tenant, request: Request, mailbox: Mailbox, folder: Folder) -> Json:
    """A mailboxFolder; mailbox is the one it lies in."""
    above = folder.parent
    parent = folder_id(mailbox, above) if above is not None else None
    if above is not None and above.well_known == "msgfolderroot":
        for boxes in tenant.archives.values():
            if mailbox in boxes:
                parent = folder_id(boxes[0], boxes[0].folder("msgfolderroot"))
    found: Json = {
        "@odata.type": "#microsoft.graph.mailboxFolder",
        "id": folder_id(mailbox, folder),
        "displayName": folder.name,
        "parentFolderId": parent,
        "childFolderCount": len(folder.children),
        "totalItemCount": len(folder.messages),
        "type": tenant.room.get("folder types", {}).get(folder.id, "IPF.Note"),
        "wellKnownName": folder.well_known,
    }
    if request.version == "beta":
        base = f"{request.url_base}/admin/exchange/mailboxes"
        found["isHidden"] = folder.hidden
        found["parentMailboxUrl"] = f"{base}/{mailbox_id(tenant, mailbox)}"
    return found


def item_json(
    mailbox: Mailbox, message: Message, options: dict[str, str], *, older: bool = False
) -> Json:
    """A mailboxItem with what $select and $expand of `options` ask for."""
    key = change_key(mailbox, message.change - older)
    names = ("createdDateTime", "lastModifiedDateTime")
    facts: Json = {name: message.properties.get(name) for name in names} | {
        "changeKey": key,
        "categories": message.properties.get("categories") or [],
        "type": extended.property_value(message, "String 0x001A"),
        "size": size_of(message),
    }
    wanted = {name.strip() for name in options.get("$select", "").split(",") if name.strip()}
    unknown = wanted - set(facts) - {"id"}
    if unknown:
        raise GraphError(
            400, "RequestBroker--ParseUri", f"Could not find a property named '{min(unknown)}'."
        )
    found: Json = {
        "@odata.type": "#microsoft.graph.mailboxItem",
        "@odata.etag": f'W/"{key}"',
        "id": item_id(mailbox, message.number),
    }
    found |= {name: value for name, value in facts.items() if not wanted or name in wanted}
    shown = [_property(message, name) for name in expanded(options)]
    if any(shown):
        found["singleValueExtendedProperties"] = [one for one in shown if one is not None]
    return found


def expanded(options: dict[str, str]) -> list[str]:
    """The extended properties an $expand names; 400 for any other $expand."""
    text = options.get("$expand")
    if text is None:
        return []
    match = _EXTENDED.fullmatch(text.strip())
    if match is None:
        raise GraphError(
            400, "RequestBroker--ParseUri", f"Could not find a property named '{text}'."
        )
    return [str(name) for name in _EXTENDED_ID.findall(match[1])]


def _property(message: Message, name: str) -> Json | None:
    """Written as the service does: tags without leading zeros."""
    value = _mapi(message, extended.key(name))
    if value is None:
        return None
    kind, _, rest = name.partition(" ")
    shown = f"0x{int(rest, 16):x}" if rest.startswith("0x") else rest
    return {"id": f"{kind} {shown}", "value": value}


def _mapi(message: Message, key: str) -> str | None:
    facts = message.properties
    sender = ((facts.get("sender") or facts.get("from") or {}) or {}).get("emailAddress") or {}
    known: dict[str, Any] = {
        "string 0x37": facts.get("subject"),
        "string 0x1035": facts.get("internetMessageId"),
        "string 0xc1a": sender.get("name"),
        "string 0xc1f": sender.get("address"),
        "string 0x5d01": sender.get("address"),
    }
    if key in known:
        return None if not known[key] else str(known[key])
    return extended.property_value(message, key)


def _encoded(start: str, mailbox: Mailbox, number: int) -> str:
    packed = _ID.pack(mailbox.guid[:8], number)
    return start + base64.urlsafe_b64encode(packed).decode("ascii") + _END


def _number(start: str, mailbox: Mailbox, text: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(text.removeprefix(start).removesuffix(_END))
        guid, number = _ID.unpack(raw)
    except (ValueError, struct.error):
        raise GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.") from None
    if not text.startswith(start) or guid != mailbox.guid[:8]:
        raise not_found()
    return int(number)
