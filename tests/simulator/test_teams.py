"""Teams of the simulated tenant: channels, messages, their feed, migration mode."""

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulator import Tenant, hostile, openapi, serve
from simulator.teams import add_channel, add_foreign_channel, channel_of, teams
from simulator.teams_content import fill_team, team_month
from simulator.tenant import Clock
from tests.simulator.wire import Wire

NOW = datetime(2026, 11, 20, 17, tzinfo=UTC)


@pytest.fixture
def tenant():
    return Tenant(3, clock=Clock(NOW))


@pytest.fixture
def team(tenant):
    members = [tenant.add_user(name).id for name in ("Adele Vance", "Jörg Müller", "田中 太郎")]
    group = tenant.add_group("Harbour Project", members)
    return fill_team(tenant, group.id, random.Random(1), 4, NOW)


@pytest.fixture
def wire(tenant, team):
    with serve(tenant) as running:
        yield Patient(running, tenant.backup_app)


class Patient(Wire):
    """Asks four times a second at most, by the tenant's clock."""

    def send(self, method, url, body=None, *, bare=False, **headers):
        self.tenant.clock.advance(0.3)
        return super().send(method, url, body, bare=bare, **headers)


def general(team):
    return next(iter(team.channels.values()))


def base(team, channel=None):
    return f"/teams/{team.id}/channels/{(channel or general(team)).id}"


def everything(wire, url):
    pages, last = wire.walk(url)
    return [entry for page in pages for entry in page], last


def test_all_channels_hold_incoming_ones_and_no_deleted_one(wire, tenant, team):
    other = tenant.add_group("Other", tenant.groups[team.id].members)
    host = fill_team(tenant, other.id, random.Random(2), 1, NOW)
    shared = add_channel(tenant, host, "Shared", NOW, "shared", shared_with={team.id})
    gone = add_channel(tenant, team, "Gone", NOW, deleted=True)
    listed, _ = everything(wire, f"/teams/{team.id}/allChannels")
    own = {one.id for one in team.channels.values() if not one.deleted}
    assert {one["id"] for one in listed} == own | {shared.id, *(one.id for one in team.foreign)}
    told = next(one for one in listed if one["id"] == shared.id)
    assert f"/teams/{host.id}/channels/" in told["@odata.id"]
    assert wire.send("GET", base(team, gone)).status == 404
    assert wire.send("GET", base(team, team.foreign[0]) + "/messages").status == 403


@pytest.mark.parametrize("difficult", [False, True])
def test_a_list_with_replies_holds_every_message(wire, tenant, team, difficult):
    if difficult:
        tenant.quirks = hostile()
    roots, _ = everything(wire, base(team) + "/messages?$top=50&$expand=replies")
    found = set()
    for root in roots:
        found |= {root["id"], *(one["id"] for one in root["replies"])}
        if "replies@odata.nextLink" in root:
            more, _ = everything(wire, root["replies@odata.nextLink"])
            found |= {one["id"] for one in more}
    assert found == set(general(team).talk.messages)


def test_a_first_round_tells_of_eight_months_and_later_ones_of_every_change(wire, team):
    talk, link = general(team).talk, base(team) + "/messages/delta?$top=50"
    first, link = everything(wire, link)
    roots = talk.roots()
    young = {one.id for one in roots if one.modified > NOW - timedelta(days=243)}
    assert young <= {one["id"] for one in first}
    old = min(roots, key=lambda one: int(one.id))
    assert old.id not in {one["id"] for one in first}
    assert everything(wire, link)[0] == []
    talk.post(old.sender, {"contentType": "text", "content": "late"}, NOW, reply_to=old.id)
    changed, link = everything(wire, link)
    assert [one["id"] for one in changed] == [old.id]
    assert "replies" not in changed[0]
    talk.delete(old, NOW)
    (gone,), _ = everything(wire, link)
    assert gone["deletedDateTime"]
    assert gone["body"]["content"] == ""


def test_hosted_contents_are_where_the_body_says(wire, team):
    for one in general(team).talk.messages.values():
        if not one.hosted or one.deleted:
            continue
        place = f"{base(team)}/messages/{one.reply_to or one.id}"
        place += f"/replies/{one.id}" if one.reply_to else ""
        shown = wire.get(place)
        listed = wire.get(f"{place}/hostedContents")["value"]
        assert {entry["id"] for entry in listed} == set(one.hosted)
        for key, kept in one.hosted.items():
            link = f"{place}/hostedContents/{key}/$value"
            assert link in shown["body"]["content"] or link in shown["attachments"][0]["content"]
            assert wire.send("GET", link).data == kept.content.read(0, kept.content.size)


