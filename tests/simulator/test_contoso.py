"""Contoso: its sizes, what it holds, and its months."""

import json

import pytest

from simulator import contoso
from simulator.content_files import HOSTILE_NAMES
from simulator.content_later import LaterProperties
from simulator.drive import truth
from simulator.drive_names import check_name
from simulator.tenant import Clock, Tenant
from tests.simulator.drive_client import NOW, Client


def build(profile: str, seed: int = 1) -> Tenant:
    return contoso.build(profile, seed, clock=Clock(NOW))


@pytest.fixture(scope="module")
def small() -> Tenant:
    return build("small")


def messages(tenant: Tenant):
    return [m for mailbox in tenant.mailboxes.values() for m in mailbox.messages.values()]


def fingerprint(tenant: Tenant) -> str:
    mail = [
        (m.folder.path(), m.properties["internetMessageId"], m.properties["isRead"])
        for m in messages(tenant)
    ]
    files = [
        (d.id, entry["id"], entry["path"], entry["quickXorHash"], str(entry["modified"]))
        for d in tenant.drives.values()
        for entry in truth(d)
    ]
    return json.dumps([mail, files])


def test_tiny_is_three_users_and_about_forty_messages_and_files():
    tenant = build("tiny")
    files = [e for d in tenant.drives.values() for e in truth(d) if e["kind"] == "file"]
    assert len(tenant.users) == 3
    assert 38 <= len(messages(tenant)) <= 45
    assert 30 <= len(files) <= 60


def test_the_same_seed_builds_and_lives_the_same():
    one, two, other = build("tiny"), build("tiny"), build("tiny", seed=2)
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one) != fingerprint(other)
    assert contoso.month(one) == contoso.month(two)
    assert fingerprint(one) == fingerprint(two)


def test_small_has_every_sort_of_user(small):
    users = list(small.users.values())
    assert len(users) == 10
    assert {user.purpose for user in users} == {"user", "shared", "room", "equipment"}
    assert any(user.properties["assignedLicenses"] for user in users)
    assert small.deleted_users
    assert any(user.properties["userType"] == "Guest" for user in users)
    assert any(not user.properties["accountEnabled"] and user.purpose == "user" for user in users)
    assert any(user.id not in small.mailboxes and user.drive_id for user in users)
    assert any(user.id in small.mailboxes and not user.drive_id for user in users)
    assert small.sites
    assert any(group.drive_id for group in small.groups.values())


def test_small_has_the_promised_amounts(small):
    files = [e for d in small.drives.values() for e in truth(d) if e["kind"] == "file"]
    attached = [a for m in messages(small) for a in m.attachments.values() if a.content]
    total = sum(e["size"] for e in files) + sum(a.content.size for a in attached)
    assert 1_150 <= len(messages(small)) <= 1_250
    assert 280 <= len(files) <= 380
    assert 110_000_000 <= total <= 200_000_000
    assert max(a.content.size for a in attached) == 25_000_000
    assert max(e["size"] for e in files) == 40_000_000


def test_identical_things_lie_in_many_places(small):
    where: dict[str, set[str]] = {}
    for drive in small.drives.values():
        for entry in truth(drive):
            if entry["kind"] == "file":
                where.setdefault(entry["quickXorHash"], set()).add(drive.id)
    assert max(len(drives) for drives in where.values()) == len(small.drives)
    boxes: dict[int, set[str]] = {}
    for user_id, mailbox in small.mailboxes.items():
        for message in mailbox.messages.values():
            for attachment in message.attachments.values():
                boxes.setdefault(id(attachment.content), set()).add(user_id)
    assert max(len(found) for found in boxes.values()) > 3


def test_one_newsletter_lies_in_two_folders_of_one_mailbox(small):
    mailbox = next(iter(small.mailboxes.values()))
    folders: dict[str, set[str]] = {}
    for message in mailbox.messages.values():
        folders.setdefault(message.properties["internetMessageId"], set()).add(message.folder.id)
    assert max(len(found) for found in folders.values()) > 1


def test_messages_lie_in_hidden_deleted_recoverable_and_draft_folders(small):
    mailbox = next(iter(small.mailboxes.values()))
    filled = {m.folder.well_known for m in mailbox.messages.values()}
    assert {"inbox", "sentitems", "drafts", "junkemail", "deleteditems", "archive",
            "recoverableitemsdeletions"} <= filled  # fmt: skip
    assert any(m.folder.hidden and not m.folder.well_known for m in mailbox.messages.values())
    assert any(folder.search_filter for folder in mailbox.folders.values())


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_names_are_legal(name):
    check_name(name)


def test_hostile_names_and_odd_files_are_there():
    tenant = build("tiny")
    drive = next(iter(tenant.drives.values()))
    entries = truth(drive)
    names = {entry["path"][-1] for entry in entries}
    assert set(HOSTILE_NAMES) <= names
    assert any(entry["size"] == 0 and entry["kind"] == "file" for entry in entries)
    assert any(entry["size"] > 4 * 1024 * 1024 for entry in entries)
    assert any(entry["infected"] for entry in entries)
    assert any(entry["kind"] == "package" for entry in entries)
    assert max(sum(len(part) + 1 for part in entry["path"]) for entry in entries) > 350
    assert len(drive.by_path(["minutes.txt"]).versions) == 2


def test_every_file_of_tiny_downloads_as_the_truth_says():
    tenant = build("tiny")
    for drive_id, drive in tenant.drives.items():
        client = Client(tenant, drive_id)
        for entry in truth(drive):
            if entry["kind"] == "file" and entry["readable"]:
                assert len(client.fetch(entry["id"])) == entry["size"]


def test_a_month_does_everything_delta_has_to_tell():
    tenant = build("tiny")
    drive_id = next(iter(tenant.drives))
    client = Client(tenant, drive_id)
    before = client.round()
    done = contoso.month(tenant)
    contoso.month(tenant)
    later = contoso.month(tenant)
    assert {
        "messages delivered", "messages read or unread", "messages moved",
        "messages moved and back", "messages deleted", "mail folders made",
        "mail folders deleted", "files made", "files edited", "files emptied", "files renamed",
        "files moved", "files deleted", "folders made", "folders renamed", "folders deleted",
    } <= done.keys()  # fmt: skip
    assert "mail folders renamed" in later
    held = dict(before.last)
    held.update(client.round(before.link).last)
    alive = {item_id for item_id, entry in held.items() if "deleted" not in entry}
    assert alive == {item.id for item in client.drive.living()}


def test_later_properties_look_like_the_dict_they_stand_for():
    made = []

    def make() -> dict[str, object]:
        made.append(1)
        return {"subject": "s", "isRead": False}

    later = LaterProperties(make, {"isRead": False})
    assert made == []
    later.update(isRead=True)
    assert later["isRead"] is True
    assert later["subject"] == later.get("subject") == "s"
    whole = {"subject": "s", "isRead": True}
    assert dict(later) == {**later} == later | {} == {} | later == later.copy() == whole
    assert json.loads(json.dumps(later)) == whole
    assert (len(later), sorted(later), "subject" in later) == (2, ["isRead", "subject"], True)


@pytest.mark.slow
def test_large_is_fifty_thousand_messages_made_while_they_are_read():
    tenant = build("large")
    mailbox = next(iter(tenant.mailboxes.values()))
    assert 49_990 <= len(mailbox.messages) <= 50_010
    drive = next(iter(tenant.drives.values()))
    assert max(item.size for item in drive.living()) == 1_000_000_000
    some = list(mailbox.messages.values())[25_001]
    assert some.mime is not None
    assert some.properties["internetMessageId"].encode() in some.mime()
