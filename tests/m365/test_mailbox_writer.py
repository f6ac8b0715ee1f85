"""Imports: sessions that expire, answers that are lost, folders found again, and what is not put
back.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator

import pytest

from base.item import Cause, StoredItem, StoredPart
from m365.graph.client import Scope
from m365.graph.errors import ItemGone, MaybeDone, Unauthorized
from m365.mailbox_names import identity_of
from m365.mailbox_writer import IMPORT_BYTES_MAX, MailboxItemWriter
from m365.service import Folder, Resource
from simulator import mailbox_items
from tests.m365.cases_mailbox_items import ArchiveCase, CopiesCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage
from tests.m365.test_mailbox_items import key_of
from tests.m365.wire_fake import Hostile, fails, says

BOX = "/admin/exchange/mailboxes/MBX:1@2"
STREAM = bytes(range(256)) * 9000
FOLDER = Folder("f")


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CopiesCase()) as on:
        yield on


def stored(on: Stage) -> list[StoredItem]:
    mirror = Mirror()
    mirror.round(on.source())
    kept = [one for one in mirror.items.values() if one.parts]
    return [one.stored() for one in sorted(kept, key=lambda one: one.change.id)]


def folder(on: Stage, name: str) -> StoredItem:
    mirror = Mirror()
    mirror.round(on.source())
    kept = mirror.items.values()
    return next(one.stored() for one in kept if one.change.name == name)


def target(on: Stage) -> Resource:
    return on.case.fresh_target(on.tenant)


def sessions(on: Stage) -> int:
    return sum(
        n for name, n in on.tenant.counters.requests.items() if "createImportSession" in name
    )


def importing(fake: Hostile) -> MailboxItemWriter:
    return MailboxItemWriter(fake.writer(), Scope.mailbox("anna"), lambda: BOX)


def item(*parts: StoredPart) -> StoredItem:
    return StoredItem("f|i", "f", "mailbox-item", "Offer", {}, {}, parts)


def part(data: bytes = STREAM, size: int | None = None) -> StoredPart:
    blocks = [data[at : at + 100_001] for at in range(0, len(data), 100_001)]
    return StoredPart("export", len(data) if size is None else size, {}, lambda: iter(blocks))


# Sessions


def test_one_session_serves_many_items_and_is_made_anew_when_it_is_over(on: Stage) -> None:
    first, second, third = stored(on)[:3]
    writer = on.target(target(on))
    top = writer.root()
    writer.write(first, top, "run:1", None, new_name=False)
    writer.write(second, top, "run:2", None, new_name=False)
    assert sessions(on) == 1
    on.tenant.clock.advance(3_700)
    writer.write(third, top, "run:3", None, new_name=False)
    assert sessions(on) == 2
    assert len(list(writer.existing(top))) == 3
    assert not on.tenant.counters.offences


def test_an_address_that_is_refused_at_once_is_an_error_and_appears_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Hostile() as fake:
        session = {"importUrl": f"{fake.elsewhere}/api/importItem?authtoken=secret"}
        fake.on(f"/v1.0{BOX}/createImportSession", says(session, 201))
        fake.on("/api/importItem", fails(401, "ErrorAccessDenied"))
        writer = importing(fake)
        with pytest.raises(Unauthorized) as raised:
            writer.write(item(part()), FOLDER, "", None, new_name=False)
        assert len(fake.paths("/api/importItem")) == 1
        shown = f"{raised.value} {raised.value!r} {raised.value.to_json()} {caplog.text}"
        assert "secret" not in shown


def test_the_stream_arrives_as_it_was_stored_with_pascal_case_around_it() -> None:
    with Hostile() as fake:
        session = {"importUrl": f"{fake.elsewhere}/api/importItem?authtoken=secret"}
        fake.on(f"/v1.0{BOX}/createImportSession", says(session))
        fake.on("/api/importItem", says({"itemId": "new", "changeKey": "k"}, 201))
        writer = importing(fake)
        for data in (STREAM, b"", b"x", STREAM[: 3 * 256 * 1024]):
            written = writer.write(item(part(data)), FOLDER, "", None, new_name=True)
            assert (written.id, written.outcome) == ("f|new", "copied")
            sent = fake.heard[-1].json()
            assert sent == {
                "FolderId": "f", "Mode": "create", "Data": base64.b64encode(data).decode(),
            }  # fmt: skip
            assert "authorization" not in fake.heard[-1].headers


def test_a_lost_answer_is_not_sent_again_and_the_copy_can_be_found(on: Stage) -> None:
    one = stored(on)[0]
    writer = on.target(target(on))
    top = writer.root()
    on.tenant.faults.map("importItem", "x")
    with pytest.raises(MaybeDone):
        writer.write(one, top, "run:1", None, new_name=False)
    (found,) = writer.existing(top)
    assert (found.key, found.same) == (writer.identity(one).key, writer.identity(one).same)


# What is not put back


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ((), Cause.NO_CONTENT),
        ((part(b"x", size=IMPORT_BYTES_MAX + 1),), Cause.TOO_LARGE),
    ],
)
def test_what_cannot_be_imported_is_skipped_with_its_cause(
    parts: tuple[StoredPart, ...], cause: Cause
) -> None:
    with Hostile() as fake:
        writer = importing(fake)
        written = writer.write(item(*parts), FOLDER, "", None, new_name=False)
        assert written.outcome == "skipped"
        assert [trouble.cause for trouble in written.troubles] == [cause]
        assert fake.heard == []


def test_what_was_replaced_can_be_recovered(on: Stage) -> None:
    one = stored(on)[0]
    resource = target(on)
    writer = on.target(resource)
    top = writer.root()
    writer.write(one, top, "run:1", None, new_name=False)
    (old,) = writer.existing(top)
    writer.write(one, top, "run:2", old, new_name=False)
    box = on.tenant.mailboxes[resource.graph_id]
    assert len(box.folder("recoverableitemsdeletions").messages) == 1


def test_nothing_is_removed_when_the_new_item_cannot_be_read(on: Stage) -> None:
    one = stored(on)[0]
    writer = on.target(target(on))
    top = writer.root()
    writer.write(one, top, "run:1", None, new_name=False)
    (old,) = writer.existing(top)
    on.tenant.faults.map(r"^GET .*/items/EDSV", "m")
    with pytest.raises(ItemGone):
        writer.write(one, top, "run:2", old, new_name=False)
    assert old.id in {present.id for present in writer.existing(top)}


# Folders


def test_a_folder_is_made_once_and_as_what_it_was(on: Stage) -> None:
    box = on.tenant.mailboxes[on.resource.graph_id]
    calendar = box.add_folder("Meetings")
    on.tenant.room.setdefault("folder types", {})[calendar.id] = "IPF.Appointment"
    resource = target(on)
    writer = on.target(resource)
    made = writer.ensure_folder(writer.root(), "Meetings", folder(on, "Meetings"))
    again = writer.ensure_folder(writer.root(), "MEETINGS", None)
    assert again.id == made.id
    there = on.tenant.mailboxes[resource.graph_id]
    (twin,) = (one for one in there.folders.values() if one.name == "Meetings")
    assert on.tenant.room["folder types"][twin.id] == "IPF.Appointment"


def test_original_folders_are_found_by_id_or_role_and_not_in_the_bin(on: Stage) -> None:
    box = on.tenant.mailboxes[on.resource.graph_id]
    projects, inbox = folder(on, "Projects"), folder(on, "Inbox")
    here, elsewhere = on.target(on.resource), on.target(target(on))
    found = here.original_folder(projects)
    assert found is not None
    assert (found.id, found.path) == (projects.id, ("Projects",))
    assert elsewhere.original_folder(projects) is None
    theirs = elsewhere.original_folder(inbox)
    assert theirs is not None
    assert theirs.id != inbox.id
    (mine,) = (one for one in box.folders.values() if one.name == "Projects")
    box.delete_folder(mine)
    assert on.target(on.resource).original_folder(projects) is None


def test_an_archive_that_does_not_know_the_name_of_its_top_folder_has_one_all_the_same() -> None:
    with stage(ArchiveCase()) as on:
        on.tenant.faults.map(r"folders/msgfolderroot$", "mm")
        archive = on.tenant.archives[on.resource.graph_id][0]
        top = on.target(on.resource).root()
        assert top.id == mailbox_items.folder_id(archive, archive.folder("msgfolderroot"))


def test_a_folder_in_what_an_archive_expanded_into_is_written_and_undone_there() -> None:
    with stage(ArchiveCase()) as on:
        further = on.tenant.archives[on.resource.graph_id][1]
        one = next(iter(further.messages.values()))
        wanted = next(found for found in stored(on) if found.id == key_of(further, one))
        original = on.target(on.resource).original_folder(folder(on, one.folder.name))
        assert original is not None
        further.delete_message(one, for_good=True)
        writer = on.target(on.resource)
        before = len(one.folder.messages)
        written = writer.write(wanted, original, "run:1", None, new_name=False)
        assert len(one.folder.messages) == before + 1
        assert written.id in {present.id for present in writer.existing(original)}
        on.target(on.resource).remove(written.id)
        assert len(one.folder.messages) == before
        below = writer.ensure_folder(original, "2026", None)
        assert below.id in {mailbox_items.folder_id(further, f) for f in further.folders.values()}


def test_items_without_any_name_are_told_apart_by_type_and_time() -> None:
    one = {"type": "IPM.StickyNote", "createdDateTime": "2026-01-01T10:00:00.123Z"}
    same = {**one, "createdDateTime": "2026-01-01T10:00:00Z", "id": "other", "changeKey": "new"}
    assert identity_of(one) == identity_of(same)
    assert identity_of(one) != identity_of({**one, "createdDateTime": "2026-01-01T10:00:01Z"})
    assert identity_of(one) != identity_of({**one, "type": "IPM.Note"})
    subject = [{"id": "String 0x37", "value": "Milk"}]
    padded = [{"id": "string 0x0037", "value": "Milk"}]
    assert identity_of({**one, "singleValueExtendedProperties": subject}) == identity_of(
        {"type": "IPM.StickyNote", "singleValueExtendedProperties": padded}
    )
