"""A restore uses the best there is: sealed, threaded, meetings; with MIME and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from base.item import StoredItem
from simulator import extended, mail_mime
from simulator.mailbox import Message
from tests.m365.mirror import Kept, Mirror
from tests.m365.stage import Stage, stage
from tests.m365.test_services import CASES

MAIL = CASES["mail"]


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage(MAIL) as made:
        yield made


@pytest.fixture(scope="module")
def mirror(on: Stage) -> Mirror:
    found = Mirror()
    found.round(on.source())
    return found


def kept_of(mirror: Mirror, subject: str) -> Kept:
    return next(kept for kept in mirror.items.values() if kept.change.name == subject)


def restored(on: Stage, item: StoredItem) -> Message:
    """The item in a fresh mailbox."""
    target = MAIL.fresh_target(on.tenant)
    writer = on.target(target)
    assert writer.write(item, writer.root(), "run:1", None, new_name=False).troubles == ()
    (message,) = on.tenant.mailboxes[target.graph_id].messages.values()
    return message


def original(on: Stage, kept: Kept) -> Message:
    mailbox = on.tenant.mailboxes[on.resource.graph_id]
    return mailbox.find(kept.change.id)


def without_mime(item: StoredItem) -> StoredItem:
    """As progressive protection has it until the MIME has followed."""
    return replace(item, parts=tuple(part for part in item.parts if part.role != "mime"))


def without_attachments(item: StoredItem) -> StoredItem:
    """As in a tenant whose pages do not bring attachments: S/MIME does not say that it has one."""
    return replace(item, parts=tuple(part for part in item.parts if part.role == "mime"))


SEALED = {
    "Signed: offer": "IPM.Note.SMIME.MultipartSigned",
    "Encrypted: salary": "IPM.Note.SMIME",
}


@pytest.mark.parametrize("subject", SEALED)
@pytest.mark.parametrize("lacking", [lambda item: item, without_mime, without_attachments])
def test_a_sealed_message_comes_back_sealed_to_the_byte(
    on: Stage, mirror: Mirror, subject: str, lacking
) -> None:
    kept = kept_of(mirror, subject)
    before, after = original(on, kept), restored(on, lacking(kept.stored()))
    assert extended.property_value(after, "String 0x001A") == SEALED[subject]
    (was,), (now,) = before.attachments.values(), after.attachments.values()
    assert now.content.sha256 == was.content.sha256
    assert now.properties["contentType"] == was.properties["contentType"]


def test_what_was_signed_is_in_the_new_mime_as_it_was(on: Stage, mirror: Mirror) -> None:
    kept = kept_of(mirror, "Signed: offer")
    (attachment,) = original(on, kept).attachments.values()
    signed = attachment.content.read(0, attachment.content.size)
    assert mail_mime.written(restored(on, kept.stored())).endswith(signed)


@pytest.mark.parametrize("lacking", [lambda item: item, without_mime])
def test_a_conversation_stays_together(on: Stage, mirror: Mirror, lacking) -> None:
    kept = kept_of(mirror, "Encrypted: salary")
    before, after = original(on, kept), restored(on, lacking(kept.stored()))
    assert after.properties["conversationIndex"] == before.properties["conversationIndex"]


def test_a_meeting_request_comes_back_as_a_message_that_acts_on_no_calendar(
    on: Stage, mirror: Mirror
) -> None:
    kept = kept_of(mirror, "Review of the plan")
    after = restored(on, kept.stored())
    assert "eventMessage" in kept.change.raw["@odata.type"]
    assert "@odata.type" not in after.properties
    assert extended.property_value(after, "String 0x001A") == "IPM.Note"
    assert after.properties["body"] == original(on, kept).properties["body"]
