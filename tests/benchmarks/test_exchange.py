"""The exchange benchmark on small mailboxes: its counts, never its times."""

from __future__ import annotations

import json

import pytest

from benchmarks._exchange import Size
from benchmarks.exchange import BOUNDS, measure

CEILING = {"ceiling_share_mailbox": 0.97, "ceiling_share_tenant": 0.97, "violations": 0}
SMALL = Size(messages=60, plain=3_000, attached=40)


@pytest.fixture(scope="module")
def report():
    """Without what test_fidelity.py and test_ceiling.py measure."""
    return measure(SMALL, subjects=(), ceiling=lambda: dict(CEILING))


def test_the_report_is_one_json_object_that_names_every_figure_of_the_issue(report) -> None:
    named = {
        "properties_total", "properties_restored", "properties_unexplained",
        "requests_over_minimum", "idle_requests_per_mailbox", "ceiling_share_mailbox",
        "ceiling_share_tenant", "violations", "progressive_requests_per_plain_message",
        "progressive_requests_per_message_with_attachments",
    }  # fmt: skip
    assert named <= json.loads(json.dumps(report)).keys()
    assert {bound.figure for bound in BOUNDS} <= report.keys()


def test_what_is_not_measured_is_unexplained_and_fails_the_benchmark(report) -> None:
    assert report["properties_total"] == 154
    assert report["properties_unexplained"] == 154
    assert report["ok"] is False
    met = {bound["figure"]: bound["met"] for bound in report["bounds"]}
    assert met["properties_unexplained"] is False
    assert met["progressive_requests_per_plain_message"] is True


def test_a_mailbox_without_attachments_costs_pages_and_folders_and_nothing_else(report) -> None:
    assert 0 < report["progressive_requests_per_plain_message"] <= 0.02


def test_a_message_with_attachments_costs_one_request_beside_its_page(report) -> None:
    fixed = report["progressive_requests_per_plain_message"] * SMALL.plain
    spent = report["progressive_requests_per_message_with_attachments"] * SMALL.attached
    assert SMALL.attached <= spent <= SMALL.attached + fixed


def test_a_quiet_mailbox_asks_every_feed_once(report) -> None:
    asked, least = report["requests_idle_by_service"], report["requests_minimum_by_service"]
    assert asked == {name: idle for name, (_, idle) in least.items()}
    assert report["idle_requests_over_minimum"] == 1


def test_the_tenant_minds_nothing(report) -> None:
    assert report["minded"] == []
    assert report["violations"] == 0
