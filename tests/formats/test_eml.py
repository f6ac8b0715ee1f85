"""Messages as .eml: stored bytes untouched, rebuilt ones as faithful as their JSON."""

import base64
import email
import email.policy
import json
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import file_of
from formats.eml import message_file, rebuilt
from tests.formats.items import FILE, ITEM, LINK, message, part

PNG = bytes(range(256)) * 5


def parsed(item) -> EmailMessage:
    data = b"".join(message_file(item).blocks())
    return email.message_from_bytes(data, policy=email.policy.default)


def person(name: str, address: str):
    return {"emailAddress": {"name": name, "address": address}}


RAW = {
    "id": "AAMk1",
    "subject": "Quarterly figures",
    "body": {"contentType": "html", "content": "<p>Hello <img src='cid:logo@x'></p>"},
    "from": person("Ada Lovelace", "ada@contoso.example"),
    "sender": person("Ada Lovelace", "ada@contoso.example"),
    "toRecipients": [person("Bob", "bob@contoso.example"), person("", "carol@contoso.example")],
    "ccRecipients": [person("Łukasz, Żak", "lz@contoso.example")],
    "sentDateTime": "2026-03-04T05:06:07Z",
    "receivedDateTime": "2026-03-04T05:06:09Z",
    "internetMessageId": "<abc@contoso.example>",
    "importance": "high",
}


def test_stored_mime_leaves_byte_for_byte_whatever_it_is():
    mime = b"From: a@b\nSubject: bare newlines \xff\xfe\r\n\r\n.\r\nno end"
    item = message(RAW, part("mime", mime, step=7))
    made = message_file(item)
    assert b"".join(made.blocks()) == mime
    assert b"".join(made.blocks()) == mime  # it streams anew
    assert (made.size, made.rebuilt, made.media_type) == (len(mime), False, "message/rfc822")


def test_the_file_is_named_by_day_and_subject():
    assert message_file(message(RAW)).name == "2026-03-04 0506 Quarterly figures.eml"
    assert message_file(message({"subject": ""})).name == "no subject.eml"
    hostile = message_file(message({"subject": "../../etc/passwd\r\n\u202etxt." + "x" * 500})).name
    assert hostile.startswith(".._.._etc_passwd")
    assert hostile.endswith(".eml")
    assert "/" not in hostile
    assert len(hostile.encode()) <= 200


def test_a_rebuilt_message_has_the_headers_of_its_json_and_says_that_it_is_rebuilt():
    made = parsed(message(RAW, missing=("mime: corrupt-in-service",)))
    assert made["X-Holdfast-Rebuilt"] == "yes"
    assert made["X-Holdfast-Missing"] == "mime: corrupt-in-service"
    assert made["Subject"] == "Quarterly figures"
    assert made["Message-ID"] == "<abc@contoso.example>"
    assert made["Importance"] == "high"
    assert made["Date"].datetime.isoformat() == "2026-03-04T05:06:07+00:00"
    assert [(a.display_name, a.addr_spec) for a in made["From"].addresses] == [
        ("Ada Lovelace", "ada@contoso.example")
    ]
    assert [a.addr_spec for a in made["To"].addresses] == [
        "bob@contoso.example",
        "carol@contoso.example",
    ]
    assert made["Cc"].addresses[0].display_name == "Łukasz, Żak"
    assert made["Sender"] is None  # the same as From
    assert made["MIME-Version"] == "1.0"
    assert not made.defects


def test_a_body_without_attachments_is_one_part_of_its_own_kind():
    made = parsed(message(RAW))
    assert made.get_content_type() == "text/html"
    assert made.get_content() == RAW["body"]["content"]
    text = {**RAW, "body": {"contentType": "text", "content": "größer\r\n. \r\nend 🙂"}}
    made = parsed(message(text))
    assert made.get_content_type() == "text/plain"
    assert made.get_payload(decode=True).decode() == text["body"]["content"]


def test_inline_images_stay_related_to_the_body_and_files_beside_them():
    item = message(
        RAW,
        part(
            "attachment",
            PNG,
            {
                "@odata.type": FILE,
                "name": "logo.png",
                "contentType": "image/png",
                "isInline": True,
                "contentId": "logo@x",
            },
            step=100,
        ),
        part(
            "attachment",
            b"%PDF" * 1000,
            {"@odata.type": FILE, "name": 'Żółć "quoted".pdf', "contentType": "application/pdf"},
            step=333,
        ),
        part("attachment", b"", {"@odata.type": FILE, "name": "empty.txt", "contentType": None}),
    )
    made = parsed(item)
    assert made.get_content_type() == "multipart/mixed"
    related, pdf, empty = made.iter_parts()
    assert related.get_content_type() == "multipart/related"
    body, logo = related.iter_parts()
    assert body.get_content() == RAW["body"]["content"]
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo@x>", "inline")
    assert logo.get_content() == PNG
    assert pdf.get_filename() == 'Żółć "quoted".pdf'
    assert pdf.get_content() == b"%PDF" * 1000
    assert (empty.get_content_type(), empty.get_content()) == ("application/octet-stream", b"")
    assert not any(one.defects for one in made.walk())


def test_an_attached_message_is_a_message_inside():
    inner = b"From: x@y.example\r\nSubject: inner\r\n\r\nhi\r\n"
    item = message(
        RAW, part("attachment", inner, {"@odata.type": ITEM, "name": "inner", "id": "1"})
    )
    attached = parsed(item).get_payload()[1]
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_payload()[0]["Subject"] == "inner"


