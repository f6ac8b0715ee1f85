"""The files the vault is measured on, generated; docs/performance.md says what and why.

    whole/{mailbox}/{n}.eml         messages; each lies in 1 to 5 mailboxes, with headers of its own
    whole/graph/{mailbox}/{n}.json  messages as Graph answers them, about 1.6 KB
    whole/files/{folder}/{name}     office documents; some are attachments of mail as well
    whole/src/v1, v2                Python's own standard library, and an edited copy
    whole/big/v1.db, v2.db          a large binary file, and a copy with 40 inserts and overwrites
    mail/{mailbox}/{n}.eml          the messages of the whole once more (links)
    unshared/alone/{n}.eml          mail whose attachments are all different
    small/{part}/{folder}/{n}       files of 2 to 20 KB
    stream/one/stream.bin           a file that no program could hold

Theory of operation: everything depends on one seed and the version of Python. How much repeats is
decided here and reported as `Reuse`, because it decides how small a vault gets: no figure on size
means anything without it. Nothing repeats by accident: attachments are repeated as messages are, by
being in several mailboxes (COPIES in _mail.py), and every seventh attachment lies in files/ too.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random

from benchmarks._documents import Documents
from benchmarks._mail import Attachment, Mail
from benchmarks._prose import Prose

WHOLE, MAIL, UNSHARED, SMALL, STREAM = "whole", "mail", "unshared", "small", "stream"
_MAILBOXES = 12
_ALSO_A_FILE = 7  # every seventh attachment
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is generated."""

    mail_bytes: int = 330_000_000
    unshared_bytes: int = 80_000_000
    graph: int = 8_000
    files_bytes: int = 110_000_000
    sources: int = 2_000  # files of the standard library, at most
    big_bytes: int = 90_000_000
    small: int = 25_000
    stream_bytes: int = 2_000_000_000


USUAL = Scale()
FULL = Scale(
    mail_bytes=1_200_000_000,
    unshared_bytes=250_000_000,
    graph=30_000,
    files_bytes=450_000_000,
    big_bytes=300_000_000,
    small=100_000,
    stream_bytes=10_000_000_000,
)


@dataclass(slots=True)
class Reuse:
    """How much of the generated mail repeats: shares that a reader of the figures must know."""

    messages: int = 0  # different ones
    copies: int = 0  # files of mail
    attachment_bytes: int = 0  # decoded, in all mail
    attachment_bytes_once: int = 0
    attachment_bytes_in_files: int = 0  # of different attachments, those that lie in files/ too

    def report(self) -> dict[str, float]:
        """The counts, and the share of attachment bytes that a mailbox before held already."""
        share = 1 - self.attachment_bytes_once / max(self.attachment_bytes, 1)
        return {**asdict(self), "attachment_share_repeated": round(share, 3)}


def main(arguments: list[str]) -> int:
    """`FOLDER SCALE`: generates, in a process of its own, and prints what repeats."""
    corpus = Corpus(Path(arguments[0]), Scale(**json.loads(arguments[1])))
    corpus.make()
    print(json.dumps(corpus.reuse.report()))
    return 0


