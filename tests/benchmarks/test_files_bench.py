"""The benchmark of files on a small tenant: its units and bytes, and the arithmetic behind them."""

from __future__ import annotations

import pytest

from benchmarks.files import Size, measure, unit_figures

SMALL = Size(
    files=20,
    file_bytes=20_000,
    copies=30,
    copied_bytes=2_000_000,
    edited_bytes=30_000_000,
    large_bytes=30_000_000,
    items=1_200,
)


@pytest.fixture(scope="module")
def report():
    return measure(SMALL)


def test_first_and_idle_runs_spend_no_unit_more_than_the_published_minimum(report):
    assert report["ru_over_minimum"] <= 1.0
    assert report["ru_over_minimum_by_round"].keys() == {"drive first", "drive idle", "lists idle"}
    assert report["ru"]["drive idle"] == 2
    assert report["ru_first_per_item"] > 0.5  # a download each: really counted


def test_copies_are_stored_once_and_an_edit_by_what_it_touched(report):
    assert 1.0 <= report["copies_ratio"] <= 1.2  # a small file carries more of its listing
    assert 0 < report["edit_ratio"] <= 0.2


def test_memory_was_measured_of_both_large_cases(report):
    assert report["peak_rss_mb_10gb"] > 30
    assert report["peak_rss_mb_million"] > 30
    assert {bound["figure"] for bound in report["bounds"]} >= {
        "ru_over_minimum", "copies_ratio", "edit_ratio", "peak_rss_mb_10gb", "peak_rss_mb_million",
    }  # fmt: skip


def test_more_units_than_needed_are_more_than_one():
    held = {"drive/a": {"entries": 401, "content": 100, "permissions": 2}}
    row = {"service": "drive", "round": "first", "chain": "drive/a", "units": 2 + 2 + 100 + 10}
    idle = {"service": "drive", "round": "idle", "chain": "drive/a", "units": 1}
    assert unit_figures([row, idle], held)["ru_over_minimum"] == 1.0
    wasteful = {**row, "units": row["units"] + 57}
    assert unit_figures([wasteful, idle], held)["ru_over_minimum"] == 1.5
    assert unit_figures([row, {**idle, "units": 2}], held)["ru_over_minimum"] == 2.0
