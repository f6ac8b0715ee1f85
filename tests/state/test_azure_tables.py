"""The Table Storage adapter against Azurite, and what it makes of a service that says no."""

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient

from state.problems import StateDenied, StateUnavailable
from state.tables.azure_tables import KEYS_PER_QUERY_MAX, AzureTables, key_groups
from tests.state.conftest import fresh_prefix
from tests.state.tables_suite import Suite


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
    tables = AzureTables(TableServiceClient(account["TableEndpoint"], credential=credential))
    with pytest.raises(StateDenied) as caught:
        tables.get("runs", "p", "k")
    assert "http" not in str(caught.value.to_json())


def test_an_account_that_cannot_be_reached_is_named_as_such():
    client = TableServiceClient(
        "http://127.0.0.1:9/devstoreaccount1",
        credential=AzureNamedKeyCredential("devstoreaccount1", "d3Jvbmc="),
        retry_total=0,
    )
    with pytest.raises(StateUnavailable):
        AzureTables(client).insert("runs", "p", "k", {"n": 1})


def test_queries_for_many_keys_respect_the_limit_on_comparisons_and_on_length():
    assert [len(group) for group in key_groups([f"k{n}" for n in range(30)])] == [14, 14, 2]
    long = [f"{n:03d}" + "x" * 500 for n in range(20)]
    groups = list(key_groups(long))
    assert [key for group in groups for key in group] == long
    assert all(len(group) <= KEYS_PER_QUERY_MAX for group in groups)
    assert max(sum(map(len, group)) for group in groups) <= 6_000
