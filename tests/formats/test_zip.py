"""The streamed archive: readable by others, the same each time, honest about what is not in it."""

import hashlib
import io
import json
import shutil
import subprocess
import tracemalloc
import zipfile

import pytest

from base.errors import NotFound, Throttled
from base.item import StoredPart
from formats import ContentMissing, archive_entry, file_of
from formats.item_file import ItemFile
from formats.zip import BLOCK_BYTES, MANIFEST, ArchiveEntry, zip_stream
from tests.formats.items import file, message, part


def opened(entries, **options) -> tuple[bytes, zipfile.ZipFile, dict]:
    data = b"".join(zip_stream(entries, **options))
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return data, archive, json.loads(archive.read(MANIFEST))


def several():
    return [
        archive_entry(file("report.docx", b"PK" * 500, "2026-03-04T05:06:07Z", id="1"), ["Docs"]),
        archive_entry(file("notes.txt", b"text " * 5000, "1601-01-01T00:00:00Z", step=999), []),
        archive_entry(file("REPORT.docx", b"", "2200-01-01T00:00:00.1234567Z"), ["docs"]),
        archive_entry(file("漢字\u202e.txt", b"1"), ["..", "é"]),
        archive_entry(message({"subject": "hi"}, part("mime", b"Subject: hi\r\n\r\n")), ["Inbox"]),
        archive_entry(message({"id": "m2", "subject": "hi"}, missing=("mime: x",)), ["Inbox"]),
        archive_entry(file("virus.exe", None, missing=("content: malware",)), ["Docs"]),
    ]


def test_every_file_comes_back_and_the_manifest_proves_it():
    _, archive, manifest = opened(several())
    assert archive.namelist() == [
        "Docs/report.docx",
        "notes.txt",
        "Docs/REPORT (2).docx",
        "folder/é/漢字_.txt",
        "Inbox/hi.eml",
        "Inbox/hi (2).eml",
        MANIFEST,
    ]
    assert archive.read("notes.txt") == b"text " * 5000
    assert manifest["format"] == "holdfast-export/1"
    lines = manifest["items"]
    for line in lines[:6]:
        content = archive.read(line["path"])
        assert line["size"] == len(content)
        assert line["sha256"] == hashlib.sha256(content).hexdigest()
    assert (lines[0]["id"], lines[0]["parent"], lines[0]["folders"]) == ("1", "root", ["Docs"])
    assert [line["rebuilt"] for line in lines[4:6]] == [False, True]
    assert lines[5]["missing"] == ["mime: x"]


def test_an_item_without_content_is_in_the_manifest_and_not_in_the_archive():
    _, archive, manifest = opened(several())
    line = manifest["items"][-1]
    assert line["missing"] == ["content: malware"]
    assert "path" not in line
    assert not any("virus" in name for name in archive.namelist())
    with pytest.raises(ContentMissing):
        file_of(file("virus.exe", None))


def test_the_same_entries_give_the_same_bytes():
    assert b"".join(zip_stream(several())) == b"".join(zip_stream(several()))


def test_times_are_the_items_and_within_what_a_zip_can_hold():
    _, archive, _ = opened(several())
    assert archive.getinfo("Docs/report.docx").date_time == (2026, 3, 4, 5, 6, 6)
    assert archive.getinfo("notes.txt").date_time == (1980, 1, 1, 0, 0, 0)
    assert archive.getinfo("Docs/REPORT (2).docx").date_time == (2107, 12, 31, 23, 59, 58)
    assert archive.getinfo(MANIFEST).date_time == (1980, 1, 1, 0, 0, 0)


def test_what_is_compressed_already_is_stored_and_the_rest_deflated():
    _, archive, _ = opened(several())
    assert archive.getinfo("Docs/report.docx").compress_type == zipfile.ZIP_STORED
    notes = archive.getinfo("notes.txt")
    assert notes.compress_type == zipfile.ZIP_DEFLATED
    assert notes.compress_size < notes.file_size / 10


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_finds_nothing_wrong(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"".join(zip_stream(several())))
    done = subprocess.run(["unzip", "-t", tmp_path / "a.zip"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stdout


def test_an_empty_selection_is_a_whole_archive():
    _, archive, manifest = opened([])
    assert archive.namelist() == [MANIFEST]
    assert manifest["items"] == []


class Damaged(NotFound):
    code = "damaged"


def failing(problem: Exception) -> ArchiveEntry:
    def blocks():
        yield b"half of it"
        raise problem

    broken = StoredPart("content", 20, {}, blocks)
    item = file("broken.bin", None)
    return archive_entry(type(item)("b", "root", "file", "broken.bin", {}, item.raw, (broken,)), [])


def test_a_file_damaged_beyond_repair_costs_only_itself_when_the_caller_says_so():
    entries = [*several()[:1], failing(Damaged("gone")), archive_entry(file("z.txt", b"z"), [])]
    _, archive, manifest = opened(entries, left_out=(Damaged,))
    assert archive.namelist() == ["Docs/report.docx", "z.txt", MANIFEST]
    line = manifest["items"][1]
    assert line["problem"] == "damaged"
    assert "path" not in line


def test_any_other_problem_ends_the_archive_loudly():
    with pytest.raises(Throttled):
        list(zip_stream([failing(Throttled("wait", 1.0))], left_out=(Damaged,)))
    with pytest.raises(Damaged):
        list(zip_stream([failing(Damaged("gone"))]))


def test_entries_are_asked_for_only_when_the_reader_wants_more():
    asked = []

    def entries():
        for number in range(100):
            asked.append(number)
            yield archive_entry(file(f"{number}.jpg", b"\xa5" * BLOCK_BYTES), [])

    stream = zip_stream(entries())
    next(stream)
    assert len(asked) == 1
    next(stream)
    assert len(asked) == 2
    stream.close()


def test_memory_stays_bounded_whatever_the_size():
    block = b"\x00\x01\x02\x03" * 65_536

    def blocks():
        for _ in range(400):
            yield block

    entries = [ArchiveEntry(file("a.bin", None), (), ItemFile("a.bin", "x/y", None, None, blocks))]
    tracemalloc.start()
    largest = max(len(made) for made in zip_stream(entries))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest <= 2 * BLOCK_BYTES
    assert peak < 4_000_000  # of 100 MB


def test_a_file_that_may_be_huge_gets_zip64_and_a_small_one_does_not():
    data, archive, _ = opened(several())
    extra = {info.filename: info.header_offset for info in archive.infolist()}

    def zip64(name: str) -> bool:
        at = extra[name]
        names, fields = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (26, 28))
        return data[at + 30 + names : at + 30 + names + fields].startswith(b"\x01\x00")

    assert not zip64("notes.txt")
    assert zip64("Inbox/hi (2).eml")  # rebuilt: its size is known only when it is written
