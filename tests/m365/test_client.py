"""Reader and writer on a hostile wire: where tokens go, what is repeated, what is never used."""

from __future__ import annotations

import ast
import gzip
import inspect
import json
import threading

import pytest

from base.errors import ConfigurationProblem, InvalidInput
from m365.graph import client
from m365.graph.client import BatchRequest, GraphReader, GraphWriter, Scope
from m365.graph.download import Changed
from m365.graph.errors import (
    Clash,
    ForeignHost,
    GraphProblem,
    ItemGone,
    LinkExpired,
    Malware,
    MaybeDone,
    ResyncNeeded,
    TransientFailure,
    Unauthorized,
)
from m365.graph.hosts import Place
from m365.graph.wire import Broken, Wire
from tests.m365.wire_fake import Hostile, Reply, fails, says

ANNA = Scope.mailbox("anna")
DRIVES = Scope.sharepoint()
DIRECTORY = Scope.directory()
MIB = 1024 * 1024
GRAPH = Place("https://graph.microsoft.com")


# --- Where requests go, and where tokens go ---


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users",
        "http://localhost:{port}/v1.0/users",
        "https://localhost/v1.0/users",
        "https://localhost:{port}@evil.example/v1.0/users",
        "https://user:password@localhost:{port}/v1.0/users",
        "https://localhost:{port}.evil.example/v1.0/users",
        "https://evil.example\\@localhost:{port}/v1.0/users",
        "https://localhost:{port}\t/v1.0/users",
        "https://127.0.0.1:{port}/v1.0/users",
        "//evil.example/v1.0/users",
        "https:///v1.0/users",
        "https://localhost:99999/v1.0/users",
        "file:///etc/passwd",
        "/v1.0/users\r\nHost: evil.example",
        "",
    ],
)
def test_a_link_to_anywhere_else_is_refused_before_a_token_is_even_fetched(link: str) -> None:
    with Hostile() as fake:
        with pytest.raises(ForeignHost):
            fake.reader().get(link.replace("{port}", str(fake.port)), scope=ANNA)
        assert (fake.heard, fake.tokens.asked) == ([], 0)


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.microsoft.com/v1.0/users?$skiptoken=a%20b",
        "https://GRAPH.microsoft.com:443/v1.0/users?$skiptoken=a%20b",
        "https://graph.microsoft.com./v1.0/users?$skiptoken=a%20b",
    ],
)
def test_a_link_to_graph_is_followed_as_it_is_and_spelled_with_our_own_host(link: str) -> None:
    assert GRAPH.graph_link(link) == "https://graph.microsoft.com/v1.0/users?$skiptoken=a%20b"


def test_paths_are_of_version_one_unless_they_say_beta() -> None:
    assert GRAPH.graph_link("/users") == "https://graph.microsoft.com/v1.0/users"
    assert GRAPH.graph_link("/beta/users") == "https://graph.microsoft.com/beta/users"


@pytest.mark.parametrize("url", ["http://graph.microsoft.com", "graph", "https://h/beta", ""])
def test_an_address_of_graph_that_is_none_is_said_to_be_wrong(url: str) -> None:
    with pytest.raises(ConfigurationProblem):
        _ = Place(url).origin


@pytest.mark.parametrize(
    "url",
    [
        "http://contoso.sharepoint.com/a",
        "https://contoso.sharepoint.com:8443/a",
        "https://user:secret@contoso.sharepoint.com/a",
        "https://127.0.0.1/a",
        "https://localhost/a",
        "https://10.0.0.8/a",
        "https://169.254.169.254/metadata",
        "https://[::1]/a",
        "https://[fd00::1]/a",
        "https://intranet/a",
        "https://contoso.sharepoint.com/a#b",
        "",
    ],
)
def test_content_addresses_into_private_networks_are_refused(url: str) -> None:
    with pytest.raises(ForeignHost):
        GRAPH.content_link(url)


