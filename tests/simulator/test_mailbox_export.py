"""The mailbox import and export API: other ids for the same items, streams, sessions, archives."""

import base64
from datetime import UTC, datetime

import pytest

from simulator import Tenant, content_kinds, hostile, serve
from simulator.contoso import build
from simulator.mailbox import Mailbox
from tests.simulator.test_mail import deliver
from tests.simulator.wire import Wire

EXPAND = (
    "$expand=singleValueExtendedProperties($filter=id%20eq%20'String%200x0037'%20or%20"
    "id%20eq%20'SystemTime%200x0E06')"
)


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def box(tenant, user):
    return tenant.mailboxes[user]


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running, tenant.add_app("Everything", _ROLES))


_ROLES = (
    "MailboxFolder.ReadWrite.All", "MailboxItem.ReadWrite.All", "MailboxItem.ImportExport.All",
    "Mail.ReadWrite", "User.Read.All",
)  # fmt: skip


def beta(wire, path):
    return f"{wire.running.url}/beta{path}"


def place(wire, user):
    found = wire.get(f"/users/{user}/settings/exchange")["primaryMailboxId"]
    return f"/admin/exchange/mailboxes/{found}"


def items(wire, mailbox, folder="inbox", query=""):
    pages, link = wire.walk(f"{mailbox}/folders/{folder}/items/delta{query}")
    return [entry for page in pages for entry in page], link


def exported(wire, mailbox, *ids):
    answer = wire.post(f"{mailbox}/exportItems", {"itemIds": list(ids)})
    return {entry["itemId"]: entry for entry in answer["value"]}


# Mailboxes, folders, items


def test_a_mailbox_is_found_by_its_user_and_has_an_id_of_its_own(wire, user, tenant):
    assert place(wire, user).endswith(f"@{tenant.id}")
    assert "inPlaceArchiveMailboxId" not in wire.get(f"/users/{user}/settings/exchange")
    nobody = tenant.add_user("Nora Guest", mailbox=False).id
    code = wire.code("GET", f"/users/{nobody}/settings/exchange")
    assert code == (404, "MailboxNotEnabledForRESTAPI")


def test_folders_have_other_ids_than_in_the_mail_api_and_search_folders_are_left_out(
    wire, user, box
):
    box.add_folder("Projects")
    box.add_folder("Hidden", hidden=True)
    box.add_folder("Unread", "searchfolders", search_filter="isRead eq false")
    pages, _ = wire.walk(f"{place(wire, user)}/folders/delta")
    told = {folder["displayName"]: folder for page in pages for folder in page}
    assert "Projects" in told
    assert not {"Hidden", "Unread", "Deletions", "Search Folders"} & set(told)
    assert told["Inbox"]["wellKnownName"] == "inbox"
    assert "isHidden" not in told["Inbox"]
    mail = wire.get(f"/users/{user}/mailFolders/inbox")
    assert told["Inbox"]["id"] != mail["id"]
    path = f"{place(wire, user)}/folders"
    assert wire.get(f"{path}/inbox")["id"] == told["Inbox"]["id"]
    names = {one["displayName"] for one in wire.get(f"{path}?$top=100")["value"]}
    assert "Projects" in names
    everything = wire.get(f"{path}?$top=100&includeHiddenFolders=true")["value"]
    assert "Hidden" in {one["displayName"] for one in everything}


def test_items_are_the_messages_with_other_ids_and_no_subject(wire, user, box):
    message = deliver(box, subject="Offer")
    (item,), link = items(wire, place(wire, user))
    assert item["id"] != box.message_id(message, immutable=True)
    assert item["type"] == "IPM.Note"
    assert item["size"] > 0
    assert "subject" not in item
    (named,), _ = items(wire, place(wire, user), query=f"?{EXPAND}")
    values = {one["id"]: one["value"] for one in named["singleValueExtendedProperties"]}
    assert values["String 0x37"] == "Offer"
    assert values["SystemTime 0xe06"] == message.properties["receivedDateTime"]
    box.change_message(message, isRead=not message.properties["isRead"])
    ((again,),), link = wire.walk(link)
    assert again["changeKey"] != item["changeKey"]
    assert again["type"] == "IPM.Note"
    box.delete_message(message, for_good=True)
    (page,), _ = wire.walk(link)
    assert [(one["id"], "@removed" in one) for one in page] == [(item["id"], True)]


