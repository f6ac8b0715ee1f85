"""Every table may be lost: what the vaults say brings everything back that matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine import audit, coverage, ledger, organizations, policies, rebuild, resources, runs
from engine.assembly import App
from engine.mirror import newest_version
from engine.rebuild import RebuildRun
from state.audit import Audit
from state.names import ALL, AUDIT, CHUNKS, ORGANIZATIONS, POLICIES, RUNS
from state.port import RowExists
from tests.engine.mortal import Death, Killed, MortalApp
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, world


@pytest.fixture
def house(tmp_path: Path) -> Iterator[World]:
    with world(calm_tenant(seed=8), tmp_path) as made:
        yield made


def lose_tables(made: World) -> None:
    """Deletes every row of every table, and whoever knew anything."""
    tables = made.app.unmirrored
    for table in ALL:
        for partition in list(tables.partitions(table)):
            tables.delete_partition(table, partition)
    made.app = App(made.app.settings, tables=tables, scrypt_n=SCRYPT_N)


def rebuilt(made: World, step: int = 1000) -> list[dict[str, Any]]:
    """A whole rebuild as its story tells it; the last answers."""
    answers = []
    for request in rebuild.request_rebuild(made.app, "test"):
        for _ in range(step):
            answer = rebuild.rebuild_slice(made.app, request)
            if answer["state"] != "more":
                break
            request = RebuildRun(request.org, request.run, answer["next"])
        answers.append(answer)
    return answers


def told(made: World) -> dict[str, Any]:
    """What people are told of the organization."""
    app = made.app
    everything = {
        "organization": organizations.show(app, ORG),
        "policy": policies.show(app, ORG),
        "versions": [one.version for one in app.policies.versions(ORG).items],
        "resources": [row for row in resources.listed(app, ORG)[0] if row["head"]],
        "runs": [row for row in runs.listed(app, ORG, limit=1000)[0] if row["kind"] != "rebuild"],
        "audit": audit.listed(app, ORG)[0],
        "ledger": [
            (row["service"], row["resource"], row["item"], row["part"], row["cause"], row["retry"])
            for row in ledger.listed(app, ORG)[0]
        ],
        "chunks": {row.key: dict(row.values) for row in app.unmirrored.scan(CHUNKS, ORG)},
        "protected": coverage.statement(app, ORG)["resources"].get("protected"),
    }
    for row in everything["resources"]:
        # When it was last looked at, and how that went: the vault knows when it last changed.
        for name in (
            "verified_at", "last_seen", "cursor_stored_at", "reconciled_at", "drift", "last_run",
            "last_outcome",
        ):  # fmt: skip
            row.pop(name)
    return everything


def lived(made: World) -> None:
    """Backups, a policy, a name, an act in the audit log."""
    made.back_up()
    version = policies.show(made.app, ORG)["version"]
    document = {**policies.current(made.app, ORG), "retention": {"daily": 30}}
    policies.change(made.app, ORG, document, version, by="someone")
    organizations.change(made.app, ORG, name="Contoso of old")
    audit.note(made.app, ORG, "someone", "preview", run="run-1")
    made.back_up()


def test_nothing_is_missing_when_every_table_was_deleted(house: World) -> None:
    lived(house)
    before = told(house)
    assert before["ledger"] is not None
    lose_tables(house)
    assert house.app.organizations.get(ORG) is None
    assert [answer["state"] for answer in rebuilt(house)] == ["done"]
    after = told(house)
    for name, wanted in before.items():
        assert after[name] == wanted, name
    assert house.app.audit.verify(ORG).intact


def test_a_backup_goes_on_where_it_was_and_stores_nothing_twice(house: World) -> None:
    lived(house)
    stored = sum(one.size for one in house.app.store_counts(ORG).list("p/"))
    lose_tables(house)
    rebuilt(house)
    house.back_up()
    vault = house.app.vault(ORG)
    chain = f"mail/{house.mailbox_id}"
    assert vault.numbers(chain) == [1]  # nothing changed, so there is nothing new
    assert sum(one.size for one in house.app.store_counts(ORG).list("p/")) == stored


def test_a_rebuild_beside_tables_that_are_there_changes_nothing(house: World) -> None:
    lived(house)
    before = told(house)
    rebuilt(house)
    rebuilt(house)
    assert told(house) == before


def test_a_rebuild_in_single_pieces_twice_each_ends_equal(house: World) -> None:
    lived(house)
    before = told(house)
    lose_tables(house)
    house.app.settings = house.app.settings.model_copy(update={"step_seconds": 0.0})
    (request,) = rebuild.request_rebuild(house.app, "test")
    pieces = 0
    while True:
        rebuild.rebuild_slice(house.app, request)
        answer = rebuild.rebuild_slice(house.app, request)
        pieces += 1
        if answer["state"] != "more":
            break
        request = RebuildRun(request.org, request.run, answer["next"])
    assert pieces > 4
    assert told(house) == before


def test_an_organization_that_was_deleted_does_not_come_back(house: World) -> None:
    lived(house)
    organizations.delete(house.app, ORG)
    assert rebuilt(house) == []
    lose_tables(house)
    assert rebuilt(house) == []
    assert house.app.organizations.get(ORG) is None


def test_the_audit_log_cannot_fork_and_helps_a_dead_writer(house: World) -> None:
    audit.note(house.app, ORG, "a", "first")
    head = house.app.audit.head(ORG)
    row = next(iter(house.app.unmirrored.query(AUDIT, ORG, limit=1).rows))
    house.app.unmirrored.delete(AUDIT, ORG, row.key)  # it reached the vault and died
    audit.note(house.app, ORG, "b", "second")
    rows, _ = audit.listed(house.app, ORG)
    assert [one["action"] for one in rows][:2] == ["second", "first"]
    assert rows[1]["hash"] == head.hash
    assert house.app.audit.verify(ORG).intact


def test_what_is_written_once_is_refused_the_second_time(house: World) -> None:
    house.app.tables.insert(POLICIES, ORG, "000000001", {"a": 1})
    with pytest.raises(RowExists):
        house.app.tables.insert(POLICIES, ORG, "000000001", {"a": 2})


def test_tables_deleted_in_the_middle_of_a_backup_lose_nothing(house: World) -> None:
    from base.errors import Problem
    from base.messages import BackupRun, Shard
    from engine import plan

    run = runs.request_backup(house.app, ORG, "test").id
    planned = plan.plan_backup(house.app, BackupRun(ORG, run))
    drains = [
        drain
        for number in range(planned.shards)
        for drain in plan.shard_resources(house.app, Shard(ORG, run, number))
    ]
    house.drain(drains[0])
    lose_tables(house)
    for drain in drains[1:]:
        try:
            house.drain(drain)
        except Problem:
            continue
    rebuilt(house)
    shown = house.back_up()
    assert shown["state"] in ("green", "amber")
    assert house.app.vault(ORG).verify(read_data=True).problems == []
    assert house.mail_in_vault() == house.mail_in_tenant()


def test_a_damaged_chain_makes_an_amber_rebuild_however_many_pieces_it_took(house: World) -> None:
    lived(house)
    lose_tables(house)
    blobs = house.folder / "data" / "vaults" / ORG / "s"
    damaged = next(one for one in sorted(blobs.rglob("*")) if one.is_file())
    damaged.chmod(0o600)
    damaged.write_bytes(b"no envelope")
    house.app.settings = house.app.settings.model_copy(update={"step_seconds": 0.0})
    (answer,) = rebuilt(house)
    assert answer["state"] == "done"
    (shown,) = [row for row in runs.listed(house.app, ORG)[0] if row["kind"] == "rebuild"]
    assert (shown["state"], shown["counts"]["lost"] > 0) == ("amber", True)


@pytest.mark.parametrize(("act", "reason"), [("drop", "missing"), ("edit", "changed")])
def test_an_audit_row_that_was_tampered_with_is_named(house: World, act: str, reason: str) -> None:
    for name in ("one", "two", "three"):
        audit.note(house.app, ORG, "someone", name)
    tables = house.app.unmirrored
    row = tables.query(AUDIT, ORG, limit=1).rows[0]  # the newest: the chain alone cannot show it
    tables.delete(AUDIT, ORG, row.key)
    if act == "edit":
        before = house.app.audit.head(ORG)
        other = Audit(tables, house.app.clock)  # past the vault, with a chain that is right
        other.append(ORG, "nobody", "nothing", ORG)
        assert house.app.audit.head(ORG).number == before.number + 1
    assert house.app.audit.verify(ORG).intact
    found = audit.check(house.app, ORG)
    assert (found.broken_at, found.reason) == (
        house.app.audit.head(ORG).number + (act == "drop"),
        reason,
    )


def test_a_row_beside_the_vault_is_named_too(house: World) -> None:
    audit.note(house.app, ORG, "someone", "one")
    Audit(house.app.unmirrored, house.app.clock).append(ORG, "nobody", "nothing", ORG)
    assert house.app.audit.verify(ORG).intact
    assert audit.check(house.app, ORG).reason == "unknown"
    rebuilt(house)
    (shown,) = [row for row in runs.listed(house.app, ORG)[0] if row["kind"] == "rebuild"]
    assert (shown["state"], shown["code"]) == ("amber", "audit-altered")


def test_the_last_version_kept_is_the_last_row_in_whatever_order_writers_get_on(
    house: World,
) -> None:
    late = house.app.organizations.get(ORG)
    organizations.change(house.app, ORG, name="Second")
    assert late is not None
    house.app.tables.keep_organization(ORG)  # the slow one comes last, with nothing new to say
    organizations.change(house.app, ORG, name="Third")
    assert newest_version(house.app.vault(ORG)).values["name"] == "Third"
    assert len(list(house.app.vault(ORG).list_records("row/organizations/"))) == 3


def test_a_change_whose_writer_died_is_kept_by_the_next_rebuild(house: World) -> None:
    row = house.app.unmirrored.get(ORGANIZATIONS, ORGANIZATIONS, ORG)
    assert row is not None
    house.app.unmirrored.replace(
        ORGANIZATIONS, ORGANIZATIONS, ORG, {**row.values, "name": "New"}, row.etag
    )
    rebuilt(house)
    lose_tables(house)
    rebuilt(house)
    assert organizations.show(house.app, ORG)["name"] == "New"


@pytest.mark.parametrize("which", ["vault", "records"])
def test_a_rebuild_that_dies_at_any_write_ends_equal_the_next_time(
    house: World, which: str
) -> None:
    lived(house)
    before = told(house)
    store = house.app.store(ORG)
    for deaths in range(1, 200):
        for ended in list(store.list(f"r/row/{RUNS}/")):
            if "-rebuild-" in ended.name:  # what earlier rounds wrote takes time to bring back
                store.delete(ended.name)
        lose_tables(house)
        death = Death(deaths, arrives=deaths % 2 == 0)
        given: dict[str, Any] = {which: death}
        whole, house.app = house.app, MortalApp(house.app.settings, **given)
        with suppress(Killed):
            rebuilt(house)
        house.app = whole
        rebuilt(house)
        assert told(house) == before, deaths
        if not death.came:
            break
    assert deaths > (1 if which == "vault" else 5)
