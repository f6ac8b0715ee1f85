"""Mail: folders, feeds, messages, MIME and attachments, with every documented trap."""

import base64
import email
import hashlib
import random
from datetime import UTC, datetime

import pytest

from simulator import Tenant, content_kinds, content_special, hostile, serve
from simulator.content import Letter, Person
from tests.simulator.wire import IMMUTABLE, Wire, settled

NOBODY = Person("Nobody", "nobody@example.com")
ADELE = Person("Adele Vance", "adele@example.com")


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
        yield Wire(running)


def deliver(box, folder="inbox", kind=content_kinds.plain_html, **properties):
    dice = random.Random(len(box.messages))
    letter = Letter(dice, NOBODY, (ADELE,), datetime(2026, 3, 1, 12, tzinfo=UTC))
    message = box.deliver(kind(letter), folder)
    message.properties.update(properties)
    return message


def immutable(box, message):
    return box.message_id(message, immutable=True)


def delta(user, folder="inbox", query=""):
    return f"/users/{user}/mailFolders/{folder}/messages/delta{query}"


# Folders


def test_lists_show_one_level_and_hidden_folders_only_when_asked(wire, user, box):
    made = box.add_folder("Projects")
    box.add_folder("Deep", made.id)
    box.add_folder("Secret", hidden=True)
    url = f"/users/{user}/mailFolders?$top=100"
    seen = {f["displayName"]: f for f in wire.get(url)["value"]}
    assert "Deep" not in seen
    assert "Secret" not in seen
    assert seen["Projects"]["childFolderCount"] == 1
    every = {f["displayName"] for f in wire.get(f"{url}&includeHiddenFolders=true")["value"]}
    assert {"Secret", "Sync Issues", "Projects"} <= every
    (deep,) = wire.get(f"/users/{user}/mailFolders/{made.id}/childFolders")["value"]
    assert (deep["displayName"], deep["parentFolderId"]) == ("Deep", made.id)


def test_folder_lists_page_by_ten_and_keep_the_option_in_the_link(wire, user, box):
    pages, _ = wire.walk(f"/users/{user}/mailFolders?includeHiddenFolders=true")
    top = box.folder("msgfolderroot").children.values()
    assert len(pages) == 2
    assert {f["id"] for page in pages for f in page} == {f.id for f in top}


def test_well_known_names_are_ids_in_any_case(wire, user, box):
    for name in ("inbox", "RecoverableItemsDeletions", "msgfolderroot", "searchfolders"):
        found = wire.get(f"/users/{user}/mailFolders/{name}")
        assert found["id"] == box.folder(name).id
    assert wire.code("GET", f"/users/{user}/mailFolders/nonsense")[0] == 400


def test_search_folders_have_a_type_of_their_own(wire, user, box):
    box.add_folder("Unread", "searchfolders", search_filter="isRead eq false")
    (found,) = wire.get(f"/users/{user}/mailFolders/searchfolders/childFolders")["value"]
    assert found["@odata.type"] == "#microsoft.graph.mailSearchFolder"


def test_the_folder_feed_is_flat_and_never_lists_hidden_folders(wire, user, box):
    made = box.add_folder("Projects")
    deep = box.add_folder("Deep", made.id)
    hidden = box.add_folder("Secret", hidden=True)
    pages, link = wire.walk(f"/users/{user}/mailFolders/delta")
    held = settled(pages)
    assert held[deep.id]["parentFolderId"] == made.id
    assert hidden.id not in held
    assert box.folder("syncissues").id not in held
    assert box.folder("recoverableitemsdeletions").id not in held
    assert wire.walk(link)[0] == [[]]