def test_content_addresses_of_the_real_service_are_taken() -> None:
    url = "https://contoso-my.sharepoint.com/personal/a/_layouts/15/download.aspx?tempauth=x"
    assert GRAPH.content_link(url) == url


def test_a_content_name_that_resolves_to_a_private_address_is_not_connected_to() -> None:
    with Hostile() as fake:
        wire = Wire(Place(GRAPH.graph_url, ca_file=fake.place.ca_file))
        with pytest.raises(Broken) as broken:
            wire.open("GET", f"{fake.origin}/content", {}, content_host=True)
        assert (broken.value.sent, fake.heard) == (False, [])


def test_a_service_with_an_untrusted_certificate_gets_nothing() -> None:
    with Hostile() as fake:
        reader = GraphReader(Place(fake.origin), fake.tokens, fake.limiter, fake.clock)
        with pytest.raises(ConfigurationProblem):
            reader.get("/users", scope=DIRECTORY)
        assert fake.heard == []


def test_redirects_are_not_followed_by_themselves() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", Reply(302, headers={"Location": f"{fake.elsewhere}/trap"}))
        with pytest.raises(GraphProblem):
            fake.reader().get("/users", scope=DIRECTORY)
        assert fake.paths() == ["/v1.0/users"]


def test_the_location_of_a_lost_delta_link_is_checked_like_any_link() -> None:
    with Hostile() as fake:
        lost = fails(410, "resyncRequired", Location="https://evil.example/delta")
        kept = fails(
            410, "resyncRequired", Location=f"{fake.origin}/v1.0/drives/d/root/delta?token="
        )
        fake.on("/v1.0/drives/d/root/delta", lost, kept)
        with pytest.raises(ForeignHost):
            fake.reader().get("/drives/d/root/delta", scope=DRIVES)
        with pytest.raises(ResyncNeeded) as again:
            fake.reader().get("/drives/d/root/delta", scope=DRIVES)
        assert again.value.location == f"{fake.origin}/v1.0/drives/d/root/delta?token="


# --- Headers ---


@pytest.mark.parametrize(
    "path",
    [
        "/users/u/mailFolders/delta",
        "/users/u/mailFolders('inbox')/messages",
        "/users/u/messages/1/attachments/2/$value",
        "/users/u/events/1",
        "/users/u/calendar/events",
        "/users/u/calendarView/delta",
        "/users/u/contactFolders/1/contacts",
        "/users/u/todo/lists",
    ],
)
def test_every_outlook_call_asks_for_immutable_ids(path: str) -> None:
    with Hostile() as fake:
        fake.on("/v1.0" + path, says({}))
        reader = fake.reader()
        reader.get(path, scope=DIRECTORY)
        reader.get_raw(path, scope=ANNA)
        list(reader.stream(path, scope=ANNA))
        reader.get(fake.origin + "/v1.0" + path, scope=ANNA)
        assert [heard.headers["prefer"] for heard in fake.heard] == ['IdType="ImmutableId"'] * 4


def test_several_wishes_go_into_one_prefer_header() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/u/messages", says({}))
        headers = {"prefer": "odata.maxpagesize=50"}
        fake.reader().get("/users/u/messages", headers=headers, scope=ANNA)
        assert fake.heard[0].headers["prefer"] == 'odata.maxpagesize=50, IdType="ImmutableId"'


def test_drives_are_not_asked_for_immutable_ids() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/drives/d/items/messages", says({}))
        fake.reader().get("/drives/d/items/messages", scope=DRIVES)
        assert "prefer" not in fake.heard[0].headers


def test_requests_say_who_we_are_and_have_an_id_each() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", says({}))
        for _ in range(3):
            fake.reader().get("/users", params={"$select": "id,mail"}, scope=DIRECTORY)
        assert fake.heard[0].path == "/v1.0/users?$select=id,mail"
        assert fake.heard[0].headers["user-agent"] == "NONISV|Contoso|Holdfast/0.1"
        assert fake.heard[0].headers["x-ms-throttle-priority"] == "low"
        assert len({heard.headers["client-request-id"] for heard in fake.heard}) == 3


