"""Permissions of the fake drive, old versions made current, and what lies in its recycle bin."""

from typing import Any

import pytest

from simulator import truth
from simulator.drive_state import recycled
from simulator.filebytes import LiteralBytes
from tests.simulator.drive_client import NOW, OWNER, Client, code


@pytest.fixture
def client() -> Client:
    return Client()


def invite(client: Client, item: Any, *recipients: dict[str, str], **more: Any) -> Any:
    body = {"recipients": list(recipients), "roles": ["write"], "sendInvitation": False, **more}
    return client.ask("POST", f"/items/{item.id}/invite", body)


def test_an_invitation_grants_and_mails_nobody_where_that_is_asked(client):
    item, user = client.file("a.txt"), client.tenant.add_user("Megan Bowen")
    answer = invite(client, item, {"objectId": user.id})
    assert answer.status == 200
    (granted,) = answer.body["value"]
    assert (granted["roles"], granted["grantedToV2"]["user"]["id"]) == (["write"], user.id)
    assert not client.tenant.counters.sharing_mail
    assert client.get(f"/items/{item.id}/permissions")["value"] == [granted]


@pytest.mark.parametrize("said", [{"sendInvitation": True}, {"sendInvitation": None}])
def test_an_invitation_mails_unless_it_is_told_not_to(client, said):
    item, user = client.file("a.txt"), client.tenant.add_user("Megan Bowen")
    invite(client, item, {"email": user.properties["mail"]}, **said)
    assert client.tenant.counters.sharing_mail == {"invitation": 1}


def test_inviting_again_changes_the_permission_that_is_there(client):
    item, user = client.file("a.txt"), client.tenant.add_user("Megan Bowen")
    first = invite(client, item, {"objectId": user.id}).body["value"][0]
    second = invite(client, item, {"objectId": user.id}, roles=["read"]).body["value"][0]
    assert (first["id"], second["roles"]) == (second["id"], ["read"])
    assert len(item.permissions) == 1


def test_whom_the_directory_does_not_know_is_refused_alone_and_told_among_others(client):
    item, user = client.file("a.txt"), client.tenant.add_user("Megan Bowen")
    unknown = {"email": "nobody@elsewhere.example"}
    assert code(invite(client, item, unknown)) == (400, "invalidRequest")
    both = invite(client, item, unknown, {"objectId": user.id})
    assert both.status == 207
    assert ["error" in one for one in both.body["value"]] == [True, False]


def test_a_link_of_the_same_kind_is_given_again(client):
    item = client.file("a.txt")
    wish = {"type": "view", "scope": "organization"}
    answers = [client.ask("POST", f"/items/{item.id}/createLink", wish) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 200]
    assert answers[0].body == answers[1].body
    assert answers[0].body["link"]["webUrl"].startswith("https://")


def test_a_site_may_forbid_anonymous_links(client):
    item = client.file("a.txt")
    client.drive.quirks.anonymous_links = False
    wish = {"type": "view", "scope": "anonymous"}
    answer = client.ask("POST", f"/items/{item.id}/createLink", wish)
    assert code(answer) == (403, "accessDenied")


def test_own_permissions_are_changed_and_deleted_and_inherited_ones_are_not(client):
    item, user = client.file("docs/a.txt"), client.tenant.add_user("Megan Bowen")
    folder = client.drive.items[item.parent_id]
    granted = invite(client, folder, {"objectId": user.id}).body["value"][0]
    below = f"/items/{item.id}/permissions/{granted['id']}"
    assert "inheritedFrom" in client.get(below)
    assert code(client.ask("DELETE", below)) == (400, "invalidRequest")
    own = f"/items/{folder.id}/permissions/{granted['id']}"
    assert client.ask("PATCH", own, {"roles": ["read"]}).body["roles"] == ["read"]
    assert client.ask("DELETE", own).status == 204
    assert code(client.ask("GET", own)) == (404, "itemNotFound")


def test_sharing_has_a_limit_of_its_own(client):
    item = client.file("a.txt")
    client.tenant.limits.sharing_calls = 2
    wish = {"type": "view", "scope": "organization"}
    answers = [client.ask("POST", f"/items/{item.id}/createLink", wish) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 200


def test_an_old_version_becomes_the_newest_once_more(client):
    item = client.file("a.txt", b"one")
    client.drive.write(item, LiteralBytes(b"second"), OWNER, NOW)
    path = f"/items/{item.id}/versions/1.0/restoreVersion"
    assert client.ask("POST", path).status == 204
    assert client.fetch(item.id) == b"one"
    assert [one.number for one in item.versions] == [2, 1]


def test_a_library_keeps_as_many_versions_as_it_is_told(client):
    item = client.file("a.txt", b"one")
    client.drive.quirks.versions_kept = 1
    for data in (b"two", b"three"):
        client.drive.write(item, LiteralBytes(data), OWNER, NOW)
    assert [one.number for one in item.versions] == [2]


def test_what_is_deleted_lies_in_the_recycle_bin_unless_it_is_deleted_for_good(client):
    kept, lost = client.file("a.txt", b"kept"), client.file("b.txt", b"lost")
    assert client.ask("DELETE", f"/items/{kept.id}").status == 204
    assert client.ask("POST", f"/items/{lost.id}/permanentDelete").status == 204
    (row,) = recycled(client.drive)
    assert (row["id"], row["path"], row["size"]) == (kept.id, ["a.txt"], 4)
    assert [one["id"] for one in truth.whole(client.tenant, {})["recycle_bins"]["b!one"]] == [
        kept.id
    ]


def test_no_application_takes_anything_out_of_the_recycle_bin(client):
    item = client.file("a.txt")
    client.ask("DELETE", f"/items/{item.id}")
    assert code(client.ask("POST", f"/items/{item.id}/restore")) == (501, "notSupported")


def test_a_file_somebody_edits_is_neither_renamed_nor_deleted(client):
    item = client.file("a.txt", open_elsewhere=True)
    refused = (423, "resourceLocked")
    assert code(client.ask("PATCH", f"/items/{item.id}", {"name": "b.txt"})) == refused
    assert code(client.ask("DELETE", f"/items/{item.id}")) == refused


def test_sessions_may_take_another_permission_than_files(client):
    client.drive.quirks.sessions_need_sites = True
    client.tenant.restore_app.roles.discard("Sites.ReadWrite.All")
    answer = client.ask("POST", "/root:/a.txt:/createUploadSession", {})
    assert code(answer) == (403, "accessDenied")
    assert client.ask("PUT", "/root:/a.txt:/content", b"data").status == 201


def test_every_range_makes_a_session_live_longer(client):
    unit = 327_680
    answer = client.ask("POST", "/root:/a.bin:/createUploadSession", {})
    url = answer.body["uploadUrl"]
    client.tenant.clock.advance(23 * 3600)
    headers = {"Content-Range": f"bytes 0-{unit - 1}/{unit + 1}"}
    assert client.ask("PUT", url, bytes(unit), headers).status == 202
    client.tenant.clock.advance(23 * 3600)
    headers = {"Content-Range": f"bytes {unit}-{unit}/{unit + 1}"}
    assert client.ask("PUT", url, b"x", headers).status == 201