def test_only_documented_options_and_permissions_are_accepted(wire, user, box, tenant):
    mailbox = place(wire, user)
    path = f"{mailbox}/folders/inbox/items/delta"
    assert wire.code("GET", f"{path}?$search=x")[0] == 400
    assert wire.code("GET", f"{path}?$expand=attachments")[0] == 400
    tenant.quirks.delta_expand = "refused"
    assert wire.code("GET", f"{path}?{EXPAND}")[0] == 400
    folders = Wire(wire.running, tenant.add_app("Folders", ("MailboxFolder.Read.All",)))
    folders.get(f"{mailbox}/folders")
    assert folders.code("GET", path) == (403, "ErrorAccessDenied")
    reading = Wire(wire.running, tenant.add_app("Items", ("MailboxItem.Read.All",)))
    assert reading.code("POST", f"{mailbox}/exportItems", {"itemIds": ["x"]})[0] == 403
    assert reading.code("POST", f"{mailbox}/createImportSession")[0] == 403
    exporting = Wire(wire.running, tenant.add_app("Export", ("MailboxItem.Export.All",)))
    assert exporting.code("POST", f"{mailbox}/createImportSession")[0] == 403
    assert exporting.code("GET", f"{mailbox}/folders")[0] == 403
    assert exporting.code("GET", f"/users/{user}/settings/exchange")[0] == 403


def test_folders_are_made_in_beta_only(wire, user, box):
    mailbox = place(wire, user)
    body = {"displayName": "Meetings", "type": "IPF.Appointment"}
    assert wire.code("POST", f"{mailbox}/folders", body)[0] in (400, 405)  # 400: not in v1.0
    made = wire.post(beta(wire, f"{mailbox}/folders"), body)
    assert made["type"] == "IPF.Appointment"
    assert made["isHidden"] is False
    assert wire.code("POST", beta(wire, f"{mailbox}/folders"), body) == (409, "ErrorFolderExists")
    below = wire.post(
        beta(wire, f"{mailbox}/folders/{made['id']}/childFolders"), {"displayName": "2026"}
    )
    assert below["parentFolderId"] == made["id"]


def test_deleting_needs_to_say_how(wire, user, box):
    message = deliver(box)
    (item,), _ = items(wire, place(wire, user))
    path = f"{place(wire, user)}/folders/inbox/items/{item['id']}"
    assert wire.code("DELETE", path)[0] == 400
    assert wire.send("DELETE", f"{path}?disposalType=softDelete").status == 204
    assert message.folder.well_known == "recoverableitemsdeletions"
    assert wire.code("DELETE", f"{path}?disposalType=softDelete")[0] == 404


# Export


def test_a_stream_is_the_same_for_the_same_state_and_says_nothing_readable(wire, user, box):
    message = deliver(box, subject="Secret offer")
    mailbox = place(wire, user)
    (item,), _ = items(wire, mailbox)
    first, second = (exported(wire, mailbox, item["id"])[item["id"]] for _ in range(2))
    assert first == second
    assert b"Secret" not in base64.b64decode(first["data"])
    box.change_message(message, isRead=not message.properties["isRead"])
    assert exported(wire, mailbox, item["id"])[item["id"]]["data"] != first["data"]


def test_errors_are_told_item_by_item_and_twenty_is_the_most(wire, user, box, tenant):
    fine, broken = deliver(box), deliver(box)
    broken.broken = "ErrorCorruptData"
    mailbox = place(wire, user)
    (first, second), _ = items(wire, mailbox)
    other = tenant.add_user("Other").id
    deliver(tenant.mailboxes[other])
    (foreign,), _ = items(wire, place(wire, other))
    found = exported(wire, mailbox, first["id"], second["id"], foreign["id"])
    assert "data" in found[first["id"]]
    assert found[second["id"]]["error"]["code"] == "ErrorCorruptData"
    assert found[foreign["id"]]["error"]["code"] == "ErrorItemNotFound"
    assert fine.number != broken.number
    assert wire.code("POST", f"{mailbox}/exportItems", {"itemIds": ["x"] * 21})[0] == 400
    assert wire.code("POST", f"{mailbox}/exportItems", {"itemIds": []})[0] == 400


def test_a_hostile_service_leaves_items_out_once(wire, user, box, tenant):
    tenant.quirks = hostile()
    tenant.quirks.p_export_left_out = 1.0
    deliver(box)
    mailbox = place(wire, user)
    pages, _ = wire.walk(f"{mailbox}/folders/inbox/items?$top=10")
    key = pages[0][0]["id"]
    assert exported(wire, mailbox, key) == {}
    assert "data" in exported(wire, mailbox, key)[key]


# Import


