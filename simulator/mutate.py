"""Changes to a tenant by name, as the control API takes them: {"action": "move_message", …}.

A mailbox or drive is named by the id, userPrincipalName or displayName of its user (a drive also
by its own id), a message by id, internetMessageId or subject, a folder by id, well-known name or
list of names, a drive item by id or path ("a/b.txt").
"""

import base64
import random
from collections.abc import Callable
from typing import Any

from simulator import content_kinds, licences, mutate_directory
from simulator.content import Letter, Person
from simulator.drive_item import Item
from simulator.drive_state import Drive
from simulator.filebytes import Content, LiteralBytes, SeededBytes
from simulator.mailbox import Folder, Mailbox, Message
from simulator.tenant import AppRegistration, Tenant, User
from simulator.web import Json

_SENDER = Person("Harbour Supplies", "orders@harbour-supplies.example")
_BY: Json = {"user": {"displayName": "Somebody"}}


class Unknown(Exception):
    """An action names something that does not exist."""


def apply(tenant: Tenant, actions: list[Json]) -> list[Json]:
    """Run actions in order; what each of them made or changed."""
    results = []
    for action in actions:
        name = str(action.get("action", ""))
        run = _ACTIONS.get(name)
        if run is None:
            raise Unknown(f"no action {name!r}; there are {sorted(_ACTIONS)}")
        results.append(run(tenant, action) or {})
    return results


# Mail


def _deliver(tenant: Tenant, a: Json) -> Json:
    """{mailbox, folder=inbox, subject?, count=1, kind=plain_html, isRead?}."""
    mailbox, user = _mailbox(tenant, a), _user(tenant, a["mailbox"])
    folder = _folder(mailbox, a.get("folder", "inbox"))
    make = getattr(content_kinds, str(a.get("kind", "plain_html")))
    owner = Person(user.properties["displayName"], str(user.properties["mail"]))
    ids = []
    for _ in range(int(a.get("count", 1))):
        dice = random.Random(tenant.rng.getrandbits(64))
        at = tenant.clock.now().replace(microsecond=0)
        message = mailbox.deliver(make(Letter(dice, _SENDER, (owner,), at)), folder.id)
        names = ("subject", "isRead", "categories", "importance")
        given: Json = {name: a[name] for name in names if name in a}
        message.properties.update(given)
        ids.append(mailbox.message_id(message, immutable=True))
    return {"ids": ids}


def _flip_read(tenant: Tenant, a: Json) -> None:
    """{mailbox, message}."""
    mailbox, message = _message(tenant, a)
    mailbox.change_message(message, isRead=not message.properties["isRead"])


def _change_message(tenant: Tenant, a: Json) -> None:
    """{mailbox, message, properties}."""
    mailbox, message = _message(tenant, a)
    mailbox.change_message(message, **a["properties"])


def _move_message(tenant: Tenant, a: Json) -> None:
    """{mailbox, message, folder}."""
    mailbox, message = _message(tenant, a)
    mailbox.move_message(message, _folder(mailbox, a["folder"]))


def _delete_message(tenant: Tenant, a: Json) -> None:
    """{mailbox, message, for_good=false}."""
    mailbox, message = _message(tenant, a)
    mailbox.delete_message(message, for_good=bool(a.get("for_good")))


def _break_message(tenant: Tenant, a: Json) -> None:
    """{mailbox, message, code=ErrorCorruptData}."""
    _, message = _message(tenant, a)
    message.broken = str(a.get("code", "ErrorCorruptData"))


def _break_attachment(tenant: Tenant, a: Json) -> None:
    """{mailbox, message, number=1, code=ErrorCannotOpenFileAttachment}."""
    _, message = _message(tenant, a)
    item = message.attachments[int(a.get("number", 1))]
    item.broken = str(a.get("code", "ErrorCannotOpenFileAttachment"))


def _create_folder(tenant: Tenant, a: Json) -> Json:
    """{mailbox, name, parent=msgfolderroot, hidden=false}."""
    mailbox = _mailbox(tenant, a)
    parent = _folder(mailbox, a.get("parent", "msgfolderroot"))
    made = mailbox.add_folder(str(a["name"]), parent.id, hidden=bool(a.get("hidden")))
    return {"id": made.id}


def _rename_folder(tenant: Tenant, a: Json) -> None:
    """{mailbox, folder, name}."""
    mailbox = _mailbox(tenant, a)
    mailbox.rename_folder(_folder(mailbox, a["folder"]), str(a["name"]))


