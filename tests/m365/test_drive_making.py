"""Files that take more than one request: versions in order, replacing by a swap, and what a death
at any request leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from base.errors import Throttled
from base.item import StoredItem
from m365.drive_names import beside
from m365.graph.errors import (
    Forbidden,
    Locked,
    MaybeDone,
    QuotaFull,
    SessionGone,
    TransientFailure,
)
from m365.service import Existing, Unfinished, Written
from simulator.drive_upload import uploads
from simulator.filebytes import LiteralBytes
from tests.m365.drive_target import (
    Killed,
    Target,
    bytes_of,
    content_of,
    part,
    shown,
    stored,
    target,
)

OLDER = ((b"one", "2026-01-01T08:00:00Z"), (b"second", "2026-02-01T08:00:00Z"))
NEWEST = (b"the third", "2026-06-01T08:00:00Z")
REQUESTS_MAX = 40


@pytest.fixture
def here() -> Iterator[Target]:
    with target() as made:
        yield made


def write(
    here: Target, item: StoredItem, marker: str = "run:1", dies_at: int = 0, **wish: Any
) -> Written:
    """Writes into the root: replace=True what has the name, new_name=True beside it."""
    options = {key: wish.pop(key) for key in ("versions", "permissions") if key in wish}
    replace = here.find(item.name) if wish.pop("replace", False) else None
    writer = here.writer(dies_at, **options)
    return writer.write(item, here.into, marker, replace, bool(wish.pop("new_name", False)))


def causes(written: Written) -> list[str]:
    return [trouble.cause for trouble in written.troubles]


# --- Versions ---


def test_versions_come_back_oldest_first_each_with_its_date(here: Target) -> None:
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
    assert (written.outcome, written.troubles) == ("created", ())
    assert here.history("a.txt") == [*OLDER, NEWEST]
    assert shown(here.item("a.txt").created) == "2024-03-01T08:00:00Z"
    assert here.bin() == []


def test_without_being_asked_for_versions_the_content_comes_alone(here: Target) -> None:
    write(here, stored("a.txt", NEWEST[0], OLDER))
    assert here.history("a.txt") == [NEWEST]


def test_versions_are_ordered_by_number_and_those_without_by_date(here: Target) -> None:
    item = stored("a.txt", b"newest")
    late = part("version", b"ten", {"id": "10.0", "modified": "2026-03-01T00:00:00Z"})
    early = part("version", b"nine", {"id": "9.0", "modified": "2026-04-01T00:00:00Z"})
    parts = (item.parts[0], late, early)
    write(here, StoredItem("i", "p", "file", "a.txt", {}, item.raw, parts), versions=True)
    assert [data for data, _ in here.history("a.txt")] == [b"nine", b"ten", b"newest"]


def test_empty_versions_keep_their_place_and_date(here: Target) -> None:
    older = ((b"", "2026-01-01T08:00:00Z"), (b"full", "2026-02-01T08:00:00Z"))
    write(here, stored("a.txt", b"", older), versions=True)
    assert here.history("a.txt") == [*older, (b"", NEWEST[1])]


def test_a_library_that_keeps_fewer_versions_says_so(here: Target) -> None:
    here.drive.quirks.versions_kept = 0
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
    assert causes(written) == ["versions-not-kept"]
    assert here.history("a.txt") == [NEWEST]


def test_a_file_that_may_not_get_new_content_comes_back_without_its_history(here: Target) -> None:
    """As those with a sensitivity label, which applications may create and not change."""
    here.tenant.faults.map(r"/items/[^:/]+/(createUploadSession|content)", "p", loop=True)
    for _ in range(2):
        written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
        assert written.outcome == "created"
    assert here.history("a.txt") == [NEWEST]


def test_a_file_that_may_not_get_new_content_says_that_its_history_is_missing(here: Target) -> None:
    here.put("a.txt", b"old")
    here.tenant.faults.map(r"/items/[^:/]+/(createUploadSession|content)", "p", loop=True)
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True, replace=True)
    assert (written.outcome, causes(written)) == ("replaced", ["versions-not-kept"])
    assert here.files() == {"a.txt": NEWEST[0]}


class Hasty:
    """A step that is over as soon as it may be."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}

    def is_over(self) -> bool:
        return True

    def kept(self, key: str) -> list[str]:
        return self.values.get(key, [])

    def keep(self, key: str, number: int, value: str) -> None:
        self.values.setdefault(key, []).append(value)


