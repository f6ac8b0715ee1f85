"""Messages as a real tenant holds them: Graph's JSON beside the exact MIME bytes.

Rules: everything comes out of the given random.Random, the people and the hour, so the same
seed writes the same mailbox; large bytes are recipes (filebytes) and MIME is written when asked
for. JSON shapes follow the documented message and attachment payloads; ids, folder and
changeKey belong to the mailbox that takes the message in.
"""

import base64
import html
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from simulator import prose
from simulator.filebytes import Content
from simulator.mime import Headers, Part, encoded_words, multipart, render, text_part

Json = dict[str, Any]
_FILETIME_EPOCH = datetime.fromisoformat("1601-01-01T00:00:00+00:00")
_GATEWAYS = ("PAVPR04MB9871", "DB9PR08MB6713", "AM0PR05MB5123", "VI1PR07MB4455")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who sends or receives."""

    name: str
    address: str

    def recipient(self) -> Json:
        return {"emailAddress": {"name": self.name, "address": self.address}}

    def header(self) -> str:
        name = self.name if self.name.isascii() else encoded_words(self.name)
        return f'"{name}" <{self.address}>' if name == self.name else f"{name} <{self.address}>"


@dataclass(frozen=True, slots=True)
class SeedAttachment:
    """An attachment: its JSON without id and contentBytes, and the bytes behind it.

    file: content is the file. item: content is what $value gives (MIME, iCalendar, vCard) and
    item the expanded JSON. reference: neither, only a link.
    """

    kind: Literal["file", "item", "reference"]
    properties: Json
    content: Content | None = None
    item: Json | None = None


@dataclass(frozen=True, slots=True)
class SeedMessage:
    """A message before a mailbox has taken it in: no id, parentFolderId, changeKey."""

    kind: str
    properties: Json
    attachments: tuple[SeedAttachment, ...]
    headers: Headers
    part: Part

    def mime(self) -> bytes:
        """The exact bytes $value answers; written anew each time."""
        return render(self.headers, self.part)


@dataclass(frozen=True, slots=True)
class Letter:
    """The frame of one message: who, to whom, when, with which dice."""

    dice: random.Random
    sender: Person
    to: tuple[Person, ...]
    at: datetime
    cc: tuple[Person, ...] = ()
    outgoing: bool = False
    message_id: str = ""
    thread: tuple[str, bytes, str] | None = None
    """(topic, conversation index, Message-ID) of the message this one answers."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a kind of message consists of, before headers and dates are put around it."""

    subject: str
    part: Part
    body: str
    body_type: Literal["html", "text"] = "html"
    preview: str = ""
    attachments: tuple[SeedAttachment, ...] = ()
    subject_header: str | None = None
    extra: Json = field(default_factory=dict)
    extra_headers: Headers = ()
    counts_as_attached: bool = True
    """False for S/MIME, whose one attachment stands for the whole message."""


def assemble(kind: str, letter: Letter, written: Written) -> SeedMessage:
    """Put headers, dates and Graph's properties around what was written."""
    message_id = letter.message_id or new_message_id(letter.dice)
    topic, index = _conversation(letter, written.subject)
    shown = any(not item.properties["isInline"] for item in written.attachments)
    has_attachments = shown or (bool(written.attachments) and not written.counts_as_attached)
    headers = _headers(letter, written, message_id, topic, index)
    sent = letter.at
    properties: Json = {
        "createdDateTime": stamp(sent + timedelta(seconds=1)),
        "lastModifiedDateTime": stamp(sent + timedelta(seconds=3)),
        "categories": [],
        "receivedDateTime": stamp(sent + timedelta(seconds=2)),
        "sentDateTime": stamp(sent),
        "hasAttachments": has_attachments,
        "internetMessageId": message_id,
        "subject": written.subject,
        "bodyPreview": (written.preview or written.body)[:255],
        "importance": "normal",
        "conversationId": conversation_id(index),
        "conversationIndex": base64.b64encode(index).decode("ascii"),
        "isDeliveryReceiptRequested": False,
        "isReadReceiptRequested": False,
        "isRead": letter.outgoing or letter.dice.random() < 0.7,
        "isDraft": False,
        "inferenceClassification": letter.dice.choice(("focused", "focused", "other")),
        "body": {"contentType": written.body_type, "content": written.body},
        "sender": letter.sender.recipient(),
        "from": letter.sender.recipient(),
        "toRecipients": [person.recipient() for person in letter.to],
        "ccRecipients": [person.recipient() for person in letter.cc],
        "bccRecipients": [],
        "replyTo": [],
        "flag": {"flagStatus": "notFlagged"},
        "internetMessageHeaders": _header_list(headers),
    }
    properties.update(written.extra)
    return SeedMessage(kind, properties, written.attachments, headers, written.part)


def stamp(at: datetime) -> str:
    """A time as Graph writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_message_id(dice: random.Random) -> str:
    """A Message-ID in Exchange's manner."""
    gateway = dice.choice(_GATEWAYS)
    return f"<{gateway}{dice.getrandbits(80):020X}@{gateway}.eurprd04.prod.outlook.com>"


