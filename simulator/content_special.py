"""The messages that break careless backups, each once per mailbox.

SPECIAL lists them in order; BIG holds the one with 25 MB, which only larger profiles carry.
"""

import base64
import html
import random
from dataclasses import replace
from datetime import timedelta
from functools import partial

from simulator import prose
from simulator.content import (
    Json,
    Letter,
    Person,
    SeedAttachment,
    SeedMessage,
    Written,
    alternative,
    assemble,
    boundary,
    html_body,
    stamp,
)
from simulator.content_kinds import (
    Kind,
    attached_part,
    file_attachment,
    inline_image,
    mixed,
    plain_html,
    png,
    shared_file,
)
from simulator.filebytes import Content, LiteralBytes, SeededBytes
from simulator.mime import (
    Part,
    encoded_words,
    multipart,
    render_part,
    text_part,
)

BIG_ATTACHMENT_BYTES = 25_000_000


def in_charset(charset: str, letter: Letter) -> SeedMessage:
    """Body and subject in an older charset; JSON shows Unicode."""
    text = prose.FOREIGN[charset]
    plain = f"{text}\r\n\r\n{text}\r\n"
    page = f'<html><head><meta charset="utf-8"></head><body><p>{text}</p></body></html>\r\n'
    subject = text[:24]
    scheme = "Q" if charset in ("iso-8859-1", "windows-1252") else "B"
    written = Written(
        subject,
        alternative(letter.dice, page, plain, charset),
        page,
        preview=plain,
        subject_header=encoded_words(subject, charset, scheme),
    )
    return assemble(f"charset_{charset}", letter, written)


def with_subject(kind: str, subject: str, letter: Letter) -> SeedMessage:
    """A page under an unusual subject, which it repeats."""
    page, plain = html_body(letter.dice, f"<p>{html.escape(subject)}</p>\r\n")
    plain += f"\r\n{subject}\r\n"
    written = Written(subject, alternative(letter.dice, page, plain), page, preview=plain)
    return assemble(kind, letter, written)


def folded_headers(letter: Letter) -> SeedMessage:
    """Sixty recipients, so that To and Cc fold over many lines."""
    people = [
        Person(f"{prose.words(letter.dice, 1)[0].title()} Ünal {index}", f"list{index}@example.com")
        for index in range(60)
    ]
    crowd = replace(letter, to=letter.to + tuple(people[:40]), cc=tuple(people[40:]))
    return replace(plain_html(crowd), kind="folded_headers")


def important(letter: Letter) -> SeedMessage:
    """Flagged, categorised, of high importance, unread, receipt asked for."""
    message = plain_html(letter)
    due = {"dateTime": "2026-12-01T00:00:00.0000000", "timeZone": "UTC"}
    message.properties.update(
        categories=["Red category", "Übersee"],
        importance="high",
        isRead=False,
        isReadReceiptRequested=True,
        flag={"flagStatus": "flagged", "dueDateTime": due, "startDateTime": due},
    )
    return replace(message, kind="important")


def no_text_part(letter: Letter) -> SeedMessage:
    """A scanner's mail: one PDF and no text at all."""
    item = file_attachment(*shared_file(0), letter)
    part = multipart("mixed", boundary(letter.dice), (attached_part(item),))
    written = Written("Scan", part, "", body_type="text", attachments=(item,))
    return assemble("no_text_part", letter, written)


def related_and_mixed(letter: Letter) -> SeedMessage:
    """Alternative inside related inside mixed: texts, an inline picture and a file."""
    dice = letter.dice
    page, plain = html_body(dice, '<img src="cid:chart@contoso">\r\n')
    picture = png("chart", 12_345)
    image = file_attachment("Größe übersicht.png", "image/png", picture, letter, "chart@contoso")
    document = file_attachment(*shared_file(1), letter)
    inner = (alternative(dice, page, plain), attached_part(image))
    related = multipart("related", boundary(dice), inner)
    part = multipart("mixed", boundary(dice), (related, attached_part(document)))
    written = Written(prose.subject(dice), part, page, preview=plain, attachments=(image, document))
    return assemble("related_and_mixed", letter, written)


def nested_twice(letter: Letter) -> SeedMessage:
    """A message that holds a message that holds a message with a file."""
    earlier = replace(letter, at=letter.at - timedelta(days=2))
    page, plain = html_body(letter.dice)
    innermost = mixed("with_file", earlier, page, plain, [shared_file(2)])
    middle = _enclosing("nested", earlier, innermost)
    return _enclosing("nested_twice", letter, middle)