def test_what_was_exported_comes_back_property_by_property(wire, user, box, tenant):
    kinds = (content_kinds.plain_html, content_kinds.newsletter)
    for kind in kinds:
        deliver(box, kind=kind)
    mailbox = place(wire, user)
    told, _ = items(wire, mailbox)
    target = tenant.add_user("Target").id
    into = place(wire, target)
    folder = wire.get(f"{into}/folders/archive")["id"]
    session = wire.post(f"{into}/createImportSession", None)
    assert session["importUrl"].startswith(wire.running.url.replace("localhost", "127.0.0.1"))
    assert session["expirationDateTime"] > datetime.now(UTC).isoformat()
    for entry in exported(wire, mailbox, *(one["id"] for one in told)).values():
        body = {"FolderId": folder, "Mode": "create", "Data": entry["data"]}
        answer = wire.send("POST", session["importUrl"], body, bare=True)
        assert answer.status == 201
        made = answer.json()
        assert made["itemId"] != entry["itemId"]
        assert made["changeKey"] != entry["changeKey"]
    copies = list(tenant.mailboxes[target].folder("archive").messages.values())
    originals = list(box.folder("inbox").messages.values())

    def facts(messages):
        known = [(m.properties, list(m.attachments), m.mime()) for m in messages]
        return sorted(known, key=lambda one: one[0]["internetMessageId"])

    assert facts(copies) == facts(originals)


def test_a_session_takes_no_token_expires_and_is_for_one_mailbox(wire, user, box, tenant):
    deliver(box)
    mailbox = place(wire, user)
    (item,), _ = items(wire, mailbox)
    data = exported(wire, mailbox, item["id"])[item["id"]]["data"]
    body = {"FolderId": wire.get(f"{mailbox}/folders/inbox")["id"], "Mode": "create", "Data": data}
    url = wire.post(f"{mailbox}/createImportSession", None)["importUrl"]
    assert wire.code("POST", url, body)[0] == 401
    assert tenant.counters.offences["token-to-upload-url"] == 1
    assert wire.code("POST", url + "x", body, bare=True)[0] == 401
    for wrong in ({"Mode": "other"}, {"Data": "!"}, {"Data": "AAAA"}, {"FolderId": None}):
        assert wire.code("POST", url, body | wrong, bare=True)[0] == 400
    update = body | {"Mode": "update", "ItemId": item["id"], "ChangeKey": item["changeKey"]}
    updated = wire.send("POST", url, update, bare=True).json()
    assert updated["itemId"] == item["id"]
    assert len(box.folder("inbox").messages) == 1
    tenant.clock.advance(3_700)
    assert wire.code("POST", url, body, bare=True)[0] == 401


# Archives


def test_an_archive_is_found_in_beta_and_may_be_several_mailboxes():
    tenant = build("tiny", 3)
    owner = next(iter(tenant.archives))
    with serve(tenant) as running:
        wire = Wire(running, tenant.add_app("Everything", _ROLES))
        found = wire.get(beta(wire, f"/users/{owner}/settings/exchange"))
        assert found["inPlaceArchiveMailboxId"] != found["primaryMailboxId"]
        other = next(user for user in tenant.mailboxes if user != owner)
        none = wire.get(beta(wire, f"/users/{other}/settings/exchange"))
        assert none["inPlaceArchiveMailboxId"] is None
        mailbox = beta(wire, f"/admin/exchange/mailboxes/{found['inPlaceArchiveMailboxId']}")
        pages, _ = wire.walk(f"{mailbox}/folders/delta")
        folders = {one["displayName"]: one for page in pages for one in page}
        near, far = folders["2022"], folders["Inbox (expanded)"]
        assert near["parentMailboxUrl"] == mailbox
        assert far["parentMailboxUrl"] != mailbox
        assert far["parentFolderId"] == near["parentFolderId"]
        path = f"/folders/{far['id']}"
        assert wire.get(mailbox + path)["displayName"] == "Inbox (expanded)"
        assert wire.code("GET", f"{mailbox}{path}/items")[0] == 404
        there = wire.get(f"{far['parentMailboxUrl']}{path}/items")["value"]
        assert there
        wrong = exported(wire, mailbox, there[0]["id"])
        assert wrong[there[0]["id"]]["error"]["code"] == "ErrorItemNotFound"
        right = exported(wire, far["parentMailboxUrl"], there[0]["id"])
        assert "data" in right[there[0]["id"]]


def test_all_mailboxes_of_a_user_share_the_limits_of_one(wire, user, tenant):
    tenant.archives[user] = [Mailbox(user, tenant.clock.stamp, 77)]
    found = wire.get(beta(wire, f"/users/{user}/settings/exchange"))
    tenant.limits.outlook_requests = 3
    wire.get(f"/admin/exchange/mailboxes/{found['primaryMailboxId']}/folders")
    archive = f"/admin/exchange/mailboxes/{found['inPlaceArchiveMailboxId']}/folders"
    wire.get(archive)
    assert wire.code("GET", archive)[0] == 429
