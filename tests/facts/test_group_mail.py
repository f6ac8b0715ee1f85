"""Mail of Microsoft 365 groups: what Microsoft documents of conversations, and what it does not."""

from __future__ import annotations

from m365 import SERVICES
from m365.graph.permissions import can_change
from tests.facts.test_calendar import asked
from tests.m365.cases_conversations import ConversationsCase
from tests.m365.mirror import Mirror
from tests.m365.stage import stage


def test_conversations_are_exported_and_no_permission_to_write_them_is_asked_for() -> None:
    service = SERVICES["conversations"]
    assert service.writer is None
    assert service.writes == ()
    assert not any(map(can_change, service.reads))
    assert service.not_restorable


def test_the_mail_of_a_group_is_asked_of_the_group_alone() -> None:
    with stage(ConversationsCase()) as on:
        heard = asked(on)
        Mirror().round(on.source())
        paths = [one for one in heard if "oauth2" not in one and "openid" not in one]
        assert paths
        assert all(f"/groups/{on.resource.graph_id}" in one or "$batch" in one for one in paths)
