"""The catalog's benchmark keeps its bounds at a size that a test can afford."""

from __future__ import annotations

from benchmarks.catalog import measure


def test_a_large_resource_is_read_and_changed_without_reading_all_of_it() -> None:
    report = measure(8_000)
    assert report["ok"], report
    assert report["reads"]["first_page_max"] <= 3
    assert [row["changed"] for row in report["changes"]] == [1, 10, 100, 1_000]
    assert report["changes"][0]["nodes_read"] <= 4
