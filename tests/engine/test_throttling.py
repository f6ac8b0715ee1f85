"""What the governor does is told per organization, and nothing else of it."""

from __future__ import annotations

import json
from pathlib import Path

from base.messages import Drain
from engine import backup, runs, throttling
from m365.graph.throttle import Limiter, Purpose, Scope
from simulator import contoso
from state.counting import CountingTables
from tests.engine.world import ORG, World, world

DRIVES = Scope.sharepoint()


def of(made: World, scope: str) -> dict[str, object]:
    return next(one for one in throttling.shown(made.app, ORG)["scopes"] if one["scope"] == scope)


def test_a_backup_shows_what_it_spent_and_that_nothing_is_paused(made: World) -> None:
    made.back_up()
    shown = throttling.shown(made.app, ORG)
    assert of(made, "sharepoint")["day_spent"] > 0
    assert of(made, "directory")["requests"] > 0
    assert shown["pauses"] == []
    assert shown["licences"] == 25


def test_a_pause_is_shown_with_its_reason_until_it_is_over(made: World) -> None:
    app = made.app
    tenant = app.organization(ORG).tenant_id
    user = made.mailbox_id.partition(":")[2]
    app.limiter.refused(tenant, Scope.mailbox(user), 100, "answered-429")
    app.limiter.refused(tenant, DRIVES, 200, "answered-503")
    pauses = throttling.shown(app, ORG)["pauses"]
    assert [(one["scope"], one["mailbox"], one["reason"]) for one in pauses] == [
        ("mailboxes", user.lower(), "answered-429"),
        ("sharepoint", "", "answered-503"),
    ]


def test_another_process_keeps_the_pause_too(made: World) -> None:
    app = made.app
    app.limiter.refused(app.organization(ORG).tenant_id, Scope.mailbox("x"), 100)
    user = made.mailbox_id.partition(":")[2]
    app.limiter.refused(app.organization(ORG).tenant_id, Scope.mailbox(user), 100)
    app.limiter = Limiter(app.clock, record=app.throttling)  # as another process has
    run = runs.request_backup(app, ORG, "test")
    answer = backup.drain(app, Drain(ORG, run.id, "mail", made.mailbox_id, 1))
    assert answer.state == "throttled"
    assert 90 < answer.retry_after_s < 101  # the record rounds to tenths


def test_a_restore_is_shown_and_gives_back_what_it_held(made: World) -> None:
    app = made.app
    tenant = app.organization(ORG).tenant_id
    app.limiter.enter(tenant, DRIVES, purpose=Purpose.RESTORE).leave()
    assert of(made, "sharepoint")["restoring"]
    held = of(made, "sharepoint")["claimed"]
    throttling.give_back(app, ORG, "drive:any")
    assert of(made, "sharepoint")["claimed"] < held


def test_the_licences_are_asked_for_once_a_week_and_raise_the_limits(tmp_path: Path) -> None:
    tenant = contoso.build("tiny", seed=5)
    tenant.room["licences"] = 4_000
    with world(tenant, tmp_path) as made:
        for _ in range(2):
            throttling.learn_licences(made.app, ORG, made.app.reader(ORG))
        assert of(made, "sharepoint")["limit"] == 2_500
        assert tenant.counters.requests["GET /subscribedSkus"] == 1


def test_odd_answers_about_licences_mean_the_smallest_limits() -> None:
    plan = {"servicePlanName": "SHAREPOINTSTANDARD"}
    assert throttling.licences_of({}) == 0
    assert throttling.licences_of({"value": [None, {}, {"servicePlans": [None]}]}) == 0
    sku = {"prepaidUnits": {"enabled": 30}, "servicePlans": [plan]}
    mail = {"prepaidUnits": {"enabled": 70}, "servicePlans": [{"servicePlanName": "EXCHANGE_S"}]}
    assert throttling.licences_of({"value": [sku, mail, sku]}) == 60


def test_the_record_holds_numbers_and_ids_and_nothing_of_people(made: World) -> None:
    made.back_up()
    app = made.app
    rows = [*app.throttling.all(app.organization(ORG).tenant_id.lower())]
    text = json.dumps([[row.name, row.content] for row in rows])
    for user in made.tenant.users.values():
        assert user.properties["displayName"] not in text
    assert "@" not in text


def test_a_small_backup_costs_a_few_operations_for_it(made: World) -> None:
    """About thirty, of which a large one needs hardly more: they go by the minute."""
    app = made.app
    tables = CountingTables(app.unmirrored)
    app.throttling._tables = tables
    made.back_up()
    assert tables.reads + tables.writes <= 40
