"""The ordinary kinds of messages, and attachments that many messages share.

A kind is a function from a Letter to a SeedMessage. ORDINARY says how often each comes.
"""

import io
import random
import zipfile
from collections.abc import Callable
from functools import lru_cache

from simulator import prose
from simulator.content import (
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
from simulator.filebytes import BuiltBytes, Content, LiteralBytes, SeededBytes
from simulator.mime import Part, encoded_words, multipart, text_part

Kind = Callable[[Letter], SeedMessage]
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00\x08\x02"
_JPG_HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x01\x00`\x00`\x00\x00"


def plain_html(letter: Letter) -> SeedMessage:
    """HTML with its text alternative."""
    page, plain = html_body(letter.dice)
    part = alternative(letter.dice, page, plain)
    return assemble(
        "plain_html", letter, Written(prose.subject(letter.dice), part, page, preview=plain)
    )


def text_only(letter: Letter) -> SeedMessage:
    """One text/plain part."""
    plain = prose.paragraphs(letter.dice, letter.dice.randint(1, 5)).replace("\n", "\r\n")
    part = text_part(plain, "plain", "us-ascii", "7bit")
    return assemble(
        "text_only", letter, Written(prose.subject(letter.dice), part, plain, body_type="text")
    )


def with_file(letter: Letter) -> SeedMessage:
    """One or two files, often such as others have sent too."""
    dice = letter.dice
    page, plain = html_body(dice)
    files = [shared_file(dice.randint(0, 11))]
    if dice.random() < 0.3:
        files.append(own_file(dice))
    return mixed("with_file", letter, page, plain, files)


def inline_image(letter: Letter) -> SeedMessage:
    """Only an inline picture: hasAttachments stays false."""
    dice = letter.dice
    content_id = f"image{dice.randint(1, 99):03d}.png@01DB{dice.getrandbits(32):08X}"
    page, plain = html_body(dice, f'<img src="cid:{content_id}" alt="logo">\r\n')
    picture = SeededBytes(f"logo{dice.randint(0, 3)}", 8_000 + dice.randint(0, 3) * 2_111, "random")
    image = file_attachment("image001.png", "image/png", picture, letter, content_id)
    inner = alternative(dice, page, plain)
    part = multipart(
        "related", boundary(dice), (inner, attached_part(image)), ';\r\n\ttype="text/html"'
    )
    written = Written(prose.subject(dice), part, page, preview=plain, attachments=(image,))
    return assemble("inline_image", letter, written)


def newsletter(letter: Letter) -> SeedMessage:
    """A large page of tables and links, the same for everybody who gets the issue."""
    issue = letter.at.toordinal() // 7
    dice = random.Random(f"newsletter {issue}")
    rows = "".join(
        f'<tr><td style="padding:12px;font-family:Arial"><a href="https://news.example/'
        f'{issue}/{dice.getrandbits(64):x}"><img src="https://news.example/p/{row}.png" '
        f'width="600"></a><p style="color:#333333">{prose.paragraph(dice)}</p></td></tr>\r\n'
        for row in range(40)
    )
    page, plain = html_body(dice, f'<table width="600">\r\n{rows}</table>\r\n', count=1)
    sender = Person("Harbour Weekly", "news@harbour-weekly.example")
    same = Letter(
        dice, sender, letter.to, letter.at, message_id=f"<issue-{issue}@harbour-weekly.example>"
    )
    written = Written(
        f"Harbour Weekly, issue {issue}",
        multipart(
            "alternative",
            boundary(dice),
            (
                text_part(plain, "plain", "utf-8", "quoted-printable"),
                text_part(page, "html", "utf-8", "quoted-printable"),
            ),
        ),
        page,
        preview=plain,
        extra_headers=(("List-Unsubscribe", "<https://news.example/unsubscribe>"),),
    )
    return assemble("newsletter", same, written)


def mixed(
    kind: str, letter: Letter, page: str, plain: str, files: list[tuple[str, str, Content]]
) -> SeedMessage:
    """A message with files beside its two texts."""
    items = tuple(file_attachment(*item, letter) for item in files)
    inner = alternative(letter.dice, page, plain)
    part = multipart(
        "mixed", boundary(letter.dice), (inner, *(attached_part(item) for item in items))
    )
    written = Written(prose.subject(letter.dice), part, page, preview=plain, attachments=items)
    return assemble(kind, letter, written)


def file_attachment(
    name: str, content_type: str, content: Content, letter: Letter, content_id: str | None = None
) -> SeedAttachment:
    """A fileAttachment; with a content id it is inline."""
    properties = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "@odata.mediaContentType": content_type,
        "lastModifiedDateTime": stamp(letter.at),
        "name": name,
        "contentType": content_type,
        "size": content.size + 190 + 2 * len(name),
        "isInline": content_id is not None,
        "contentId": content_id,
        "contentLocation": None,
    }
    return SeedAttachment("file", properties, content)


