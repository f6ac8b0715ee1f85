"""kill -9 of the server at any moment: what was begun ends by itself, everything exactly once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import demo_checks, demo_people
from local.demo_checks import Checks
from tests.end_to_end.installation import Installation, installation

SEED = 20


def test_a_backup_and_a_restore_survive_kill_9_at_random_moments(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with installation(tmp_path) as made:
        made.slow_down(0.05)
        made.start()
        made.take_in()

        run = made.api.of_org("POST", "/backups")["id"]
        _kill_often(made, run, dice, 4, 1.2)
        ended = made.finished(run)

        assert ended["state"] in ("green", "amber"), made.said()
        checks = Checks()
        truth = made.control.truth()
        compared = _compare(checks, made, truth)
        assert checks.differences == []
        assert compared > 2  # mailboxes and drives

        _survives_restoring(made, truth, dice)

        assert (
            made.finished(made.api.of_org("POST", "/verifications", {})["id"])["state"] == "green"
        )
        assert made.log_lines("step-crashed") == []


def _survives_restoring(made: Installation, truth: Mapping[str, Any], dice: random.Random) -> None:
    """A whole mailbox goes into somebody else's, over several deaths."""
    rows = [row for row in made.api.all_of("/resources?limit=500") if row["head"]]
    mail = sorted((r for r in rows if r["service"] == "mail"), key=lambda r: -int(r["items"]))
    source, target = mail[:2]
    body = {"service": "mail", "resource": source["resource"], "target": target["resource"]}
    before = made.control.truth()["mailboxes"][_id(target)]

    run = made.api.of_org("POST", "/restores", body)["id"]
    _kill_often(made, run, dice, 2, 6.0)  # a restarted batch waits until its ghost is missed
    ended = made.finished(run)

    assert ended["state"] in ("green", "amber"), made.said()
    after = made.control.truth()["mailboxes"][_id(target)]
    report = list(made.api.all_of(f"/restores/{run}/report"))
    checks = Checks()
    demo_checks.mail_restored(checks, report, truth["mailboxes"][_id(source)], after)
    assert checks.differences == []
    made_ids = [row["new_id"] for row in report if row["kind"] != "folder"]
    old = {message["id"] for message in before["messages"]}
    appeared = Counter(m["id"] for m in after["messages"] if m["id"] not in old)
    assert appeared == Counter(made_ids)  # nothing twice, nothing missing, nothing else


def _kill_often(
    made: Installation, run: str, dice: random.Random, kills: int, longest_s: float
) -> None:
    """Kills while the run is under way, also before the server answers its first request."""
    for number in range(kills):
        made.clock.sleep(dice.uniform(0.1, longest_s))
        made.kill()
        made.start(ready=number != 1 or kills == 2)  # of many, the third dies while it starts
    assert not made.api.of_org("GET", f"/runs/{run}")["ended"], "killed too late to prove anything"


def _compare(checks: Checks, made: Installation, truth: Mapping[str, Any]) -> int:
    rows = [row for row in made.api.all_of("/resources?limit=500") if row["head"]]
    for row in rows:
        demo_people.held(checks, made.api, row, row["head"], truth)
    return len(rows)


def _id(row: Mapping[str, Any]) -> str:
    return str(row["resource"]).split(":", 1)[1]
