"""The backup benchmark on a small tenant: its counts, never its times."""

from __future__ import annotations

import json

import pytest

from benchmarks._figures import BOUNDS, Bound, passed, verdicts
from benchmarks.backup import Size, measure

SMALL = Size(messages=200, files=30, file_bytes=40_000, large_bytes=6_000_000)


@pytest.fixture(scope="module")
def report():
    return measure(SMALL)


def chains(report, round_, service):
    rows = report["chains"]
    return [row for row in rows if row["round"] == round_ and row["service"] == service]


def test_a_first_backup_of_a_mailbox_asks_no_more_than_it_must(report):
    assert report["messages"] >= SMALL.messages
    assert report["requests_over_minimum"] <= 1
    (mail,) = chains(report, "first", "mail")
    assert mail["requests"] >= report["messages"]  # MIME is one request each: really counted


def test_client_and_tenant_count_the_same_requests(report):
    for row in report["chains"]:
        batched = sum(row["routes"].values()) - row["requests"]
        in_batches = "POST /$batch" in row["routes"]
        assert batched > 0 if in_batches else batched == 0


def test_a_quiet_mailbox_costs_one_request_per_folder_and_three(report):
    assert report["idle_folders_per_mailbox"] > 10
    assert report["idle_requests_per_mailbox"] <= report["idle_folders_per_mailbox"] + 3
    assert report["idle_requests_over_bound"] <= 1


def test_a_quiet_drive_costs_one_request(report):
    assert [row["requests"] for row in chains(report, "idle", "drive")] == [1, 1]


def test_a_quiet_run_writes_no_blob(report):
    assert report["idle_blob_writes"] == 0
    assert all(row["state"] == "unchanged" for row in report["chains"] if row["round"] == "idle")


def test_blobs_are_packs_pages_and_snapshots_and_nothing_else(report):
    assert report["stored_bytes"] > SMALL.large_bytes
    assert report["blob_writes_over_minimum"] <= 1.1


def test_no_item_costs_a_table_write(report):
    assert report["items"] > SMALL.messages + SMALL.files
    assert report["table_writes_per_item"] <= 0.1
    assert report["table_rows"] == report["table_writes"]  # rows of steps, not rows of items


def test_the_report_is_one_json_object_that_names_every_figure_of_the_issue(report):
    named = {
        "requests_over_minimum", "idle_requests_per_mailbox", "idle_folders_per_mailbox",
        "idle_requests_per_drive", "idle_blob_writes", "blob_writes_over_minimum",
        "table_writes_per_item", "peak_rss_mb", "messages_per_cpu_s", "file_mb_per_cpu_s",
        "seconds", "stored_bytes", "raw_bytes", "dedup_factor", "compression_factor", "python",
        "machine",
    }  # fmt: skip
    assert named <= json.loads(json.dumps(report)).keys()
    assert report["ok"] is True


def test_identical_files_are_stored_once(report):
    assert report["unique_bytes"] < report["raw_bytes"]


FIGURES = {bound.figure: bound.at_most if bound.at_least is None else bound.at_least
           for bound in BOUNDS}  # fmt: skip


def test_figures_that_just_keep_their_bounds_pass():
    bounds = verdicts(FIGURES)
    assert all(bound["met"] for bound in bounds)
    assert passed(bounds)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.figure)
def test_a_missed_bound_fails_the_benchmark_only_where_machines_have_no_say(bound: Bound):
    missed = -1 if bound.at_least is not None else FIGURES[bound.figure] + 0.01
    bounds = verdicts({**FIGURES, bound.figure: missed})
    assert [one["figure"] for one in bounds if one["met"] is False] == [bound.figure]
    machine = bound.figure in ("peak_rss_mb", "messages_per_cpu_s", "file_mb_per_cpu_s")
    assert passed(bounds) is machine


def test_a_figure_nobody_knows_is_neither_kept_nor_missed():
    bounds = verdicts({**FIGURES, "peak_rss_mb": None})
    assert [one["met"] for one in bounds if one["figure"] == "peak_rss_mb"] == [None]
    assert passed(bounds)
