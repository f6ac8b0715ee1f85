"""Makes the golden vault of this format version and the vectors of docs/vault-format.md.

    python -m tests.data.make_golden v1         # tests/data/golden/v1.zip and v1.json
    python -m tests.data.make_golden vectors    # the JSON in docs/vault-format.md

Both go through the product, and what they expect comes from what was put in, never from reading.
A golden vault is made once: it stands for the bytes that a released version wrote. A new version
of the format gets a new one, and every later version opens them all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
import zipfile
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.vault.cut_specification import gear_table
from tests.vault.world import StillClock
from vault import (
    Chunking,
    Entry,
    MemoryChunkIndex,
    NewSlot,
    PassphraseSlot,
    PublicKeySlot,
    Repository,
    Step,
)
from vault.box import IdType, identify
from vault.collect import Asked
from vault.merge import Limits
from vault.stores.memory import MemoryStore
from vault.tree import Shape
from vault.void import restart

HERE = Path(__file__).parent / "golden"
DOCUMENT = Path(__file__).parents[2] / "docs" / "vault-format.md"
PASSPHRASE, RECOVERY = "correct horse battery staple", "an old tin of letters"
MAILBOX, DRIVE = "mail/mailbox:11111111", "drive/drive:22222222"
NOTES = "onenote/notebook:33333333"
SMALL_CUTS = Chunking(1024, 4096, 16384)  # or a listed content would need a large vault
SMALL_NODES = Limits(shape=Shape(leaf_bytes=1500, children_max=4))
WEEK_AND_MORE = timedelta(days=9)
OLD_FILES = 8  # most of a pack, so that what is left of it moves when they are gone
WORDS = "the of and to in a is that for it as was with be by on not he his but at are this".split()


def prose(seed: int, size: int) -> bytes:
    """Text that compresses well, the same for the same seed."""
    dice = random.Random(seed)
    page = " ".join(dice.choice(WORDS) for _ in range(2_000)).encode()
    lines = (b"%d %d " % (seed, at) + page for at in range(size // len(page) + 1))
    return b"\n".join(lines)[:size]


def message(seed: int, attachment: bytes) -> bytes:
    """A message whose attachment is base64 in lines of 76, as MIME has it."""
    head = f"Subject: {seed}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    return head + base64.encodebytes(attachment).replace(b"\n", b"\r\n") + b"--\r\n"


@dataclass
class Story:
    """A vault being made, and beside it what it has to hold."""

    clock: StillClock = field(default_factory=StillClock)
    index: MemoryChunkIndex = field(default_factory=MemoryChunkIndex)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)  # chain -> id -> what it is
    points: dict[str, dict[str, Any]] = field(default_factory=dict)  # chain -> number -> items
    records: dict[str, Any] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.slot = PassphraseSlot(PASSPHRASE, n=2**10)
        slots = [self.slot, PassphraseSlot(RECOVERY, n=2**10)]
        Repository.create(self.store, slots, self.clock, SMALL_CUTS)

    def opened(self) -> Repository:
        return Repository.open(self.store, self.slot, self.clock, self.index, SMALL_NODES)

    def put(self, step: Step, chain: str, entry: Entry, **contents: bytes) -> None:
        """An item with its contents by role."""
        kept = tuple(step.add(role, data, lift=role == "mime") for role, data in contents.items())
        row, facts = dict(entry.row), dict(entry.facts)
        whole = Entry(entry.id, entry.parent, entry.kind, entry.name, row, facts, kept)
        step.put(whole, "root")
        self.items.setdefault(chain, {})[entry.id] = {
            "parent": entry.parent,
            "kind": entry.kind,
            "name": entry.name,
            "contents": {
                role: [len(data), hashlib.sha256(data).hexdigest()]
                for role, data in contents.items()
            },
        }

    def remove(self, step: Step, chain: str, id_: str) -> None:
        step.remove(id_)
        del self.items[chain][id_]

    def close(self, step: Step, chain: str, title: str) -> int:
        """The end of a round: its restore point holds what the chain holds now."""
        number = len(self.points.setdefault(chain, {})) + 1
        step.link("root", f"link-{number}", finished=True)
        about = {"title": title, "kind": chain.partition("/")[0]}
        step.commit(complete=True).close(by=f"run-{number}", about=about)
        self.points[chain][str(number)] = {
            "status": "ok", "about": about, "items": deepcopy(self.items.get(chain, {}))
        }  # fmt: skip
        return number

    def step(self, chain: str) -> Step:
        return self.opened().round(chain, len(self.points.get(chain, ())) + 1).step()

    def give_up(self, chain: str) -> None:
        """A page of a round, and then its end without a restore point."""
        step = self.step(chain)
        step.put(Entry("never", "", "message", "never"), "root")
        step.commit()
        number = str(len(self.points[chain]) + 1)
        self.opened().void(chain, int(number))
        items = self.points[chain][str(int(number) - 1)]["items"]
        self.points[chain][number] = {"status": "void", "about": {}, "items": items}

    def begin_anew(self, chain: str) -> None:
        """A restore point that says: what was before is not to be built on."""
        number = restart(self.opened()._bench, chain, by="repair-1")
        self.items[chain] = {}
        self.points[chain][str(number)] = {"status": "void", "about": {}, "items": {}}

    def collect(self, *expiring: int, chain: str = MAILBOX) -> None:
        """A whole cycle, some time later."""
        self.clock.moment += WEEK_AND_MORE
        collector = self.opened().collector()
        rows = [(chain, number) for number in expiring]
        assert collector.begin(rows, Asked(confirmed=True))
        assert not collector.slice(lambda: True)
        for number in expiring:
            del self.points[chain][str(number)]
        # Numbers go on: what is gone keeps its place.
        self.points[chain] |= {f"gone {number}": None for number in expiring}

    def blobs(self) -> dict[str, bytes]:
        return {listed.name: self.store.read(listed.name) for listed in self.store.list("")}

    def expectations(self) -> dict[str, Any]:
        """What a reader must find."""
        points = {
            chain: {number: point for number, point in rows.items() if point is not None}
            for chain, rows in self.points.items()
        }
        return {
            "passphrase": PASSPHRASE,
            "points": points,
            "records": self.records,
            "sealed": self.sealed,
        }

    def remember(self) -> None:
        """A record, and sealed bytes that expire."""
        value = {"hello": "world", "name": "\ud800 half a letter"}
        self.opened().put_record("plan/1", value)
        self.records["plan/1"] = value
        self.opened().put_sealed("export/1/part-0", b"a part of an export")
        self.sealed["export/1/part-0"] = hashlib.sha256(b"a part of an export").hexdigest()


def offline_key() -> tuple[str, str]:
    """An RSA key pair in PEM: private, public."""
    key = rsa.generate_private_key(65537, 3072)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def with_offline_key(story: Story) -> str:
    """A third slot; its private key in PEM."""
    private, public = offline_key()
    add = [NewSlot(PublicKeySlot.from_public_pem(public), "recovery")]
    story.opened().keys.change_slots(story.clock.now(), add=add, fresh=False)
    return private


def drive_round(story: Story, number: int) -> None:
    """A large file that is cut, one shared with a mail, one that changes; the first goes later."""
    step = story.step(DRIVE)
    if number == 1:
        story.put(step, DRIVE, Entry("root", "", "folder", "Documents"))
        for at in range(OLD_FILES):
            old = Entry(f"old-{at}", "root", "file", f"old {at}.bin")
            story.put(step, DRIVE, old, content=prose(20 + at, 66_000))
        story.put(step, DRIVE, Entry("big", "root", "file", "big.txt"), content=prose(7, 300_000))
        shared = Entry("shared", "root", "file", "report.pdf")
        story.put(step, DRIVE, shared, content=prose(1, 70_000))
    if number == 2:
        for at in range(OLD_FILES):
            story.remove(step, DRIVE, f"old-{at}")
        story.put(step, DRIVE, Entry("new", "root", "file", "new.txt"), content=prose(9, 500))
    story.close(step, DRIVE, "Documents")


def mail_round(story: Story, number: int) -> None:
    """Folders and mails; two pages in the first round, one mail more in each that follows."""
    step = story.step(MAILBOX)
    if number == 1:
        story.put(step, MAILBOX, Entry("inbox", "", "folder", "Inbox"))
        story.put(step, MAILBOX, Entry("sub", "inbox", "folder", "..\\CON"))
        lifted = message(1, prose(1, 70_000))
        subject = Entry("lifted", "inbox", "message", "Report", {"sort": "2026-11-24"}, {"a": 1})
        story.put(step, MAILBOX, subject, raw=b'{"subject":"Report"}', mime=lifted)
        story.put(step, MAILBOX, Entry("empty", "sub", "message", ""), mime=b"")
        step.link("root", "half-way")
        step = step.commit().step()
        for at, name in enumerate(("../../etc/passwd", "NUL", "a\u202etxt.exe", "same", "SAME")):
            hostile = Entry(f"hostile-{at}", "sub", "message", name)
            story.put(step, MAILBOX, hostile, mime=b"hostile %d" % at)
    if number == 2:
        story.remove(step, MAILBOX, "hostile-0")
        story.put(step, MAILBOX, Entry("empty", "inbox", "message", "moved"), mime=b"")
        listed = message(2, prose(7, 300_000))  # many references, written as base64
        story.put(step, MAILBOX, Entry("listed", "inbox", "message", "Big"), mime=listed)
    mail = Entry(f"m{number}", "inbox", "message", f"Mail {number}")
    story.put(step, MAILBOX, mail, mime=prose(100 + number, 3_000))
    story.close(step, MAILBOX, "Someone")


def notes_begin_anew(story: Story) -> None:
    """A chain whose newest restore point was given up as damaged, and what came after it."""
    for number in (1, 3):
        step = story.step(NOTES)
        note = Entry(f"note-{number}", "", "page", "A note")
        story.put(step, NOTES, note, content=prose(200 + number, 400))
        story.close(step, NOTES, "Notebook")
        if number == 1:
            story.begin_anew(NOTES)


def open_round(story: Story) -> None:
    """A page that no restore point closes yet."""
    step = story.step(MAILBOX)
    content = step.add("mime", b"on its way")
    step.put(Entry("open", "inbox", "message", "open", contents=(content,)), "root")
    step.link("root", "on its way")
    step.commit()


def golden() -> tuple[dict[str, bytes], dict[str, Any]]:
    """Everything the format has, as months of backups leave it."""
    story = Story()
    private = with_offline_key(story)
    drive_round(story, 1)
    for number in (1, 2, 3):
        mail_round(story, number)
    story.opened().rotate_data_key()
    story.give_up(MAILBOX)
    for number in range(5, 21):
        mail_round(story, number)
    drive_round(story, 2)
    story.remember()
    story.collect(2, 3)
    story.collect(1, chain=DRIVE)
    story.collect(6, 7)
    story.opened().rotate_data_key()
    mail_round(story, 21)
    notes_begin_anew(story)
    open_round(story)
    expected = {**story.expectations(), "recovery": RECOVERY, "private_key": private}
    return story.blobs(), expected


def vectors() -> dict[str, Any]:
    """A vault with one of each thing, for the document."""
    story = Story()
    private = with_offline_key(story)
    drive_round(story, 1)
    mail_round(story, 1)
    drive_round(story, 2)
    story.give_up(MAILBOX)
    story.remember()
    story.collect(1, chain=DRIVE)
    for _ in range(2):
        story.collect()
    ring = story.opened().keys.ring
    primitives = {
        "chain_hash": {chain: ring.chain_hash(chain) for chain in (MAILBOX, DRIVE)},
        "keys": {
            "dek": ring.deks[1].hex(),
            "k_id": ring.k_id.hex(),
            "seed": f"{ring.seed:016x}",
            "name_key": ring.name_key.hex(),
        },
        "ids": [
            {"type": int(kind), "data": b"Hello".hex(), "id": identify(ring, kind, b"Hello").hex()}
            for kind in IdType
        ],
        "gear": {"seed": "0123456789abcdef", "first": f"{gear_table(0x0123456789ABCDEF)[0]:016x}"},
    }
    encoded = {name: base64.b64encode(data).decode() for name, data in story.blobs().items()}
    return {**story.expectations(), "private_key": private, **primitives, "blobs": encoded}


def write_golden(name: str) -> None:
    """A zip with the blobs under their names, and what they hold beside it."""
    blobs, expected = golden()
    HERE.mkdir(exist_ok=True)
    with zipfile.ZipFile(HERE / f"{name}.zip", "x", zipfile.ZIP_DEFLATED) as archive:
        for blob, data in sorted(blobs.items()):
            archive.writestr(zipfile.ZipInfo(blob, (2026, 11, 24, 0, 0, 0)), data)
    text = json.dumps(expected, indent=1, sort_keys=True)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="ascii")


def write_vectors() -> None:
    """Replaces the JSON in the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split("```json\n")
    after = rest.split("\n```", 1)[1]
    block = json.dumps(vectors(), indent=1)
    DOCUMENT.write_text(f"{before}```json\n{block}\n```{after}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "vectors":
        write_vectors()
    else:
        write_golden(sys.argv[1])