def test_the_folder_feed_reports_renames_moves_and_removals(wire, user, box):
    first, second = box.add_folder("First"), box.add_folder("Second")
    _, link = wire.walk(f"/users/{user}/mailFolders/delta")
    wire.send("PATCH", f"/users/{user}/mailFolders/{first.id}", {"displayName": "Renamed"})
    wire.send("DELETE", f"/users/{user}/mailFolders/{second.id}")
    pages, link = wire.walk(link)
    held = settled(pages)
    assert held[first.id]["displayName"] == "Renamed"
    assert held[second.id]["parentFolderId"] == box.folder("deleteditems").id
    wire.send("DELETE", f"/users/{user}/mailFolders/{second.id}")
    pages, _ = wire.walk(link)
    gone = [entry for page in pages for entry in page if "@removed" in entry]
    assert [entry["id"] for entry in gone] == [second.id]


def test_folder_changes_keep_the_rules(wire, user, box):
    url = f"/users/{user}/mailFolders"
    made = wire.post(url, {"displayName": "New", "isHidden": True})
    assert made["isHidden"] is True
    assert wire.code("POST", url, {"displayName": "new"}) == (409, "ErrorFolderExists")
    child = wire.post(f"{url}/{made['id']}/childFolders", {"displayName": "Child"})
    assert wire.code("POST", f"{url}/{made['id']}/move", {"destinationId": child["id"]})[0] == 400
    wire.post(f"{url}/{child['id']}/move", {"destinationId": "inbox"})
    assert box.folders[child["id"]].parent is box.folder("inbox")
    assert wire.code("DELETE", f"{url}/inbox")[0] == 403


# The feed of messages


def test_a_first_round_reports_every_message_and_ends_with_a_delta_link(wire, user, box):
    made = [deliver(box) for _ in range(23)]
    pages, link = wire.walk(delta(user), Prefer=f"{IMMUTABLE}, odata.maxpagesize=5")
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    assert set(settled(pages)) == {immutable(box, m) for m in made}
    assert wire.walk(link)[0] == [[]]


def test_without_the_preference_a_page_holds_ten_and_the_preference_is_not_carried(wire, user, box):
    for _ in range(25):
        deliver(box)
    first = wire.get(delta(user), Prefer=f"{IMMUTABLE}, odata.maxpagesize=3")
    assert len(first["value"]) == 3
    second = wire.get(first["@odata.nextLink"])
    assert len(second["value"]) == 10


def test_asking_for_a_page_again_gives_the_same_page(wire, user, box, tenant):
    for _ in range(30):
        deliver(box)
    tenant.quirks = hostile()
    link = wire.get(delta(user))["@odata.nextLink"]
    assert wire.get(link) == wire.get(link)


def test_top_on_a_feed_caps_the_whole_round(wire, user, box):
    for _ in range(12):
        deliver(box)
    pages, link = wire.walk(delta(user, query="?$top=7"))
    assert sum(len(page) for page in pages) == 7
    assert wire.walk(link)[0] == [[]]


def test_select_travels_in_the_token(wire, user, box):
    for _ in range(12):
        deliver(box)
    pages, link = wire.walk(delta(user, query="?$select=subject"))
    shape = {"@odata.type", "@odata.etag", "id", "subject"}
    assert all(set(entry) == shape for page in pages for entry in page)
    deliver(box)
    ((entry,),), _ = wire.walk(link)
    assert set(entry) == shape


def test_a_read_flip_is_a_piece_and_any_other_change_the_whole(wire, user, box):
    flipped, flagged, both = deliver(box), deliver(box), deliver(box)
    _, link = wire.walk(delta(user))
    box.change_message(flipped, isRead=not flipped.properties["isRead"])
    box.change_message(flagged, categories=["Red"])
    box.change_message(both, categories=["Red"])
    box.change_message(both, isRead=not both.properties["isRead"])
    (page,), _ = wire.walk(link)
    by_id = {entry["id"]: entry for entry in page}
    piece = by_id[immutable(box, flipped)]
    assert set(piece) == {"@odata.type", "id", "isRead"}
    assert piece["isRead"] is flipped.properties["isRead"]
    assert by_id[immutable(box, flagged)]["categories"] == ["Red"]
    assert "subject" in by_id[immutable(box, both)]