@pytest.mark.parametrize(
    ("value", "kind"),
    [(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", "text/calendar"), (b"\nbegin:vcard", "text/vcard")],
)
def test_an_attached_meeting_or_contact_keeps_its_kind(value: bytes, kind: str):
    item = message(RAW, part("attachment", value, {"@odata.type": ITEM, "name": "it"}))
    attached = parsed(item).get_payload()[1]
    assert attached.get_content_type() == kind
    assert attached.get_payload(decode=True) == value


def test_an_attached_message_stored_as_json_is_rebuilt_with_its_own_attachments():
    inner = {
        "@odata.type": "#microsoft.graph.message",
        "subject": "inner",
        "body": {"contentType": "text", "content": "deep"},
        "attachments": [
            {"@odata.type": FILE, "name": "a.bin", "contentBytes": base64.b64encode(PNG).decode()},
            {"@odata.type": ITEM, "id": "3", "item": {"@odata.type": "#microsoft.graph.event"}},
        ],
    }
    item = message(
        RAW,
        part("attachment", b"", {"@odata.type": ITEM, "name": "inner", "id": "2"}),
        part("attachment-item", json.dumps(inner).encode(), {"id": "2"}),
    )
    outer = parsed(item)
    assert len(outer.get_payload()) == 2
    nested = outer.get_payload()[1].get_payload()[0]
    assert (nested["Subject"], nested["X-Holdfast-Rebuilt"]) == ("inner", "yes")
    body, binary, event = nested.get_payload()
    assert body.get_payload(decode=True) == b"deep"
    assert binary.get_payload(decode=True) == PNG
    assert event.get_content_type() == "application/json"


def test_a_link_to_the_cloud_becomes_a_file_that_opens_it():
    meta = {
        "@odata.type": LINK,
        "name": "Plan.docx",
        "sourceUrl": "https://x.example/a?b\r\nEvil: 1",
    }
    attached = parsed(message(RAW, part("attachment", b"", meta))).get_payload()[1]
    assert attached.get_filename() == "Plan.docx.url"
    assert b"URL=https://x.example/a?bEvil: 1\r\n" in attached.get_payload(decode=True)


def test_headers_cannot_be_smuggled_in_through_properties():
    evil = "x\r\nBcc: victim@contoso.example\r\n\r\nbody"
    raw = {
        **RAW,
        "subject": evil,
        "from": person(evil, evil),
        "internetMessageId": evil,
        "categories": [evil],
        "internetMessageHeaders": [
            {"name": "X-Fine", "value": evil},
            {"name": "Bad Name:\r\nX-Evil", "value": "1"},
            {"name": "Content-Type", "value": "text/evil"},
            {"name": "Received", "value": "by somewhere"},
        ],
    }
    attachment = {"@odata.type": FILE, "name": evil, "contentType": f"text/plain\r\n{evil}"}
    made = parsed(message(raw, part("attachment", b"1", attachment)))
    assert made["Bcc"] is None
    assert made["X-Evil"] is None
    assert made["X-Fine"].startswith("x Bcc:")
    assert made["Received"] == "by somewhere"
    assert made.get_content_type() == "multipart/mixed"
    assert made.get_payload()[1]["Bcc"] is None


def test_bytes_that_claim_to_be_a_multipart_are_only_bytes():
    meta = {"@odata.type": FILE, "name": "x", "contentType": "multipart/mixed; boundary=a"}
    attached = parsed(message(RAW, part("attachment", b"--a\r\n", meta))).get_payload()[1]
    assert attached.get_content_type() == "application/octet-stream"


def test_an_address_that_is_none_is_kept_in_the_name():
    raw = {**RAW, "from": person("Old", "/O=ORG/OU=FIRST/CN=OLD"), "toRecipients": [{}]}
    made = parsed(message(raw))
    assert "/O=ORG/OU=FIRST/CN=OLD" in made["From"].addresses[0].display_name
    assert made["From"].addresses[0].addr_spec == "unknown@unknown.invalid"


@given(
    subject=st.text(max_size=200),
    name=st.text(max_size=60),
    content=st.text(max_size=300),
    data=st.binary(max_size=300),
    step=st.integers(1, 80),
)
def test_any_texts_and_bytes_come_back_from_a_rebuilt_message(subject, name, content, data, step):
    raw = {
        "id": "1",
        "subject": subject,
        "from": person(name, "a@b.example"),
        "body": {"contentType": "text", "content": content},
    }
    meta = {"@odata.type": FILE, "name": name, "contentType": "x/y"}
    made = parsed(message(raw, part("attachment", data, meta, step)))
    body, attached = made.get_payload()
    assert body.get_payload(decode=True) == content.encode("utf-8", "replace")
    assert attached.get_payload(decode=True) == data
    assert made["From"].addresses[0].addr_spec == "a@b.example"
    plain = " ".join("".join(c if c > "\x1f" and c != "\x7f" else " " for c in subject).split())
    assert " ".join(made["Subject"].split()) == plain


def test_the_same_item_gives_the_same_bytes():
    item = message(RAW, part("attachment", PNG, {"@odata.type": FILE, "name": "a"}))
    assert b"".join(rebuilt(item)) == b"".join(rebuilt(item))


def test_a_large_attachment_streams_through():
    block, count = b"\xa5" * 100_000, 200
    opened = []

    def blocks():
        for number in range(count):
            opened.append(number)
            yield block

    big = part("attachment", b"", {"@odata.type": FILE, "name": "big"})
    big = type(big)(big.role, count * len(block), big.meta, blocks)
    largest, total = 0, 0
    for made in file_of(message(RAW, big)).blocks():
        largest, total = max(largest, len(made)), total + len(made)
    assert len(opened) == count
    assert largest < 200_000
    assert total > count * len(block)
