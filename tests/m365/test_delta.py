"""Pages and delta links as one cursor: nothing skipped, rebuilt, or followed in a circle."""

from __future__ import annotations

import pytest

from m365.graph.client import Scope
from m365.graph.delta import DeltaPage, follow
from m365.graph.errors import ForeignHost, GatewayTimeout, ResyncNeeded, TransientFailure
from tests.m365.wire_fake import Hostile, Reply, fails, says

ANNA = Scope.mailbox("anna")
PATH = "/users/anna/mailFolders/inbox/messages/delta"


def page(*ids: str, next_link: str = "", delta_link: str = "") -> Reply:
    value: dict[str, object] = {"value": [{"id": one} for one in ids]}
    if next_link:
        value["@odata.nextLink"] = next_link
    if delta_link:
        value["@odata.deltaLink"] = delta_link
    return says(value)


def test_a_round_is_followed_over_empty_pages_to_its_delta_link() -> None:
    with Hostile() as fake:
        at = fake.origin + "/v1.0" + PATH
        fake.on(
            "/v1.0" + PATH,
            page("1", next_link=f"{at}?$skiptoken=a"),
            page(next_link=f"{at}?$skiptoken=b"),
            page("2", "3", delta_link=f"{at}?$deltatoken=c"),
        )
        headers = {"Prefer": "odata.maxpagesize=50", "deltaExcludeParent": "true"}
        pages = list(follow(fake.reader(), PATH, {"$select": "id"}, headers=headers, scope=ANNA))
        assert [[entry["id"] for entry in one.value] for one in pages] == [["1"], [], ["2", "3"]]
        assert pages[-1] == DeltaPage(pages[-1].value, f"{at}?$deltatoken=c", more=False)
        assert fake.paths() == [
            f"/v1.0{PATH}?$select=id",
            f"/v1.0{PATH}?$skiptoken=a",
            f"/v1.0{PATH}?$skiptoken=b",
        ]
        wishes = {heard.headers["prefer"] for heard in fake.heard}
        assert wishes == {'odata.maxpagesize=50, IdType="ImmutableId"'}
        assert {heard.headers["deltaexcludeparent"] for heard in fake.heard} == {"true"}


@pytest.mark.parametrize(
    "tail", ["/delta()", "/microsoft.graph.delta", "/delta(token='x')", "/delta?(token='x')"]
)
def test_a_link_is_followed_in_whatever_spelling_it_comes(tail: str) -> None:
    with Hostile() as fake:
        link = f"{fake.origin}/v1.0/drives/d/root{tail}"
        fake.on(f"/v1.0/drives/d/root{tail.partition('?')[0]}", page("1", delta_link=link))
        (only,) = follow(fake.reader(), link, scope=Scope.sharepoint())
        assert (only.link, fake.paths()) == (link, [f"/v1.0/drives/d/root{tail}"])


def test_a_plain_list_ends_without_a_link() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", page("1"))
        assert list(follow(fake.reader(), "/users", scope=Scope.directory())) == [
            DeltaPage([{"id": "1"}], "", more=False)
        ]


def test_reading_stops_where_the_caller_stops_and_goes_on_from_the_link_he_kept() -> None:
    with Hostile() as fake:
        at = f"{fake.origin}/v1.0/users"
        fake.on("/v1.0/users", page("1", next_link=f"{at}?$skiptoken=a"), page("2"))
        first = next(follow(fake.reader(), "/users", scope=Scope.directory()))
        assert (first.more, len(fake.heard)) == (True, 1)
        rest = list(follow(fake.reader(), first.link, scope=Scope.directory()))
        assert [entry["id"] for one in rest for entry in one.value] == ["2"]


@pytest.mark.parametrize("kind", ["next_link", "delta_link"])
def test_a_page_that_leads_to_a_foreign_host_is_not_handed_out(kind: str) -> None:
    with Hostile() as fake:
        link = "https://evil.example/v1.0/users?$skiptoken=a"
        fake.on("/v1.0/users", page("1", **{kind: link}))
        pages = follow(fake.reader(), "/users", scope=Scope.directory())
        with pytest.raises(ForeignHost):
            next(pages)
        assert (len(fake.heard), fake.tokens.asked) == (1, 1)


def test_a_list_that_leads_in_a_circle_is_left() -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", page(next_link=f"{fake.origin}/v1.0/users?$skiptoken=a"))
        with pytest.raises(TransientFailure):
            list(follow(fake.reader(), "/users", scope=Scope.directory()))
        assert len(fake.heard) == 2


def test_a_lost_link_is_told_apart_from_a_failure() -> None:
    with Hostile() as fake:
        fake.on("/v1.0" + PATH, fails(410, "SyncStateNotFound"))
        with pytest.raises(ResyncNeeded):
            next(follow(fake.reader(), fake.origin + "/v1.0" + PATH, scope=ANNA))


@pytest.mark.parametrize(
    "value", [{}, {"value": None}, {"value": "x"}, {"value": [1]}, {"value": {"id": "1"}}]
)
def test_a_page_that_makes_no_sense_is_not_taken_for_an_empty_one(value: object) -> None:
    with Hostile() as fake:
        fake.on("/v1.0/users", says(value))
        with pytest.raises(TransientFailure):
            next(follow(fake.reader(), "/users", scope=Scope.directory()))


def sizes(fake: Hostile) -> list[str]:
    return [heard.headers["prefer"].partition(",")[0] for heard in fake.heard]


def test_a_first_page_that_is_too_heavy_is_asked_for_again_in_halves() -> None:
    with Hostile() as fake:
        fake.on("/v1.0" + PATH, *[fails(504)] * 6, page("1"))
        headers = {"Prefer": "odata.maxpagesize=100"}
        (only,) = follow(fake.reader(), PATH, headers=headers, scope=ANNA)
        assert only.value == [{"id": "1"}]
        assert sizes(fake) == (
            ["odata.maxpagesize=100"] * 3 + ["odata.maxpagesize=50"] * 3 + ["odata.maxpagesize=25"]
        )


def test_a_page_that_is_too_heavy_at_any_size_is_a_failure() -> None:
    with Hostile() as fake:
        fake.on("/v1.0" + PATH, fails(504))
        with pytest.raises(GatewayTimeout):
            next(follow(fake.reader(), PATH, {"$select": "id"}, scope=ANNA))
        assert sizes(fake)[-1] == "odata.maxpagesize=6"


def test_a_next_link_keeps_its_page_size_so_its_time_out_is_told() -> None:
    with Hostile() as fake:
        fake.on("/v1.0" + PATH, fails(504))
        with pytest.raises(GatewayTimeout):
            next(follow(fake.reader(), fake.origin + "/v1.0" + PATH, scope=ANNA))
        assert len(fake.heard) == 3