def test_a_moved_message_leaves_one_feed_and_enters_another_under_the_same_immutable_id(
    wire, user, box
):
    message = deliver(box)
    _, inbox = wire.walk(delta(user))
    _, archive = wire.walk(delta(user, "archive"))
    box.move_message(message, box.folder("archive"))
    ((gone,),), _ = wire.walk(inbox)
    ((here,),), _ = wire.walk(archive)
    assert gone["@removed"] == {"reason": "deleted"}
    assert gone["id"] == here["id"] == immutable(box, message)
    assert here["parentFolderId"] == box.folder("archive").id


def test_deleting_softly_and_for_good_give_different_reasons(wire, user, box):
    soft, hard = deliver(box), deliver(box)
    _, link = wire.walk(delta(user))
    assert wire.send("DELETE", f"/users/{user}/messages/{immutable(box, soft)}").status == 204
    hard_id = immutable(box, hard)
    wire.send("POST", f"/users/{user}/messages/{hard_id}/permanentDelete")
    (page,), _ = wire.walk(link)
    reasons = {entry["id"]: entry["@removed"]["reason"] for entry in page}
    assert reasons == {immutable(box, soft): "changed", hard_id: "deleted"}
    assert soft.folder.well_known == "deleteditems"


def test_a_deleted_message_sinks_through_the_recoverable_items(wire, user, box):
    message = deliver(box)
    url = f"/users/{user}/messages/{immutable(box, message)}"
    places = []
    for _ in range(2):
        wire.send("DELETE", url)
        places.append(message.folder.well_known)
    assert places == ["deleteditems", "recoverableitemsdeletions"]
    wire.send("DELETE", url)
    assert wire.code("GET", url) == (404, "ErrorItemNotFound")


def test_a_hostile_round_has_empty_and_short_pages_repeats_and_removals(wire, user, box, tenant):
    tenant.quirks = hostile()
    tenant.quirks.p_duplicate = 0.3
    gone = [deliver(box) for _ in range(3)]
    kept = [deliver(box) for _ in range(80)]
    for message in gone:
        box.delete_message(message, for_good=True)
    pages, link = wire.walk(delta(user), Prefer=f"{IMMUTABLE}, odata.maxpagesize=10")
    entries = [entry for page in pages for entry in page]
    sizes = [len(page) for page in pages]
    assert 0 in sizes
    assert len(set(sizes)) > 3
    assert max(sizes) <= 10
    assert len(entries) > len(kept)
    assert sum("@removed" in entry for entry in entries) >= 3
    held = settled(pages)
    assert set(held) == {immutable(box, message) for message in kept}
    for message in kept:
        entry = held[immutable(box, message)]
        assert entry["isRead"] == message.properties["isRead"]
        assert entry["flag"] == message.properties["flag"]
    assert settled(wire.walk(link)[0]) == {}


def test_the_older_state_of_a_repeated_message_comes_first(wire, user, box, tenant):
    tenant.quirks.p_duplicate = 1.0
    message = deliver(box)
    box.change_message(message, categories=["New"])
    pages, _ = wire.walk(delta(user))
    states = [entry["categories"] for page in pages for entry in page]
    assert states == [[], ["New"]]


def test_what_changes_while_a_round_is_read_is_reported_in_the_next(wire, user, box):
    messages = [deliver(box) for _ in range(15)]
    first = wire.get(delta(user))
    box.change_message(messages[0], categories=["Late"])
    box.delete_message(messages[14], for_good=True)
    pages, link = wire.walk(first["@odata.nextLink"])
    held = settled([first["value"], *pages])
    assert immutable(box, messages[14]) not in held
    pages, _ = wire.walk(link)
    assert settled(pages)[immutable(box, messages[0])]["categories"] == ["Late"]
    assert any("@removed" in entry for page in pages for entry in page)


def test_tokens_belong_to_one_folder_and_one_type_of_id(wire, user, box):
    deliver(box)
    _, link = wire.walk(delta(user))
    token = link.partition("?")[2]
    assert wire.code("GET", delta(user, "archive", f"?{token}")) == (400, "SyncStateInvalid")
    assert wire.code("GET", link, Prefer="odata.maxpagesize=5") == (400, "SyncStateInvalid")