def attached_part(item: SeedAttachment) -> Part:
    """The MIME part of a file attachment; its bytes are read when the message is written."""
    content = item.content
    assert content is not None
    name = encoded_words(str(item.properties["name"]))
    content_id = item.properties["contentId"]
    disposition = "attachment" if content_id is None else "inline"
    headers = [
        ("Content-Description", name),
        ("Content-Disposition", f'{disposition}; filename="{name}"; size={content.size}'),
    ]
    if content_id is not None:
        headers.append(("Content-ID", f"<{content_id}>"))
    content_type = f'{item.properties["contentType"]}; name="{name}"'
    return Part(
        content_type, lambda: content.read(0, content.size), "base64", headers=tuple(headers)
    )


@lru_cache(maxsize=64)
def shared_file(number: int) -> tuple[str, str, Content]:
    """A file that goes round the company: (name, content type, bytes), the same every time."""
    dice = random.Random(f"shared file {number}")
    title = prose.subject(dice)
    if number % 3 == 0:
        return f"{title}.pdf", "application/pdf", pdf(f"shared{number}", 40_000 + number * 21_013)
    if number % 3 == 1:
        return f"{title}.docx", DOCX, BuiltBytes(lambda: docx(f"shared{number}", 60))
    return f"{title}.jpg", "image/jpeg", jpg(f"shared{number}", 60_000 + number * 17_011)


def own_file(dice: random.Random) -> tuple[str, str, Content]:
    """A file that only this message has."""
    seed = f"own {dice.getrandbits(64):x}"
    name = prose.subject(dice)
    if dice.random() < 0.5:
        table = "\r\n".join(
            f"{row};{prose.words(dice, 1)[0]};{dice.randint(1, 99_999)}" for row in range(300)
        )
        return f"{name}.csv", "text/csv", LiteralBytes(table.encode("ascii"))
    return f"{name}.pdf", "application/pdf", pdf(seed, dice.randint(20_000, 90_000))


def pdf(seed: str, size: int) -> Content:
    """PDF-like: a recognisable head and tail, some prose and much noise."""
    return SeededBytes(seed, size, "mixed", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", b"\n%%EOF\n")


def jpg(seed: str, size: int) -> Content:
    """JPEG-like: noise between the markers."""
    return SeededBytes(seed, size, "random", _JPG_HEAD, b"\xff\xd9")


def png(seed: str, size: int) -> Content:
    """PNG-like."""
    return SeededBytes(seed, size, "random", _PNG_HEAD)


def docx(seed: str, paragraph_count: int, picture_bytes: int = 0) -> bytes:
    """A Word document small enough to make whole: a real zip of XML parts."""
    dice = random.Random(seed)
    paragraphs = "".join(
        f"<w:p><w:r><w:t>{prose.paragraph(dice)}</w:t></w:r></w:p>" for _ in range(paragraph_count)
    )
    parts = {
        "[Content_Types].xml": '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats'
        '.org/package/2006/content-types"><Default Extension="xml" ContentType="text/xml"/>'
        "</Types>",
        "word/document.xml": '<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxml'
        'formats.org/wordprocessingml/2006/main"><w:body>' + paragraphs + "</w:body></w:document>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        if picture_bytes:
            picture = zipfile.ZipInfo("word/media/image1.jpeg")
            archive.writestr(picture, dice.randbytes(picture_bytes))
    return buffer.getvalue()


ORDINARY: tuple[tuple[Kind, int], ...] = (
    (plain_html, 46),
    (text_only, 20),
    (with_file, 16),
    (inline_image, 10),
    (newsletter, 8),
)