def test_a_company_name_cannot_break_the_header() -> None:
    place = Place(GRAPH.graph_url, company="Contoso|\r\nX: y")
    assert place.user_agent == "NONISV|ContosoX y|Holdfast/0.1"


# --- What is repeated, and what is never used ---


@pytest.mark.parametrize(
    "bad",
    [
        Reply(body=b'{"value":[1,2,3]}', sent=9),
        Reply(body=b'{"value":[1,2,'),
        Reply(body=b"<html>busy</html>"),
        Reply(body=gzip.compress(b'{"value":[1,2,3]}')[:20], headers={"Content-Encoding": "gzip"}),
        Reply(dead=True),
        fails(500),
        fails(502),
        fails(504),
    ],
    ids=["cut", "half", "html", "half-gzip", "silence", "500", "502", "504"],
)
def test_a_bad_answer_is_asked_for_again_twice_and_then_is_a_failure(bad: Reply) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/good", bad, bad, says({"value": [1]}))
        fake.on("/v1.0/bad", bad)
        reader = fake.reader()
        assert reader.get("/good", scope=DIRECTORY) == {"value": [1]}
        with pytest.raises(TransientFailure):
            reader.get("/bad", scope=DIRECTORY)
        assert (len(fake.paths("/v1.0/good")), len(fake.paths("/v1.0/bad"))) == (3, 3)
        assert reader.counters.requests == 6


def test_bytes_whose_end_cannot_be_told_are_not_taken_for_whole() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/u/messages/1/$value", Reply(body=b"From: a", no_length=True))
        with pytest.raises(TransientFailure):
            fake.reader().get_raw("/users/u/messages/1/$value", scope=ANNA)


