"""Messages of the fake tenant, read with the standard library as a stranger would."""

import base64
import email
import email.policy
import random
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial

import pytest

from simulator import content_special, prose
from simulator.content import Letter, Person, SeedMessage
from simulator.content_kinds import ORDINARY, newsletter, plain_html, shared_file
from simulator.content_special import BIG, SPECIAL, in_charset, reply

ADELE = Person("Adele Vance", "adele@contoso.example")
JOERG = Person("Jörg Müller", "joerg@contoso.example")


def letter(seed: int = 1) -> Letter:
    at = datetime(2026, 11, 1, 10, tzinfo=UTC)
    return Letter(random.Random(seed), ADELE, (JOERG,), at)


def parsed(message: SeedMessage) -> EmailMessage:
    return email.message_from_bytes(message.mime(), policy=email.policy.default)


EVERY = [kind(letter()) for kind in (*SPECIAL, *(kind for kind, _ in ORDINARY))]
each = pytest.mark.parametrize("message", EVERY, ids=lambda message: message.kind)


def one(kind: str) -> SeedMessage:
    return next(message for message in EVERY if message.kind == kind)


@each
def test_lines_end_in_crlf_and_headers_are_short_ascii(message):
    raw = message.mime()
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    head = raw.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert all(len(line) < 998 for line in head.split(b"\r\n"))


@each
def test_a_stranger_parses_it_without_a_defect_and_finds_the_subject(message):
    found = parsed(message)
    assert not [defect for part in found.walk() for defect in part.defects]
    assert (found["Subject"] or "") == message.properties["subject"]
    assert found["Message-ID"] == message.properties["internetMessageId"]


@each
def test_the_same_bytes_come_every_time(message):
    assert message.mime() == message.mime()


@each
def test_the_json_has_the_properties_of_a_message(message):
    expected = {
        "subject", "body", "bodyPreview", "from", "sender", "toRecipients", "ccRecipients",
        "bccRecipients", "replyTo", "categories", "flag", "importance", "isRead", "isDraft",
        "internetMessageId", "internetMessageHeaders", "conversationId", "conversationIndex",
        "receivedDateTime", "sentDateTime", "createdDateTime", "lastModifiedDateTime",
        "hasAttachments", "inferenceClassification",
    }  # fmt: skip
    assert expected <= message.properties.keys()


@pytest.mark.parametrize(
    "message",
    [m for m in EVERY if not m.kind.startswith(("smime", "nested"))],
    ids=lambda message: message.kind,
)
def test_file_attachments_are_found_in_the_mime(message):
    wanted = [
        item.content.read(0, item.content.size)
        for item in message.attachments
        if item.kind == "file" and item.content is not None
    ]
    found = [part.get_content() for part in parsed(message).walk() if part.get_filename()]
    found = [data.encode() if isinstance(data, str) else data for data in found]
    clean = [data.replace(b"\r\n", b"\n") for data in found]
    assert sorted(data.replace(b"\r\n", b"\n") for data in wanted) == sorted(clean)


@pytest.mark.parametrize("charset", list(prose.FOREIGN))
def test_old_charsets_say_what_the_json_says(charset):
    message = in_charset(charset, letter())
    body = parsed(message).get_body(("plain",))
    assert body is not None
    assert body.get_content_charset() == charset
    assert prose.FOREIGN[charset] in body.get_content()
    assert prose.FOREIGN[charset] in message.properties["body"]["content"]
    assert f"=?{charset}?".encode() in message.mime()


def test_only_inline_pictures_do_not_count_as_attachments():
    message = one("inline_image")
    assert message.properties["hasAttachments"] is False
    (image,) = message.attachments
    assert image.properties["isInline"] is True
    assert f"cid:{image.properties['contentId']}" in message.properties["body"]["content"]


def test_a_nested_message_holds_another_that_holds_a_file():
    message = one("nested_twice")
    (outer,) = message.attachments
    assert outer.kind == "item"
    assert outer.item["@odata.type"] == "#microsoft.graph.message"
    middle = email.message_from_bytes(
        outer.content.read(0, outer.content.size), policy=email.policy.default
    )
    types = [part.get_content_type() for part in middle.walk()]
    assert types.count("message/rfc822") == 1
    whole = [part.get_content_type() for part in parsed(message).walk()]
    assert whole.count("message/rfc822") == 2


def test_item_attachments_of_events_and_contacts_have_their_own_formats():
    for kind, start in (("item_event", b"BEGIN:VCALENDAR"), ("item_contact", b"BEGIN:VCARD")):
        (item,) = one(kind).attachments
        assert item.content.read(0, 100).startswith(start)


def test_a_reference_has_no_bytes():
    (item,) = one("reference").attachments
    assert (item.kind, item.content) == ("reference", None)


def test_a_signed_message_keeps_the_signed_part_as_its_attachment():
    message = one("smime_signed")
    (item,) = message.attachments
    assert parsed(message).get_content_type() == "multipart/signed"
    assert item.content.read(0, item.content.size) in message.mime()


def test_an_encrypted_message_is_one_sealed_part():
    message = one("smime_encrypted")
    (item,) = message.attachments
    found = parsed(message)
    assert found.get_content_type() == "application/pkcs7-mime"
    assert found.get_payload(decode=True) == item.content.read(0, item.content.size)


def test_a_meeting_request_is_of_a_derived_type_and_has_a_calendar_part():
    message = one("meeting_request")
    assert message.properties["@odata.type"] == "#microsoft.graph.eventMessageRequest"
    types = [part.get_content_type() for part in parsed(message).walk()]
    assert "text/calendar" in types


def test_an_issue_of_a_newsletter_has_one_message_id_for_everybody():
    one_, two = newsletter(letter(1)), newsletter(letter(2))
    assert one_.properties["internetMessageId"] == two.properties["internetMessageId"]
    assert one_.properties["body"] == two.properties["body"]


def test_an_answer_stays_in_its_conversation():
    first = plain_html(letter())
    second = reply(letter(2), first)
    index = [base64.b64decode(m.properties["conversationIndex"]) for m in (first, second)]
    assert second.properties["conversationId"] == first.properties["conversationId"]
    assert index[1][:22] == index[0]
    assert len(index[1]) == 27
    assert parsed(second)["In-Reply-To"] == first.properties["internetMessageId"]


def test_the_big_attachment_is_made_from_its_seed():
    message = BIG(letter())
    (item,) = message.attachments
    assert item.content.size == content_special.BIG_ATTACHMENT_BYTES == 25_000_000
    assert len(message.mime()) > 33_000_000


def test_shared_files_are_the_same_bytes_everywhere():
    assert shared_file(3)[2] is shared_file(3)[2]
    assert shared_file(3)[2].sha256 != shared_file(0)[2].sha256


def test_long_folded_headers_unfold_to_all_recipients():
    found = parsed(one("folded_headers"))
    assert len(found["To"].addresses) == 41
    assert len(found["CC"].addresses) == 20


def test_the_same_dice_write_the_same_message():
    kinds = [partial(kind) for kind in SPECIAL]
    for kind in kinds:
        assert kind(letter(9)).mime() == kind(letter(9)).mime()
