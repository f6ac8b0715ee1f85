"""A verification goes slice by slice, survives deaths, remembers heads, and restores samples."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from base.clock import SystemClock
from engine import drill, runs, verify
from engine.assembly import App
from engine.drill import Drill
from tests.engine.world import ORG, SCRYPT_N, World
from vault import Entry, StoreProblem

BY = "somebody"


def requested(made: World, **asked: Any) -> dict[str, Any]:
    asked = {"read_data": True, **asked}
    return runs.request_verification(made.app, ORG, BY, **asked).message.to_json()


def finished(made: World, request: dict[str, Any], slices: int = 500) -> dict[str, Any]:
    """The report; each slice by an app of its own."""
    for _ in range(slices):
        made.app._opened.clear()
        answer = verify.verify_slice(made.app, request)
        if answer["state"] != "more":
            assert answer["state"] == "done"
            report = verify.report(made.app, ORG, request["run"])
            assert report is not None
            return report
        request = {**request, "next": answer["next"]}
    raise AssertionError("the verification did not end")


def in_a_hurry(made: World) -> None:
    """Every slice has time for one piece only."""
    made.app.settings = made.app.settings.model_copy(update={"step_seconds": 1e-9})


def blobs(made: World, prefix: str) -> list[str]:
    return [listed.name for listed in made.app.store_counts(ORG).list(prefix)]


def test_a_verification_in_many_slices_finds_what_one_finds(made: World) -> None:
    lost = blobs(made, "p/")[0]
    made.app.store_counts(ORG).delete(lost)
    one = requested(made, samples=0)
    whole = finished(made, one)
    in_a_hurry(made)
    other = requested(made, samples=0)
    small = finished(made, other)
    assert small["problems"] == whole["problems"]
    assert {**small["counts"], "records": 0} == {**whole["counts"], "records": 0}
    shown = runs.show(made.app, ORG, other["run"])
    assert shown["state"] == "red"
    assert shown["counts"]["lost"] >= 1
    assert blobs(made, "x/") == []  # the slices' states


def test_a_healthy_vault_is_green_and_its_report_counts_the_drill(made: World) -> None:
    request = requested(made)
    report = finished(made, request)
    assert report["problems"] == []
    assert report["counts"]["drill_items"] > 0
    assert report["counts"]["drill_bytes"] > 0
    assert runs.show(made.app, ORG, request["run"])["state"] == "green"


def test_slices_that_run_twice_or_die_end_in_the_same_report(made: World) -> None:
    in_a_hurry(made)
    request = requested(made, samples=0)
    for number in range(4):
        first = verify.verify_slice(made.app, {**request, "next": number})
        again = verify.verify_slice(made.app, {**request, "next": number})
        assert again == first
    report = finished(made, {**request, "next": 4})
    assert verify.verify_slice(made.app, {**request, "next": 4})["state"] == "cancelled"
    assert (
        finished(made, requested(made, samples=0))["counts"]["items"] == (report["counts"]["items"])
    )


def test_a_step_that_died_behind_the_report_is_ended_by_the_next(made: World) -> None:
    in_a_hurry(made)
    request = requested(made, samples=0)
    verify.verify_slice(made.app, request)
    report = {**finished(made, requested(made, samples=0)), "phase": "done"}
    made.app.vault(ORG).put_record(f"verify/{request['run']}/report", report)
    made.app.vault(ORG).drop_sealed(f"verify/{request['run']}")
    assert verify.verify_slice(made.app, {**request, "next": 7})["state"] == "done"
    assert runs.show(made.app, ORG, request["run"])["state"] == "green"


def test_a_cancelled_verification_stops_at_its_next_slice(made: World) -> None:
    in_a_hurry(made)
    request = requested(made)
    assert verify.verify_slice(made.app, request)["state"] == "more"
    assert runs.show(made.app, ORG, request["run"])["counts"]["chains"] >= 1  # progress
    runs.cancel(made.app, ORG, request["run"], BY)
    assert verify.verify_slice(made.app, {**request, "next": 1})["state"] == "cancelled"


def test_a_store_that_is_busy_makes_the_story_wait(made: World) -> None:
    request = requested(made)
    store = made.app.store_counts(ORG)
    inner = store._store

    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def list(self, prefix: str, after: str = "") -> Any:
            raise StoreProblem("busy")

    store._store = Busy()
    answer = verify.verify_slice(made.app, request)
    assert (answer["state"], answer["next"]) == ("throttled", 0)
    assert answer["retry_after_s"] > 0
    store._store = inner
    assert finished(made, request)["problems"] == []


def test_a_storage_that_was_rolled_back_is_known_by_the_records(made: World) -> None:
    newest = blobs(made, "s/")[-1]
    made.app.store_counts(ORG).delete(newest)
    report = finished(made, requested(made, read_data=False, samples=0))
    found = {(one["code"], one["name"]) for one in report["problems"]}
    assert ("head-rolled-back", newest) in found


def test_a_share_goes_on_where_the_last_one_stopped(made: World) -> None:
    total = len(blobs(made, "p/"))
    assert total > 1
    read = 0
    ends = []
    clock = _Passing()
    made.app = App(made.app.settings, clock=clock, scrypt_n=SCRYPT_N)
    for _ in range(total):
        clock.passed += timedelta(days=1)
        share = 1 / total
        report = finished(made, requested(made, read_data=False, share=share, samples=0))
        read += report["counts"]["packs_read"]
        ends.append(report["packs_through"])
    assert (read, sorted(ends)) == (total, blobs(made, "p/"))


class _Passing(SystemClock):
    passed = timedelta()

    def now(self) -> datetime:
        return super().now() + self.passed


def drilled(made: World, samples: int) -> Drill:
    made.app._opened.clear()
    return drill.drill(made.app, ORG, made.app.vault(ORG), samples, lambda: True)


def test_a_drill_finds_an_item_that_is_not_what_the_tenant_had(made: World) -> None:
    """Stored wrongly: every seal is right, and yet it is not the file."""
    vault = made.app.vault(ORG)
    chain = f"drive/{made.drive_id}"
    head = vault.head(chain)
    assert head is not None
    step = vault.round(chain, head.number + 1).step()
    wrong = step.add("content", b"not the file")
    for entry in vault.catalog(head).items():
        if any(content.role == "content" for content in entry.contents):
            kept = tuple(one for one in entry.contents if one.role != "content")
            changed = Entry(
                entry.id, entry.parent, entry.kind, entry.name, entry.row, entry.facts,
                (*kept, wrong),
            )  # fmt: skip
            step.put(changed, "root")
    step.link("root", "x", finished=True)
    step.commit(complete=True).close()
    assert vault.verify(read_data=True).problems == []
    found = drilled(made, 200).findings
    assert {one.code for one in found} == {"item-damaged"}
    assert {sample[0] for one in found for sample in one.samples} == {chain}


def test_a_drill_stops_when_its_time_is_over_and_restores_one_item_at_least(made: World) -> None:
    done = drill.drill(made.app, ORG, made.app.vault(ORG), 50, lambda: False)
    assert (done.items, done.findings) == (1, [])


def test_every_item_has_its_place_in_a_drill(made: World) -> None:
    catalog = made.view("mail", made.mailbox_id).catalog
    listed = [entry.id for entry in catalog.items()]
    found = [catalog.at(index) for index in range(catalog.total)]
    assert [one.id for one in found if one] == listed
    assert catalog.at(catalog.total) is None