def boundary(dice: random.Random) -> str:
    """A boundary in Exchange's manner."""
    return f"_{dice.randint(0, 999):03d}_{dice.getrandbits(96):024X}_"


def conversation_id(index: bytes) -> str:
    """The id all answers share; the thread's GUID is in the first 22 bytes of the index."""
    return "AAQk" + base64.urlsafe_b64encode(b"AD" * 8 + b"\x10\x00" + index[6:22]).decode("ascii")


def html_body(dice: random.Random, inner: str = "", count: int = 0) -> tuple[str, str]:
    """(HTML in Outlook's manner with CRLF, its plain text)."""
    texts = [prose.paragraph(dice) for _ in range(count or dice.randint(1, 6))]
    rows = "".join(f'<p class="MsoNormal">{html.escape(text)}</p>\r\n' for text in texts)
    page = (
        '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
        '\r\n<style type="text/css" style="display:none">\r\n<!--\r\np\r\n\t{margin-top:0;\r\n\t'
        'margin-bottom:0}\r\n-->\r\n</style>\r\n</head>\r\n<body dir="ltr">\r\n'
        f"{rows}{inner}</body>\r\n</html>\r\n"
    )
    return page, "\r\n\r\n".join(texts) + "\r\n"


def alternative(dice: random.Random, page: str, plain: str, charset: str = "utf-8") -> Part:
    """Text and HTML of the same words."""
    scheme = "base64" if charset == "utf-8" and dice.random() < 0.3 else "quoted-printable"
    if charset == "iso-2022-jp":
        scheme = "7bit"
    page = page.replace("charset=utf-8", f"charset={charset}")
    return multipart(
        "alternative",
        boundary(dice),
        (text_part(plain, "plain", charset, scheme), text_part(page, "html", charset, scheme)),
    )


def _conversation(letter: Letter, subject: str) -> tuple[str, bytes]:
    if letter.thread is not None:
        topic, index, _ = letter.thread
        return topic, index + letter.dice.randbytes(5)
    ticks = int((letter.at - _FILETIME_EPOCH).total_seconds() * 10_000_000)
    return subject, b"\x01" + ticks.to_bytes(8, "big")[1:6] + letter.dice.randbytes(16)


def _headers(
    letter: Letter, written: Written, message_id: str, topic: str, index: bytes
) -> Headers:
    subject = written.subject_header
    if subject is None:
        subject = encoded_words(written.subject)
    top = [] if letter.outgoing else _transport(letter)
    basic = [
        ("From", letter.sender.header()),
        ("To", ", ".join(person.header() for person in letter.to)),
        ("Subject", subject),
        ("Thread-Topic", encoded_words(topic)),
        ("Thread-Index", base64.b64encode(index).decode("ascii")),
        ("Date", letter.at.strftime("%a, %d %b %Y %H:%M:%S +0000")),
        ("Message-ID", message_id),
    ]
    if letter.cc:
        basic.insert(2, ("CC", ", ".join(person.header() for person in letter.cc)))
    if letter.thread is not None:
        basic += [("References", letter.thread[2]), ("In-Reply-To", letter.thread[2])]
    attached = "yes" if any(not a.properties["isInline"] for a in written.attachments) else ""
    basic += [
        ("Accept-Language", "en-US, de-DE"),
        ("Content-Language", "en-US"),
        ("X-MS-Has-Attach", attached),
        ("X-MS-Exchange-Organization-AuthAs", "Internal"),
        ("X-MS-Exchange-Organization-SCL", "-1"),
        ("X-MS-TNEF-Correlator", ""),
    ]
    return tuple(top + basic + list(written.extra_headers))


def _transport(letter: Letter) -> list[tuple[str, str]]:
    """Received and ARC lines: long, random, different for every message."""
    dice = letter.dice
    host, other = dice.sample(_GATEWAYS, 2)
    date = letter.at.strftime("%a, %d %b %Y %H:%M:%S +0000")
    seal, signature = (base64.b64encode(dice.randbytes(256)).decode("ascii") for _ in range(2))
    common = "i=1; a=rsa-sha256; c=relaxed/relaxed; d=microsoft.com; s=arcselector10001"
    received = (
        f"from {host}.eurprd04.prod.outlook.com (2603:10a6:{dice.getrandbits(16):x}::17) by "
        f"{other}.eurprd05.prod.outlook.com with HTTPS; {date}"
    )
    return [
        ("Received", received),
        ("ARC-Seal", f"i=1; a=rsa-sha256; s=arcselector10001; cv=none; b={_cut(seal)}"),
        (
            "ARC-Message-Signature",
            f"{common}; h=From:Date:Subject:Message-ID; b={_cut(signature)}",
        ),
        ("ARC-Authentication-Results", "i=1; mx.microsoft.com 1; spf=pass; dmarc=pass; dkim=pass"),
        ("Received", received.replace("with HTTPS", "with Microsoft SMTP Server (TLS1_2)")),
    ]


def _cut(token: str) -> str:
    return " ".join(token[at : at + 64] for at in range(0, len(token), 64))


def _header_list(headers: Headers) -> list[Json]:
    return [{"name": name, "value": value} for name, value in headers]
