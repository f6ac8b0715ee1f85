"""The governor comes near what the limits allow and never exceeds them, on a small scale."""

from __future__ import annotations

from benchmarks import _ceiling


def test_one_mailbox_gets_nearly_all_it_may_whichever_workers_take_turns() -> None:
    share, counted = _ceiling.mailbox(seconds=1_300)
    assert share >= 0.95
    assert counted.violations == 0
    assert counted.requests > 100 * counted.table_operations


def test_workers_together_get_nearly_all_units_of_sharepoint() -> None:
    share, counted = _ceiling.sharepoint(seconds=420)
    assert share >= 0.95
    assert counted.violations == 0


def test_many_mailboxes_on_several_workers_exceed_nothing() -> None:
    share, counted = _ceiling.tenant(mailboxes=40, seconds=30)
    assert share >= 0.95
    assert counted.violations == 0