def test_lost_tokens_answer_410_in_varying_spelling(wire, user, box, tenant):
    _, inbox = wire.walk(delta(user))
    _, archive = wire.walk(delta(user, "archive"))
    wire.control("POST", "/mutate", {"actions": [{"action": "lose_tokens", "feed": user}]})
    codes = [wire.code("GET", link) for link in (inbox, archive)]
    assert {status for status, _ in codes} == {410}
    assert {code for _, code in codes} == {"SyncStateNotFound", "syncStateNotFound"}
    wire.walk(delta(user))


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("?$filter=receivedDateTime ge 2026-01-01T00:00:00Z", True),
        ("?$orderby=receivedDateTime desc", True),
        ("?changeType=deleted", True),
        ("?$filter=isRead eq true", False),
        ("?$orderby=subject", False),
        ("?$search=x", False),
        ("?$select=nonsense", False),
    ],
)
def test_a_feed_takes_only_the_documented_options(wire, user, query, allowed):
    assert (wire.send("GET", delta(user, query=query)).status == 200) is allowed


def test_attachments_in_a_feed_depend_on_the_tenant(wire, user, box, tenant):
    deliver(box, kind=content_kinds.with_file)
    url = delta(user, query="?$expand=attachments")
    assert wire.get(url)["value"][0]["attachments"][0]["contentBytes"]
    lean = wire.get(f"{url}($select=id,name)")["value"][0]["attachments"][0]
    assert "contentBytes" not in lean
    assert wire.code("GET", f"{url}($select=contentId)")[0] == 400
    tenant.quirks.delta_expand = "ignored"
    assert "attachments" not in wire.get(url)["value"][0]
    tenant.quirks.delta_expand = "refused"
    assert wire.code("GET", url)[0] == 400


# Ids


def test_regular_ids_change_from_answer_to_answer_and_die_with_a_move(wire, user, box):
    message = deliver(box)
    url = f"/users/{user}/mailFolders/inbox/messages?$select=id"
    first, second = (wire.get(url, Prefer="")["value"][0]["id"] for _ in range(2))
    assert first != second
    for spelling in (first, second):
        wire.get(f"/users/{user}/messages/{spelling}", Prefer="")
    box.move_message(message, box.folder("archive"))
    assert wire.code("GET", f"/users/{user}/messages/{first}", Prefer="") == (
        404,
        "ErrorItemNotFound",
    )
    wire.get(f"/users/{user}/messages/{immutable(box, message)}")


def test_ids_translate_between_their_types(wire, user, box):
    message = deliver(box)
    regular = wire.get(f"/users/{user}/messages?$select=id", Prefer="")["value"][0]["id"]
    body = {
        "inputIds": [regular],
        "sourceIdType": "restId",
        "targetIdType": "restImmutableEntryId",
    }
    (row,) = wire.post(f"/users/{user}/translateExchangeIds", body)["value"]
    assert row == {"sourceId": regular, "targetId": immutable(box, message)}


def test_a_malformed_id_is_not_a_missing_one(wire, user, box):
    assert wire.code("GET", f"/users/{user}/messages/abc") == (400, "ErrorInvalidIdMalformed")


# Messages


def test_lists_page_filter_and_expand(wire, user, box):
    messages = [deliver(box) for _ in range(12)]
    pages, _ = wire.walk(f"/users/{user}/messages?$select=id&$count=true")
    assert [len(page) for page in pages] == [10, 2]
    wanted = messages[5].properties["internetMessageId"]
    url = f"/users/{user}/messages?$filter=internetMessageId eq '{wanted}'"
    assert [m["id"] for m in wire.get(url)["value"]] == [immutable(box, messages[5])]
    assert wire.code("GET", f"/users/{user}/messages?$filter=x lt 5")[0] == 400