@pytest.mark.parametrize("recognized", [True, False])
def test_a_history_over_many_steps_comes_to_an_end_whatever_the_drive_makes_of_it(
    here: Target, recognized: bool
) -> None:
    if not recognized:  # metadata of the library may change the size of any file
        here.drive._as_stored = lambda _, __, content: LiteralBytes(  # type: ignore[method-assign]
            content_of(content) + b"more"
        )
    step, item, steps = Hasty(), stored("a.txt", NEWEST[0], OLDER), 0
    while steps < 20:
        steps += 1
        writer = here.writer(versions=True)
        writer.work_in(step)
        with suppress(Unfinished):
            written = writer.write(item, here.into, "run:1", None, False)
            break
    assert steps == (3 if recognized else 4)
    assert list(here.files()) == ["a.txt"]
    if recognized:
        assert here.history("a.txt") == [*OLDER, NEWEST]
    else:
        assert causes(written) == ["content-mismatch", "versions-not-kept"]
        assert here.files()["a.txt"] == NEWEST[0] + b"more"


@pytest.mark.parametrize("kept", [500, 0])
def test_a_history_cut_off_at_any_request_is_completed_and_never_doubled(
    here: Target, kept: int
) -> None:
    here.drive.quirks.versions_kept = kept
    for dies_at in range(1, REQUESTS_MAX):
        item = stored(f"{dies_at}.txt", NEWEST[0], OLDER)
        survived = False
        with suppress(Killed):
            write(here, item, dies_at=dies_at, versions=True)
            survived = True
        assert here.files().get(f"{dies_at}.txt", NEWEST[0]) == NEWEST[0]
        if not survived and f"{dies_at}.txt" not in here.files():
            assert write(here, item, versions=True).outcome == "created"
        assert here.history(f"{dies_at}.txt") == [*OLDER, NEWEST][-1 - kept :]
        assert len(here.files()) == dies_at, "something unfinished was left"
        if survived:
            return
    raise AssertionError("it never survived")


def test_versions_that_look_alike_are_told_apart_by_their_number(here: Target) -> None:
    alike = tuple((f"v{n}".encode(), "2026-01-01T08:00:00Z") for n in range(4))
    item = stored("a.txt", b"v4", alike, modified="2026-01-01T08:00:00Z")
    for dies_at in range(1, REQUESTS_MAX):
        with suppress(Killed):
            write(here, item, dies_at=dies_at, versions=True)
            break
    assert [data for data, _ in here.history("a.txt")] == [b"v0", b"v1", b"v2", b"v3", b"v4"]
    assert here.bin() == []


def test_lost_answers_double_nothing(here: Target) -> None:
    requests = r"uploadSession|POST .*createUploadSession|PATCH|DELETE"
    for number in range(12):
        here.tenant.faults.calm()
        here.tenant.faults.map(requests, "." * number + "d")
        name = f"{number}.txt"
        here.put(name, b"old")
        written = write(here, stored(name, NEWEST[0], OLDER), versions=True, replace=True)
        assert (written.outcome, written.troubles) == ("replaced", ())
        assert here.history(name) == [*OLDER, NEWEST]
        assert len(here.files()) == number + 1
        assert len(here.bin()) == number + 1


# --- Replacing ---


def test_a_replaced_file_lies_whole_in_the_recycle_bin(here: Target) -> None:
    old = here.put("a.txt", b"old")
    written = write(here, stored("a.txt", b"newer"), replace=True)
    assert (written.outcome, written.troubles) == ("replaced", ())
    assert here.files() == {"a.txt": b"newer"}
    assert here.bin() == [("a.txt", 3)]
    assert written.id == here.item("a.txt").id != old.id
    assert shown(here.item("a.txt").modified) == NEWEST[1]


@pytest.mark.parametrize("name", ["a.txt", "a.docx", "a"])
def test_a_replacement_cut_off_at_any_request_loses_nothing_and_is_finished(
    here: Target, name: str
) -> None:
    for dies_at in range(1, REQUESTS_MAX):
        if name in here.files():
            here.drive.delete(here.item(name), here.tenant.clock.now(), for_good=True)
        old = here.put(name, b"old")
        item = stored(name, NEWEST[0], OLDER)
        clash = here.find(name)
        survived = False
        with suppress(Killed):
            here.writer(dies_at, versions=True).write(
                item, here.into, f"run{dies_at}:1", clash, False
            )
            survived = True
        states = [row for row in here.files().values() if row.startswith(NEWEST[0])]
        assert not old.deleted or states, "the old one went before the new one was whole"
        if not survived:
            again = here.writer(versions=True).write(
                item, here.into, f"run{dies_at}:1", clash, False
            )
            assert again.outcome == "replaced"
        assert list(here.files()) == [name]
        assert here.files()[name].startswith(NEWEST[0])
        assert len(here.history(name)) == 3
        assert old.recycled
        if survived:
            return
    raise AssertionError("it never survived")


