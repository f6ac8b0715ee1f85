"""Mailbox copies and archives against a simulated tenant: cost, names, refusals, odd tenants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from base.item import Cause, Change
from m365 import SERVICES
from m365.archive import archives_of
from m365.exchange_settings import ApiNotOffered
from m365.graph.client import Scope
from m365.graph.errors import ForeignHost, ItemGone, ResourceGone
from m365.holdings import Found
from m365.mailbox_items import ExportRefused, item_key
from m365.mailbox_tree import MailboxTree, Notes
from m365.service import PASSED_ON, Resource
from simulator import mailbox_items, mailbox_stream
from simulator.content import SeedAttachment
from simulator.filebytes import SeededBytes
from simulator.mailbox import Attachment, Mailbox, Message
from tests.m365.cases_mailbox_items import ArchiveCase, CopiesCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage
from tests.m365.wire_fake import Hostile, Reply, fails, says


@pytest.fixture
def copies() -> Iterator[Stage]:
    with stage(CopiesCase()) as on:
        yield on


@pytest.fixture
def archive() -> Iterator[Stage]:
    with stage(ArchiveCase()) as on:
        yield on


def box_of(on: Stage) -> Mailbox:
    return on.tenant.mailboxes[on.resource.graph_id]


def key_of(box: Mailbox, message: Message) -> str:
    folder = mailbox_items.folder_id(box, message.folder)
    return item_key(folder, mailbox_items.item_id(box, message.number))


def first_of(box: Mailbox, folder: str = "inbox") -> Message:
    return next(one for one in box.folder(folder).messages.values() if not one.broken)


def asked(on: Stage, what: str) -> int:
    return sum(n for name, n in on.tenant.counters.requests.items() if what in name)


# Cost


def test_a_first_backup_exports_twenty_items_a_request(copies: Stage) -> None:
    mirror = Mirror()
    mirror.round(copies.source())
    items = sum(kept.change.kind != "folder" for kept in mirror.items.values())
    folders = copies.folders(mirror)
    assert items > 25
    assert asked(copies, "exportItems") <= items / 20 + folders
    assert copies.reader.counters.requests <= items / 20 + 2 * folders + 2


def test_a_lost_link_exports_nothing_that_is_stored_already(copies: Stage) -> None:
    mirror = Mirror()
    mirror.round(copies.source())
    changed = first_of(box_of(copies))
    box_of(copies).change_message(changed, categories=["Red"])
    copies.tenant.feeds.lose(lambda feed: feed.startswith("mailbox items"))
    mirror.fetched.clear()
    before = asked(copies, "exportItems")
    mirror.round(copies.source())
    assert mirror.fetched["mailbox-item"] == 1
    assert asked(copies, "exportItems") - before == 1
    assert copies.found(mirror) == copies.truth()


def test_a_large_item_travels_alone_and_whole(copies: Stage) -> None:
    box, message = box_of(copies), first_of(box_of(copies))
    facts = SeedAttachment("file", {"name": "model.bin", "isInline": False}).properties
    kind = {"@odata.type": "#microsoft.graph.fileAttachment"}
    content = SeededBytes("large", 9_000_000)
    message.attachments[1] = Attachment(1, {**kind, **facts}, content)
    message.mime = None
    box.changed_parts(message)
    mirror = Mirror()
    mirror.round(copies.source())
    (part,) = mirror.items[key_of(box, message)].parts
    expected = mailbox_stream.written(message)
    assert hashlib.sha256(part[1]).digest() == hashlib.sha256(expected).digest()
    assert copies.found(mirror) == copies.truth()


# What people see


@pytest.mark.parametrize("habit", ["honoured", "ignored", "refused"])
def test_items_have_names_whatever_the_delta_makes_of_expand(copies: Stage, habit: str) -> None:
    copies.tenant.quirks.delta_expand = habit  # type: ignore[assignment]
    message = first_of(box_of(copies))
    message.properties["subject"] = "Offer"
    mirror = Mirror()
    mirror.round(copies.source())
    change = mirror.items[key_of(box_of(copies), message)].change
    sender = message.properties["sender"]["emailAddress"]
    assert change.name == "Offer"
    assert change.row["type"] == "IPM.Note"
    assert change.row["received"] == message.properties["receivedDateTime"]
    assert sender["address"] in change.row["from"]
    assert copies.found(mirror) == copies.truth()


def test_folders_carry_their_type_and_role(copies: Stage) -> None:
    calendar = box_of(copies).add_folder("Meetings")
    copies.tenant.room.setdefault("folder types", {})[calendar.id] = "IPF.Appointment"
    mirror = Mirror()
    mirror.round(copies.source())
    rows = {kept.change.name: kept.change.row for kept in mirror.items.values()}
    assert rows["Meetings"]["type"] == "IPF.Appointment"
    assert rows["Inbox"]["role"] == "inbox"


# One bad item, and what is known of it


def test_a_broken_item_is_a_trouble_and_stays_in_the_catalog(copies: Stage) -> None:
    message = first_of(box_of(copies))
    message.broken = "ErrorCorruptData"
    mirror = Mirror()
    mirror.round(copies.source())
    kept = mirror.items[key_of(box_of(copies), message)]
    assert kept.parts == []
    assert [(one.part, one.cause, one.retry) for one in kept.troubles] == [
        ("export", Cause.CORRUPT, False)
    ]


def test_the_ledger_finds_an_item_of_an_expanded_archive_without_any_feed(archive: Stage) -> None:
    further = archive.tenant.archives[archive.resource.graph_id][1]
    message = next(iter(further.messages.values()))
    source = archive.source()
    change = source.complete(key_of(further, message))
    (part,), troubles = source.fetch(change)
    assert part.data == mailbox_stream.written(message)
    assert troubles == []


def test_a_piece_of_an_item_is_completed(copies: Stage) -> None:
    message = first_of(box_of(copies))
    key = key_of(box_of(copies), message)
    piece = Change(key, key.partition("|")[0], "mailbox-item", partial=True)
    whole = copies.source().merge({}, piece)
    assert whole.fingerprint
    assert whole.name == message.properties["subject"]


def test_live_counts_are_told_folder_by_folder(copies: Stage) -> None:
    mirror = Mirror()
    mirror.round(copies.source())
    stored: dict[str, int] = {}
    for kept in mirror.items.values():
        if kept.change.kind != "folder":
            stored[kept.change.parent] = stored.get(kept.change.parent, 0) + 1
    live = {count.scope: count.items for count in copies.source().counts()}
    assert {key: n for key, n in live.items() if n} == stored


# Whole mailboxes


def test_an_archive_that_was_made_anew_is_found_and_read_from_nothing(archive: Stage) -> None:
    mirror = Mirror()
    mirror.round(archive.source())
    fresh = Mailbox(archive.resource.graph_id, archive.tenant.clock.stamp, 99)
    fresh.add_folder("Only this")
    archive.tenant.archives[archive.resource.graph_id] = [fresh]
    mirror.round(archive.source())
    names = {kept.change.name for kept in mirror.items.values()}
    assert "Only this" in names
    assert "2022" not in names
    assert archive.found(mirror) == archive.truth()


def test_a_folder_that_moved_into_another_mailbox_is_read_there(archive: Stage) -> None:
    first, further = archive.tenant.archives[archive.resource.graph_id]
    far, near = (mailbox_items.mailbox_id(archive.tenant, box) for box in (further, first))
    mirror = Mirror()
    mirror.round(archive.source())
    (folder,) = (one for one in further.folders.values() if one.name == "Inbox (expanded)")
    moved = mailbox_items.folder_id(further, folder)
    notes = Notes.read(mirror.links["folders"])
    assert notes.homes[moved].endswith(far)
    # As if it had lain in the first mailbox until now:
    del notes.homes[moved]
    mirror.links["folders"] = notes.write()
    mirror.links[f"folder:{moved}"] = mirror.links[f"folder:{moved}"].replace(far, near)
    further.rename_folder(folder, "Inbox (moved)")
    mirror.round(archive.source())
    assert archive.found(mirror) == archive.truth()


def test_a_user_without_an_archive_is_gone_not_refused(archive: Stage) -> None:
    del archive.tenant.archives[archive.resource.graph_id]
    with pytest.raises(ResourceGone) as raised:
        list(archive.source().changes({}, frozenset()))
    assert raised.value.code == "no-archive"


def test_who_has_an_archive_is_asked_for_twenty_at_a_time(archive: Stage) -> None:
    tenant = archive.tenant
    owner = archive.resource.graph_id
    guest = tenant.add_user("Nora Guest", mailbox=False).id
    others = [tenant.add_user(f"Person {n}").id for n in range(25)]
    before = archive.reader.counters.requests
    found = archives_of(archive.reader, [owner, owner, guest, *others])
    assert archive.reader.counters.requests - before == 2
    assert found[owner] == Found(owner)
    assert found[guest] == Found(reason="no-mailbox")
    assert {found[one].reason for one in others} == {"no-archive"}


def test_an_application_that_may_list_and_not_export_is_refused_as_a_whole(copies: Stage) -> None:
    app = next(app for app in copies.tenant.apps.values() if app.display_name == "Reader")
    app.roles.discard("MailboxItem.Export.All")
    with pytest.raises(ExportRefused) as raised:
        Mirror().round(copies.source())
    assert isinstance(raised.value, PASSED_ON)
    assert SERVICES["mailbox-copies"].refusable


@pytest.mark.parametrize("name", ["mailbox-copies", "archive"])
@pytest.mark.parametrize(
    ("status", "code"), [(400, "BadRequest"), (404, "ResourceNotFound"), (501, "NotImplemented")]
)
def test_a_tenant_without_the_api_is_refused_not_broken(name: str, status: int, code: str) -> None:
    version = "beta" if name == "archive" else "v1.0"
    with Hostile() as fake:
        fake.on(f"/{version}/users/anna/settings/exchange", fails(status, code))
        service = SERVICES[name]
        source = service.source(fake.reader(), Resource(service.resource_kind, "anna"))
        with pytest.raises(ApiNotOffered):
            list(source.changes({}, frozenset()))


def test_settings_that_name_no_mailbox_are_a_mailbox_that_is_not_there() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/anna/settings/exchange", says({"primaryMailboxId": None}))
        source = SERVICES["mailbox-copies"].source(fake.reader(), Resource("mailbox", "anna"))
        with pytest.raises(ResourceGone):
            list(source.changes({}, frozenset()))


# Trees as they are not in the simulator

BOX = "/v1.0/admin/exchange/mailboxes/MBX:1@2"


def scripted(fake: Hostile) -> list[Change]:
    fake.on("/v1.0/users/anna/settings/exchange", says({"primaryMailboxId": "MBX:1@2"}))
    service = SERVICES["mailbox-copies"]
    source = service.source(fake.reader(), Resource("mailbox", "anna"))
    for page in source.changes({}, frozenset()):
        if page.part == "folders":
            return [one for one in page.entries if isinstance(one, Change)]
    raise AssertionError("no page of folders")


def link(fake: Hostile, path: str) -> str:
    return f"{fake.origin}{path}?$deltatoken=1"


def test_folders_that_come_without_their_parent_are_asked_for() -> None:
    with Hostile() as fake:
        told = [{"id": "a", "displayName": "A"}, {"id": "b/=", "displayName": "B"}]
        delta = {"value": told, "@odata.deltaLink": link(fake, f"{BOX}/folders/delta")}
        fake.on(f"{BOX}/folders/delta", says(delta))
        bodies = [{"id": "a", "parentFolderId": "top"}, {"id": "b/=", "parentFolderId": "a"}]
        answers = [{"id": str(n), "status": 200, "body": body} for n, body in enumerate(bodies)]
        fake.on("/v1.0/$batch", says({"responses": answers}))
        found = scripted(fake)
        assert [(one.id, one.parent, one.name) for one in found] == [
            ("top", "", ""), ("a", "top", "A"), ("b/=", "a", "B"),
        ]  # fmt: skip
        urls = [one["url"] for one in fake.heard[-1].json()["requests"]]
        assert urls[1] == "/admin/exchange/mailboxes/MBX:1@2/folders/b%2F%3D"


def test_a_tree_that_is_not_told_flat_is_followed_down() -> None:
    with Hostile() as fake:
        levels = {
            "/folders": [
                {"id": "t", "displayName": "Top", "wellKnownName": "MsgFolderRoot",
                 "parentFolderId": "store", "childFolderCount": 2},
            ],
            "/folders/t/childFolders": [
                {"id": "a", "displayName": "A", "parentFolderId": "t", "childFolderCount": 1},
                {"id": "s", "displayName": "S", "wellKnownName": "searchfolders",
                 "parentFolderId": "t", "childFolderCount": 1},
            ],
            "/folders/a/childFolders": [
                {"id": "b", "displayName": "B", "parentFolderId": "a", "childFolderCount": None},
            ],
            "/folders/s/childFolders": [
                {"id": "u", "displayName": "Unread", "parentFolderId": "s"},
            ],
        }  # fmt: skip
        for level, told in levels.items():
            path = f"{BOX}{level}/delta"
            fake.on(path, says({"value": told, "@odata.deltaLink": link(fake, path)}))
        found = scripted(fake)
        assert {one.id: one.parent for one in found} == {"t": "", "a": "t", "b": "a"}


@pytest.mark.parametrize("up", [True, False])
def test_a_folder_that_moves_between_levels_told_apart_is_not_lost(up: bool) -> None:
    with Hostile() as fake:
        tree = MailboxTree(fake.reader(), Scope.mailbox("anna"))
        box = BOX.removeprefix("/v1.0")
        top, low = f"{BOX}/folders/delta", f"{BOX}/folders/a/childFolders/delta"

        def told(path: str, *entries: dict[str, object]) -> Reply:
            return says({"value": entries, "@odata.deltaLink": link(fake, path)})

        a = {"id": "a", "displayName": "A", "parentFolderId": "t", "childFolderCount": 1}
        c = {"id": "c", "displayName": "C", "parentFolderId": "a"}
        moved = {"id": "m", "displayName": "M", "parentFolderId": "a" if up else "t"}
        fake.on(top, told(top, a) if up else told(top, a, moved))
        fake.on(low, told(low, c, moved) if up else told(low, c))
        first = tree.whole(box, ())
        assert {one.id for one in first.changed} == {"t", "a", "c", "m"}
        gone = {"id": "m", "@removed": {"reason": "deleted"}}
        now = {**moved, "parentFolderId": "t" if up else "a"}
        fake.on(top, told(top, now if up else gone))
        fake.on(low, told(low, gone if up else now))
        since = tree.since(first.link, ("a", "c", "m"))
        assert since.gone == ()
        assert [(one.id, one.parent) for one in since.changed] == [("m", "t" if up else "a")]


def test_a_folder_that_lies_on_another_host_is_not_followed() -> None:
    with Hostile() as fake:
        far = {"id": "a", "displayName": "A", "parentFolderId": "top",
               "parentMailboxUrl": "https://graph.example/beta/mailbox"}  # fmt: skip
        delta = {"value": [far], "@odata.deltaLink": link(fake, f"{BOX}/folders/delta")}
        fake.on(f"{BOX}/folders/delta", says(delta))
        fake.on("/v1.0/users/anna/settings/exchange", says({"primaryMailboxId": "MBX:1@2"}))
        source = SERVICES["mailbox-copies"].source(fake.reader(), Resource("mailbox", "anna"))
        with pytest.raises(ForeignHost):
            list(source.changes({}, frozenset()))
        assert {heard.path.partition("?")[0] for heard in fake.heard} == {
            "/v1.0/users/anna/settings/exchange", f"{BOX}/folders/delta",
        }  # fmt: skip


def test_an_item_in_a_folder_that_went_away_is_gone(copies: Stage) -> None:
    message = first_of(box_of(copies))
    key = key_of(box_of(copies), message)
    box_of(copies).move_message(message, box_of(copies).folder("archive"))
    with pytest.raises(ItemGone):
        copies.source().complete(key)