def test_extended_properties_can_be_set_found_and_shown(wire, user, box):
    name = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name RestoredFrom"
    body = {"subject": "S", "singleValueExtendedProperties": [{"id": name, "value": "o'1"}]}
    made = wire.post(f"/users/{user}/mailFolders/inbox/messages", body)
    url = (
        f"/users/{user}/mailFolders/inbox/messages?$filter=singleValueExtendedProperties/"
        f"Any(ep: ep/id eq '{name}' and ep/value eq 'o''1')"
        f"&$expand=singleValueExtendedProperties($filter=id eq '{name}' or id eq 'Integer 0xE07')"
    )
    (found,) = wire.get(url)["value"]
    assert found["id"] == made["id"]
    assert {"id": name, "value": "o'1"} in found["singleValueExtendedProperties"]
    assert wire.get(url.replace("o''1", "other"))["value"] == []


def test_a_message_made_by_json_is_a_draft_of_today(wire, user, tenant):
    body = {
        "subject": "Old",
        "isDraft": False,
        "sentDateTime": "2020-01-01T00:00:00Z",
        "receivedDateTime": "2020-01-01T00:00:00Z",
        "body": {"contentType": "HTML", "content": "<b>x</b>"},
        "importance": "Low",
    }
    made = wire.post(f"/users/{user}/messages", body)
    assert made["isDraft"] is True
    assert made["receivedDateTime"] > "2026"
    assert made["importance"] == "low"
    assert "<b>x</b>" in made["body"]["content"]
    assert made["parentFolderId"] == tenant.mailboxes[user].folder("drafts").id


def test_flags_and_dates_make_a_message_as_it_was_received(wire, user):
    body = {
        "subject": "Restored",
        "isRead": False,
        "categories": ["Blue"],
        "flag": {"flagStatus": "flagged"},
        "internetMessageId": "<a@b>",
        "from": {"emailAddress": {"address": "a@b.c", "name": "A"}},
        "singleValueExtendedProperties": [
            {"id": "Integer 0x0E07", "value": "1"},
            {"id": "SystemTime 0x0039", "value": "2020-05-06T07:08:09Z"},
            {"id": "SystemTime 0x0E06", "value": "2020-05-06T07:08:10.000Z"},
        ],
    }
    made = wire.post(f"/users/{user}/mailFolders/inbox/messages", body)
    shown = wire.get(f"/users/{user}/messages/{made['id']}")
    assert shown["isDraft"] is False
    assert shown["isRead"] is False
    assert shown["sentDateTime"] == "2020-05-06T07:08:09Z"
    assert shown["receivedDateTime"] == "2020-05-06T07:08:10Z"
    assert (shown["categories"], shown["flag"]["flagStatus"]) == (["Blue"], "flagged")
    assert shown["internetMessageId"] == "<a@b>"


def test_a_message_that_was_sent_takes_only_some_changes(wire, user, box):
    url = f"/users/{user}/messages/{immutable(box, deliver(box))}"
    changed = wire.send("PATCH", url, {"isRead": True, "categories": ["X"]}).json()
    assert (changed["isRead"], changed["categories"]) == (True, ["X"])
    for body in ({"isDraft": True}, {"subject": "x"}, {"receivedDateTime": "2020-01-01T00:00:00Z"}):
        assert wire.code("PATCH", url, body) == (400, "ErrorInvalidPropertySet")
    assert wire.code("PATCH", url, {"isRead": "yes"})[0] == 400


def test_only_headers_of_ones_own_may_be_given(wire, user):
    url = f"/users/{user}/messages"
    bad = {"internetMessageHeaders": [{"name": "Received", "value": "x"}]}
    assert wire.code("POST", url, bad) == (400, "InvalidInternetMessageHeader")
    good = {"internetMessageHeaders": [{"name": "X-Mine", "value": "x"}]}
    made = wire.post(url, good)
    assert "internetMessageHeaders" not in wire.get(f"{url}/{made['id']}")
    shown = wire.get(f"{url}/{made['id']}?$select=internetMessageHeaders")
    assert shown["internetMessageHeaders"] == good["internetMessageHeaders"]