def test_more_than_four_requests_a_second_on_a_team_are_refused(wire, tenant, team):
    statuses = [Wire.send(wire, "GET", f"/teams/{team.id}").status for _ in range(6)]
    assert statuses.count(429) == 2
    tenant.clock.advance(1.1)
    assert Wire.send(wire, "GET", f"/teams/{team.id}").status == 200


def test_a_channel_whose_feed_is_refused_answers_400_to_its_own_link(wire, team):
    refused = next(one for one in team.channels.values() if one.delta_refused)
    first = wire.get(base(team, refused) + "/messages/delta")
    assert first["value"] == []
    assert wire.send("GET", first["@odata.nextLink"]).status == 400


class TestMigration:
    """Writing messages into a channel that exists."""

    @pytest.fixture
    def writer(self, wire, tenant):
        return Patient(wire.running, tenant.restore_app)

    def message(self, **facts):
        sender = {"user": {"id": "1", "displayName": "Adele", "userIdentityType": "aadUser"}}
        body = {"contentType": "html", "content": "<p>hello</p>"}
        at = "2020-01-01T10:00:00.001Z"
        return {"createdDateTime": at, "from": sender, "body": body} | facts

    def test_nothing_is_written_outside_of_migration_mode(self, writer, team):
        assert writer.send("POST", base(team) + "/messages", self.message()).status == 403

    def test_messages_come_with_their_sender_and_time(self, writer, team):
        start = {"conversationCreationDateTime": "2020-01-01T00:00:00Z"}
        assert writer.send("POST", base(team) + "/startMigration", start).status == 204
        assert writer.send("POST", base(team) + "/startMigration", start).status == 400
        shown = [{"@microsoft.graph.temporaryId": "1", "contentBytes": "aGVsbG8=",
                  "contentType": "image/png"}]  # fmt: skip
        body = {"contentType": "html", "content": '<img src="../hostedContents/1/$value">'}
        made = writer.post(base(team) + "/messages", self.message(body=body, hostedContents=shown))
        assert made["createdDateTime"] == "2020-01-01T10:00:00.001Z"
        assert f"/messages/{made['id']}/hostedContents/" in made["body"]["content"]
        assert writer.send("POST", base(team) + "/messages", self.message()).status == 409
        old = self.message(createdDateTime="2019-12-31T00:00:00Z")
        assert writer.send("POST", base(team) + "/messages", old).status == 400
        reply = self.message(createdDateTime="2020-01-01T10:00:00.002Z")
        where = f"{base(team)}/messages/{made['id']}/replies"
        assert writer.post(where, reply)["replyToId"] == made["id"]
        assert writer.send("POST", base(team) + "/completeMigration").status == 204
        assert writer.send("POST", where, reply).status == 403

    def test_only_who_started_it_may_go_on(self, writer, tenant, team):
        other = tenant.add_app("Other", ("Teamwork.Migrate.All",))
        assert writer.send("POST", base(team) + "/startMigration").status == 204
        stranger = Patient(writer.running, other)
        assert stranger.send("POST", base(team) + "/completeMigration").status == 403
        assert channel_of(tenant, team.id, general(team).id).migration == "inProgress"


def test_months_leave_tombstones_and_change_the_channels(tenant, team):
    counted = Counter()
    for _ in range(3):
        team_month(tenant, team.id, random.Random(5), NOW, counted)
    assert counted["messages deleted"]
    assert counted["channels made"]
    assert counted["channels deleted"]
    assert any(one.deleted for one in general(team).talk.messages.values())
    assert teams(tenant)[team.id] is team


def test_foreign_channels_name_their_tenant(wire, tenant, team):
    add_foreign_channel(tenant, team, "Second", NOW)
    listed, _ = everything(wire, f"/teams/{team.id}/allChannels")
    assert sum(one["tenantId"] != tenant.id for one in listed) == 2


def test_answers_fit_the_schema(wire, tenant, team):
    names = os.environ.get(openapi.ENVIRONMENT, "")
    paths = [Path(one) for one in names.split(os.pathsep) if "v1.0" in one]
    if not paths:
        pytest.skip(f"{openapi.ENVIRONMENT} names no document")
    document = openapi._Document(paths[0]).load()
    lists = {
        f"/teams/{team.id}/allChannels": "channel",
        f"/teams/{team.id}/members": "conversationMember",
        f"{base(team)}/tabs?$expand=teamsApp": "teamsTab",
        f"{base(team)}/messages?$top=50&$expand=replies": "chatMessage",
        f"{base(team)}/messages/delta": "chatMessage",
    }
    found = [("team", wire.get(f"/teams/{team.id}"))]
    found += [(kind, one) for url, kind in lists.items() for one in everything(wire, url)[0]]
    assert len(found) > 40
    for kind, one in found:
        schema = {"$ref": f"#/components/schemas/microsoft.graph.{kind}"}
        assert openapi._mismatch(document, schema, one, kind, 0) is None