def test_an_answer_that_unpacks_to_more_than_any_should_be_is_refused() -> None:
    bomb = gzip.compress(b"[" * (65 * MIB), 9)
    with Hostile() as fake:
        fake.on("/v1.0/users", Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
        with pytest.raises(GraphProblem) as refused:
            fake.reader().get("/users", scope=DIRECTORY)
        assert not isinstance(refused.value, TransientFailure)
        assert len(fake.heard) == 1


def test_json_that_is_no_object_is_a_failure() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", says([1, 2]))
        with pytest.raises(TransientFailure):
            fake.reader().get("/users", scope=DIRECTORY)


def test_a_401_gets_one_fresh_token_with_the_claims_that_were_asked_for() -> None:
    challenge = 'Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ=="'
    with Hostile() as fake:
        fake.on("/v1.0/users", fails(401, WWW_Authenticate=challenge), says({"ok": 1}))
        fake.on("/v1.0/never", fails(401))
        assert fake.reader().get("/users", scope=DIRECTORY) == {"ok": 1}
        assert fake.tokens.challenges == [challenge]
        assert fake.heard[1].headers["authorization"] == "Bearer token-2"
        with pytest.raises(Unauthorized):
            fake.reader().get("/never", scope=DIRECTORY)
        assert len(fake.paths("/v1.0/never")) == 2


def test_a_token_that_ended_and_claims_asked_of_the_next_one_are_both_answered() -> None:
    challenge = 'Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ=="'
    claims = fails(401, WWW_Authenticate=challenge)
    with Hostile() as fake:
        fake.on("/v1.0/users", fails(401), claims, says({"ok": 1}))
        assert fake.reader().get("/users", scope=DIRECTORY) == {"ok": 1}
        fake.on("/v1.0/never", fails(401), claims, claims)
        with pytest.raises(Unauthorized):
            fake.reader().get("/never", scope=DIRECTORY)
        assert len(fake.paths("/v1.0/never")) == 3


def test_refusals_of_the_request_itself_are_not_repeated() -> None:
    with Hostile() as fake:
        for status in (400, 403, 404, 409, 412, 423, 507):
            fake.on("/v1.0/users", fails(status))
            with pytest.raises(GraphProblem):
                fake.reader().get("/users", scope=DIRECTORY)
        assert len(fake.heard) == 7


# --- Reading only ---


def test_the_reader_has_no_method_that_writes() -> None:
    tree = ast.parse(inspect.getsource(client))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    reader = classes["GraphReader"]
    public = {
        node.name
        for node in reader.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert public == {
        "place", "tenant", "counters", "control_plane",
        "get", "get_raw", "stream", "location", "download", "batch", "finish", "clock",
        "export_items", "export_item",
    }  # fmt: skip
    words = {node.value for node in ast.walk(reader) if isinstance(node, ast.Constant)}
    assert not words & {"POST", "PUT", "PATCH", "DELETE"}
    assert not any(
        isinstance(node, ast.keyword) and node.arg == "writing" for node in ast.walk(reader)
    )
    assert [base.id for base in classes["GraphWriter"].bases if isinstance(base, ast.Name)] == [
        "GraphReader"
    ]


def test_a_batch_of_a_reader_holds_nothing_but_reading() -> None:
    with Hostile() as fake:
        with pytest.raises(InvalidInput):
            fake.writer().batch([BatchRequest("/users"), BatchRequest("/x", method="POST")], ANNA)
        assert fake.heard == []


def test_whatever_a_reader_is_asked_for_nothing_but_get_goes_out() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", says({}))
        fake.on("/content", Reply(body=b"x"))
        reader = fake.reader()
        reader.get("/a", scope=ANNA)
        reader.get_raw("/a", scope=ANNA)
        list(reader.stream("/a", scope=ANNA))
        list(reader.download(lambda: f"{fake.elsewhere}/content", 1, DRIVES))
        assert {heard.method for heard in fake.heard} == {"GET"}


# --- Writing ---


@pytest.mark.parametrize(
    "lost", [Reply(dead=True), fails(504), fails(500), Reply(201, b"{}", sent=1)]
)
def test_a_post_without_an_answer_is_not_repeated_but_said_to_be_maybe_done(lost: Reply) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users/u/messages", lost)
        with pytest.raises(MaybeDone):
            fake.writer().post("/users/u/messages", {"subject": "x"}, scope=ANNA)
        assert len(fake.heard) == 1


def test_a_post_that_does_no_harm_twice_is_repeated() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/x", Reply(dead=True), says({"uploadUrl": "u"}, 201))
        answer = fake.writer().post("/x", {}, scope=ANNA, repeatable=True)
        assert (answer, len(fake.heard)) == ({"uploadUrl": "u"}, 2)


def test_a_post_that_was_refused_for_now_is_sent_again() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/x", fails(429, Retry_After="1"), says({"id": "1"}, 201))
        assert fake.writer().post("/x", {}, scope=ANNA) == {"id": "1"}


def test_a_post_that_never_left_is_repeated() -> None:
    with Hostile() as fake:
        place = Place("https://localhost:1", ca_file=fake.place.ca_file)
        writer = GraphWriter(place, fake.tokens, fake.limiter, fake.clock)
        with pytest.raises(TransientFailure) as failed:
            writer.post("/x", {}, scope=ANNA)
        assert not isinstance(failed.value, MaybeDone)
        assert writer.counters.requests == 3


def test_patch_put_and_delete_are_repeated_because_twice_is_the_same_as_once() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/x", Reply(dead=True), says({"id": "1"}))
        writer = fake.writer()
        assert writer.patch("/x", {"isRead": True}, scope=ANNA) == {"id": "1"}
        fake.on("/v1.0/x", Reply(dead=True), says({"id": "1"}))
        assert writer.put("/x", data=b"abc", scope=DRIVES) == {"id": "1"}
        fake.on("/v1.0/x", Reply(dead=True), fails(404))
        assert writer.delete("/x", scope=DRIVES) is False
        fake.on("/v1.0/x", Reply(204))
        assert writer.delete("/x", scope=DRIVES) is True
        assert [heard.method for heard in fake.heard] == ["PATCH"] * 2 + ["PUT"] * 2 + [
            "DELETE"
        ] * 3


def test_json_of_a_write_arrives_as_it_is() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/x", says({"id": "1"}, 201))
        fake.writer().post("/x", {"subject": "Grüße 🙂"}, headers={"If-Match": "1"}, scope=ANNA)
        heard = fake.heard[0]
        assert json.loads(heard.body) == {"subject": "Grüße 🙂"}
        assert heard.headers["content-type"] == "application/json"
        assert heard.headers["if-match"] == "1"


def test_a_clash_is_told_with_its_code() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/x", fails(409, "nameAlreadyExists"))
        with pytest.raises(Clash) as clash:
            fake.writer().put("/x", data=b"abc", scope=DRIVES)
        assert (clash.value.graph_code, clash.value.request_id) == ("nameAlreadyExists", "5a2c0f6e")


# --- Large content ---

BIG = bytes(range(251)) * 24_000  # 6 MB, no two blocks alike


def addresses(fake: Hostile, *paths: str) -> list[str]:
    return [f"{fake.elsewhere}{path}" for path in paths]


def test_content_is_fetched_from_another_host_without_our_token() -> None:
    with Hostile() as fake:
        fake.on(
            "/v1.0/drives/d/items/1/content",
            Reply(302, headers={"Location": f"{fake.elsewhere}/c?t=1"}),
        )
        fake.on("/c", Reply(302, headers={"Location": f"{fake.elsewhere}/moved?t=2"}))
        fake.on("/moved", Reply(body=BIG))
        reader = fake.reader()
        path = "/drives/d/items/1/content"
        blocks = list(
            reader.download(lambda: reader.location(path, scope=DRIVES), len(BIG), DRIVES)
        )
        assert b"".join(blocks) == BIG
        assert max(map(len, blocks)) == MIB
        assert ["authorization" in heard.headers for heard in fake.heard] == [True, False, False]


def test_redirects_and_refusals_keep_the_connection() -> None:
    with Hostile() as fake:
        moved = Reply(302, b"moved", {"Location": f"{fake.elsewhere}/c"})
        fake.on("/v1.0/drives/d/items/1/content", moved)
        reader = fake.reader()
        for _ in range(5):
            reader.location("/drives/d/items/1/content", scope=DRIVES)
            with pytest.raises(ItemGone):
                reader.get("/drives/d/items/2", scope=DRIVES)
        assert len({heard.client for heard in fake.heard}) == 1


def test_a_broken_download_goes_on_where_it_broke() -> None:
    with Hostile() as fake:
        etag = {"ETag": '"7"'}
        fake.on(
            "/c",
            Reply(body=BIG, headers=etag, sent=2_500_000),
            Reply(dead=True),
            Reply(body=BIG, headers=etag, ranges=True, sent=1_000_000),
            Reply(body=BIG, headers=etag, ranges=True),
        )
        got = b"".join(fake.reader().download(lambda: f"{fake.elsewhere}/c", len(BIG), DRIVES))
        assert got == BIG
        starts = [heard.headers.get("range", "") for heard in fake.heard]
        assert starts[0] == ""
        assert starts[1] == starts[2]
        assert 2_300_000 < int(starts[1].removeprefix("bytes=").rstrip("-")) <= 2_500_000
        assert {heard.headers["if-range"] for heard in fake.heard[1:]} == {'"7"'}


def test_a_stretch_of_a_body_is_asked_for_by_its_range_and_goes_on_where_it_broke() -> None:
    with Hostile() as fake:
        etag = {"ETag": '"7"'}
        fake.on(
            "/c",
            Reply(body=BIG, headers=etag, ranges=True, sent=1_500_000),
            Reply(body=BIG, headers=etag, ranges=True),
        )
        begin, end = 700_001, 3_000_000
        blocks = fake.reader().download(lambda: f"{fake.elsewhere}/c", len(BIG), DRIVES, begin, end)
        assert b"".join(blocks) == BIG[begin:end]
        first, second = (heard.headers["range"] for heard in fake.heard)
        assert first == "bytes=700001-2999999"
        assert second.endswith("-2999999")
        assert first != second


def test_a_service_without_ranges_gives_a_stretch_all_the_same() -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(body=BIG, sent=2_500_000), Reply(body=BIG))
        begin, end = 1_200_000, 3_000_000
        blocks = fake.reader().download(lambda: f"{fake.elsewhere}/c", len(BIG), DRIVES, begin, end)
        assert b"".join(blocks) == BIG[begin:end]


def test_a_stretch_of_a_body_of_another_size_is_not_taken() -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(body=BIG, ranges=True))
        with pytest.raises(Changed):
            list(
                fake.reader().download(
                    lambda: f"{fake.elsewhere}/c", len(BIG) + 1, DRIVES, 1_000_000, 2_000_000
                )
            )