def test_what_arrives_otherwise_leaves_the_old_file_in_place(here: Target) -> None:
    here.put("a.txt", b"old")
    here.drive._as_stored = lambda *_: LiteralBytes(b"garbage")  # type: ignore[method-assign]
    written = write(here, stored("a.txt", b"newer"), replace=True)
    assert (written.id, written.outcome, causes(written)) == ("", "failed", ["content-mismatch"])
    assert here.files() == {"a.txt": b"old"}


def test_an_office_file_is_replaced_although_its_bytes_cannot_be_compared(here: Target) -> None:
    here.put("a.docx", b"old")
    written = write(here, stored("a.docx", b"newer"), replace=True)
    assert (written.outcome, causes(written)) == ("replaced", ["rewritten-by-service"])
    assert here.files()["a.docx"].startswith(b"newer")


def test_a_file_that_somebody_edits_is_not_replaced(here: Target) -> None:
    here.put("a.txt", b"old").open_elsewhere = True
    with pytest.raises(Locked):
        write(here, stored("a.txt", b"newer"), replace=True)
    assert here.files() == {"a.txt": b"old"}


def test_a_full_drive_keeps_the_old_file_and_nothing_unfinished(here: Target) -> None:
    here.put("a.txt", b"old")
    here.drive.quota_bytes = 10
    with pytest.raises(QuotaFull):
        write(here, stored("a.txt", NEWEST[0], OLDER), versions=True, replace=True)
    assert here.files() == {"a.txt": b"old"}


def test_a_name_taken_in_the_middle_of_a_swap_stays_theirs(here: Target) -> None:
    here.put("a.txt", b"old")
    clash = here.find("a.txt")
    item = stored("a.txt", b"newer")
    with suppress(Killed):  # between the old one's end and the new one's name
        here.writer(5).write(item, here.into, "run:1", clash, False)
    assert "a.txt" not in here.files()
    here.put("A.TXT", b"theirs")
    written = here.writer().write(item, here.into, "run:1", clash, False)
    assert (written.outcome, causes(written)) == ("copied", ["name-taken"])
    assert sorted(here.files().values()) == [b"newer", b"theirs"]
    assert here.files()["A.TXT"] == b"theirs"


def test_the_new_file_stays_where_the_old_one_is_gone_whatever_fails_then(here: Target) -> None:
    here.put("a.txt", b"old")
    clash = here.find("a.txt")
    item = stored("a.txt", NEWEST[0], OLDER)
    with suppress(Killed):  # right before the new one gets the name
        here.writer(10, versions=True).write(item, here.into, "run:1", clash, False)
    assert here.bin() == [("a.txt", 3)]
    here.tenant.faults.map(r"GET .*/versions", "q")
    with pytest.raises(QuotaFull):
        here.writer(versions=True).write(item, here.into, "run:1", clash, False)
    assert list(here.files().values()) == [NEWEST[0]]
    here.writer(versions=True).write(item, here.into, "run:1", clash, False)
    assert here.history("a.txt") == [*OLDER, NEWEST]


def test_a_copy_whose_name_a_folder_has_is_not_taken_for_made(here: Target) -> None:
    here.folder(beside("a.txt", "run:1"))
    written = write(here, stored("a.txt", b"data"), new_name=True)
    assert (written.id, written.outcome, causes(written)) == ("", "skipped", ["name-taken"])


# --- Beside ---


def test_a_copy_is_made_once_however_often_it_is_asked_for(here: Target) -> None:
    here.put("a.txt", b"old")
    for versions in (False, True):
        marker = f"run:{versions}"
        for _ in range(2):
            item = stored("a.txt", NEWEST[0], OLDER)
            written = write(here, item, marker, new_name=True, versions=versions)
            assert written.outcome == "copied"
        path = "/".join(here.drive.path(here.drive.get(written.id)))
        assert len(here.history(path)) == (3 if versions else 1)
    assert len(here.files()) == 3