def test_mime_comes_byte_for_byte_and_has_no_put(wire, user, box):
    message = deliver(box, kind=content_kinds.with_file)
    url = f"/users/{user}/messages/{immutable(box, message)}/$value"
    assert wire.send("GET", url).data == message.mime()
    assert wire.send("PUT", url, b"x").status == 405


def test_mime_posted_becomes_a_draft_and_comes_back_unchanged(wire, user, box):
    raw = deliver(box, kind=content_kinds.with_file).mime()
    url = f"/users/{user}/mailFolders/inbox/messages"
    answer = wire.send("POST", url, base64.b64encode(raw), Content_Type="text/plain")
    made = answer.json()
    assert answer.status == 201
    assert made["isDraft"] is True
    assert made["hasAttachments"] is True
    assert wire.send("GET", f"/users/{user}/messages/{made['id']}/$value").data == raw
    bad = wire.code("POST", url, b"!!!", Content_Type="text/plain")
    assert bad == (400, "ErrorMimeContentInvalidBase64String")


def test_what_was_made_by_json_has_mime_too(wire, user):
    body = {
        "subject": "Grüße 🚢", "body": {"contentType": "html", "content": "<html>ä</html>"},
        "toRecipients": [{"emailAddress": {"address": "a@b.c", "name": "Ä"}}],
        "attachments": [
            {"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt",
             "contentBytes": base64.b64encode(b"hello").decode()},
        ],
    }  # fmt: skip
    made = wire.post(f"/users/{user}/messages", body)
    raw = wire.send("GET", f"/users/{user}/messages/{made['id']}/$value").data
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert parsed["Subject"] == "Grüße 🚢"
    assert [part.get_content() for part in parsed.iter_attachments()] == [b"hello"]


def test_copies_and_moves_answer_with_the_message_in_its_new_place(wire, user, box):
    message = deliver(box)
    url = f"/users/{user}/messages/{immutable(box, message)}"
    copied = wire.post(f"{url}/copy", {"destinationId": "archive"})
    moved = wire.post(f"{url}/move", {"destinationId": "junkemail"})
    assert copied["id"] != moved["id"] == immutable(box, message)
    assert moved["parentFolderId"] == box.folder("junkemail").id


def test_basic_rights_show_no_bodies_and_no_content(wire, user, box, tenant):
    message = deliver(box)
    tenant.restore_app.roles = {"Mail.ReadBasic.All"}
    wire.login()
    url = f"/users/{user}/messages/{immutable(box, message)}"
    shown = wire.get(url)
    assert "body" not in shown
    assert "bodyPreview" not in shown
    assert wire.code("GET", f"{url}/$value") == (403, "ErrorAccessDenied")


def test_a_corrupt_message_fails_for_ever_but_is_listed(wire, user, box):
    message = deliver(box)
    message.broken = "ErrorCorruptData"
    url = f"/users/{user}/messages/{immutable(box, message)}"
    for path in ("", "/$value", "/attachments"):
        assert wire.code("GET", url + path) == (500, "ErrorCorruptData")
    assert len(settled(wire.walk(delta(user))[0])) == 1


# Attachments


def _attachments(user, box, message):
    return f"/users/{user}/messages/{immutable(box, message)}/attachments"


def test_inline_pictures_do_not_count_as_attachments(wire, user, box):
    message = deliver(box, kind=content_kinds.inline_image)
    assert wire.get(f"/users/{user}/messages/{immutable(box, message)}")["hasAttachments"] is False
    (item,) = wire.get(_attachments(user, box, message))["value"]
    assert item["isInline"] is True
    assert item["contentId"]


def test_content_comes_in_lists_alone_and_raw(wire, user, box):
    message = deliver(box, kind=content_kinds.with_file)
    url = _attachments(user, box, message)
    item, *_ = wire.get(url)["value"]
    raw = wire.send("GET", f"{url}/{item['id']}/$value").data
    assert base64.b64decode(item["contentBytes"]) == raw
    assert wire.get(f"{url}/{item['id']}")["contentBytes"] == item["contentBytes"]
    truth = wire.control("GET", f"/truth?mailbox={user}")["mailboxes"][user]["messages"][0]
    assert truth["attachments"][0]["sha256"] == hashlib.sha256(raw).hexdigest()
    lean, *_ = wire.get(f"{url}?$select=id,name,size")["value"]
    assert "contentBytes" not in lean
    assert wire.code("GET", f"{url}?$select=id,contentId")[0] == 400
    cast, *_ = wire.get(f"{url}?$select=id,microsoft.graph.fileAttachment/contentId")["value"]
    assert "contentId" in cast