def test_a_refused_address_is_replaced_by_a_fresh_one_in_the_middle_too() -> None:
    with Hostile() as fake:
        fake.on("/1", fails(403, "accessDenied"))
        fake.on("/2", Reply(body=BIG, ranges=True, sent=3_000_000), fails(401))
        fake.on("/3", Reply(body=BIG, ranges=True))
        urls = iter(addresses(fake, "/1", "/2", "/3"))
        got = b"".join(fake.reader().download(lambda: next(urls), len(BIG), DRIVES))
        assert got == BIG


def test_fresh_addresses_that_are_all_refused_end_in_link_expired() -> None:
    with Hostile() as fake:
        fake.on("/c", fails(404))
        with pytest.raises(LinkExpired):
            list(fake.reader().download(lambda: f"{fake.elsewhere}/c", 5, DRIVES))
        assert len(fake.heard) == 4


def test_malware_is_not_mistaken_for_an_old_address() -> None:
    with Hostile() as fake:
        fake.on("/c", fails(403, "malwareDetected", X_Virus_Infected="true"))
        with pytest.raises(Malware):
            list(fake.reader().download(lambda: f"{fake.elsewhere}/c", 5, DRIVES))
        assert len(fake.heard) == 1


def test_a_vanished_item_says_so_when_a_fresh_address_is_asked_for() -> None:
    with Hostile() as fake:
        reader = fake.reader()
        with pytest.raises(ItemGone):
            list(
                reader.download(
                    lambda: reader.location("/drives/d/items/1/content", scope=DRIVES), 5, DRIVES
                )
            )


