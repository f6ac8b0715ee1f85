"""Drives over the wire: what a rename, a deletion, a download and a version look like there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.item import Change
from m365.graph.permissions import can_change
from simulator.drive_state import Drive
from simulator.filebytes import LiteralBytes
from tests.facts.test_calendar import asked
from tests.m365.cases_drive import DriveCase
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage

BY = {"user": {"displayName": "Somebody"}}


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(DriveCase()) as found:
        for item in drive_of(found).items.values():
            item.out_of_order = None  # open notebooks would be waited for
        yield found


def drive_of(on: Stage) -> Drive:
    return on.tenant.drives[on.resource.graph_id]


def a_folder_with_files(on: Stage) -> tuple[str, list[str]]:
    """A folder below the root with a folder in it, and the ids of the three files in both."""
    drive, now = drive_of(on), on.tenant.clock.now()
    top = drive.create_folder(drive.root, "Harbour", "fail", BY, now)
    below = drive.create_folder(top, "Piles", "fail", BY, now)
    files = [
        drive.put_file(parent, f"{number}.txt", LiteralBytes(b"x" * number), "fail", BY, now)[0]
        for number, parent in ((1, top), (2, below), (3, below))
    ]
    return top.id, [one.id for one in files]


def test_a_quiet_round_is_one_request_of_one_unit(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    before, heard = on.tenant.counters.sharepoint_units, asked(on)
    mirror.round(on.source())
    assert on.tenant.counters.sharepoint_units - before == 1
    assert len(heard) == 1
    assert "/root/" in heard[0]


def test_a_renamed_folder_comes_alone_without_paths_and_no_file_is_read(on: Stage) -> None:
    folder, files = a_folder_with_files(on)
    mirror = Mirror()
    mirror.round(on.source())
    drive, now = drive_of(on), on.tenant.clock.now()
    drive.rename(drive.items[folder], "Harbour works", drive.root, BY, now)
    heard = asked(on)
    mirror.round(on.source())
    assert not [path for path in heard if "download.aspx" in path]
    assert on.found(mirror) == on.truth()
    for file in files:
        assert "path" not in mirror.items[file].change.raw["parentReference"]


def test_a_deleted_folder_brings_the_deletion_of_everything_in_it_in_any_order(on: Stage) -> None:
    folder, files = a_folder_with_files(on)
    mirror = Mirror()
    mirror.round(on.source())
    drive = drive_of(on)
    drive.delete(drive.items[folder], on.tenant.clock.now())
    mirror.round(on.source())
    assert not {folder, *files} & mirror.items.keys()
    assert on.found(mirror) == on.truth()


def test_what_moved_out_of_a_folder_before_it_was_deleted_stays(on: Stage) -> None:
    folder, files = a_folder_with_files(on)
    mirror = Mirror()
    mirror.round(on.source())
    drive, now = drive_of(on), on.tenant.clock.now()
    drive.rename(drive.items[files[1]], "saved.txt", drive.root, BY, now)
    drive.delete(drive.items[folder], now)
    drive.quirks.children_first = True
    mirror.round(on.source())
    assert on.found(mirror) == on.truth()
    assert files[1] in mirror.items


def test_downloads_take_no_token_and_their_addresses_are_kept_nowhere(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    assert not on.tenant.counters.offences
    for kept in mirror.items.values():
        whole = str({**kept.change.raw, **kept.change.volatile})
        assert "tempauth" not in whole
        assert "downloadUrl" not in whole
    assert any(kept.change.secret for kept in mirror.items.values())


def test_an_address_that_has_expired_is_asked_for_anew_of_the_item(on: Stage) -> None:
    drive, now = drive_of(on), on.tenant.clock.now()
    item, _ = drive.put_file(drive.root, "late.txt", LiteralBytes(b"late"), "fail", BY, now)
    drive.quirks.download_url_ttl_s = 1
    source = on.source()
    entries = [entry for page in source.changes({}, frozenset()) for entry in page.entries]
    on.tenant.clock.advance(300)
    drive.quirks.download_url_ttl_s = 600
    change = next(one for one in entries if one.id == item.id)
    assert isinstance(change, Change)
    heard = asked(on)
    parts, troubles = source.fetch(change)
    content = next(part for part in parts if part.role == "content")
    data = content.data if isinstance(content.data, bytes) else b"".join(content.data)
    assert (data, troubles) == (b"late", [])
    assert any(f"/items/{item.id}" in path for path in heard)


def test_the_current_version_is_never_asked_for_as_a_version(on: Stage) -> None:
    drive, now = drive_of(on), on.tenant.clock.now()
    item, _ = drive.put_file(drive.root, "plan.txt", LiteralBytes(b"one"), "fail", BY, now)
    drive.write(item, LiteralBytes(b"two two"), BY, now)
    heard, mirror = asked(on), Mirror()
    mirror.round(on.source())
    versions = [path for path in heard if f"{item.id}/versions/" in path]
    assert [path for path in versions if "/versions/1.0/" in path]
    assert not [path for path in versions if "/versions/2.0/" in path]
    kept = mirror.items[item.id]
    assert [data for role, data, _ in kept.parts if role == "version"] == [b"one"]


def test_no_permission_that_changes_anything_is_asked_for_to_read_drives() -> None:
    service = DriveCase.service
    assert not any(map(can_change, service.reads))
    assert "Sites.FullControl.All" not in (*service.reads, *service.writes)