def test_items_expand_and_references_have_no_content(wire, user, box):
    nested = deliver(box, kind=content_special.nested_twice)
    url = _attachments(user, box, nested)
    (item,) = wire.get(url)["value"]
    assert item["@odata.type"] == "#microsoft.graph.itemAttachment"
    assert "item" not in item
    expand = "?$expand=microsoft.graph.itemAttachment/item"
    assert "subject" in wire.get(f"{url}/{item['id']}{expand}")["item"]
    assert wire.send("GET", f"{url}/{item['id']}/$value").data.startswith(b"Received:")
    linked = deliver(box, kind=content_special.with_reference)
    url = _attachments(user, box, linked)
    (reference,) = wire.get(url)["value"]
    assert wire.code("GET", f"{url}/{reference['id']}/$value")[0] == 405


def test_lists_of_attachments_may_end_at_ten_for_ever(wire, user, box, tenant):
    tenant.quirks.attachment_paging_broken = True
    made = wire.post(f"/users/{user}/messages", {"subject": "many"})
    url = f"/users/{user}/messages/{made['id']}/attachments"
    for number in range(12):
        body = {"@odata.type": "#microsoft.graph.fileAttachment", "name": f"{number}.txt"}
        wire.post(url, body | {"contentBytes": "QQ=="})
    first = wire.get(f"{url}?$select=id")
    second = wire.get(first["@odata.nextLink"])
    assert len(first["value"]) == 10
    assert [a["id"] for a in second["value"]] == [a["id"] for a in first["value"]]


def test_an_attachment_that_cannot_be_opened_fails_for_ever_but_is_listed_by_id(wire, user, box):
    message = deliver(box, kind=content_kinds.with_file)
    message.attachments[1].broken = "ErrorCannotOpenFileAttachment"
    url = _attachments(user, box, message)
    assert wire.code("GET", url) == (500, "ErrorCannotOpenFileAttachment")
    item, *_ = wire.get(f"{url}?$select=id,name")["value"]
    for tail in ("", "/$value"):
        found = wire.code("GET", f"{url}/{item['id']}{tail}")
        assert found == (500, "ErrorCannotOpenFileAttachment")


def test_small_attachments_are_posted_and_large_ones_refused(wire, user, box):
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    url = f"/users/{user}/messages/{made['id']}/attachments"
    body = {
        "@odata.type": "#microsoft.graph.fileAttachment", "name": "p.png", "isInline": True,
        "contentId": "c1", "contentType": "image/png",
        "contentBytes": base64.b64encode(b"png").decode(),
    }  # fmt: skip
    answer = wire.send("POST", url, body)
    assert answer.status == 201
    assert answer.json()["contentId"] == "c1"
    assert answer.headers["Location"].endswith(answer.json()["id"])
    large = base64.b64encode(bytes(3 * 1024 * 1024)).decode()
    assert wire.code("POST", url, body | {"contentBytes": large})[0] == 413
    too_large = base64.b64encode(bytes(4 * 1024 * 1024)).decode()
    assert wire.code("POST", url, body | {"contentBytes": too_large})[0] == 413
    assert wire.code("POST", url, body | {"contentBytes": "%"})[0] == 400


def _session(wire, user, size, **facts):
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    item = {"attachmentType": "file", "name": "big.bin", "size": size} | facts
    url = f"/users/{user}/messages/{made['id']}/attachments"
    body = wire.post(f"{url}/createUploadSession", {"AttachmentItem": item})
    return url, body["uploadUrl"]