@pytest.mark.parametrize("size", [len(BIG) - 1, len(BIG) + 1])
def test_content_of_another_size_than_announced_is_not_taken(size: int) -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(body=BIG))
        with pytest.raises(Changed):
            list(fake.reader().download(lambda: f"{fake.elsewhere}/c", size, DRIVES))


def test_content_that_changed_in_the_middle_is_not_spliced() -> None:
    other = BIG[::-1]
    later = [
        Reply(body=other, headers={"ETag": '"8"'}, ranges=True),  # another ETag
        Reply(body=other),  # no ETag, and it begins again with other bytes
        Reply(body=BIG + b"x", ranges=True),  # another length
    ]
    for reply in later:
        with Hostile() as fake:
            first = {"ETag": '"7"'} if "ETag" in reply.headers else {}
            fake.on("/c", Reply(body=BIG, headers=first, sent=2_500_000), reply)
            with pytest.raises(Changed):
                list(fake.reader().download(lambda: f"{fake.elsewhere}/c", None, DRIVES))


def test_a_service_that_knows_no_ranges_is_read_again_over_what_we_have() -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(body=BIG, sent=2_500_000), Reply(body=BIG))
        got = b"".join(fake.reader().download(lambda: f"{fake.elsewhere}/c", len(BIG), DRIVES))
        assert got == BIG


