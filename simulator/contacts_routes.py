"""Contacts over HTTP: folders, contacts, their photos, extensions and feeds."""

import re
from collections.abc import Callable

from simulator import extended, outlook_feed
from simulator.contacts import LISTS, WRITABLE, Contact, ContactBook, ContactFolder, book_of
from simulator.expansion import (
    expanded,
    extended_json,
    extension_in,
    extension_of,
    extensions_json,
)
from simulator.mail import check_size
from simulator.mail_json import applied, wants_immutable
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import not_found
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Contacts.Read", "Contacts.ReadWrite")
WRITE = ("Contacts.ReadWrite",)
_DAY = re.compile(r"\d{4}-\d\d-\d\d(T|$)")
_EXPANDED = ("singleValueExtendedProperties", "multiValueExtendedProperties", "extensions")


# Folders


def list_folders(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """GET contactFolders (what the default folder holds, and lies beside it) or …/childFolders."""
    book = book_of(tenant, user)
    above = book.folder(folder)
    found = list(above.children)
    if not folder:
        found += [one for one in book.folders.values() if one.beside]
    if not folder and tenant.quirks.default_contact_folder_listed:
        found.insert(0, book.default)
    skip, size = page_bounds(request)
    values = [folder_json(book, one) for one in found[skip : skip + size]]
    path = f"/users/{user}/contactFolders" + (f"/{folder}/childFolders" if folder else "")
    return Answer(200, with_next(request, path, values, len(found), {}))


def get_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """GET contactFolders/{folder}."""
    book = book_of(tenant, user)
    if folder == "contacts" and tenant.quirks.default_contact_folder_named:
        folder = book.default.id
    return Answer(200, folder_json(book, book.folder(folder)))


def create_folder(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """POST contactFolders (below the default one, unless parentFolderId says) or childFolders."""
    book, body = book_of(tenant, user), request.json()
    name = body.get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise GraphError(400, "ErrorInvalidProperty", "displayName is required.")
    above = book.folder(folder or str(body.get("parentFolderId") or ""))
    return Answer(201, folder_json(book, book.add_folder(name, above)))


def change_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """PATCH: the display name."""
    book = book_of(tenant, user)
    found, name = book.folder(folder), request.json().get("displayName")
    if isinstance(name, str) and name != found.name:
        book.rename_folder(found, name)
    return Answer(200, folder_json(book, found))


def delete_folder(tenant: Tenant, request: Request, user: str, folder: str) -> Answer:
    """DELETE: with everything in it."""
    book = book_of(tenant, user)
    book.delete_folder(book.folder(folder))
    return Answer(204)


def folders_delta(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET contactFolders/delta: all folders flat; whether the default one is among them varies."""
    book = book_of(tenant, user)
    name = f"contactFolders/{book.user_id}"
    page, _ = outlook_feed.page_of(tenant, request, name, book.folder_log, book.sequence)
    values: list[Json | None] = []
    for folder_id, variant in page.entries:
        found = book.folders.get(folder_id)
        if variant in ("deleted", "changed"):
            values.append(outlook_feed.removed("contactFolder", folder_id, variant))
        elif found is not None and (
            found is not book.default or tenant.quirks.default_contact_folder_listed
        ):
            typed = {"@odata.type": "#microsoft.graph.contactFolder"}
            values.append(typed | folder_json(book, found))
    path = f"/users/{book.user_id}/contactFolders/delta"
    return outlook_feed.answer_of(tenant, request, page, "contactFolder", path, values)


def folder_json(book: ContactBook, folder: ContactFolder) -> Json:
    """A folder as Graph shows it."""
    above = folder.parent.id if folder.parent is not None else book.above
    return {"id": folder.id, "parentFolderId": above, "displayName": folder.name}


# Contacts


def list_contacts(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """GET …/contacts of one folder; without one, of the default folder."""
    book = book_of(tenant, user)
    contacts = list(book.folder(folder).contacts.values())
    skip, size = page_bounds(request)
    view = _view(tenant, request)
    values = [contact_json(book, one, view) for one in contacts[skip : skip + size]]
    path = f"/users/{user}" + (f"/contactFolders/{folder}" if folder else "") + "/contacts"
    return Answer(200, with_next(request, path, values, len(contacts), {}), applied(request))


def contacts_delta(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """GET …/contacts/delta of one folder: $select is all the documentation allows."""
    book = book_of(tenant, user)
    found = book.folder(folder)
    name = f"contacts/{book.user_id}/{found.id}"
    page, options = outlook_feed.page_of(tenant, request, name, found.log, book.sequence)
    view = _view(tenant, request, options)
    values: list[Json | None] = []
    for number, variant in page.entries:
        contact = found.contacts.get(number)
        if variant in ("deleted", "changed"):
            moves = contact.moves if contact else found.left.get(number, 0)
            gone = book.id_of(number, moves, immutable=view["immutable"], salt=view["salt"])
            values.append(outlook_feed.removed("contact", gone, variant))
        elif contact is not None:
            typed = {"@odata.type": "#microsoft.graph.contact"}
            values.append(typed | contact_json(book, contact, view, older=variant == "older"))
    path = f"/users/{book.user_id}/contactFolders/{found.id}/contacts/delta"
    return outlook_feed.answer_of(tenant, request, page, "contact", path, values)


def get_contact(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """GET …/contacts/{contact}: by its id, wherever it lies."""
    book, found = _found(tenant, user, contact, folder)
    return Answer(200, contact_json(book, found, _view(tenant, request)), applied(request))


def create_contact(tenant: Tenant, request: Request, user: str, folder: str = "") -> Answer:
    """POST …/contacts, with extended properties and open extensions in the same request."""
    check_size(tenant, request)
    book, body = book_of(tenant, user), request.json()
    made = book.add(book.folder(folder), _given(body))
    made.extended = extended.given(body)
    made.extensions = dict(extension_of(one) for one in body.get("extensions") or [])
    return Answer(201, contact_json(book, made, _view(tenant, request)), applied(request))


def patch_contact(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """PATCH …/contacts/{contact}."""
    check_size(tenant, request)
    book, found = _found(tenant, user, contact, folder)
    body = request.json()
    found.extended |= extended.given(body)
    book.change(found, **_given(body))
    return Answer(200, contact_json(book, found, _view(tenant, request)), applied(request))


def delete_contact(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """DELETE …/contacts/{contact}: to Deleted Items."""
    book, found = _found(tenant, user, contact, folder)
    book.delete(found)
    return Answer(204)


def permanent_delete(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """POST …/contacts/{contact}/permanentDelete."""
    book, found = _found(tenant, user, contact, folder)
    book.delete(found, for_good=True)
    return Answer(204)


# Photos and extensions


def get_photo(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """GET …/photo: what kind of picture it is."""
    _, found = _found(tenant, user, contact, folder)
    photo = _photo(found)
    body = {"@odata.mediaContentType": _kind(photo), "id": "64X64", "width": 64, "height": 64}
    return Answer(200, body)


def get_photo_value(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """GET …/photo/$value: the picture; 404 without one."""
    _, found = _found(tenant, user, contact, folder)
    photo = _photo(found)
    return Answer(200, photo, {"Content-Type": _kind(photo)})


def put_photo(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """PUT or PATCH …/photo/$value: less than 4 MB."""
    check_size(tenant, request)
    book, found = _found(tenant, user, contact, folder)
    if not request.headers.get("content-type", "").startswith("image/") or not request.body:
        raise GraphError(400, "ErrorInvalidRequest", "A picture is required.")
    book.set_photo(found, request.body)
    return Answer(200)


def add_extension(
    tenant: Tenant, request: Request, user: str, contact: str, folder: str = ""
) -> Answer:
    """POST …/extensions."""
    book, found = _found(tenant, user, contact, folder)
    name, shown = extension_of(request.json())
    found.extensions[name] = shown
    book.touch(found)
    return Answer(201, shown)


def get_extension(
    tenant: Tenant, request: Request, user: str, contact: str, extension: str, folder: str = ""
) -> Answer:
    """GET …/extensions/{extension}."""
    _, found = _found(tenant, user, contact, folder)
    return Answer(200, found.extensions[extension_in(found.extensions, extension)])


# How they look


def contact_json(book: ContactBook, contact: Contact, view: Json, *, older: bool = False) -> Json:
    """A contact; older shows the state before its last change."""
    properties = contact.older if older and contact.older is not None else contact.properties
    key = f"EQAAABYAAAB{book.guid.hex()[:12]}{contact.change - older:08d}"
    contact_id = book.id_of(
        contact.number, contact.moves, immutable=view["immutable"], salt=view["salt"]
    )
    facts: Json = {"changeKey": key, "parentFolderId": contact.folder.id} | properties
    for place, name in enumerate(("primary", "secondary", "tertiary")):
        addresses = properties["emailAddresses"]
        facts[f"{name}EmailAddress"] = addresses[place] if place < len(addresses) else None
    select = view["select"]
    shown: Json = {"@odata.etag": f'W/"{key}"', "id": contact_id}
    shown |= {name: value for name, value in facts.items() if not select or name in select}
    expand: dict[str, tuple[str, ...]] = view["expand"]
    values = extended_json(contact.extended, expand.get("singleValueExtendedProperties", ()))
    if values:
        shown["singleValueExtendedProperties"] = values
    lists = extended_json(contact.extended_lists, expand.get("multiValueExtendedProperties", ()))
    if lists:
        shown["multiValueExtendedProperties"] = lists
    if "extensions" in expand:
        shown["extensions"] = extensions_json(contact.extensions, expand["extensions"])
    return shown


def _view(tenant: Tenant, request: Request, options: dict[str, str] | None = None) -> Json:
    query = request.query if options is None else options
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    select = {name.strip() for name in query.get("$select", "").split(",")} - {""}
    expand = expanded(query.get("$expand", ""), _EXPANDED)
    salt = tenant.rng.getrandbits(32) if salted else 0
    return {"immutable": immutable, "salt": salt, "select": select, "expand": expand}


def _found(tenant: Tenant, user: str, contact: str, folder: str) -> tuple[ContactBook, Contact]:
    book = book_of(tenant, user)
    found = book.find(contact)
    if folder and found.folder is not book.folder(folder):
        raise not_found()
    return book, found


def _given(body: Json) -> Json:
    for name in LISTS:
        if body.get(name) is not None and not isinstance(body[name], list):
            raise GraphError(400, "ErrorInvalidProperty", f"The property {name} is not valid.")
    if body.get("birthday") is not None and not _DAY.match(str(body["birthday"])):
        raise GraphError(400, "RequestBodyRead", "Cannot convert a value to Edm.DateTimeOffset.")
    return {name: body[name] for name in WRITABLE if name in body}


def _photo(contact: Contact) -> bytes:
    if contact.photo is None:
        text = "The specified object was not found in the store., The photo wasn't found."
        raise GraphError(404, "ErrorItemNotFound", text)
    return contact.photo


def _kind(photo: bytes) -> str:
    return "image/png" if photo.startswith(b"\x89PNG") else "image/jpeg"


_Handler = Callable[..., Answer]
_F = "/users/{user}/contactFolders"
_FOLDERS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _F, list_folders, READ),
    ("POST", _F, create_folder, WRITE),
    ("GET", f"{_F}/delta", folders_delta, READ),
    ("GET", f"{_F}/{{folder}}", get_folder, READ),
    ("PATCH", f"{_F}/{{folder}}", change_folder, WRITE),
    ("DELETE", f"{_F}/{{folder}}", delete_folder, WRITE),
    ("GET", f"{_F}/{{folder}}/childFolders", list_folders, READ),
    ("POST", f"{_F}/{{folder}}/childFolders", create_folder, WRITE),
)
_C = "/contacts/{contact}"
_CONTACTS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "/contacts", list_contacts, READ),
    ("POST", "/contacts", create_contact, WRITE),
    ("GET", "/contacts/delta", contacts_delta, READ),
    ("GET", _C, get_contact, READ),
    ("PATCH", _C, patch_contact, WRITE),
    ("DELETE", _C, delete_contact, WRITE),
    ("POST", f"{_C}/permanentDelete", permanent_delete, WRITE),
    ("GET", f"{_C}/photo", get_photo, READ),
    ("GET", f"{_C}/photo/$value", get_photo_value, READ),
    ("PUT", f"{_C}/photo/$value", put_photo, WRITE),
    ("PATCH", f"{_C}/photo/$value", put_photo, WRITE),
    ("POST", f"{_C}/extensions", add_extension, WRITE),
    ("GET", f"{_C}/extensions/{{extension}}", get_extension, READ),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, permissions, "outlook")
    for method, pattern, handler, permissions in _FOLDERS
) + tuple(
    Route(method, base + pattern, handler, permissions, "outlook")
    for base in ("/users/{user}", f"{_F}/{{folder}}")
    for method, pattern, handler, permissions in _CONTACTS
)
