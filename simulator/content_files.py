"""Files and folders as a real drive holds them, and the names that break careless programs."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from simulator import prose
from simulator.content_kinds import docx, jpg, pdf, shared_file
from simulator.drive_item import Item
from simulator.drive_state import Drive
from simulator.filebytes import BuiltBytes, Content, LiteralBytes, SeededBytes
from simulator.web import Json

HOSTILE_NAMES: tuple[str, ...] = (
    "📊 Zahlen 👩‍👩‍👧‍👦 Q3.txt",
    "invoice\u202etxt.exe",
    "תקציב 2026 (סופי).txt",
    "تقرير.txt",
    "四半期報告書.txt",
    "CON.txt",
    "nul.tar.gz",
    "..%2f..%2fetc%2fpasswd",
    "..hidden",
    ".gitignore",
    "%00.txt",
    "100% & 'done'; #1! {a} [b] ~c^ `d` @e=f+g,.txt",
    "$(rm -rf ~).sh",
    "=cmd'!A1.csv",
    "&lt;img src=x onerror=alert(1)&gt;.html",
    "caf\u00e9.txt",
    "cafe\u0301.txt",
    "two  blanks.txt",
    "zero\u200bwidth.txt",
    "İstanbul ß ſ.txt",
    "no suffix",
    "a" * 245 + ".txt",
)
_FOLDERS = (
    ("Documents",),
    ("Documents", "Contracts"),
    ("Documents", "Contracts", "2026"),
    ("Pictures",),
    ("Projects",),
    ("Projects", "Harbour & Co"),
    ("Projects", "Harbour & Co", "Phase 2"),
    ("Attachments",),
)
_DEEP = tuple("deep folder " + "x" * 24 for _ in range(9))


class Furnisher:
    """Puts folders and files into a drive as its owner would over the years."""

    def __init__(self, drive: Drive, dice: random.Random, owner: Json, until: datetime) -> None:
        self.drive = drive
        self.dice = dice
        self.owner = owner
        self.until = until
        self._rewrites = drive.quirks.rewrite_office
        drive.quirks.rewrite_office = False

    def done(self) -> None:
        """What comes now comes through the API, with what SharePoint does to Office files."""
        self.drive.quirks.rewrite_office = self._rewrites

    def moment(self) -> tuple[datetime, datetime]:
        """Created and modified, in the last two years."""
        modified = self.until - timedelta(seconds=self.dice.randint(0, 2 * 365 * 86_400))
        created = modified - timedelta(seconds=self.dice.choice((0, 0, 3_600, 86_400 * 30)))
        return created, modified

    def folder(self, *names: str) -> Item:
        """The folder of that path, made where missing."""
        here = self.drive.root
        for name in names:
            times = self.moment()
            here = self.drive.create_folder(here, name, "replace", self.owner, times[0], times)
        return here

    def file(self, parent: Item, name: str, content: Content) -> Item:
        """A file with dates of its own."""
        times = self.moment()
        item, _ = self.drive.put_file(parent, name, content, "rename", self.owner, times[1], times)
        return item

    def ordinary(self, count: int, mean_bytes: int) -> None:
        """`count` files of the usual kinds spread over the usual folders."""
        folders = [self.folder(*names) for names in _FOLDERS]
        for _ in range(count):
            name, content = self._some_file(mean_bytes)
            self.file(self.dice.choice(folders), name, content)

    def special(self) -> None:
        """Each oddity once: 12 files, a notebook, a package of another sort, sharing."""
        top = self.drive.root
        self.file(top, "empty.txt", LiteralBytes(b""))
        self.file(top, "one byte.txt", LiteralBytes(b"x"))
        self.file(self.folder("Pictures"), "holiday.mp4", SeededBytes(self._seed(), 4_400_000))
        self.file(self.folder(*_DEEP), "at the bottom.txt", LiteralBytes(b"far down\r\n"))
        unhashed = self.file(top, "without hash.txt", LiteralBytes(b"no hash is given for this"))
        unhashed.hashless = True
        infected = self.file(top, "eicar test.com.txt", LiteralBytes(b"pretend this is malware"))
        infected.infected = True
        edited = self.file(top, "minutes.txt", LiteralBytes(b"first words\r\n"))
        for number in (2, 3):
            text = f"words of version {number}\r\n".encode("ascii")
            later = edited.modified + timedelta(hours=1)
            self.drive.write(edited, LiteralBytes(text), self.owner, later)
        self._notebook()
        self.drive.create_folder(
            top, "Ideas.space", "fail", self.owner, edited.created, kind="package"
        ).package_type = "workspace"
        self._share(self.folder("Projects", "Harbour & Co"))
        self._link(self.file(top, "price list.txt", LiteralBytes(b"everything costs ten\r\n")))

    def hostile_names(self) -> None:
        """A folder of names that are legal and unpleasant."""
        folder = self.folder("Names & more; 'quoted' #1")
        for name in HOSTILE_NAMES:
            self.file(folder, name, LiteralBytes(name.encode()))

    def large(self, name: str, size: int) -> Item:
        """One file of any size; costs no memory."""
        return self.file(self.folder("Pictures"), name, SeededBytes(f"large {name}", size))

    def _notebook(self) -> None:
        times = self.moment()
        notebook = self.drive.create_folder(
            self.drive.root, "Team Notebook", "fail", self.owner, times[0], times, kind="package"
        )
        answers: tuple[tuple[str, tuple[int, str] | None], ...] = (
            ("Minutes.one", (503, "serviceNotAvailable")),
            ("Ideas.one", (404, "itemNotFound")),
            ("Open Notebook.onetoc2", None),
        )
        for name, refusal in answers:
            item = self.file(notebook, name, SeededBytes(self._seed(), 30_000))
            item.mime_type = "application/msonenote"
            item.out_of_order = refusal

    def _share(self, folder: Item) -> None:
        identity = {"user": {"id": "", "displayName": "Robin Danielsen"}}
        permission = {
            "id": f"aTowIy5mfG1lbWJlcnNoaXB8{self.dice.getrandbits(32):x}",
            "roles": ["write"],
            "grantedTo": identity,
            "grantedToV2": identity,
        }
        self.drive.share(folder, permission, folder.modified)

    def _link(self, item: Item) -> None:
        key = f"{self.dice.getrandbits(64):016x}"
        link = {
            "type": "view", "scope": "organization", "preventsDownload": False,
            "webUrl": f"{self.drive.web_url}/:t:/g/{key}",
        }  # fmt: skip
        permission = {"id": key, "roles": ["read"], "link": link, "grantedToIdentitiesV2": []}
        self.drive.share(item, permission, item.modified)

    def _some_file(self, mean_bytes: int) -> tuple[str, Content]:
        dice = self.dice
        if dice.random() < 0.2:
            name, _, content = shared_file(dice.randint(0, 11))
            return name, content
        title, seed = prose.subject(dice), self._seed()
        size = max(200, int(dice.lognormvariate(0, 0.9) * mean_bytes * 0.67))
        makers: tuple[tuple[str, Callable[[], Content]], ...] = (
            ("docx", lambda: BuiltBytes(lambda: docx(seed, 12, size // 2))),
            ("xlsx", lambda: BuiltBytes(lambda: docx(seed, 8, size // 4))),
            ("pdf", lambda: pdf(seed, size)),
            ("jpg", lambda: jpg(seed, size)),
            ("txt", lambda: SeededBytes(seed, size // 4, "text")),
        )
        suffix, make = dice.choice(makers)
        return f"{title}.{suffix}", make()

    def _seed(self) -> str:
        return f"file {self.dice.getrandbits(64):x}"