def test_a_download_without_progress_is_given_up() -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(dead=True))
        with pytest.raises(TransientFailure):
            list(fake.reader().download(lambda: f"{fake.elsewhere}/c", 5, DRIVES))
        assert len(fake.heard) == 6


def test_an_empty_file_is_no_bytes() -> None:
    with Hostile() as fake:
        fake.on("/c", Reply(body=b""))
        assert list(fake.reader().download(lambda: f"{fake.elsewhere}/c", 0, DRIVES)) == []


def test_a_broken_stream_goes_on_where_it_broke_with_its_token() -> None:
    with Hostile() as fake:
        path = "/users/u/messages/1/attachments/2/$value"
        fake.on(
            "/v1.0" + path,
            Reply(body=BIG, ranges=True, sent=2_500_000),
            Reply(body=BIG, ranges=True),
        )
        assert b"".join(fake.reader().stream(path, scope=ANNA)) == BIG
        assert fake.heard[1].headers["range"].startswith("bytes=2")
        assert fake.heard[1].headers["authorization"] == "Bearer token-1"


def test_many_streams_opened_by_one_thread_do_not_wait_for_each_other() -> None:
    with Hostile() as fake:
        path = "/users/u/messages/1/attachments/2/$value"
        fake.on("/v1.0" + path, Reply(body=BIG, ranges=True))
        reader = fake.reader()
        streams = [reader.stream(path, scope=ANNA) for _ in range(6)]
        firsts = [next(stream) for stream in streams]
        assert fake.limiter.in_flight("contoso", ANNA) == 3
        for first, stream in zip(firsts, streams, strict=True):
            assert first + b"".join(stream) == BIG
        assert fake.limiter.in_flight("contoso", ANNA) == 0


def test_a_small_stream_holds_no_slot_while_nobody_reads_it() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", Reply(body=BIG[: 3 * MIB]))
        stream = fake.reader().stream("/a", scope=ANNA)
        next(stream)
        assert fake.limiter.in_flight("contoso", ANNA) == 0


def test_a_stream_that_is_dropped_gives_its_slot_back() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", Reply(body=BIG))
        stream = fake.reader().stream("/a", scope=ANNA)
        next(stream)
        assert fake.limiter.in_flight("contoso", ANNA) == 1
        del stream
        assert fake.limiter.in_flight("contoso", ANNA) == 0


def test_counters_tell_requests_and_bytes_by_kind() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", says({"a": 1}))
        fake.on("/c", Reply(body=BIG))
        writer = fake.writer()
        writer.get("/a", scope=ANNA)
        writer.post("/a", {"b": 2}, scope=ANNA)
        list(writer.download(lambda: f"{fake.elsewhere}/c", None, DRIVES))
        counters = writer.counters
        assert (counters.requests, counters.by_kind) == (3, {"get": 1, "post": 1, "download": 1})
        assert (counters.bytes_in, counters.bytes_out) == (8 + 8 + len(BIG), 7)


def test_one_reader_serves_many_threads() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/a", says({"a": 1}))
        reader = fake.reader()
        answers: list[object] = []
        threads = [
            threading.Thread(
                target=lambda: answers.extend(reader.get("/a", scope=DIRECTORY) for _ in range(20))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert answers == [{"a": 1}] * 160
        assert reader.counters.requests == 160


@pytest.mark.parametrize("given", ["https://Localhost:8443", "https://localhost:8443/v1.0/"])
def test_the_address_of_graph_may_name_the_version(given: str) -> None:
    place = Place(given)
    assert place.origin == "https://localhost:8443"
    assert place.graph_link("/users") == "https://localhost:8443/v1.0/users"
