"""Mail as Exchange hands it out: MIME with long headers, text and HTML, attachments in base64.

One message lies in the mailboxes of several people, and in each of them it is another MIME: the
headers tell how it got there. That is why mail hardly deduplicates and attachments do.
"""

from __future__ import annotations

import base64
from binascii import b2a_qp
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from benchmarks._documents import Documents
from benchmarks._prose import Prose

DOMAIN = "contoso.example"
SHARE_WITH_ATTACHMENTS = 0.2
COPIES = ((1, 2, 3, 4, 5), (55, 25, 10, 6, 4))  # how many mailboxes a message lies in, and weights
_STYLE = """<html xmlns:o="urn:schemas-microsoft-com:office:office"><head>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<meta name="Generator" content="Microsoft Word 15 (filtered medium)"><style><!--
@font-face {font-family:"Cambria Math"; panose-1:2 4 5 3 5 4 6 3 2 4;}
@font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;}
@font-face {font-family:Aptos;}
p.MsoNormal, li.MsoNormal, div.MsoNormal {margin:0cm; font-size:11.0pt;
 font-family:"Aptos",sans-serif; mso-ligatures:standardcontextual;}
a:link, span.MsoHyperlink {mso-style-priority:99; color:#0563C1; text-decoration:underline;}
span.EmailStyle17 {mso-style-type:personal-compose; font-family:"Aptos",sans-serif;
 color:windowtext;}
.MsoChpDefault {mso-style-type:export-only; font-size:10.0pt;}
@page WordSection1 {size:612.0pt 792.0pt; margin:70.85pt 70.85pt 2.0cm 70.85pt;}
div.WordSection1 {page:WordSection1;}
--></style></head><body lang="EN-GB" link="#0563C1" vlink="#954F72"><div class="WordSection1">
"""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels with a message."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message before it is delivered."""

    subject: str
    sender: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]


class Mail:
    """Writes messages; the same for the same dice."""

    def __init__(self, dice: Random, prose: Prose, documents: Documents) -> None:
        self._dice = dice
        self._prose = prose
        self._documents = documents
        self._logos = [
            Attachment(f"image{number:03}.png", documents.png(dice.randint(5_000, 16_000)))
            for number in range(12)
        ]

    def message(self, attachments: bool = True) -> Message:
        """A message; every fifth carries attachments unless told not to."""
        dice = self._dice
        sender = self._prose.person()
        words = int(dice.lognormvariate(0, 0.9) * 140) + 20
        said = [*self._prose.paragraphs(words), f"Kind regards, {sender}", _disclaimer(sender)]
        for _ in range(dice.choices((0, 1, 2, 3), (45, 30, 15, 10))[0]):  # what is quoted below
            said += [f"From: {self._prose.person()}", *self._prose.paragraphs(words // 2)]
        html = "".join(
            f'<p class="MsoNormal"><span lang="EN-US" style="font-size:11.0pt">{text}'
            "<o:p></o:p></span></p>\n"
            for text in said
        )
        attached = [dice.choice(self._logos)] if attachments and dice.random() < 0.2 else []
        if attachments and dice.random() < SHARE_WITH_ATTACHMENTS:
            attached += [self._attachment() for _ in range(dice.choices((1, 2, 3), (75, 18, 7))[0])]
        subject = self._prose.title()
        text = "\n\n".join(said)
        return Message(
            subject, sender, text, f"{_STYLE}{html}</div></body></html>", tuple(attached)
        )

    def copies(self) -> int:
        """In how many mailboxes a message lies."""
        return self._dice.choices(*COPIES)[0]

    def delivered(self, message: Message, mailbox: str) -> bytes:
        """The MIME that a mailbox holds."""
        mark = self._token(24)
        lines = [*self._headers(message, mailbox), *_opened("mixed", f"_004_{mark}_"), ""]
        lines += [f"--_004_{mark}_", *_opened("alternative", f"_000_{mark}_"), ""]
        out = [_crlf(lines)]
        for kind, text in (("plain", message.text), ("html", message.html)):
            head = [f"--_000_{mark}_", f'Content-Type: text/{kind}; charset="utf-8"']
            out.append(_crlf([*head, "Content-Transfer-Encoding: quoted-printable", ""]))
            out.append(b2a_qp(text.encode(), istext=True).replace(b"\n", b"\r\n") + b"\r\n")
        out.append(_crlf([f"--_000_{mark}_--"]))
        for attachment in message.attachments:
            out.append(_crlf([f"--_004_{mark}_", *_attachment_head(attachment), ""]))
            out.append(base64.encodebytes(attachment.data).replace(b"\n", b"\r\n"))
        return b"".join([*out, _crlf([f"--_004_{mark}_--"])])

    def _attachment(self) -> Attachment:
        kind, data = self._documents.any(self._documents.size(80_000, 1.25, 6_000_000))
        return Attachment(f"{self._prose.title()}.{kind}", data)

    def _token(self, size: int) -> str:
        return base64.b64encode(self._dice.randbytes(size)).decode()

    def _headers(self, message: Message, mailbox: str) -> Iterator[str]:
        dice = self._dice
        date = f"Mon, {dice.randint(1, 28)} Sep 2026 0{dice.randint(1, 9)}:{dice.randint(10, 59)}"
        for _ in range(dice.randint(2, 5)):
            host = f"AM{dice.randint(1, 9)}PR0{dice.randint(1, 9)}MB{dice.randint(1000, 9999)}"
            yield f"Received: from {host}.eurprd04.prod.outlook.com (2603:10a6::1)"
            yield f" by {host[::-1]}.eurprd04.prod.outlook.com with HTTPS; {date}:11 +0000"
        for name in ("ARC-Seal", "ARC-Message-Signature", "DKIM-Signature"):
            yield f"{name}: i=1; a=rsa-sha256; s=arcselector10001; d=microsoft.com; cv=none;"
            yield f" b={self._token(258)}"
        yield f"From: {message.sender} <{_address(message.sender)}>"
        yield f"To: {mailbox}@{DOMAIN}"
        yield f"Subject: {message.subject}"
        yield f"Thread-Index: {self._token(22)}"
        yield f"Date: {date}:09 +0000"
        yield f"Message-ID: <{self._token(30)}@AM0PR04MB4321.eurprd04.prod.outlook.com>"
        yield "Accept-Language: en-GB, de-DE"
        yield "X-MS-Exchange-Organization-AuthAs: Internal"
        yield f"X-MS-Exchange-Organization-Network-Message-Id: {dice.randbytes(16).hex()}"
        yield "X-MS-PublicTrafficType: Email"
        yield f"X-Microsoft-Antispam: BCL:0;ARA:13230040|{dice.randint(10**8, 10**9)}"
        yield f"X-Microsoft-Antispam-Message-Info: {self._token(dice.randint(300, 900))}"
        yield "MIME-Version: 1.0"


def _opened(kind: str, mark: str) -> list[str]:
    return [f'Content-Type: multipart/{kind}; boundary="{mark}"']


def _attachment_head(attachment: Attachment) -> list[str]:
    size = len(attachment.data)
    return [
        f'Content-Type: application/octet-stream; name="{attachment.name}"',
        f'Content-Disposition: attachment; filename="{attachment.name}"; size={size}',
        "Content-Transfer-Encoding: base64",
    ]


def _crlf(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _address(person: str) -> str:
    return f"{person.replace(' ', '.').lower()}@{DOMAIN}"


def _disclaimer(sender: str) -> str:
    return (
        f"{sender} | Contoso Ltd | This message and its attachments are meant for the addressee "
        "only and may be confidential. If you received it by mistake, tell us and delete it."
    )
