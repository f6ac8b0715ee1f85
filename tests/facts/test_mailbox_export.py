"""Mailbox import and export: what Microsoft documents, and what it says the API is not for."""

from __future__ import annotations

import threading

import pytest

from engine import policies
from m365 import SERVICES
from tests import project
from tests.m365.cases_mailbox_items import CopiesCase
from tests.m365.mirror import Mirror
from tests.m365.stage import stage

ON_DEMAND = ("mailbox-copies", "archive")


@pytest.mark.parametrize("name", ON_DEMAND)
def test_what_microsoft_does_not_mean_for_backup_is_chosen_and_never_given(name: str) -> None:
    assert SERVICES[name].optional
    assert SERVICES[name].refusable
    assert name not in policies.DEFAULT["services"]
    assert "designed for mailbox backup" in project.text(f"docs/services/{name}.md")


def test_export_and_mail_of_one_mailbox_share_its_four_slots() -> None:
    with stage(CopiesCase()) as on:
        next(a for a in on.tenant.apps.values() if a.display_name == "Reader").roles.add(
            "Mail.Read"
        )
        on.tenant.latency_s = 0.004
        mail = SERVICES["mail"]
        readings = [
            threading.Thread(target=Mirror().round, args=(source(on.reader, on.resource),))
            for source in (SERVICES["mailbox-copies"].source, mail.source) * 3
        ]
        for reading in readings:
            reading.start()
        for reading in readings:
            reading.join()
        seen = on.tenant.counters.highest_concurrency
        assert 1 < max(seen.values()) <= 4
        assert not on.tenant.counters.throttled