def test_case_twins_are_both_kept(here: Target) -> None:
    writer = here.writer()
    first = writer.write(stored("a.txt", b"same"), here.into, "run:1", None, False)
    twin = writer.write(stored("A.txt", b"same"), here.into, "run:2", None, False)
    assert (first.outcome, twin.outcome) == ("created", "copied")
    assert causes(twin) == ["name-taken"]
    assert len(here.files()) == 2


@pytest.mark.parametrize("versions", [False, True])
def test_a_folder_that_has_the_name_stays_and_the_file_goes_beside(
    here: Target, versions: bool
) -> None:
    folder = here.folder("a.txt")
    kept = here.put("kept.txt", b"kept", here.drive.get(folder.id))
    assert here.find("a.txt") is None
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=versions, replace=True)
    assert (written.outcome, causes(written)) == ("copied", ["name-taken"])
    assert not kept.deleted


# --- Sessions ---


def test_empty_files_appear_with_their_dates(here: Target) -> None:
    assert write(here, stored("a.txt", b"")).outcome == "created"
    assert here.history("a.txt") == [(b"", NEWEST[1])]


def test_an_empty_file_overwrites_nothing(here: Target) -> None:
    here.put("a.txt", b"old")
    written = write(here, stored("a.txt", b""))
    assert (written.outcome, causes(written)) == ("copied", ["name-taken"])
    assert here.files()["a.txt"] == b"old"


def test_where_sessions_are_refused_small_files_are_put_and_large_ones_say_so(
    here: Target,
) -> None:
    here.drive.quirks.sessions_need_sites = True
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
    assert (written.outcome, written.troubles) == ("created", ())
    assert here.history("a.txt") == [*OLDER, NEWEST]
    with pytest.raises(Forbidden):
        write(here, stored("b.bin", bytes(5 * 1024 * 1024)))
    assert list(here.files()) == ["a.txt"]


def test_a_session_lost_in_the_middle_of_a_history_is_begun_anew(here: Target) -> None:
    here.tenant.faults.map(r"PUT .*uploadSession", ".m")
    written = write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
    assert written.troubles == ()
    assert here.history("a.txt") == [*OLDER, NEWEST]


def test_ranges_that_break_are_resumed(here: Target) -> None:
    data = bytes(range(256)) * 30_000
    uploads(here.tenant).faults.extend(["broken", 503, "broken", "lost"])
    written = write(here, stored("a.bin", data))
    assert (written.outcome, written.troubles) == ("created", ())
    assert bytes_of(here.item("a.bin")) == data


def test_renaming_that_touches_the_dates_is_made_good(here: Target) -> None:
    here.drive.quirks.rename_dates = True
    write(here, stored("a.txt", NEWEST[0], OLDER), versions=True)
    assert here.history("a.txt")[-1] == NEWEST


def test_a_day_full_of_faults_ends_in_the_truth(here: Target) -> None:
    """Steps die of problems and are repeated, as the engine does; nothing is doubled or lost."""
    here.tenant.faults.hostile()
    for number in range(12):
        name = f"{number}.txt"
        here.put(name, b"old")
        item = stored(name, NEWEST[0], OLDER)
        clash = Existing(here.item(name).id, name, "")
        for _ in range(50):
            try:
                writer = here.writer(versions=True)
                written = writer.write(item, here.into, "run:1", clash, False)
                break
            except Throttled as wait:
                here.tenant.clock.advance(wait.retry_after_s)
            except (TransientFailure, MaybeDone, SessionGone):
                pass  # the next attempt looks at what is there
        assert written.outcome == "replaced"
        assert here.history(name) == [*OLDER, NEWEST]
        assert len(here.files()) == number + 1
    assert here.tenant.counters.faults.total() > 3


def test_a_file_without_dates_is_recognized_when_its_answer_was_lost(here: Target) -> None:
    whole = stored("a.txt", b"data")
    raw = {key: value for key, value in whole.raw.items() if key != "fileSystemInfo"}
    item = StoredItem(whole.id, "p", "file", "a.txt", whole.row, raw, whole.parts)
    here.tenant.faults.map(r"PUT .*uploadSession", "d")
    written = write(here, item)
    assert (written.outcome, written.troubles) == ("created", ())
    assert here.files() == {"a.txt": b"data"}