def with_event(letter: Letter) -> SeedMessage:
    """An event as item attachment."""
    start = letter.at + timedelta(days=5)
    item = {
        "@odata.type": "#microsoft.graph.event",
        "id": "",
        "subject": "Harbour tour",
        "isAllDay": False,
        "type": "singleInstance",
        "start": _graph_time(start.strftime("%Y-%m-%dT10:00:00")),
        "end": _graph_time(start.strftime("%Y-%m-%dT11:00:00")),
        "location": {"displayName": "Pier 4"},
        "body": {"contentType": "text", "content": "Bring boots."},
        "attendees": [],
    }
    return _with_item("item_event", letter, "Harbour tour", item, _calendar(letter, "PUBLISH"))


def with_contact(letter: Letter) -> SeedMessage:
    """A contact as item attachment."""
    item: Json = {
        "@odata.type": "#microsoft.graph.contact",
        "id": "",
        "displayName": "Zoë Ångström",
        "emailAddresses": [{"name": "Zoë Ångström", "address": "zoe@example.com"}],
        "mobilePhone": "+46 70 000 00 00",
    }
    card = "BEGIN:VCARD\nVERSION:3.0\nFN:Zoë Ångström\nN:Ångström;Zoë;;;\nEND:VCARD\n"
    return _with_item("item_contact", letter, "Zoë Ångström", item, card)


def with_reference(letter: Letter) -> SeedMessage:
    """A link to a file in OneDrive; it has no bytes."""
    page, plain = html_body(letter.dice)
    properties = {
        "@odata.type": "#microsoft.graph.referenceAttachment",
        "lastModifiedDateTime": stamp(letter.at),
        "name": "Plan 2027.xlsx",
        "contentType": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "size": 1060,
        "isInline": False,
    }
    written = Written(
        "Plan 2027 is in OneDrive",
        alternative(letter.dice, page, plain),
        page,
        preview=plain,
        attachments=(SeedAttachment("reference", properties),),
    )
    return assemble("reference", letter, written)


def meeting_request(letter: Letter) -> SeedMessage:
    """An eventMessageRequest: JSON of a derived type, MIME with text/calendar."""
    page, plain = html_body(letter.dice, count=1)
    start = letter.at + timedelta(days=3)
    parts = (
        text_part(plain, "plain", "utf-8", "quoted-printable"),
        text_part(page, "html", "utf-8", "quoted-printable"),
        Part(
            'text/calendar; charset="utf-8"; method=REQUEST',
            _calendar(letter, "REQUEST").replace("\n", "\r\n").encode(),
            "base64",
        ),
    )
    extra = {
        "@odata.type": "#microsoft.graph.eventMessageRequest",
        "meetingMessageType": "meetingRequest",
        "type": "singleInstance",
        "isOutOfDate": False,
        "isAllDay": False,
        "isDelegated": False,
        "startDateTime": _graph_time(start.strftime("%Y-%m-%dT10:00:00")),
        "endDateTime": _graph_time(start.strftime("%Y-%m-%dT11:00:00")),
        "location": {"displayName": "Pier 4", "locationType": "default"},
        "responseRequested": True,
        "meetingRequestType": "newMeetingRequest",
    }
    part = multipart("alternative", boundary(letter.dice), parts)
    written = Written("Review of the plan", part, page, preview=plain, extra=extra)
    return assemble("meeting_request", letter, written)


def smime_signed(letter: Letter) -> SeedMessage:
    """multipart/signed: not one byte of the signed part may change."""
    dice = letter.dice
    page, plain = html_body(dice)
    signed = alternative(dice, page, plain)
    signature = Part(
        'application/pkcs7-signature; name="smime.p7s"',
        _noise(dice, 2_900),
        "base64",
        headers=(("Content-Disposition", 'attachment; filename="smime.p7s"'),),
    )
    extra = ';\r\n\tprotocol="application/pkcs7-signature"; micalg=SHA256'
    part = multipart("signed", boundary(dice), (signed, signature), extra)
    raw = LiteralBytes(render_part(part))
    return _smime("smime_signed", letter, "Signed: offer", part, "multipart/signed", raw)


def smime_encrypted(letter: Letter) -> SeedMessage:
    """application/pkcs7-mime: the whole message is one sealed part."""
    sealed = _noise(letter.dice, 9_400)
    part = Part(
        'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
        sealed,
        "base64",
        headers=(("Content-Disposition", 'attachment; filename="smime.p7m"'),),
    )
    content_type = "application/pkcs7-mime"
    subject = "Encrypted: salary"
    raw = LiteralBytes(sealed)
    return _smime("smime_encrypted", letter, subject, part, content_type, raw)


