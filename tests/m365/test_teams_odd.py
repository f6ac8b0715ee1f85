"""Odd answers about teams, from a script: what the simulator does not do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from base.item import Cause, Change, FeedPage
from m365.chat_message import hosted_ids, message, sender, words_of
from m365.graph.errors import (
    AnswerTooLarge,
    Forbidden,
    ForeignHost,
    GraphProblem,
    ItemGone,
    ResourceGone,
    ResyncNeeded,
    TransientFailure,
)
from m365.service import Resource
from m365.teams import FEED, TeamSource
from tests.m365.mirror import Mirror
from tests.m365.scripted_graph import ScriptedGraph

AT = datetime(2026, 11, 20, tzinfo=UTC)
C = "/teams/t/channels/c1"
LIST = f"GET {C}/messages?$top=50&$expand=replies"
DELTA = f"GET {C}/messages/delta?$top=50&$expand=replies"
TABS = f"GET {C}/tabs?$expand=teamsApp"
GONE = ItemGone("gone", graph_code="NotFound", status_code=404)
FORGOT = ResyncNeeded("forgotten", graph_code="resyncRequired", status_code=410)
REFUSED = GraphProblem("refused", graph_code="BadRequest", status_code=400)


class Graph(ScriptedGraph):
    """A scripted tenant, at a fixed time."""

    @property
    def tenant(self) -> str:
        return "home"

    @property
    def clock(self) -> Any:
        class Fixed:
            def now(self) -> datetime:
                return AT

        return Fixed()


def graph(**changes: Any) -> Graph:
    """A team with one channel of one message."""
    return Graph(
        {
            "GET /teams/t": {"id": "t", "displayName": "Team"},
            "GET /teams/t/members": {"value": []},
            "GET /teams/t/allChannels": {"value": [channel()]},
            f"GET {C}": channel(),
            TABS: {"value": []},
            f"GET {C}/filesFolder": GONE,
            LIST: {"value": [said("1")]},
            DELTA: {"value": [], "@odata.deltaLink": "end"},
            "GET end": {"value": [], "@odata.deltaLink": "end"},
            **changes,
        }
    )


def channel(**facts: Any) -> dict[str, Any]:
    return {"id": "c1", "displayName": "General", "membershipType": "standard", **facts}


def said(key: str, **facts: Any) -> dict[str, Any]:
    body = {"contentType": "text", "content": f"words {key}"}
    return {"id": key, "etag": key, "body": body, "replies": [], **facts}


def read(source: Graph, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    assert mirror.round(TeamSource(source, Resource("team", "t")))
    return mirror


def pages(source: Graph, links: dict[str, str] | None = None) -> list[FeedPage]:
    team = TeamSource(source, Resource("team", "t"))
    return list(team.changes(links or {}, frozenset()))


def held(mirror: Mirror) -> set[str]:
    return {key for key, one in mirror.items.items() if one.change.kind != "folder"}


class TestFeeds:
    """Lost links, circles, lists that end early."""

    def test_a_message_with_nothing_but_an_id_is_kept_and_one_without_is_passed_over(self) -> None:
        odd = {"value": [{"id": "1", "from": None, "body": None, "attachments": None}, {"x": 1}]}
        mirror = read(graph(**{LIST: odd, f"GET {C}/messages/1/replies?$top=50": {"value": []}}))
        assert held(mirror) == {"c1/1"}
        assert mirror.items["c1/1"].change.name == "(no text)"

    def test_replies_that_were_not_expanded_are_asked_for(self) -> None:
        bare = {"id": "1", "body": {"content": "x"}}
        replies = f"GET {C}/messages/1/replies"
        source = graph(
            **{
                LIST: {"value": [bare]},
                f"{replies}?$top=50": {"value": [{"id": "2"}], "@odata.nextLink": "more"},
                "GET more": {"value": [said("3", replyToId="1")]},
            }
        )
        assert held(read(source)) == {"c1/1", "c1/1/2", "c1/1/3"}

    def test_a_thread_that_vanished_meanwhile_is_passed_over(self) -> None:
        source = graph(
            **{LIST: {"value": [{"id": "1"}]}, f"GET {C}/messages/1/replies?$top=50": GONE}
        )
        assert held(read(source)) == {"c1/1"}

    def test_a_reply_among_the_messages_of_the_feed_is_an_answer_too(self) -> None:
        found = {"value": [said("2", replyToId="1")], "@odata.deltaLink": "end"}
        mirror = read(graph(**{DELTA: found}))
        assert mirror.items["c1/1/2"].change.row["thread"] == "1"

    def test_a_feed_without_a_link_at_its_end_begins_from_nothing_the_next_time(self) -> None:
        source = graph(**{DELTA: {"value": []}})
        mirror = read(source)
        read(source, mirror)
        assert source.calls.count(DELTA) == 2
        assert source.calls.count(LIST) == 1

    def test_a_list_whose_link_is_forgotten_begins_again(self) -> None:
        first = {"value": [said("1")], "@odata.nextLink": "on"}
        source = graph(**{LIST: first, "GET on": [FORGOT, {"value": [said("2")]}]})
        assert held(read(source)) == {"c1/1", "c1/2"}
        assert source.calls.count(LIST) == 2

    def test_a_list_that_leads_in_a_circle_is_an_error_and_not_for_ever(self) -> None:
        first = {"value": [said("1")], "@odata.nextLink": "on"}
        again = {"value": [], "@odata.nextLink": "on"}
        with pytest.raises(TransientFailure):
            read(graph(**{LIST: first, "GET on": again}))

    def test_a_forgotten_feed_leads_to_a_whole_list_and_a_feed_from_nothing(self) -> None:
        source = graph()
        mirror = read(source)
        source.script |= {"GET end": FORGOT, LIST: {"value": [said("2")]}}
        read(source, mirror)
        assert held(mirror) == {"c1/2"}
        assert source.calls.count(DELTA) == 2

    @pytest.mark.parametrize("problem", [FORGOT, REFUSED])
    def test_a_feed_that_never_works_leaves_the_list_of_every_run(
        self, problem: GraphProblem
    ) -> None:
        source = graph(**{DELTA: problem})
        mirror = read(source)
        assert held(mirror) == {"c1/1"}
        source.script[LIST] = {
            "value": [said("1", lastModifiedDateTime="2026-11-19T23:00:00Z"), said("2")]
        }
        read(source, mirror)
        assert held(mirror) == {"c1/1", "c1/2"}
        assert source.calls.count(DELTA) == 1

    def test_a_list_is_read_back_only_as_far_as_it_has_to_be(self) -> None:
        source = graph(**{DELTA: REFUSED})
        mirror = read(source)
        old = said("0", lastModifiedDateTime="2020-01-01T00:00:00Z")
        source.script[LIST] = {"value": [old], "@odata.nextLink": "never asked for"}
        found = pages(source, mirror.links)
        assert not [page for page in found if page.entries]

    def test_an_answer_too_large_is_asked_for_in_small_pages_the_feed_too(self) -> None:
        large = AnswerTooLarge("large")
        few = f"{C}/messages?$top=5&$expand=replies"
        feed = f"GET {C}/messages/delta?$top=5&$expand=replies"
        end = {"value": [said("3")], "@odata.deltaLink": "end2"}
        source = graph(**{f"GET {few}": {"value": [said("2")]}, feed: end})
        mirror = read(source)
        source.script["GET end"] = large
        read(source, mirror)
        assert held(mirror) == {"c1/2", "c1/3"}
        again = graph(**{LIST: large, f"GET {few}": {"value": [said("2")]}, feed: large})
        found = pages(again)
        assert again.calls.count(feed) == 1
        told = [one for page in found for one in page.entries if isinstance(one, Change)]
        assert told[-1].fingerprint.endswith("answer-too-large")

    def test_an_entry_that_says_removed_takes_the_message_away(self) -> None:
        source = graph()
        mirror = read(source)
        gone = {"id": "1", "@removed": {"reason": "deleted"}}
        source.script["GET end"] = {"value": [gone], "@odata.deltaLink": "end"}
        read(source, mirror)
        assert held(mirror) == set()

    def test_a_link_to_replies_on_another_host_is_never_kept(self) -> None:
        class Strict(Graph):
            @property
            def place(self) -> Any:
                class Home:
                    def graph_link(self, link: str) -> str:
                        if link.startswith("https://evil"):
                            raise ForeignHost("elsewhere")
                        return link

                return Home()

        lures = said("1", **{"replies@odata.nextLink": "https://evil.example/x"})
        source = Strict(graph(**{LIST: {"value": [lures]}}).script)
        found = pages(source)
        assert not [page for page in found if "evil" in page.link]
        told = [one for page in found for one in page.entries if isinstance(one, Change)]
        assert told[-1].id == "c1"
        assert told[-1].fingerprint.endswith("foreign-host")

    def test_times_that_make_no_sense_lose_nothing(self) -> None:
        source = graph(**{DELTA: REFUSED})
        mirror = read(source)
        odd = [said("2", lastModifiedDateTime="soon"), said("3", lastModifiedDateTime=None)]
        source.script[LIST] = {"value": odd}
        read(source, mirror)
        assert held(mirror) == {"c1/1", "c1/2", "c1/3"}

    def test_odd_kinds_of_channels_and_an_empty_team_are_read_all_the_same(self) -> None:
        odd = channel(membershipType="unknownFutureValue", tenantId=None, displayName=None)
        mirror = read(graph(**{
            "GET /teams/t/allChannels": {"value": [odd]},
            f"GET {C}/members": Forbidden("no", status_code=403),
        }))  # fmt: skip
        assert held(mirror) == {"c1/1"}
        assert held(read(graph(**{"GET /teams/t/allChannels": {"value": []}}))) == set()


class TestRefusals:
    """What says no, and to what."""

    @pytest.mark.parametrize("status", [402, 403])
    def test_a_protected_api_is_a_refusal_of_the_team_with_its_code(self, status: int) -> None:
        kind = Forbidden if status == 403 else GraphProblem
        problem = kind("no", graph_code="PaymentRequired", status_code=status, request_id="r1")
        with pytest.raises(Forbidden) as refused:
            pages(graph(**{LIST: problem}))
        assert refused.value.graph_code == "PaymentRequired"
        assert refused.value.request_id == "r1"

    def test_a_channel_that_is_not_there_in_the_words_of_a_resource_is_not_the_team(self) -> None:
        missing = ResourceGone("gone", graph_code="ResourceNotFound", status_code=404)
        found = pages(graph(**{LIST: missing, f"GET {C}": missing}))
        assert found[-1].dropped_parts == ("channel:c1",)
        with pytest.raises(ResourceGone):
            pages(graph(**{LIST: missing, f"GET {C}": missing, "GET /teams/t": [_team(), GONE]}))

    def test_details_that_are_refused_are_left_out_and_the_rest_is_kept(self) -> None:
        no = Forbidden("no", status_code=403)
        mirror = read(graph(**{TABS: no, "GET /teams/t/members": no}))
        assert "tabs" not in mirror.items["c1"].change.raw
        assert "members" not in mirror.items["t"].change.raw
        assert held(mirror) == {"c1/1"}

    def test_a_group_without_a_team_is_a_resource_that_is_gone(self) -> None:
        with pytest.raises(ResourceGone):
            pages(graph(**{"GET /teams/t/allChannels": GONE}))

    def test_a_channel_of_another_tenant_is_asked_for_nothing(self) -> None:
        foreign = channel(tenantId="elsewhere", membershipType="shared")
        source = graph(**{"GET /teams/t/allChannels": {"value": [foreign]}})
        mirror = read(source)
        assert [t.cause for t in mirror.items["c1"].troubles] == [Cause.NOT_SUPPORTED]
        assert not [call for call in source.calls if C in call]

    def test_links_of_ours_are_small_and_hold_no_words(self) -> None:
        mirror = read(graph())
        assert set(mirror.links) == {FEED, "channel:c1"}
        assert all(len(link) < 400 for link in mirror.links.values())
        assert "words" not in "".join(mirror.links.values())


class TestShape:
    """A message as an item."""

    def test_only_links_to_the_very_message_are_hosted_contents_of_it(self) -> None:
        base = "https://graph.microsoft.com/v1.0/teams/t/channels/c/messages"
        inside = f'<img src="{base}/1/hostedContents/aWQ%3D/$value">'
        reply = f'<img src="{base}/0/replies/1/hostedContents/b/$value">'
        keyed = f"{base}('1')/hostedContents('c')/$value"
        other = f'<img src="{base}/2/hostedContents/secret/$value">'
        raw = {
            "id": "1",
            "body": {"contentType": "html", "content": inside + reply + other + inside},
            "attachments": [{"content": '{"url": "' + keyed.replace("/", "\\/") + '"}'}, None],
            "reactions": [{"reactionContentUrl": f"{base}/1/hostedContents/d/$value"}],
        }
        assert hosted_ids(raw) == ("aWQ=", "b", "c", "d")

    def test_a_name_is_the_subject_or_the_first_words_or_what_happened(self) -> None:
        def name(**raw: Any) -> str:
            return message({"id": "1", **raw}, "i", "p").name

        assert name(subject=" Plans ", body={"content": "x"}) == "Plans"
        assert name(body={"contentType": "html", "content": "<p>a&amp;b<br>c</p>"}) == "a&b c"
        assert name(body={"contentType": "text", "content": "<b>"}) == "<b>"
        kind = "#microsoft.graph.membersAddedEventMessageDetail"
        assert name(eventDetail={"@odata.type": kind}) == "(membersAdded)"
        assert name(attachments=[{"name": "Plan.docx"}]) == "Plan.docx"
        assert name(deletedDateTime="2026-01-01T00:00:00Z") == "(deleted)"
        assert len(name(body={"content": "long " * 200})) == 255

    def test_senders_are_people_applications_or_nobody(self) -> None:
        assert sender({"from": {"user": None, "application": {"displayName": "Bot"}}}) == "Bot"
        assert sender({"from": {"user": {"id": "7", "displayName": None}}}) == "7"
        assert sender({"from": None}) == ""
        assert words_of({"body": "odd"}) == ""

    def test_the_version_is_apart_and_an_edit_or_a_deletion_changes_what_is_fetched(self) -> None:
        first = message(said("1"), "i", "p")
        later = message(said("1") | {"etag": "2"}, "i", "p")
        assert first.raw == later.raw
        assert (first.volatile, later.volatile) == ({"etag": "1"}, {"etag": "2"})
        assert first.fingerprint == later.fingerprint
        for name in ("lastEditedDateTime", "deletedDateTime"):
            assert message(said("1", **{name: "2026"}), "i", "p").fingerprint != first.fingerprint


def _team() -> dict[str, Any]:
    return {"id": "t", "displayName": "Team"}


def test_a_reply_that_does_not_say_what_it_answers_stays_below_its_message() -> None:
    thread = said("1", replies=[said("2", replyToId=None)])
    thread["replies@odata.nextLink"] = "more"
    more = {"value": [said("3", replyToId=None)]}
    mirror = read(graph(**{LIST: {"value": [thread]}, "GET more": more}))
    assert {key for key in mirror.items if "/" in key} == {"c1/1", "c1/1/2", "c1/1/3"}