class Corpus:
    """Generates into a folder; the parts in any order give the same files."""

    def __init__(self, root: Path, scale: Scale, seed: int = 20261124) -> None:
        self._root = root
        self._scale = scale
        self._seed = seed
        self.reuse = Reuse()
        self._shared: list[Attachment] = []

    def make(self) -> None:
        """All parts, and the counts of what repeats."""
        self.mail()
        self.unshared()
        self.graph()
        self.files()
        self.sources()
        self.big()
        self.small()
        self.stream()

    def mail(self) -> None:
        """Mailboxes of one organization."""
        dice, _, _, mail = self._makers(1)
        boxes = [f"mailbox{number:02}" for number in range(_MAILBOXES)]
        held, carried = 0, 0
        while held < self._scale.mail_bytes:
            message = mail.message()
            self.reuse.messages += 1
            for attachment in message.attachments:
                self.reuse.attachment_bytes_once += len(attachment.data)
                carried += 1
                if carried % _ALSO_A_FILE == 0:
                    self._shared.append(attachment)
                    self.reuse.attachment_bytes_in_files += len(attachment.data)
            for box in dice.sample(boxes, mail.copies()):
                data = mail.delivered(message, box)
                name = f"{box}/{self.reuse.copies:06}.eml"
                self._write(f"whole/{name}", data)
                self._link(f"whole/{name}", f"mail/{name}")
                held += len(data)
                self.reuse.copies += 1
                self.reuse.attachment_bytes += sum(len(one.data) for one in message.attachments)

    def unshared(self) -> None:
        """One mailbox whose messages nobody else got."""
        _, _, _, mail = self._makers(2)
        held = 0
        for number in count():
            if held >= self._scale.unshared_bytes:
                return
            data = mail.delivered(mail.message(), "alone")
            held += len(data)
            self._write(f"unshared/alone/{number:06}.eml", data)

    def graph(self) -> None:
        """Messages without their body's text, as a page of a delta query lists them."""
        dice, prose, _, _ = self._makers(3)
        for number in range(self._scale.graph):
            self._write(
                f"whole/graph/mailbox{number % _MAILBOXES:02}/{number:06}.json", _json(dice, prose)
            )

    def files(self) -> None:
        """Documents of all kinds; what mail carried already comes first."""
        dice, prose, documents, _ = self._makers(4)
        held = 0
        for number in count():
            if held >= self._scale.files_bytes:
                return
            if number < len(self._shared):
                name, data = self._shared[number].name, self._shared[number].data
            else:
                kind, data = documents.any(documents.size(250_000, 1.3, 12_000_000))
                name = f"{prose.title()}.{kind}"
            held += len(data)
            self._write(f"whole/files/folder{dice.randint(0, 40):02}/{number:05} {name}", data)

    def sources(self) -> None:
        """Real source, which is better than any that we could make up."""
        dice = self._makers(5)[0]
        root = Path(sysconfig.get_path("stdlib"))
        paths = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
        for path in paths[: self._scale.sources]:
            name, data = path.relative_to(root).as_posix(), path.read_bytes()
            self._write(f"whole/src/v1/{name}", data)
            if dice.random() < 0.02:
                continue  # deleted since
            self._write(
                f"whole/src/v2/{name}", _edited_text(dice, data) if dice.random() < 0.12 else data
            )

    def big(self) -> None:
        """A file that is edited in places."""
        dice = self._makers(6)[0]
        data = b"".join(_binary(dice, self._scale.big_bytes))
        self._write("whole/big/v1.db", data)
        self._write("whole/big/v2.db", edited(dice, data, 40))

    def small(self) -> None:
        """Half mail, a quarter JSON, the rest source and thumbnails."""
        dice, prose, documents, mail = self._makers(7)
        for number in range(self._scale.small):
            part = number % 20
            if part < 10:
                data = mail.delivered(mail.message(attachments=False), "small")
            elif part < 15:
                data = b"".join(_json(dice, prose) for _ in range(dice.randint(1, 4)))
            elif part < 18:
                data = "\n\n".join(prose.paragraphs(dice.randint(300, 2_000))).encode()
            else:
                data = documents.jpeg(dice.randint(2_000, 20_000))
            data = data[: dice.randint(15_000, 20_000)]
            self._write(f"small/part{number % 4}/folder{number // 1000:03}/{number:06}", data)

    def stream(self) -> None:
        """One file of any size, never held whole; nothing in it repeats."""
        dice = Random(self._seed * 100 + 8)
        path = self._root / "stream" / "one" / "stream.bin"
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            for block in _binary(dice, self._scale.stream_bytes):
                file.write(block)

    def _makers(self, part: int) -> tuple[Random, Prose, Documents, Mail]:
        dice = Random(self._seed * 100 + part)
        prose = Prose(dice)
        documents = Documents(dice, prose)
        return dice, prose, documents, Mail(dice, prose, documents)

    def _link(self, name: str, other: str) -> None:
        path = self._root / other
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(self._root / name, path)

    def _write(self, name: str, data: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def edited(dice: Random, data: bytes, edits: int) -> bytes:
    """A copy with inserts and overwrites of 1 byte to 60 KB."""
    copy = bytearray(data)
    for _ in range(edits):
        at = dice.randrange(len(copy))
        new = dice.randbytes(dice.choice((1, 20, 500, 8_000, 60_000)))
        end = at if dice.random() < 0.5 else at + len(new)
        copy[at:end] = new
    return bytes(copy)


def _binary(dice: Random, size: int) -> Iterator[bytes]:
    """Blocks that compress by half, like pages of a database: a third noise, the rest sparser."""
    table = bytes(value % 11 for value in range(256))
    for at in range(0, size, _BLOCK):
        block = dice.randbytes(min(_BLOCK, size - at))
        yield block if dice.random() < 0.33 else block.translate(table)


def _edited_text(dice: Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    for _ in range(dice.randint(1, 6)):
        lines.insert(dice.randrange(len(lines)), b"    # changed in %d" % dice.randint(1, 10**6))
    return b"\n".join(lines)


def _json(dice: Random, prose: Prose) -> bytes:
    sender, title = prose.person(), prose.title()
    id_ = base64.urlsafe_b64encode(dice.randbytes(108)).decode()
    value = {
        "@odata.etag": f'W/"{base64.b64encode(dice.randbytes(30)).decode()}"',
        "id": id_,
        "createdDateTime": f"2026-09-{dice.randint(1, 28):02}T08:{dice.randint(10, 59)}:04Z",
        "changeKey": base64.b64encode(dice.randbytes(30)).decode(),
        "internetMessageId": f"<{dice.randbytes(16).hex().upper()}@eurprd04.prod.outlook.com>",
        "subject": title,
        "bodyPreview": prose.words(38),
        "importance": "normal",
        "parentFolderId": base64.urlsafe_b64encode(dice.randbytes(84)).decode(),
        "conversationId": base64.urlsafe_b64encode(dice.randbytes(72)).decode(),
        "isRead": dice.random() < 0.8,
        "isDraft": False,
        "webLink": f"https://outlook.office365.com/owa/?ItemID={id_}&exvsurl=1&viewmodel=ReadItem",
        "flag": {"flagStatus": "notFlagged"},
        "from": {"emailAddress": {"name": sender, "address": "someone@contoso.example"}},
        "toRecipients": [
            {"emailAddress": {"name": prose.person(), "address": "other@contoso.example"}}
            for _ in range(dice.randint(1, 4))
        ],
    }
    return json.dumps(value).encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