def test_large_attachments_go_in_ranges_to_a_url_that_refuses_tokens(wire, user, tenant):
    data = random.Random(1).randbytes(3_500_000)
    url, upload = _session(wire, user, len(data), isInline=True, contentId="pic")
    assert upload.startswith(f"https://127.0.0.1:{wire.running.port}/")
    half = 2_000_000

    def put(start, piece, **headers):
        place = f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
        return wire.send("PUT", upload, piece, bare=True, Content_Range=place, **headers)

    refused = put(0, data[:half], Authorization=wire.headers["Authorization"])
    assert refused.status == 401
    assert tenant.counters.offences["token-to-upload-url"] == 1
    assert put(half, data[half:]).status == 416
    middle = put(0, data[:half])
    assert (middle.status, middle.json()["nextExpectedRanges"]) == (200, [str(half)])
    assert put(0, data[:half]).status == 416
    status = wire.send("GET", upload, bare=True)
    assert status.json()["nextExpectedRanges"] == [str(half)]
    done = put(half, data[half:])
    assert done.status == 201
    assert "Attachments('" in done.headers["Location"]
    (item,) = wire.get(url)["value"]
    assert (item["contentId"], item["isInline"]) == ("pic", True)
    assert base64.b64decode(item["contentBytes"]) == data
    assert put(half, data[half:]).status == 404


def test_upload_sessions_have_limits_and_can_be_given_up(wire, user, tenant):
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    url = f"/users/{user}/messages/{made['id']}/attachments/createUploadSession"
    small = {"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 1000}}
    assert wire.code("POST", url, small)[0] == 400
    huge = {"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 200_000_000}}
    assert wire.code("POST", url, huge)[0] == 400
    _, upload = _session(wire, user, 9_000_000)
    piece = bytes(4 * 1024 * 1024)
    place = f"bytes 0-{len(piece) - 1}/9000000"
    assert wire.send("PUT", upload, piece, bare=True, Content_Range=place).status == 413
    assert wire.send("PUT", upload + "x", b"a", bare=True).status == 404
    assert wire.send("DELETE", upload, bare=True).status == 204
    assert wire.send("GET", upload, bare=True).status == 404
    _, upload = _session(wire, user, 9_000_000)
    tenant.clock.advance(3 * 3600)
    assert wire.send("GET", upload, bare=True).status == 404


def test_what_was_just_made_may_be_missing_once(wire, user, tenant):
    tenant.quirks.read_after_write_lag = True
    made = wire.post(f"/users/{user}/messages", {"subject": "s"})
    url = f"/users/{user}/messages/{made['id']}/attachments"
    body = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "a", "contentBytes": "QQ=="}
    assert wire.code("POST", url, body) == (404, "ErrorItemNotFound")
    assert wire.send("POST", url, body).status == 201


# Mutations


def test_named_actions_change_a_mailbox_as_people_would(wire, user, box):
    def run(*actions):
        return wire.control("POST", "/mutate", {"actions": list(actions)})["results"]

    (made,) = run({"action": "deliver", "mailbox": user, "subject": "Hello", "count": 2})
    assert len(made["ids"]) == 2
    message = {"mailbox": "Adele Vance", "message": made["ids"][0]}
    before = box.find(made["ids"][0]).properties["isRead"]
    run(
        {"action": "flip_read"} | message,
        {"action": "create_folder", "mailbox": user, "name": "Sub", "parent": "inbox"},
        {"action": "move_message", "folder": ["Inbox", "Sub"]} | message,
        {"action": "delete_message", "mailbox": user, "message": made["ids"][1], "for_good": True},
    )
    found = wire.control("GET", f"/truth?mailbox={user}&hashes=0")["mailboxes"][user]["messages"]
    assert [(m["subject"], m["folder"], m["isRead"]) for m in found] == [
        ("Hello", ["Inbox", "Sub"], not before)
    ]
    run({"action": "remove_mailbox", "mailbox": user})
    assert wire.code("GET", f"/users/{user}/messages") == (404, "MailboxNotEnabledForRESTAPI")
