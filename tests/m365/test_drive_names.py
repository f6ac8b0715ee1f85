"""Names and paths that SharePoint takes, and what becomes of those it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.item import StoredItem
from m365 import drive_names as names
from m365.service import Folder
from tests.m365.drive_target import Target, stored, target

TAKEN = ("a.txt", ".gitignore", "con.txt", "a b.c", "COM10", "100% a#b&c'd + é.pdf", "vti_.txt")
REFUSED = (
    *(f"a{letter}b.txt" for letter in '"*:<>?/\\|\t\x00'),
    *("CON", "prn", "Aux", "NUL", "com0", "LPT9", ".lock", "Desktop.ini", "_vti_", "a_VTI_b"),
    *("~$a.docx", " a", "a ", "a.", "a. .", "...", " ", "", "~$", "~$ ~$con", "_vti_vti_"),
    *("x" * 300, "x" * 300 + ".txt", "a." + "x" * 300, "~$" + "é" * 254),
)


@pytest.fixture
def here() -> Iterator[Target]:
    with target() as made:
        yield made


def test_a_name_that_may_be_is_kept(here: Target) -> None:
    for name in TAKEN:
        written = here.writer().write(stored(name, b"data"), here.into, "run:1", None, False)
        assert (written.outcome, written.troubles) == ("created", ())
    assert list(here.files()) == list(TAKEN)


@pytest.mark.parametrize("versions", [False, True])
def test_a_name_that_may_not_be_becomes_a_safe_one_and_says_so(
    here: Target, versions: bool
) -> None:
    for name in REFUSED:
        item = stored(name, b"data", ((b"old", "2026-01-01T08:00:00Z"),))
        for _ in range(2):
            writer = here.writer(versions=versions)
            written = writer.write(item, here.into, "run:1", None, False)
            causes = [trouble.cause for trouble in written.troubles]
            assert [cause for cause in causes if cause != "rewritten-by-service"] == ["renamed"]
    assert list(here.files()) == [names.safe(name) for name in REFUSED]


@pytest.mark.parametrize("name", REFUSED)
def test_a_safe_name_is_safe_and_stays_itself(name: str) -> None:
    safe = names.safe(name)
    assert names.safe(safe) == safe != name
    for made in (safe, names.beside(name, "run:1"), names.unfinished(name, "run:1")):
        assert 0 < len(made) <= 255
        assert names.safe(made) == made


def test_names_that_were_different_stay_different() -> None:
    assert len({names.safe(name).casefold() for name in (*REFUSED, "a_b.txt")}) == len(REFUSED) + 1


def test_what_lies_under_a_safe_name_is_what_a_restore_collides_with(here: Target) -> None:
    writer = here.writer()
    item = stored("a|b.txt", b"data")
    writer.write(item, here.into, "run:1", None, False)
    (one,) = writer.existing(here.into)
    assert one.key == writer.identity(item).key


def test_folders_are_renamed_the_same_way(here: Target) -> None:
    stored_folder = StoredItem("f", "r", "folder", "a:b", {}, {"folder": {}}, ())
    made = [here.writer().ensure_folder(here.into, "a:b", stored_folder) for _ in range(2)]
    assert made[0] == made[1]
    assert [trouble.cause for trouble in made[0].troubles] == ["renamed"]
    assert made[0].path == (names.safe("a:b"),)


# --- Paths of more than 400 characters ---


def deep(here: Target, characters: int) -> Folder:
    """A folder whose path has so many characters."""
    folder, left = here.into, characters
    while left > 0:
        name = "d" * min(left, 200)
        made = here.drive.create_folder(
            here.drive.get(folder.id), name, "fail", {"user": {}}, here.tenant.clock.now()
        )
        folder, left = Folder(made.id, (*folder.path, name)), left - len(name) - 1
    return folder


@pytest.mark.parametrize("versions", [False, True])
def test_a_file_too_deep_goes_to_a_shorter_place_always_the_same(
    here: Target, versions: bool
) -> None:
    into = deep(here, 395)
    older = ((b"old", "2026-01-01T08:00:00Z"),)
    for _ in range(2):
        writer = here.writer(versions=versions)
        written = writer.write(stored("a.txt", b"data", older), into, "run:1", None, False)
        assert [trouble.cause for trouble in written.troubles] == ["path-shortened"]
    (path,) = here.files()
    assert path == f"deep-{names.tag(into.id, 12)}/a.txt"


def test_a_folder_too_deep_and_what_lies_in_it_go_to_a_shorter_place(here: Target) -> None:
    into = deep(here, 395)
    folder = StoredItem("f", "p", "folder", "Contracts", {}, {"folder": {}}, ())
    made = [here.writer().ensure_folder(into, "Contracts", folder) for _ in range(2)]
    assert made[0].id == made[1].id
    assert [trouble.cause for trouble in made[0].troubles] == ["path-shortened"]
    written = here.writer().write(stored("a.txt", b"data"), made[0], "run:1", None, False)
    assert written.troubles == ()
    assert next(iter(here.files())).count("/") == 1


def test_shorter_places_lie_in_the_folder_of_the_restore(here: Target) -> None:
    writer = here.writer()
    top = writer.ensure_folder(here.into, "Restored today", None)
    into = deep(here, 395)
    writer.write(stored("a.txt", b"data"), into, "run:1", None, False)
    (path,) = here.files()
    assert path.startswith(f"{top.path[0]}/deep-")


def test_a_path_that_is_too_long_everywhere_is_said_and_nothing_is_left(here: Target) -> None:
    writer = here.writer()
    writer.ensure_folder(here.into, "t" * 200, None)
    into = deep(here, 395)
    written = writer.write(stored("a" * 250, b"data"), into, "run:1", None, False)
    assert (written.outcome, written.troubles[0].cause) == ("failed", "path-too-long")
    assert here.files() == {}


def test_a_path_known_to_be_too_long_is_not_even_tried(here: Target) -> None:
    """Whatever the service would say to it."""
    folder = deep(here, 395)
    known = StoredItem(folder.id, "p", "folder", folder.path[-1], {}, {"folder": {}}, ())
    writer = here.writer()
    into = writer.original_folder(known)
    assert into == folder
    asked = here.graph.counters.by_kind["post"]
    written = writer.write(stored("a.txt", b"data"), into, "run:1", None, False)
    assert [trouble.cause for trouble in written.troubles] == ["path-shortened"]
    assert here.graph.counters.by_kind["post"] - asked == 2  # the folder "deep-…", the session
