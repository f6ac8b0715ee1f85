"""What the tenant really holds, in a shape made for comparisons.

Rules: nothing here is rendered as Graph renders it for a view; ids are immutable ids; paths are
lists of names, as names may contain a slash.
"""

import hashlib
from datetime import datetime
from typing import Any

from simulator import mail_mime, sites
from simulator.calendar_truth import calendar_truth
from simulator.chats_content import chats_truth
from simulator.conversations_content import conversations_truth
from simulator.drive_state import recycled
from simulator.drive_state import truth as drive_truth
from simulator.lists_content import lists_truth
from simulator.mail_json import ITEM_PROPERTIES
from simulator.mailbox import Attachment, Folder, Mailbox, Message
from simulator.notes import notes_truth
from simulator.pages_content import pages_truth
from simulator.people_truth import people_truth
from simulator.planner_content import planner_truth
from simulator.settings_content import settings_truth
from simulator.teams_content import teams_truth
from simulator.tenant import Group, Tenant, User
from simulator.web import Json

_DERIVED = ("changeKey", "hasAttachments", "parentFolderId", "webLink")
_PROPERTIES = tuple(name for name in ITEM_PROPERTIES if name not in _DERIVED)


def whole(tenant: Tenant, query: dict[str, str]) -> Json:
    """Everything, or what ?mailbox= (user id) or ?drive= names; hashes=0 leaves hashes out."""
    hashes = query.get("hashes", "1") != "0"
    chosen = "mailbox" in query or "drive" in query
    mailboxes = [query["mailbox"]] if "mailbox" in query else [] if chosen else tenant.mailboxes
    drives = [query["drive"]] if "drive" in query else [] if chosen else tenant.drives
    return {
        "tenant_id": tenant.id,
        "users": [_user(tenant, user) for user in tenant.users.values()],
        "groups": [_group(group) for group in tenant.groups.values()],
        "sites": [_site(tenant, site_id) for site_id in tenant.sites],
        "mailboxes": {
            key: mailbox_truth(tenant.mailboxes[key], hashes=hashes)
            | settings_truth(tenant, key)
            | {"calendar": calendar_truth(tenant, key, hashes=hashes)}
            | people_truth(tenant, key, hashes=hashes)
            for key in mailboxes
            if key in tenant.mailboxes
        },
        "archives": {
            key: [mailbox_truth(box, hashes=hashes) for box in tenant.archives[key]]
            for key in (mailboxes if mailboxes != tenant.mailboxes else tenant.archives)
            if key in tenant.archives
        },
        "conversations": {
            key: conversations_truth(box)
            for key, box in tenant.room.get("group mailboxes", {}).items()
            if not chosen
        },
        "teams": {} if chosen else teams_truth(tenant),
        "chats": [] if chosen else chats_truth(tenant),
        "lists": {
            key: lists_truth(tenant, key)
            for key in tenant.room.get("lists", {})
            if not chosen and key in tenant.sites
        },
        "notes": {} if chosen else notes_truth(tenant),
        "pages": {} if chosen else pages_truth(tenant),
        "planner": {} if chosen else planner_truth(tenant),
        "drives": {
            key: [_drive_item(entry, hashes) for entry in drive_truth(tenant.drives[key])]
            for key in drives
            if key in tenant.drives
        },
        "recycle_bins": {
            key: [_drive_item(entry, hashes) for entry in recycled(tenant.drives[key])]
            for key in drives
            if key in tenant.drives
        },
    }


def _user(tenant: Tenant, user: User) -> Json:
    return {
        "id": user.id, "purpose": user.purpose, "drive_id": user.drive_id,
        "mailbox": user.id in tenant.mailboxes,
    } | {k: user.properties[k] for k in ("displayName", "mail", "userPrincipalName")}  # fmt: skip


def _group(group: Group) -> Json:
    return {
        "id": group.id, "name": group.properties["displayName"], "unified": group.unified,
    }  # fmt: skip


def _site(tenant: Tenant, site_id: str) -> Json:
    """`closed`: locked or archived, so that nobody can read what is in it."""
    site, here = tenant.sites[site_id], sites.state(tenant)
    return {
        "id": site_id, "name": site["displayName"], "url": site["webUrl"],
        "personal": bool(site.get("isPersonalSite")),
        "closed": site_id.split(",")[1] in here.refused,
        "libraries": list(tenant.room.get(sites.DRIVES_ROOM, {}).get(site_id, [])),
    }  # fmt: skip


def mailbox_truth(mailbox: Mailbox, *, hashes: bool = True) -> Json:
    """{folders: […], messages: […]} of one mailbox."""
    return {
        "folders": [_folder(folder) for folder in mailbox.folders.values()],
        "messages": [
            message_truth(mailbox, message, hashes=hashes) for message in mailbox.messages.values()
        ],
    }


def message_truth(mailbox: Mailbox, message: Message, *, hashes: bool = True) -> Json:
    """A message with its immutable id, folder, properties, attachments and the hash of its MIME."""
    found: Json = {
        "id": mailbox.message_id(message, immutable=True),
        "folder_id": message.folder.id,
        "folder": message.folder.names(),
        "hasAttachments": message.has_attachments,
        "broken": message.broken,
        "extended": dict(message.extended),
        "made_from": "json" if message.mime is None else "mime",
        "attachments": [_attachment(item, hashes) for item in message.attachments.values()],
    }
    found |= {name: message.properties.get(name) for name in _PROPERTIES}
    found["type"] = message.properties.get("@odata.type", "#microsoft.graph.message")
    found["internetMessageHeaders"] = message.properties.get("internetMessageHeaders", [])
    if hashes:
        found["mime_sha256"] = hashlib.sha256(mail_mime.written(message)).hexdigest()
    return found


def _folder(folder: Folder) -> Json:
    return {
        "id": folder.id, "path": folder.names(), "name": folder.name, "hidden": folder.hidden,
        "parent_id": folder.parent.id if folder.parent is not None else None,
        "well_known": folder.well_known, "search": folder.search_filter is not None,
        "count": len(folder.messages),
    }  # fmt: skip


def _attachment(item: Attachment, hashes: bool) -> Json:
    content = item.content
    found = {
        "kind": item.kind, "name": item.properties.get("name"), "broken": item.broken,
        "contentType": item.properties.get("contentType"),
        "isInline": bool(item.properties.get("isInline")),
        "contentId": item.properties.get("contentId"),
        "bytes": content.size if content is not None else None,
    }  # fmt: skip
    if hashes:
        found["sha256"] = content.sha256 if content is not None else None
    return found


def _drive_item(entry: Json, hashes: bool) -> Json:
    found: dict[str, Any] = {}
    for name, value in entry.items():
        if callable(value):
            found[name] = value() if hashes else None
        elif isinstance(value, datetime):
            found[name] = value.strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            found[name] = value
    return found
