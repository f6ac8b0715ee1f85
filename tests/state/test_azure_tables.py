"""The Table Storage adapter against Azurite, and what it makes of a service that says no."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.data.tables import TableServiceClient

from base.clock import SystemClock
from state.problems import StateDenied, StateUnavailable
from state.tables.azure_tables import AzureTables
from state.tables.point_reads import key_signer, token_signer
from tests.state.conftest import fresh_prefix
from tests.state.tables_suite import Suite
from tests.vault.world import StillClock


@pytest.mark.azurite
class TestAzureTables(Suite):
    @pytest.fixture
    def tables(self, azurite: str):
        made = AzureTables.from_connection_string(azurite, fresh_prefix())
        yield made
        made.close()


@pytest.mark.azurite
def test_two_prefixes_are_two_installations(azurite: str):
    one, two = (AzureTables.from_connection_string(azurite, prefix) for prefix in ("one", "two"))
    one.insert("runs", "p", "k", {"n": 1})
    assert two.get("runs", "p", "k") is None


@pytest.mark.azurite
def test_a_wrong_key_is_named_as_such_without_addresses(azurite: str):
    account = dict(part.split("=", 1) for part in azurite.strip(";").split(";"))
    credential = AzureNamedKeyCredential(account["AccountName"], "d3Jvbmc=")
    tables = tables_at(account["TableEndpoint"], credential)
    for read in (
        lambda: tables.get("runs", "p", "k"),
        lambda: tables.get_many("runs", "p", ["k", "l"]),
    ):
        with pytest.raises(StateDenied) as caught:
            read()
    assert "http" not in str(caught.value.to_json())


def test_an_account_that_cannot_be_reached_is_named_as_such():
    key = AzureNamedKeyCredential("devstoreaccount1", "d3Jvbmc=")
    tables = tables_at("http://127.0.0.1:9/devstoreaccount1", key)
    with pytest.raises(StateUnavailable):
        tables.insert("runs", "p", "k", {"n": 1})
    with pytest.raises(StateUnavailable):
        tables.get_many("runs", "p", ["k"])


def tables_at(url: str, key: AzureNamedKeyCredential) -> AzureTables:
    """Tables without the library's patience."""
    client = TableServiceClient(url, credential=key, retry_total=1, retry_backoff_factor=0)
    return AzureTables(client, key_signer(key, SystemClock()))


class Service(BaseHTTPRequestHandler):
    """Answers the point reads of rows a, b, c … in turn with what a test wants."""

    statuses: ClassVar[dict[str, list[int]]] = {}

    def do_GET(self) -> None:
        key = re.search(r"RowKey='(\w+)'", unquote(self.path)).group(1)
        status = self.statuses[key].pop(0)
        body = b'{"odata.etag":"W/1","PartitionKey":"p","RowKey":"%s","n":1}' % key.encode()
        if status != 200:
            body = b'{"odata.error":{"code":"ResourceNotFound","message":{"value":"none"}}}'
        self.send_response(status)
        self.send_header("ETag", "W/1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_many_keys_are_point_reads_and_what_is_busy_or_refused_is_asked_again():
    Service.statuses = {"a": [200], "b": [503, 200], "c": [404], "d": [500, 404], "e": [404]}
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        account = f"http://127.0.0.1:{server.server_port}/account"
        tables = tables_at(account, AzureNamedKeyCredential("account", "d3Jvbmc="))
        found = tables.get_many("runs", "p", list("abcdea"))
        tables.close()
        server.shutdown()
    assert [(row.key, row.values, row.etag) for row in found] == [
        ("a", {"n": 1}, "W/1"),
        ("b", {"n": 1}, "W/1"),
    ]
    assert all(not left for left in Service.statuses.values())


def test_a_token_is_asked_for_once_until_it_is_about_to_end():
    class Identity:
        asked = 0

        def get_token(self, *scopes: str) -> AccessToken:
            self.asked += 1
            return AccessToken(f"token-{self.asked}", int(clock.now().timestamp()) + 3600)

    identity, clock = Identity(), StillClock()
    sign = token_signer(identity, clock)
    assert [sign("/x")["Authorization"] for _ in range(2)] == ["Bearer token-1"] * 2
    clock.sleep(3400)
    assert sign("/x")["Authorization"] == "Bearer token-2"
