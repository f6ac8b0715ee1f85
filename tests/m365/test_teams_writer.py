"""Restores of Teams: messages by migration mode, and pages in the files of channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from base.item import Cause, StoredItem, StoredPart
from m365 import SERVICES
from m365.graph.errors import Forbidden, ResourceGone
from m365.service import Folder, Resource, Writer, Written
from m365.teams_pages import FilesNotReady
from m365.teams_target import ChannelMissing, MessagesStay
from m365.teams_writer import MOVED, AnsweredIsMissing
from simulator.chat_message import ChatMessage, user_identity
from simulator.teams import Channel, Team, add_channel, add_team, teams
from tests.m365.cases_teams import shown
from tests.m365.mirror import Mirror
from tests.m365.stage import Stage, stage
from tests.m365.test_services import CASES

CASE = CASES["teams"]
ANNA, BEN = user_identity("1", "Anna"), user_identity("2", "Ben")
SERVICE = SERVICES["teams"]


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(CASE) as staged:
        yield staged


@pytest.fixture
def target(on: Stage) -> Team:
    """A team with young, empty channels of the same names."""
    group = on.tenant.add_group("Target", on.tenant.groups[source(on).id].members)
    made = add_team(on.tenant, group.id, on.tenant.clock.now())
    for one in source(on).channels.values():
        if one.name != "General":
            add_channel(on.tenant, made, one.name, on.tenant.clock.now(), one.membership)
    return made


def source(on: Stage) -> Team:
    return teams(on.tenant)[on.resource.graph_id]


def named(team: Team, name: str = "General") -> Channel:
    return next(one for one in team.channels.values() if one.name == name)


def writer_for(on: Stage, team: Team, *, migration: bool = True) -> Any:
    assert SERVICE.writer is not None
    return SERVICE.writer(on.writer, Resource("team", team.id), migration=migration)


def backup(on: Stage) -> Mirror:
    mirror = Mirror()
    assert mirror.round(on.source())
    return mirror


def stored(mirror: Mirror) -> list[StoredItem]:
    """Every message, in the order in which an engine hands them over."""
    kept = [one for one in mirror.items.values() if one.change.kind == "channel-message"]
    return [one.stored() for one in sorted(kept, key=lambda one: str(one.change.row["sort"]))]


def restore(on: Stage, mirror: Mirror, writer: Writer) -> list[Written]:
    """All messages, folder by folder, as a first attempt of a restore would."""
    found = []
    for item in stored(mirror):
        channel = mirror.items[item.parent].stored()
        into = writer.ensure_folder(writer.root(), channel.name, channel)
        found.append(writer.write(item, into, "run:1", None, new_name=False))
    return found


def facts(team: Team) -> list[tuple[Any, ...]]:
    """What people would miss: who said what and when, below which message, with which pictures."""
    return sorted(
        (
            channel.name, one.id, one.reply_to or "", _sender(one),
            one.subject or "", one.importance, _plain(one), len(one.mentions),
            tuple(content.sha256 for content in shown(one) if not one.attachments),
            tuple(entry["contentType"] for entry in one.attachments),
        )
        for channel in team.channels.values()
        if not channel.unprovisioned
        for one in channel.talk.messages.values()
        if not one.deleted and one.message_type == "message"
    )  # fmt: skip


def _sender(one: ChatMessage) -> list[tuple[str, str]]:
    found = (one.sender or {}).values()
    return [(str(who["id"]), str(who["displayName"])) for who in found if who]


def _plain(one: ChatMessage) -> str:
    text = str(one.body["content"])
    return text if "hostedContents" not in text else "pictures"


def message(at: str, words: str = "hello", sender: Any = ANNA, **raw: Any) -> StoredItem:
    """A stored message; `at` is a time without zone of one day."""
    created = f"2026-06-01T{at}Z"
    body = {"contentType": "text", "content": words}
    whole = {"id": at, "createdDateTime": created, "from": sender, "body": body, **raw}
    return StoredItem(f"c/{at}", "c", "channel-message", words, {}, whole, ())


def write(writer: Any, into: Folder, item: StoredItem) -> Written:
    found: Written = writer.write(item, into, "run:1", None, new_name=False)
    return found


class TestMessages:
    """By migration mode."""

    @pytest.mark.parametrize("difficult", [False, True])
    def test_all_messages_come_back_with_sender_time_thread_and_pictures(
        self, on: Stage, target: Team, difficult: bool
    ) -> None:
        mirror = backup(on)
        if difficult:
            on.tenant.quirks.p_short_page = on.tenant.quirks.p_empty_page = 0.5
        writer = writer_for(on, target)
        written = restore(on, mirror, writer)
        writer.finish()
        assert facts(target) == facts(source(on))
        assert {one.outcome for one in written} == {"created", "skipped"}
        assert not [t for one in written for t in one.troubles if t.retry]
        assert {one.migration for one in target.channels.values()} <= {None, "completed"}
        assert on.tenant.counters.violations == []
        assert on.tenant.counters.statuses[403] == 0

    def test_what_is_still_there_is_not_written_again(self, on: Stage) -> None:
        mirror = backup(on)
        before = facts(source(on))
        lost = next(one for one in named(source(on)).talk.roots() if one.subject == "Two pictures")
        for one in [lost, *named(source(on)).talk.replies(lost.id)]:
            del named(source(on)).talk.messages[one.id]
        writer = writer_for(on, source(on))
        written = restore(on, mirror, writer)
        assert facts(source(on)) == before
        assert sum(one.outcome == "created" for one in written) == 3

    def test_a_repeated_attempt_finds_what_it_wrote(self, on: Stage, target: Team) -> None:
        mirror = backup(on)
        restore(on, mirror, writer_for(on, target))
        before = facts(target)
        again = writer_for(on, target)
        assert not [one for one in restore(on, mirror, again) if one.outcome == "created"]
        assert facts(target) == before
        folder = again.ensure_folder(again.root(), "General", None)
        present = {one.key: one.same for one in again.existing(Folder(named(target).id))}
        assert folder.path == ("General",)
        for item in stored(mirror):
            skipped = item.raw.get("deletedDateTime") or item.raw.get("eventDetail")
            if item.parent == named(source(on)).id and not skipped:
                identity = again.identity(item)
                assert present[identity.key] == identity.same

    def test_a_message_whose_time_is_taken_comes_a_little_later_and_once(
        self, on: Stage, target: Team
    ) -> None:
        into = Folder(named(target).id)
        first = message("10:00:00.005")
        assert write(writer_for(on, target), into, first).outcome == "created"
        talk = named(target).talk
        (one,) = talk.messages.values()
        talk.delete(one, on.tenant.clock.now())
        moved = write(writer_for(on, target), into, first)
        assert [t.cause for t in moved.troubles] == [MOVED]
        assert write(writer_for(on, target), into, first).outcome == "skipped"
        other = write(writer_for(on, target), into, message("10:00:00.005", "from Ben", BEN))
        assert other.outcome == "created"
        assert len([one for one in talk.messages.values() if not one.deleted]) == 2

    def test_a_reply_goes_below_what_was_written_for_its_message(
        self, on: Stage, target: Team
    ) -> None:
        into = Folder(named(target).id)
        root = message("10:00:00.005")
        at = str(round(on.tenant.clock.now().timestamp() * 1000))
        writer = writer_for(on, target)
        write(writer, into, root)
        key = next(iter(named(target).talk.messages))
        reply = message("10:00:01.000", "yes", replyToId=key)
        made = write(writer_for(on, target), into, reply)
        assert named(target).talk.messages[made.id].reply_to == key
        with pytest.raises(AnsweredIsMissing):
            write(writer, into, message("11:00:00.000", "lost", replyToId=at))

    def test_what_teams_wrote_and_what_was_deleted_is_left_out(
        self, on: Stage, target: Team
    ) -> None:
        into, writer = Folder(named(target).id), writer_for(on, target)
        event = write(writer, into, message("10:00:00", eventDetail={"@odata.type": "x"}))
        assert [t.cause for t in event.troubles] == [Cause.DERIVED]
        gone = write(writer, into, message("10:00:01", deletedDateTime="2026-06-02T10:00:00Z"))
        assert gone.outcome == "skipped"
        assert named(target).migration is None

    @pytest.mark.parametrize("lost", [{"from": None}, {"from": {"user": None}},
                                      {"createdDateTime": None}])  # fmt: skip
    def test_a_message_without_a_sender_or_a_time_is_left_out_with_the_reason(
        self, on: Stage, target: Team, lost: dict[str, Any]
    ) -> None:
        item = message("10:00:00")
        item = replace(item, raw={**item.raw, **lost})
        written = write(writer_for(on, target), Folder(named(target).id), item)
        assert [t.cause for t in written.troubles] == [Cause.NOT_SUPPORTED]
        assert named(target).migration is None

    def test_a_picture_that_does_not_fit_is_left_out_with_the_reason(
        self, on: Stage, target: Team
    ) -> None:
        link = "https://graph.microsoft.com/v1.0/teams/t/channels/c/messages/1/hostedContents/big"
        body = {"contentType": "html", "content": f'<img src="{link}/$value">'}
        item = message("10:00:00", body=body)
        big = StoredPart("hosted", 9_000_000, {"id": "big"}, lambda: iter((b"",)))
        written = write(writer_for(on, target), Folder(named(target).id), replace_parts(item, big))
        assert [(t.part, t.cause) for t in written.troubles] == [("hosted:big", Cause.TOO_LARGE)]

    def test_the_channel_is_dated_back_and_migration_ends_whatever_happened(
        self, on: Stage, target: Team
    ) -> None:
        channel, into = named(target), Folder(named(target).id)
        made = channel.created
        write(writer_for(on, target), into, message("10:00:00"))
        assert channel.migration == "inProgress"
        assert channel.created < made - timedelta(days=30)
        for _ in range(2):
            writer_for(on, target).finish()
            assert channel.migration == "completed"

    def test_a_migration_that_another_restore_ended_is_started_again(
        self, on: Stage, target: Team
    ) -> None:
        into, writer = Folder(named(target).id), writer_for(on, target)
        write(writer, into, message("10:00:00"))
        writer_for(on, target).finish()
        assert write(writer, into, message("11:00:00")).outcome == "created"

    def test_a_migration_of_somebody_else_is_left_alone(self, on: Stage, target: Team) -> None:
        channel = named(target)
        channel.migration, channel.migrator = "inProgress", "another app"
        writer = writer_for(on, target)
        with pytest.raises(Forbidden):
            write(writer, Folder(channel.id), message("10:00:00"))
        writer.finish()
        assert channel.migration == "inProgress"

    def test_no_message_is_ever_taken_away(self, on: Stage, target: Team) -> None:
        for migration in (True, False):
            with pytest.raises(MessagesStay):
                writer_for(on, target, migration=migration).remove("1")


class TestChannels:
    """Where messages go."""

    def test_a_private_channel_never_becomes_one_that_more_people_read(
        self, on: Stage, target: Team
    ) -> None:
        mirror = backup(on)
        budget = mirror.items[named(source(on), "Budget").id].stored()
        named(target, "Budget").membership = "standard"
        for migration in (True, False):
            writer = writer_for(on, target, migration=migration)
            with pytest.raises(ChannelMissing):
                writer.ensure_folder(writer.root(), budget.name, budget)

    def test_the_channel_itself_is_found_under_its_new_name(self, on: Stage) -> None:
        mirror = backup(on)
        budget = mirror.items[named(source(on), "Budget").id].stored()
        named(source(on), "Budget").name = "Money"
        for migration in (True, False):
            writer = writer_for(on, source(on), migration=migration)
            found = writer.original_folder(budget)
            assert found is not None
            assert found.id == budget.id

    def test_a_team_that_is_gone_is_told_apart(self, on: Stage, target: Team) -> None:
        del teams(on.tenant)[target.id]
        with pytest.raises(ResourceGone):
            writer_for(on, target, migration=False).root()


class TestPages:
    """In the files of channels."""

    @pytest.fixture
    def page(self) -> StoredItem:
        data = b"<html>all of it</html>"
        part = StoredPart("content", len(data), {}, lambda: iter((data,)))
        return StoredItem("page:x", "c", "page", "General.html", {}, {}, (part,))

    def test_a_page_is_put_beside_the_files_and_taken_back(
        self, on: Stage, target: Team, page: StoredItem
    ) -> None:
        drive = next(iter(on.tenant.drives.values()))
        named(target).folder = (drive.id, drive.root.id)
        writer = writer_for(on, target, migration=False)
        into = replace(Folder(named(target).id), path=("Restored today",))
        made = write(writer, into, page)
        assert made.outcome == "created"
        assert ["Restored today", "General.html"] in [drive.path(one) for one in drive.living()]
        (there,) = writer.existing(into)
        assert (there.id, there.key) == (made.id, writer.identity(page).key)
        writer.remove(made.id)
        assert list(writer.existing(into)) == []

    def test_a_channel_whose_files_are_not_ready_says_what_to_do(
        self, on: Stage, target: Team, page: StoredItem
    ) -> None:
        with pytest.raises(FilesNotReady) as problem:
            write(writer_for(on, target, migration=False), Folder(named(target).id), page)
        assert "Files" in str(problem.value.hint)


def replace_parts(item: StoredItem, *parts: StoredPart) -> StoredItem:
    return replace(item, parts=parts)