def big_attachment(letter: Letter) -> SeedMessage:
    """25 MB in one attachment; made from its seed whenever it is read."""
    page, plain = html_body(letter.dice)
    film = SeededBytes("launch film", BIG_ATTACHMENT_BYTES, "random", b"\x00\x00\x00\x18ftypmp42")
    files: list[tuple[str, str, Content]] = [("launch film.mp4", "video/mp4", film)]
    return mixed("big_attachment", letter, page, plain, files)


def reply(letter: Letter, to: SeedMessage) -> SeedMessage:
    """An answer in the same conversation."""
    index = base64.b64decode(to.properties["conversationIndex"])
    topic = str(to.properties["subject"])
    thread = (topic, index, str(to.properties["internetMessageId"]))
    answer = replace(letter, thread=thread)
    return with_subject("reply", f"RE: {topic}", answer)


def _smime(
    kind: str, letter: Letter, subject: str, part: Part, content_type: str, raw: Content
) -> SeedMessage:
    item = file_attachment("smime.p7m", content_type, raw, letter)
    written = Written(subject, part, "", attachments=(item,), counts_as_attached=False)
    return assemble(kind, letter, written)


def _enclosing(kind: str, letter: Letter, inner: SeedMessage) -> SeedMessage:
    """A message with another one attached."""
    raw = inner.mime()
    item = {"@odata.type": "#microsoft.graph.message", "id": "", **inner.properties}
    return _with_item(kind, letter, str(inner.properties["subject"]), item, raw)


def _with_item(kind: str, letter: Letter, name: str, item: Json, raw: bytes | str) -> SeedMessage:
    data = raw if isinstance(raw, bytes) else raw.replace("\n", "\r\n").encode()
    page, plain = html_body(letter.dice)
    properties = {
        "@odata.type": "#microsoft.graph.itemAttachment",
        "lastModifiedDateTime": stamp(letter.at),
        "name": name,
        "contentType": None,
        "size": len(data) + 1_013,
        "isInline": False,
    }
    attachment = SeedAttachment("item", properties, LiteralBytes(data), item)
    item_type = str(item["@odata.type"]).rsplit(".", 1)[-1]
    part_type = {"message": "message/rfc822", "event": "text/calendar", "contact": "text/vcard"}
    enclosed = Part(
        part_type[item_type],
        data,
        "7bit" if item_type == "message" else "base64",
        headers=(("Content-Disposition", "attachment"),),
    )
    inner = alternative(letter.dice, page, plain)
    part = multipart("mixed", boundary(letter.dice), (inner, enclosed))
    written = Written(f"FW: {name}", part, page, preview=plain, attachments=(attachment,))
    return assemble(kind, letter, written)


def _calendar(letter: Letter, method: str) -> str:
    day = (letter.at + timedelta(days=3)).strftime("%Y%m%d")
    return (
        f"BEGIN:VCALENDAR\nPRODID:Microsoft Exchange Server\nVERSION:2.0\nMETHOD:{method}\n"
        f"BEGIN:VEVENT\nUID:{letter.dice.getrandbits(128):032X}\nSUMMARY:Review of the plan\n"
        f"ORGANIZER;CN={letter.sender.name}:mailto:{letter.sender.address}\n"
        f"DTSTART:{day}T100000Z\nDTEND:{day}T110000Z\nLOCATION:Pier 4\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    )


def _graph_time(text: str) -> dict[str, str]:
    return {"dateTime": f"{text}.0000000", "timeZone": "UTC"}


def _noise(dice: random.Random, count: int) -> bytes:
    return b"\x30\x82" + dice.randbytes(count)


_LONG = "Status " + " and ".join(["the harbour project phase two budget review"] * 22)

SPECIAL: tuple[Kind, ...] = (
    *(partial(in_charset, charset) for charset in prose.FOREIGN),
    partial(with_subject, "emoji_subject", prose.EMOJI),
    partial(with_subject, "hebrew_subject", prose.HEBREW),
    partial(with_subject, "arabic_subject", prose.ARABIC),
    partial(with_subject, "empty_subject", ""),
    partial(with_subject, "long_subject", _LONG),
    folded_headers,
    important,
    no_text_part,
    related_and_mixed,
    inline_image,
    nested_twice,
    with_event,
    with_contact,
    with_reference,
    meeting_request,
    smime_signed,
    smime_encrypted,
)
BIG: Kind = big_attachment