def _move_folder(tenant: Tenant, a: Json) -> None:
    """{mailbox, folder, parent}."""
    mailbox = _mailbox(tenant, a)
    mailbox.move_folder(_folder(mailbox, a["folder"]), _folder(mailbox, a["parent"]))


def _delete_folder(tenant: Tenant, a: Json) -> None:
    """{mailbox, folder}."""
    mailbox = _mailbox(tenant, a)
    mailbox.delete_folder(_folder(mailbox, a["folder"]))


def _remove_mailbox(tenant: Tenant, a: Json) -> None:
    """{mailbox}: it vanishes, the user stays."""
    del tenant.mailboxes[_user(tenant, a["mailbox"]).id]


# Drives


def _put_file(tenant: Tenant, a: Json) -> Json:
    """{drive, path, text | base64 | size}: creates or edits."""
    drive, now = _drive(tenant, a), tenant.clock.now()
    *above, name = str(a["path"]).split("/")
    parent = drive.by_path(above)
    item, new = drive.put_file(parent, name, _content(a), "replace", _BY, now)
    return {"id": item.id, "new": new}


def _make_folder(tenant: Tenant, a: Json) -> Json:
    """{drive, path}."""
    drive = _drive(tenant, a)
    *above, name = str(a["path"]).split("/")
    now = tenant.clock.now()
    made = drive.create_folder(drive.by_path(above), name, "replace", _BY, now)
    return {"id": made.id}


def _move_item(tenant: Tenant, a: Json) -> None:
    """{drive, item, name?, parent?}: renames, moves, or both."""
    drive, item = _item(tenant, a)
    parent = drive.get(item.parent_id or "root")
    if "parent" in a:
        parent = _in_drive(drive, a["parent"])
    drive.rename(item, str(a.get("name", item.name)), parent, _BY, tenant.clock.now())


def _delete_item(tenant: Tenant, a: Json) -> None:
    """{drive, item}."""
    drive, item = _item(tenant, a)
    drive.delete(item, tenant.clock.now())


def _infect_item(tenant: Tenant, a: Json) -> None:
    """{drive, item}: downloads answer malwareDetected from now on."""
    _, item = _item(tenant, a)
    item.infected = True


def _remove_drive(tenant: Tenant, a: Json) -> None:
    """{drive}."""
    drive = _drive(tenant, a)
    del tenant.drives[drive.id]
    for user in tenant.users.values():
        if user.drive_id == drive.id:
            user.drive_id = None


# The tenant


def _lose_tokens(tenant: Tenant, a: Json) -> Json:
    """{feed=""}: part of the feed's name (messages/{user}/{folder}, folders/…, users, drive id)."""
    part = str(a.get("feed", ""))
    lost = tenant.feeds.lose(lambda name: part in name)
    for drive in tenant.drives.values():
        if part in f"drive/{drive.id}":
            drive.forget_tokens(str(a.get("code", "resyncChangesApplyDifferences")))
            lost += 1
    return {"feeds": lost}


def _remove_permission(tenant: Tenant, a: Json) -> None:
    """{app=backup, role}."""
    _app(tenant, a).roles.discard(str(a["role"]))


def _add_permission(tenant: Tenant, a: Json) -> None:
    """{app=backup, role}."""
    _app(tenant, a).roles.add(str(a["role"]))


def _add_certificate(tenant: Tenant, a: Json) -> None:
    """{app=backup, pem}: client assertions signed with its key are accepted."""
    _app(tenant, a).certificates.append(str(a["pem"]).encode("ascii"))


def _disable_app(tenant: Tenant, a: Json) -> None:
    """{app=backup, enabled=false}."""
    _app(tenant, a).enabled = bool(a.get("enabled", False))


def _revoke_tokens(tenant: Tenant, a: Json) -> None:
    """{}: all access tokens meet a claims challenge."""
    tenant.tokens.revoke_all()


def _advance_clock(tenant: Tenant, a: Json) -> None:
    """{seconds}."""
    tenant.clock.advance(float(a["seconds"]))


def _add_user(tenant: Tenant, a: Json) -> Json:
    """{name, mailbox=true, purpose=user, properties={}}."""
    user = tenant.add_user(
        str(a["name"]),
        mailbox=bool(a.get("mailbox", True)),
        purpose=str(a.get("purpose", "user")),
        **a.get("properties", {}),
    )
    return {"id": user.id}


