"""Files attached to rows: read from SharePoint itself with a certificate, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from m365.graph.auth import Certificate
from m365.graph.client import GraphReader, Place
from m365.graph.errors import ItemGone
from m365.graph.sharepoint import at_sharepoint
from m365.graph.throttle import Limiter
from m365.list_attachments import NEEDS_CERTIFICATE, REFUSED
from m365.lists import ListsSource
from simulator.lists_state import SiteList, add_item, delete_item, lists_of
from simulator.tenant import AppRegistration
from tests.m365.cases_lists import ListsCase
from tests.m365.mirror import Kept, Mirror
from tests.m365.stage import Stage, TenantClock, stage
from tests.m365.test_auth import certificate
from tests.m365.wire_fake import FixedTokens

REST = "GET /sites/{web}/_api/web/lists/items/AttachmentFiles"
ODD = "it's 100% ours? #1 (ü).txt"


@pytest.fixture
def on() -> Iterator[Stage]:
    with stage(ListsCase()) as found:
        yield found


@pytest.fixture
def app(on: Stage) -> AppRegistration:
    """An application with a certificate that SharePoint lets in."""
    found = on.tenant.add_app("Certified", ("Sites.Read.All",))
    found.sharepoint_roles = {"Sites.Read.All"}
    return found


@pytest.fixture
def reader(on: Stage, app: AppRegistration) -> GraphReader:
    pem = certificate()
    public = load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.PEM)
    app.certificates.append(public)
    clock = TenantClock(on.tenant)
    credential = Certificate(on.tenant.id, app.app_id, pem)
    return GraphReader(on.reader.place, credential, Limiter(clock=clock), clock)


def orders(on: Stage) -> SiteList:
    lists = lists_of(on.tenant, on.resource.graph_id).values()
    return next(one for one in lists if one.title == "Orders")


def row(on: Stage, mirror: Mirror, number: int = 2) -> Kept:
    return mirror.items[f"{orders(on).id}:{number}"]


def files(kept: Kept) -> dict[str, bytes]:
    return {str(meta["name"]): data for _, data, meta in kept.parts}


def asked_rest(on: Stage) -> int:
    return on.tenant.counters.requests[REST]


def test_files_are_read_with_their_rows_whatever_their_names_are(
    on: Stage, reader: GraphReader
) -> None:
    big = bytes(range(256)) * 10_000
    item = add_item(
        on.tenant, orders(on), {"Title": "more"}, attachments={ODD: b"odd", "big.bin": big}
    )
    mirror = Mirror()
    mirror.round(ListsSource(reader, on.resource))
    assert files(row(on, mirror)) == {"bill.pdf": b"%PDF-1.4 bill"}
    assert files(row(on, mirror, item.id)) == {ODD: b"odd", "big.bin": big}
    assert not row(on, mirror).troubles
    assert not on.tenant.counters.offences


def test_only_rows_that_have_files_are_asked_about(on: Stage, reader: GraphReader) -> None:
    Mirror().round(ListsSource(reader, on.resource))
    assert asked_rest(on) == 1
    assert sum("/_api/" in route for route in on.tenant.counters.requests) == 2


def test_an_application_with_a_secret_never_asks(on: Stage) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    (trouble,) = row(on, mirror).troubles
    assert (trouble.cause, trouble.retry) == (NEEDS_CERTIFICATE, False)
    assert asked_rest(on) == 0
    assert not on.tenant.counters.offences


def test_without_a_right_of_sharepoint_itself_it_is_asked_once_and_said(
    on: Stage, reader: GraphReader, app: AppRegistration
) -> None:
    app.sharepoint_roles.clear()
    add_item(on.tenant, orders(on), {"Title": "more"}, attachments={"a.txt": b"a"})
    mirror = Mirror()
    mirror.round(ListsSource(reader, on.resource))
    (trouble,) = row(on, mirror).troubles
    assert (trouble.part, trouble.cause, trouble.retry) == ("attachments", REFUSED, False)
    assert asked_rest(on) == 1


def test_rows_stored_without_their_files_get_them_once_there_is_a_certificate(
    on: Stage, reader: GraphReader
) -> None:
    mirror = Mirror()
    mirror.round(on.source())
    assert row(on, mirror).troubles
    mirror.round(ListsSource(reader, on.resource))
    assert files(row(on, mirror)) == {"bill.pdf": b"%PDF-1.4 bill"}
    assert on.found(mirror) == on.truth()
    before = asked_rest(on)
    mirror.round(ListsSource(reader, on.resource))
    assert asked_rest(on) == before


def test_a_row_that_is_gone_is_gone_and_one_that_sharepoint_does_not_find_is_tried_again(
    on: Stage, reader: GraphReader
) -> None:
    mirror = Mirror()
    source = ListsSource(reader, on.resource)
    mirror.round(source)
    change = row(on, mirror).change
    on.tenant.faults.map(r"_api", "m")
    parts, (trouble,) = ListsSource(reader, on.resource).fetch(change)
    assert parts == []
    assert trouble.retry
    delete_item(on.tenant, orders(on), orders(on).items[2])
    with pytest.raises(ItemGone):
        ListsSource(reader, on.resource).fetch(change)


@pytest.mark.parametrize(
    "host",
    [
        "contoso.sharepoint.com.evil.example", "evil.example", "sharepoint.com",
        "a.b.sharepoint.com", "contoso.sharepoint.us", "contoso.sharepoint.com:444",
        "contoso.sharepoint.com@evil.example", "-x.sharepoint.com", "",
        "localhost", "127.0.0.1", "con\ttoso.sharepoint.com",
    ],
)  # fmt: skip
def test_a_token_of_sharepoint_goes_to_no_host_that_is_not_sharepoints(host: str) -> None:
    assert real_reader(host) is None


@pytest.mark.parametrize(
    ("graph", "host"),
    [
        ("https://graph.microsoft.com", "contoso.sharepoint.com"),
        ("https://graph.microsoft.com", "Contoso-EUR.SharePoint.com"),
        ("https://graph.microsoft.us", "contoso.sharepoint.us"),
        ("https://microsoftgraph.chinacloudapi.cn", "contoso.sharepoint.cn"),
    ],
)
def test_a_token_is_asked_for_the_very_host_it_goes_to(graph: str, host: str) -> None:
    found = real_reader(host, graph)
    assert found is not None
    assert found.place.token_scope == f"https://{host.lower()}/.default"
    assert found.place.authority == Place(graph).authority


def test_a_reader_that_has_no_certificate_has_no_way_to_sharepoint() -> None:
    place = Place("https://graph.microsoft.com")
    reader = GraphReader(place, FixedTokens(), Limiter())
    assert at_sharepoint(reader, "contoso.sharepoint.com") is None


def real_reader(host: str, graph: str = "https://graph.microsoft.com") -> GraphReader | None:
    credential = Certificate("00000000-0000-0000-0000-000000000001", "app", certificate())
    return at_sharepoint(GraphReader(Place(graph), credential, Limiter()), host)
