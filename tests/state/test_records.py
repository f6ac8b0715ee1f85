"""The records: what is stored comes back, races have one winner, and operations are few."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from base.errors import InvalidInput
from base.item import Cause, Trouble
from state.chunks import ChunkRow
from state.counting import CountingTables
from state.listing import RecordMissing
from state.names import LEDGER, POLICIES, RESOURCES
from state.organizations import Organization
from state.policies import Policy
from state.port import RowChanged, RowExists
from state.records import Records
from state.resources import ResourceRow
from state.runs import Run
from state.work import json_bytes
from tests.state.conftest import NOW

ORG = "contoso"
MINUTE = timedelta(minutes=1)


def organization(org: str = ORG, **changes) -> Organization:
    return replace(Organization(org, "Contoso", f"tenant-{org}", NOW), **changes)


def run(run_id: str, **changes) -> Run:
    return replace(Run(ORG, run_id, run_id.split("-")[0], "queued", NOW), **changes)


# --- Organizations ---


def test_an_organization_comes_back_with_every_field(records: Records):
    made = organization(
        vault_id="v1",
        credential_sealed="c2VhbGVk" * 5_000,
        schedule="0 2 * * *",
        time_zone="Europe/Berlin",
        next_run_at=NOW + MINUTE,
        facts={"n": 1},
    )
    records.organizations.create(made)
    assert records.organizations.get(ORG) == made
    assert records.organizations.get("other") is None


def test_an_organization_is_created_once(records: Records):
    records.organizations.create(organization())
    with pytest.raises(RowExists):
        records.organizations.create(organization(name="Impostor"))
    assert records.organizations.get(ORG).name == "Contoso"


def test_organizations_are_listed_by_id_in_pages(records: Records):
    for org in ("c", "a", "b"):
        records.organizations.create(organization(org))
    page = records.organizations.page(limit=2)
    rest = records.organizations.page(after=page.after, limit=2)
    assert [one.id for one in (*page.items, *rest.items)] == ["a", "b", "c"]


def test_due_are_active_organizations_whose_time_has_come(records: Records):
    records.organizations.create(organization("now", next_run_at=NOW))
    records.organizations.create(organization("later", next_run_at=NOW + MINUTE))
    records.organizations.create(organization("never"))
    records.organizations.create(organization("off", next_run_at=NOW, active=False))
    assert [one.id for one in records.organizations.due(NOW)] == ["now"]


def test_concurrent_changes_of_one_record_are_all_kept(records: Records):
    records.organizations.create(organization(facts={"n": 0}))

    def add_one(_: int) -> None:
        records.organizations.change(ORG, lambda one: replace(one, facts={"n": one.facts["n"] + 1}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(12)))
    assert records.organizations.get(ORG).facts == {"n": 12}


def test_changing_what_is_not_there_is_refused(records: Records):
    with pytest.raises(RecordMissing):
        records.organizations.change(ORG, lambda one: one)


def test_a_change_that_changes_nothing_writes_nothing(records: Records, counted: CountingTables):
    records.organizations.create(organization())
    before = counted.writes
    records.organizations.change(ORG, lambda one: one)
    assert counted.writes == before


# --- Policies ---


def policy(version: int, **document) -> Policy:
    return Policy(ORG, version, NOW, "ada", document)


def test_a_policy_replaces_only_the_version_it_was_made_from(records: Records):
    assert records.policies.current(ORG) is None
    records.policies.put_if_version(policy(1, users=["a"]), 0)
    records.policies.put_if_version(policy(2, users=["b"]), 1)
    with pytest.raises(RowChanged):
        records.policies.put_if_version(policy(2, users=["c"]), 1)
    with pytest.raises(RowChanged):
        records.policies.put_if_version(policy(1), 0)
    assert records.policies.current(ORG) == policy(2, users=["b"])
    assert [one.version for one in records.policies.versions(ORG).items] == [2, 1]


def test_of_two_editors_of_one_policy_one_wins(records: Records):
    records.policies.put_if_version(policy(1), 0)

    def edit(editor: int) -> int:
        try:
            records.policies.put_if_version(policy(2, by=editor), 1)
        except RowChanged:
            return -1
        return editor

    with ThreadPoolExecutor(4) as pool:
        winners = [editor for editor in pool.map(edit, range(4)) if editor >= 0]
    assert [records.policies.current(ORG).document["by"]] == winners


# --- Runs ---


def test_runs_are_listed_newest_first_and_filtered(records: Records):
    ids = [
        "backup-20261124t060517-3fa9c1",
        "restore-20261124t060518-000000",
        "backup-20261224t000000-aaaaaa",
        "backup-20250101t000000-ffffff",
    ]
    for one in ids:
        records.runs.create(run(one))
    found = [one.id for one in records.runs.page(ORG).items]
    assert found == [ids[2], ids[1], ids[0], ids[3]]
    only = records.runs.page(ORG, kind="restore").items
    assert [one.id for one in only] == [ids[1]]
    assert records.runs.page(ORG, state="running").items == ()
    first = records.runs.page(ORG, limit=3)
    assert [one.id for one in records.runs.page(ORG, after=first.after).items] == [ids[3]]


def test_a_run_comes_back_with_every_field(records: Records):
    made = run(
        "restore-20261124t060518-000000",
        state="amber",
        requested_by="ada",
        started=NOW,
        ended=NOW + MINUTE,
        progress={"items": 2**40},
        code="x",
        detail={"a": [1, None]},
        parameters={"path": "é" * 50_000},
    )
    records.runs.create(made)
    assert records.runs.get(ORG, made.id) == made


def test_a_heartbeat_does_not_wake_a_run_that_is_over(records: Records):
    records.runs.create(run("backup-20261124t060517-3fa9c1", state="running"))
    records.runs.beat(ORG, "backup-20261124t060517-3fa9c1", NOW)
    assert records.runs.get(ORG, "backup-20261124t060517-3fa9c1").heartbeat == NOW
    records.runs.change(
        ORG, "backup-20261124t060517-3fa9c1", lambda one: replace(one, state="cancelled")
    )
    over = records.runs.beat(ORG, "backup-20261124t060517-3fa9c1", NOW + MINUTE)
    assert (over.state, over.heartbeat) == ("cancelled", NOW)


@pytest.mark.parametrize("bad", ["", "backup", "../x", "backup-2026-x"])
def test_what_is_no_id_of_a_run_is_refused(records: Records, bad: str):
    with pytest.raises(InvalidInput):
        records.runs.get(ORG, bad)


# --- Leases ---


def test_a_lease_has_one_holder_until_it_expires(records: Records):
    first = records.leases.acquire(ORG, "backup", "a", NOW, MINUTE)
    assert (first.holder, first.turn) == ("a", 1)
    assert records.leases.acquire(ORG, "backup", "b", NOW + MINUTE / 2, MINUTE) is None
    second = records.leases.acquire(ORG, "backup", "b", NOW + MINUTE, MINUTE)
    assert (second.holder, second.turn) == ("b", 2)
    assert records.leases.current(ORG, "backup") == second


def test_a_holder_renews_and_a_loser_learns_that_it_lost(records: Records):
    mine = records.leases.acquire(ORG, "backup", "a", NOW, MINUTE)
    longer = records.leases.renew(mine, NOW + MINUTE / 2, MINUTE)
    assert longer.expires == NOW + MINUTE * 1.5
    again = records.leases.acquire(ORG, "backup", "a", NOW + MINUTE, MINUTE)
    assert (again.expires, again.turn) == (NOW + MINUTE * 2, 1)
    records.leases.acquire(ORG, "backup", "b", NOW + MINUTE * 3, MINUTE)
    assert records.leases.renew(longer, NOW + MINUTE * 3, MINUTE) is None
    records.leases.release(ORG, "backup", "a")
    assert records.leases.current(ORG, "backup").holder == "b"


def test_a_released_lease_is_free_at_once_and_its_turn_counts_on(records: Records):
    mine = records.leases.acquire(ORG, "backup", "a", NOW, MINUTE)
    records.leases.release(ORG, "backup", "a")
    assert records.leases.current(ORG, "backup") is None
    assert records.leases.renew(mine, NOW, MINUTE) is None
    assert records.leases.acquire(ORG, "backup", "b", NOW, MINUTE).turn == 2


def test_of_many_who_want_a_lease_at_once_one_gets_it(records: Records):
    for moment in (NOW, NOW + 2 * MINUTE):  # a new one, then an expired one

        def acquire(holder: int, moment: datetime = moment):
            return records.leases.acquire(ORG, "backup", f"h{holder}-{moment}", moment, MINUTE)

        with ThreadPoolExecutor(8) as pool:
            got = [lease for lease in pool.map(acquire, range(8)) if lease]
        assert len(got) == 1
        assert records.leases.current(ORG, "backup") == got[0]


# --- Work ---


def test_a_work_list_is_read_shard_by_shard(records: Records, counted: CountingTables):
    shards = [
        [{"service": "mail", "resource": f"{n}-{m}", "n": m} for m in range(40)] for n in range(7)
    ]
    records.work.put(ORG, "run", shards)
    assert counted.writes == 1
    assert list(records.work.get(ORG, "run", 6).resources) == shards[6]
    assert records.work.get(ORG, "run", 7) is None
    records.work.delete(ORG, "run")
    assert records.work.get(ORG, "run", 0) is None


def test_a_shard_as_large_as_advised_fits_its_row(records: Records):
    shard = [{"service": "mail", "resource": "mailbox:" + "x" * 36} for _ in range(5_150)]
    assert 390_000 < json_bytes(shard) < 400_000
    records.work.put(ORG, "run", [shard])
    assert list(records.work.get(ORG, "run", 0).resources) == shard


# --- Resources ---


def test_resources_are_listed_by_service(records: Records, counted: CountingTables):
    rows = [ResourceRow(ORG, "mail", f"mailbox:{n:03d}", name=f"é{n}") for n in range(120)]
    rows += [ResourceRow(ORG, "drive", "drive:b!/x", head=3, head_at=NOW)]
    rows += [ResourceRow("other", "mail", "mailbox:1")]
    records.resources.put_many(rows)
    assert counted.writes == 3
    assert list(records.resources.all(ORG, "mail")) == rows[:120]
    assert [one.service for one in records.resources.page(ORG).items][:2] == ["drive", "mail"]
    page = records.resources.page(ORG, service="mail", limit=100)
    assert len(records.resources.page(ORG, service="mail", after=page.after).items) == 20
    assert records.resources.get(ORG, "drive", "drive:b!/x") == rows[120]


def test_a_resource_is_changed_in_place(records: Records):
    records.resources.put_many([ResourceRow(ORG, "mail", "mailbox:1", items=1)])
    records.resources.change(ORG, "mail", "mailbox:1", lambda one: replace(one, items=2))
    assert records.resources.get(ORG, "mail", "mailbox:1").items == 2
    records.resources.delete_all(ORG)
    assert list(records.resources.all(ORG)) == []


def test_names_and_addresses_are_sealed_in_the_tables_and_the_rest_is_not(records: Records):
    records.resources.put_many(
        [ResourceRow(ORG, "mail", "mailbox:1", name="Ada", address="ada@contoso.example")]
    )
    document = {"selection": {"users": ["ada@contoso.example"]}}
    records.policies.put_if_version(Policy(ORG, 1, NOW, "somebody", document), 0)
    stored = records.tables.get(RESOURCES, ORG, "mail/mailbox:1").values
    assert stored["name"] == "sealed for contoso: adA"
    assert stored["state"] == "protected"
    rows = [
        *records.tables.scan(RESOURCES, ORG),
        *records.tables.scan(POLICIES, ORG),
    ]
    assert len(rows) == 2
    assert "ada@contoso" not in str(rows)
    assert records.resources.get(ORG, "mail", "mailbox:1").address == "ada@contoso.example"


def test_half_a_surrogate_pair_in_a_name_does_not_lose_the_row(records: Records):
    records.resources.put_many([ResourceRow(ORG, "mail", "mailbox:1", name="half \ud83d")])
    assert records.resources.get(ORG, "mail", "mailbox:1").name == "half \ufffd"


# --- Ledger ---

BOX = (ORG, "mail", "mailbox:1")


def test_a_trouble_counts_one_try_a_run_and_waits_longer_each_time(records: Records):
    trouble = Trouble("AAMk/1", "mime", "server-error", retry=True, detail="req-1")
    waits = []
    for attempt in range(1, 8):
        now = NOW + attempt * timedelta(days=30)
        for _ in range(2):  # the step is repeated
            records.ledger.note(*BOX, [trouble], run=f"run-{attempt}", now=now)
        (row,) = records.ledger.page(ORG).items
        assert (row.attempts, row.first_seen) == (attempt, NOW + timedelta(days=30))
        waits.append((row.next_try - now) / timedelta(hours=1))
    assert waits == [0, 4, 24, 72, 168, 168, 168]


def test_what_is_permanent_is_listed_and_never_due(records: Records):
    troubles = [
        Trouble("a", "content", Cause.MALWARE, retry=False),
        Trouble("b", "mime", "server-error", retry=True),
    ]
    records.ledger.note(*BOX, troubles, run="r1", now=NOW)
    assert {row.cause for row in records.ledger.page(ORG).items} == {"malware", "server-error"}
    assert [row.item for row in records.ledger.due(*BOX, NOW)] == ["b"]
    blocked = next(row for row in records.ledger.page(ORG).items if row.item == "a")
    records.ledger.retry_now(blocked, NOW)
    assert {row.item for row in records.ledger.due(*BOX, NOW)} == {"a", "b"}


def test_due_rows_wait_for_their_time_and_come_in_portions(records: Records):
    troubles = [Trouble(f"i{n}", "mime", "x", retry=True) for n in range(5)]
    records.ledger.note(*BOX, troubles, run="r1", now=NOW)
    records.ledger.note(*BOX, troubles[:2], run="r2", now=NOW)
    assert {row.item for row in records.ledger.due(*BOX, NOW)} == {"i2", "i3", "i4"}
    assert len(records.ledger.due(*BOX, NOW + timedelta(hours=4), limit=4)) == 4


def test_an_item_that_is_whole_again_leaves_the_ledger_with_all_its_parts(records: Records):
    troubles = [
        Trouble(item, part, "x", retry=True) for item in "ab" for part in ("mime", "attachment:1")
    ]
    records.ledger.note(*BOX, troubles, run="r1", now=NOW)
    records.ledger.note(ORG, "mail", "mailbox:10", troubles[:1], run="r1", now=NOW)
    records.ledger.clear(*BOX, {"a", "unknown"})
    assert [(row.resource, row.item) for row in records.ledger.page(ORG).items] == [
        ("mailbox:1", "b"),
        ("mailbox:1", "b"),
        ("mailbox:10", "a"),
    ]
    assert len(records.ledger.page(ORG, service="mail", resource="mailbox:1").items) == 2
    assert records.ledger.page(ORG, service="drive").items == ()


def test_ids_longer_than_a_key_fit_into_the_ledger(records: Records):
    trouble = Trouble("A" * 400, "attachment:" + "B" * 400, "x", retry=True)
    records.ledger.note(*BOX, [trouble], run="r", now=NOW)
    assert records.ledger.page(ORG).items[0].part == trouble.part


def test_noting_a_page_of_troubles_costs_few_operations(records: Records, counted: CountingTables):
    troubles = [Trouble(f"i{n}", "mime", "x", retry=True) for n in range(100)]
    records.ledger.note(*BOX, troubles, run="r", now=NOW)
    assert (counted.reads, counted.writes, counted.rows_written) == (100, 1, 100)
    records.ledger.note(*BOX, [], run="r", now=NOW)
    records.ledger.clear(*BOX, set())
    assert (counted.reads, counted.writes) == (100, 1)


# --- Chunks ---


def chunk_id(number: int) -> str:
    return f"{number % 16:x}{number:063x}"


def test_chunks_are_found_where_they_were_remembered(records: Records):
    chunks = {chunk_id(n): ChunkRow("pack" * 10, n, 2**33 + n, n) for n in range(64)}
    records.chunks.remember(ORG, chunks)
    assert records.chunks.find(ORG, [*chunks, chunk_id(99)]) == chunks
    assert records.chunks.find("other", [chunk_id(1)]) == {}
    assert records.chunks.forget(ORG, "elsewhere", [chunk_id(1)]) == set()
    assert records.chunks.forget(ORG, "pack" * 10, [chunk_id(1), chunk_id(99)]) == {chunk_id(1)}
    assert records.chunks.find(ORG, [chunk_id(1), chunk_id(2)]).keys() == {chunk_id(2)}
    records.chunks.delete_all(ORG)
    assert records.chunks.find(ORG, chunks) == {}


def test_a_hundred_chunks_take_one_transaction(records: Records, counted: CountingTables):
    chunks = {chunk_id(n): ChunkRow("p", n, 0, 1) for n in range(200)}
    records.chunks.remember(ORG, chunks)
    assert (counted.writes, counted.rows_written) == (2, 200)
    records.chunks.find(ORG, chunks)
    assert counted.reads == 200  # point reads, sixteen at once


# --- Rows of other versions ---


def test_rows_of_an_older_and_a_newer_version_can_be_read(records: Records):
    records.ledger.note(*BOX, [Trouble("a", "mime", "x", retry=True)], run="r", now=NOW)
    (row,) = records.tables.scan(LEDGER, ORG)
    older = {column: value for column, value in row.values.items() if column != "detail"}
    records.tables.replace(LEDGER, ORG, row.key, {**older, "invented_later": 1}, None)
    assert records.ledger.page(ORG).items[0].detail == ""


def test_times_come_back_to_the_microsecond_and_in_utc(records: Records):
    berlin = datetime.fromisoformat("2026-07-01T12:00:00.000001+02:00")
    records.organizations.create(organization(next_run_at=berlin))
    back = records.organizations.get(ORG).next_run_at
    assert (back, back.tzinfo) == (berlin, UTC)


# --- Throttling ---


def test_of_two_who_read_the_same_record_of_throttling_one_writes_it(records: Records):
    throttling = records.throttling
    assert throttling.read("tenant", "sharepoint") == ({}, "")
    assert throttling.write("tenant", "sharepoint", {"claims": {}}, "")
    assert not throttling.write("tenant", "sharepoint", {"claims": {"b": 1}}, "")
    content, etag = throttling.read("tenant", "sharepoint")
    assert content == {"claims": {}}
    assert throttling.write("tenant", "sharepoint", {"claims": {"a": 1}}, etag)
    assert not throttling.write("tenant", "sharepoint", {"claims": {"b": 1}}, etag)
    assert not throttling.remove("tenant", "sharepoint", etag)
    assert throttling.read("tenant", "sharepoint")[0] == {"claims": {"a": 1}}


def test_records_of_throttling_hold_many_workers_and_belong_to_their_tenant(records: Records):
    many = {f"worker-{number}": {"until": number} for number in range(2_000)}
    records.throttling.write("one", "app", {"claims": many}, "")
    records.throttling.write("two", "mailbox:x", {}, "")
    assert [row.name for row in records.throttling.all("one")] == ["app"]
    assert records.throttling.read("one", "app")[0] == {"claims": many}
    records.throttling.delete_all("one")
    assert list(records.throttling.all("one")) == []
    assert records.throttling.remove(
        "two", "mailbox:x", records.throttling.read("two", "mailbox:x")[1]
    )
