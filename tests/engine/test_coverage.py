"""The coverage statement: what is protected, partly or not, since when, and why in words."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from base.errors import InvalidInput
from base.item import Cause
from base.messages import BackupRun
from engine import coverage, coverage_export, plan, policies, runs
from engine import coverage_words as words
from engine.coverage_rows import Wanted
from m365 import SERVICES
from m365.uncovered import UNCOVERED
from simulator import contoso
from state.resources import ResourceRow
from state.rows import CursorInvalid
from tests.engine.world import ORG, World, app_for, calm_tenant, world

_Row = dict[str, Any]
ALL = Wanted()
EVERY = policies.DEFAULT["services"]
FEW = [name for name in EVERY if SERVICES[name].resource_kind in ("mailbox", "drive")]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """Nothing was backed up yet; all services of mailboxes and drives are named."""
    with world(calm_tenant(seed=5), tmp_path) as found:
        policies.change(found.app, ORG, {"services": FEW, "protection": "full"}, 1)
        yield found


@pytest.fixture(scope="module")
def whole_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(calm_tenant(seed=5), tmp_path_factory.mktemp("whole")) as found:
        policies.change(found.app, ORG, {"services": EVERY, "protection": "full"}, 1)
        found.back_up()
        yield found


@pytest.fixture
def hurt(whole_tenant: World, tmp_path: Path) -> World:
    """Every service backed up once, of a tenant that has malware; a copy that a test may hurt."""
    shutil.copytree(whole_tenant.folder / "data", tmp_path / "data")
    return World(app_for(whole_tenant.running, tmp_path), whole_tenant.running)


def rows(made: World, **wanted: str) -> list[_Row]:
    return list(coverage.everything(made.app, ORG, Wanted(**wanted)))


def one(made: World, kind: str, name: str = "") -> _Row:
    return next(row for row in rows(made, kind=kind) if name in row["name"])


def codes(row: _Row) -> set[str]:
    return {reason["code"] for reason in row["reasons"]}


def changed(made: World, service: str, resource: str, **values: Any) -> None:
    made.app.resources.change(ORG, service, resource, lambda row: replace(row, **values))


# --- States and reasons ---


def test_before_any_run_nothing_is_protected_and_the_reason_says_so(fresh: World) -> None:
    only_plan(fresh)
    for row in rows(fresh):
        assert (row["state"], row["since"], row["last"]) == ("not", None, None), row
        assert row["reasons"], row
    assert codes(one(fresh, "mailbox")) == {words.NOT_YET}


def test_everything_copied_is_protected_since_its_first_restore_point(fresh: World) -> None:
    fresh.back_up()
    first = one(fresh, "mailbox", "Adele")
    contoso.month(fresh.tenant)
    fresh.back_up()
    again = one(fresh, "mailbox", "Adele")
    assert again["state"] == "protected"
    assert again["reasons"] == []
    assert first["since"] == again["since"]
    assert first["last"] <= again["last"]  # seconds: two restore points may be of the same one
    heads = {row.head for row in fresh.app.resources.all(ORG) if row.resource == again["resource"]}
    assert max(heads) == 2
    assert again["checked"] is not None
    assert {part["state"] for part in again["services"]} == {"protected"}


def test_what_could_not_be_copied_makes_it_partly_protected_with_counts(hurt: World) -> None:
    drive = one(hurt, "onedrive", "Adele")
    ledger = list(hurt.app.ledger.all(ORG, "drive", drive["resource"]))
    assert drive["state"] == "partly"
    assert sum(reason["count"] for reason in drive["reasons"]) == len(ledger) > 0
    assert Cause.MALWARE in codes(drive)
    assert "malware" in next(
        reason["sentence"] for reason in drive["reasons"] if reason["code"] == Cause.MALWARE
    )
    person = one(hurt, "user", "Adele")
    assert person["state"] == "partly"
    assert [reason["sentence"] for reason in person["reasons"]] == [
        "Its OneDrive is only partly protected."
    ]


def test_what_does_not_exist_is_said_and_is_no_gap_of_its_owner(hurt: World) -> None:
    drive = one(hurt, "onedrive", "Sales Inbox")
    assert (drive["state"], codes(drive)) == ("not", {"no-licence"})
    person = one(hurt, "user", "Sales Inbox")
    assert (person["state"], person["reasons"]) == ("protected", [])
    totals = coverage.statement(hurt.app, ORG)["totals"]
    assert totals["onedrive"]["not"] == totals["onedrive"]["absent"] == 1


def test_a_service_that_the_policy_does_not_name_is_named_as_missing(made: World) -> None:
    mailbox = one(made, "mailbox")
    assert mailbox["state"] == "partly"
    assert codes(mailbox) == {words.NOT_IN_POLICY}
    assert "Calendar" in mailbox["reasons"][0]["sentence"]
    assert "archive" not in mailbox["reasons"][0]["sentence"]  # which is optional
    group = one(made, "group")
    assert (group["state"], codes(group)) == ("not", {words.NOT_IN_POLICY})


def test_a_run_that_failed_and_one_that_never_came_by_are_reasons(fresh: World) -> None:
    fresh.back_up()
    mailbox = one(fresh, "mailbox", "Adele")
    changed(fresh, "mail", mailbox["resource"], last_outcome="failed", last_code="graph-unstable")
    row = fresh.app.resources.get(ORG, "calendar", mailbox["resource"])
    assert row is not None
    assert row.verified_at is not None
    earlier = row.verified_at - timedelta(days=2)
    changed(fresh, "calendar", mailbox["resource"], verified_at=earlier, last_run="backup-x")
    found = one(fresh, "mailbox", "Adele")
    assert found["state"] == "partly"
    about = {reason["code"]: reason["about"] for reason in found["reasons"]}
    assert about == {words.RUN_FAILED: "Mail", words.NOT_REACHED: "Calendar"}


def test_mime_that_follows_and_mime_that_never_comes_are_said(tmp_path: Path) -> None:
    with world(calm_tenant(seed=5), tmp_path) as made:
        policies.change(made.app, ORG, {"services": ["mail"], "protection": "fast"}, 1)
        made.back_up()
        assert words.WITHOUT_PARTS in codes(one(made, "mailbox"))
        policies.change(made.app, ORG, {"services": ["mail"], "protection": "progressive"}, 2)
        resource = one(made, "mailbox")["resource"]
        changed(made, "mail", resource, waiting=7)
        found = next(
            reason for reason in one(made, "mailbox")["reasons"] if reason["code"] == words.WAITING
        )
        assert found["count"] == 7
        assert "MIME" in found["sentence"]


def test_who_left_is_not_protected_any_more_and_keeps_what_there_is(fresh: World) -> None:
    fresh.back_up()
    leaver = fresh.mailbox.user_id
    fresh.tenant.remove_user(leaver)
    fresh.back_up()
    row = next(row for row in rows(fresh, owner=leaver) if row["kind"] == "mailbox")
    assert (row["state"], codes(row)) == ("not", {"left-the-directory"})
    assert row["since"] <= row["last"]
    person = next(row for row in rows(fresh, owner=leaver) if row["kind"] == "user")
    assert person["state"] == "not"


def test_a_permission_that_is_missing_is_named(fresh: World) -> None:
    fresh.tenant.backup_app.roles -= {"Calendars.Read", "Calendars.ReadWrite"}
    fresh.back_up()
    mailbox = one(fresh, "mailbox", "Adele")
    assert mailbox["state"] == "partly"
    (reason,) = mailbox["reasons"]
    assert reason["about"] == "Calendar"
    assert reason["sentence"].endswith("needed: Calendars.Read.")


def test_the_statement_counts_by_kind_and_names_what_no_service_copies(hurt: World) -> None:
    said = coverage.statement(hurt.app, ORG)
    for kind, states in said["totals"].items():
        found = rows(hurt, kind=kind)
        assert len(found) == sum(states[state] for state in ("protected", "partly", "not"))
        for state in ("protected", "partly", "not"):
            assert states[state] == len([row for row in found if row["state"] == state])
    assert {one["code"] for one in said["why"]} >= {Cause.MALWARE, "no-licence"}
    by_name = {one["service"]: one for one in said["services"]}
    assert by_name.keys() == SERVICES.keys()
    assert by_name["mail"]["not_captured"] == list(SERVICES["mail"].not_captured)
    assert by_name["mail"]["on"]
    assert not by_name["archive"]["on"]
    assert [one["name"] for one in said["uncovered"]] == [one.name for one in UNCOVERED]


def test_lists_channels_and_plans_are_told_apart_from_others_of_their_site_or_team(
    hurt: World,
) -> None:
    site = one(hurt, "lists")
    lists = [row for row in rows(hurt, kind="list") if row["resource"] == site["resource"]]
    assert len(lists) > 2
    assert site["state"] == "partly"
    lacking = {row.item for row in hurt.app.ledger.all(ORG, "lists", site["resource"])}
    view = hurt.view("lists", site["resource"])
    expected = {
        next(above.id for above in (*view.path(view.entry(item)), view.entry(item))[1:])
        for item in lacking
    }
    assert {row["id"] for row in lists if row["state"] == "partly"} == expected
    assert {row["state"] for row in lists} == {"partly", "protected"}
    for row in lists:
        assert bool(row["reasons"]) == (row["state"] == "partly")
        assert row["since"] == site["since"]
    channels = {row["name"]: row for row in rows(hurt, kind="channel")}
    assert channels["General"]["state"] == "protected"
    # Of these two nothing could be read: one is another organization's, one not there yet.
    for name, cause in (("Harbour authority", Cause.NOT_SUPPORTED), ("Not ready", "item-gone")):
        assert (channels[name]["state"], codes(channels[name])) == ("not", {cause})
    assert rows(hurt, kind="plan")


def test_of_a_site_that_is_gone_its_lists_are_not_protected_any_more(hurt: World) -> None:
    site = one(hurt, "lists")
    changed(hurt, "lists", site["resource"], state="gone", reason="resource-gone")
    lists = [row for row in rows(hurt, kind="list") if row["resource"] == site["resource"]]
    assert {row["state"] for row in lists} == {"not"}
    assert all(codes(row) == {"resource-gone"} for row in lists)
    totals = coverage.statement(hurt.app, ORG)["totals"]["list"]
    assert totals["not"] >= len(lists)


# --- Words ---


def test_every_code_that_rows_and_ledger_may_carry_has_a_sentence() -> None:
    settled = plan._SETTLED - {""}
    assert [code for code in settled if code not in words.REASONS] == []
    assert [cause for cause in Cause if cause not in words.CAUSES] == []
    for code in (*words.REASONS, *Cause, "graph-unstable", "attachments-incomplete", "unheard-of"):
        for reason in (
            words.plain(code, ("Mail.Read",)),
            words.not_copied(code, 2, again=True),
            words.failed(code),
        ):
            assert reason.sentence.endswith((".", ")")), reason
            assert ".." not in reason.sentence.replace("...", ""), reason
            assert reason.sentence[0].isupper() or reason.sentence[0].isdigit(), reason


def test_a_code_without_a_sentence_of_its_own_says_what_its_problem_says() -> None:
    assert "Run the connection test" in words.plain("graph-forbidden").sentence
    assert words.plain("unheard-of").sentence == "The cause is “unheard-of”."


def test_of_several_things_of_an_owner_it_is_said_how_many_are_not_protected() -> None:
    assert words.of_things("onedrive", "partly", 1, 1).sentence == (
        "Its OneDrive is only partly protected."
    )
    assert words.of_things("chats", "not", 1, 1).sentence == "Its chats are not protected."
    assert words.of_things("library", "not", 1, 3).sentence == (
        "1 of its 3 libraries is not protected."
    )
    assert words.of_things("library", "partly", 2, 1_200).sentence == (
        "2 of its 1,200 libraries are only partly protected."
    )


# --- Pages and files ---


def test_pages_of_any_size_are_together_every_row_once(hurt: World) -> None:
    whole = rows(hurt)
    assert len({(row["kind"], row["id"]) for row in whole}) == len(whole)
    for size in (1, 2, 5, 100):
        found: list[_Row] = []
        after = ""
        while True:
            page, after = coverage.listed(hurt.app, ORG, ALL, after, size)
            found += page
            if not after:
                break
        assert found == whole


def test_a_row_that_goes_between_two_pages_hides_no_other(hurt: World) -> None:
    page, after = coverage.listed(hurt.app, ORG, ALL, "", 3)
    last = page[-1]
    assert last["kind"] == "onedrive"
    hurt.app.resources.delete(ORG, "drive", last["resource"])
    following, _ = coverage.listed(hurt.app, ORG, ALL, after, 500)
    assert following == rows(hurt)[2:]


def test_filters_take_rows_of_a_state_a_kind_and_an_owner(hurt: World) -> None:
    whole = rows(hurt)
    assert rows(hurt, state="partly") == [row for row in whole if row["state"] == "partly"]
    assert rows(hurt, kind="mailbox") == [row for row in whole if row["kind"] == "mailbox"]
    owner = whole[0]["owner"]["id"]
    assert rows(hurt, owner=owner) == [row for row in whole if row["owner"]["id"] == owner]
    for wrong in (Wanted(state="green"), Wanted(kind="parking space")):
        with pytest.raises(InvalidInput):
            coverage.listed(hurt.app, ORG, wanted=wrong)
    with pytest.raises(CursorInvalid):
        coverage.listed(hurt.app, ORG, ALL, after="bm9uc2Vuc2U")


def test_hundreds_of_things_cost_no_read_of_the_vault(fresh: World) -> None:
    fresh.back_up()
    many = [
        ResourceRow(ORG, "drive", f"drive:{n:04}", "drive", f"Site {n} / Documents", head=1,
                    facts={"owner": f"host,{n:04},web"})
        for n in range(400)
    ]  # fmt: skip
    fresh.app.resources.put_many(many)
    without_vault = app_for(fresh.running, fresh.folder)
    for blob in (fresh.folder / "data").rglob("s/*/*"):
        blob.unlink()
    said = coverage.statement(without_vault, ORG)
    assert said["totals"]["library"]["protected"] >= 400
    assert len(said["rows"]) == coverage.FIRST_ROWS
    assert said["next"]
    found, more = coverage.listed(without_vault, ORG, Wanted(kind="library"), limit=500)
    assert len(found) >= 400
    assert more == ""


def test_the_csv_has_a_line_for_every_row_and_starts_no_formula(hurt: World) -> None:
    changed(hurt, "drive", one(hurt, "onedrive", "Adele")["resource"], name="=HYPERLINK(1)")
    text = b"".join(coverage_export.as_csv(hurt.app, ORG, ALL)).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text)))
    assert tuple(lines[0]) == coverage_export.HEAD
    assert len(lines) - 1 == len(rows(hurt))
    names = [line[1] for line in lines[1:]]
    assert "'=HYPERLINK(1)" in names
    why = [line[4] for line in lines[1:] if line[0] == "onedrive" and line[3] == "partly"]
    assert any("malware" in one for one in why)


def test_the_json_file_is_the_statement_with_all_its_rows(hurt: World) -> None:
    made = json.loads(b"".join(coverage_export.as_json(hurt.app, ORG, ALL)))
    assert made["rows"] == rows(hurt)
    assert made["totals"] == coverage.statement(hurt.app, ORG)["totals"]


def only_plan(made: World) -> None:
    """A run that was planned and never worked."""
    run = runs.request_backup(made.app, ORG, "test").id
    while plan.plan_backup(made.app, BackupRun(ORG, run)).code == plan.PLANNING:
        pass