def _remove_user(tenant: Tenant, a: Json) -> None:
    """{user, for_good=false}."""
    tenant.remove_user(_user(tenant, a["user"]).id, for_good=bool(a.get("for_good")))


def _buy_licences(tenant: Tenant, a: Json) -> None:
    """{count}"""
    licences.buy(tenant, int(a["count"]))


def _month(tenant: Tenant, a: Json) -> Json:
    """{}: a month of ordinary life in all mailboxes and drives."""
    from simulator.contoso_month import month

    return dict(month(tenant))


# Who and what


def _user(tenant: Tenant, reference: Any) -> User:
    text = str(reference)
    for user in tenant.users.values():
        known = (user.id, user.properties["userPrincipalName"], user.properties["displayName"])
        if text in known:
            return user
    raise Unknown(f"no user {text!r}")


def _mailbox(tenant: Tenant, a: Json) -> Mailbox:
    found = tenant.mailboxes.get(_user(tenant, a["mailbox"]).id)
    if found is None:
        raise Unknown(f"no mailbox {a['mailbox']!r}")
    return found


def _message(tenant: Tenant, a: Json) -> tuple[Mailbox, Message]:
    mailbox, text = _mailbox(tenant, a), str(a["message"])
    if text.startswith(("AAMkA", "AAkAL")):
        return mailbox, mailbox.find(text)
    for message in mailbox.messages.values():
        if text in (message.properties["internetMessageId"], message.properties["subject"]):
            return mailbox, message
    raise Unknown(f"no message {text!r}")


def _folder(mailbox: Mailbox, reference: Any) -> Folder:
    if not isinstance(reference, list):
        return mailbox.folder(str(reference))
    folder = mailbox.folder("msgfolderroot")
    for name in reference:
        found = [child for child in folder.children.values() if child.name == name]
        if not found:
            raise Unknown(f"no folder {reference!r}")
        folder = found[0]
    return folder


def _drive(tenant: Tenant, a: Json) -> Drive:
    text = str(a["drive"])
    if text not in tenant.drives:
        text = _user(tenant, text).drive_id or ""
    if text not in tenant.drives:
        raise Unknown(f"no drive {a['drive']!r}")
    return tenant.drives[text]


def _item(tenant: Tenant, a: Json) -> tuple[Drive, Item]:
    drive = _drive(tenant, a)
    return drive, _in_drive(drive, a["item"])


def _in_drive(drive: Drive, reference: Any) -> Item:
    text = str(reference)
    if text in drive.items:
        return drive.get(text)
    return drive.by_path([name for name in text.split("/") if name])


def _content(a: Json) -> Content:
    if "size" in a:
        return SeededBytes(f"{a['path']} {a.get('seed', 0)}", int(a["size"]))
    if "base64" in a:
        return LiteralBytes(base64.b64decode(a["base64"]))
    return LiteralBytes(str(a.get("text", "")).encode("utf-8"))


def _app(tenant: Tenant, a: Json) -> AppRegistration:
    name = str(a.get("app", "backup"))
    found = {"backup": tenant.backup_app, "restore": tenant.restore_app}.get(name)
    found = found or tenant.apps.get(name)
    if found is None:
        raise Unknown(f"no app {name!r}")
    return found


_ACTIONS: dict[str, Callable[[Tenant, Json], Json | None]] = {
    "deliver": _deliver, "flip_read": _flip_read, "change_message": _change_message,
    "move_message": _move_message, "delete_message": _delete_message,
    "break_message": _break_message, "break_attachment": _break_attachment,
    "create_folder": _create_folder, "rename_folder": _rename_folder,
    "move_folder": _move_folder, "delete_folder": _delete_folder,
    "remove_mailbox": _remove_mailbox, "put_file": _put_file, "make_folder": _make_folder,
    "move_item": _move_item, "delete_item": _delete_item, "infect_item": _infect_item,
    "remove_drive": _remove_drive, "lose_tokens": _lose_tokens,
    "remove_permission": _remove_permission, "add_permission": _add_permission,
    "add_certificate": _add_certificate, "disable_app": _disable_app,
    "revoke_tokens": _revoke_tokens, "advance_clock": _advance_clock, "add_user": _add_user,
    "remove_user": _remove_user, "month": _month,
    "buy_licences": _buy_licences, **mutate_directory.ACTIONS,
}  # fmt: skip
