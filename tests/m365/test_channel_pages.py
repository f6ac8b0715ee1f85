"""Pages of channels, written into the simulated tenant's files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import simulator
from base.item import StoredItem
from m365.channel_pages import ChannelPages
from m365.graph.auth import ClientSecret
from m365.graph.client import GraphWriter, Place
from m365.graph.errors import ResourceGone
from m365.graph.throttle import Limiter
from m365.service import Folder, Resource
from simulator.contoso import build
from simulator.teams import Channel, teams
from tests.formats.items import part
from tests.m365.stage import TenantClock

WRITES = ("Files.ReadWrite.All",)


class Scene:
    """A team with files, and a writer of pages."""

    def __init__(self, running: simulator.Running) -> None:
        self.tenant = running.tenant
        self.group = next(one for one in self.tenant.groups.values() if one.drive_id)
        self.running = running

    def writer(self) -> ChannelPages:
        """As another process would make it."""
        app = self.tenant.add_app("Writer", WRITES)
        credential = ClientSecret(self.tenant.id, app.app_id, next(iter(app.secrets)))
        clock = TenantClock(self.tenant)
        place = Place(self.running.url, self.running.url, self.running.ca)
        writer = GraphWriter(place, credential, Limiter(clock=clock), clock)
        return ChannelPages(writer, Resource("team", self.group.id))

    def channel(self, with_files: bool = True) -> Channel:
        every = teams(self.tenant)[self.group.id].channels.values()
        return next(one for one in every if (one.folder is not None) == with_files)

    def names(self, drive_id: str, item_id: str) -> dict[str, bytes]:
        drive = self.tenant.drives[drive_id]
        children = drive.children(drive.get(item_id))
        return {
            one.name: one.content.read(0, one.content.size) if one.content else b""
            for one in children
        }


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with simulator.serve(build("small", 4)) as running:
        yield Scene(running)


def stored(channel: Channel, group_id: str) -> StoredItem:
    return StoredItem(channel.id, group_id, "folder", channel.name, {}, {}, ())


def page(name: str = "General.html", data: bytes = b"<!doctype html>hello") -> StoredItem:
    raw = {"lastModifiedDateTime": "2026-03-04T05:06:07Z"}
    return StoredItem("page:x:y", "y", "page", name, {}, raw, (part("content", data),))


def test_a_page_lies_in_the_folder_of_its_channels_files(scene: Scene) -> None:
    channel, writer = scene.channel(), scene.writer()
    folder = writer.original_folder(stored(channel, scene.group.id))
    assert folder is not None
    written = writer.write(page("First.html"), folder, "run:1", None, new_name=False)
    assert (written.outcome, written.troubles) == ("created", ())
    assert channel.folder is not None
    assert scene.names(*channel.folder)["First.html"] == b"<!doctype html>hello"


def test_a_repeated_step_knows_its_own_page(scene: Scene) -> None:
    folder = scene.writer().original_folder(stored(scene.channel(), scene.group.id))
    assert folder is not None
    written = scene.writer().write(page("Again.html"), folder, "run:1", None, new_name=False)
    other = scene.writer()
    identity = other.identity(page("Again.html"))
    [same] = [one for one in other.existing(folder) if one.key == identity.key]
    assert (same.id, same.same) == (written.id, identity.same)


def test_an_undo_takes_the_page_away_and_nothing_else(scene: Scene) -> None:
    channel, writer = scene.channel(), scene.writer()
    folder = writer.original_folder(stored(channel, scene.group.id))
    assert folder is not None
    assert channel.folder is not None
    before = scene.names(*channel.folder)
    written = writer.write(page("Undone.html"), folder, "run:1", None, new_name=False)
    assert len(scene.names(*channel.folder)) == len(before) + 1
    scene.writer().remove(written.id)
    assert scene.names(*channel.folder) == before
    scene.writer().remove(written.id)  # gone already: fine


def test_a_page_never_writes_over_what_is_there(scene: Scene) -> None:
    channel, writer = scene.channel(), scene.writer()
    folder = writer.original_folder(stored(channel, scene.group.id))
    assert folder is not None
    assert channel.folder is not None
    writer.write(page("Kept.html"), folder, "run:1", None, new_name=False)
    [old] = [one for one in writer.existing(folder) if one.key == "kept.html"]
    copied = writer.write(page("Kept.html", b"new"), folder, "run:2", None, new_name=True)
    assert copied.outcome == "copied"
    assert scene.names(*channel.folder)["Kept.html"] == b"<!doctype html>hello"
    swapped = writer.write(page("Kept.html", b"newer"), folder, "run:3", old, new_name=False)
    assert swapped.outcome == "replaced"
    assert scene.names(*channel.folder)["Kept.html"] == b"newer"


def test_a_channel_without_a_folder_gets_one_in_the_teams_library(scene: Scene) -> None:
    channel, writer = scene.channel(with_files=False), scene.writer()
    assert writer.original_folder(stored(channel, scene.group.id)) is None
    team = StoredItem(scene.group.id, "", "folder", "The team", {}, {}, ())
    top = writer.ensure_folder(writer.root(), "Restored", None)
    made = writer.ensure_folder(top, channel.name, stored(channel, scene.group.id))
    assert writer.ensure_folder(top, channel.name, stored(channel, scene.group.id)) == made
    assert (
        writer.original_folder(team)
        == writer.root()
        == writer.ensure_folder(writer.root(), "The team", team)
    )
    writer.write(page(), made, "run:1", None, new_name=False)
    drive_id, _, item_id = made.id.partition("/")
    assert drive_id == scene.group.drive_id
    assert list(scene.names(drive_id, item_id)) == ["General.html"]


def test_a_team_without_a_library_is_told_apart(scene: Scene) -> None:
    other = scene.tenant.add_group("No library", [])
    lonely = scene.writer()
    lonely._team_id = other.id
    with pytest.raises(ResourceGone):
        lonely.root()
    assert isinstance(scene.writer().root(), Folder)
