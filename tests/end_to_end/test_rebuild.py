"""The real server loses its tables: the file is deleted, it starts again, and a rebuild brings all
back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.end_to_end.installation import installation


def test_a_server_whose_tables_were_deleted_is_whole_after_a_rebuild(tmp_path: Path) -> None:
    with installation(tmp_path) as made:
        made.start()
        made.take_in()
        first = made.api.of_org("POST", "/backups")["id"]
        assert made.finished(first)["state"] in ("green", "amber")
        organization = made.api.of_org("GET", "")
        audit = made.api.of_org("GET", "/audit")["items"]
        resources = _held(made.api.of_org("GET", "/resources?limit=500")["items"])
        made.kill()
        for file in (tmp_path / "data").glob("state.sqlite*"):
            file.unlink()

        made.start()
        shown = made.api.call("GET", "/organizations")
        assert shown["items"] == []
        assert "/rebuilds" in shown["hint"]
        assert made.log_lines("tables-lost")
        (started,) = made.api.call("POST", "/rebuilds")["rebuilds"]
        assert made.finished(started["run"])["state"] == "green"

        assert made.api.of_org("GET", "") == organization
        assert made.api.of_org("GET", "/audit")["items"] == audit
        assert _held(made.api.of_org("GET", "/resources?limit=500")["items"]) == resources
        assert made.api.of_org("GET", f"/runs/{first}")["state"] in ("green", "amber")
        second = made.finished(made.api.of_org("POST", "/backups")["id"])
        assert second["state"] in ("green", "amber")
        assert set(second["detail"]["resources"]) <= {"unchanged", "gone"}


def _held(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What has restore points, and how much of it."""
    names = ("service", "resource", "name", "head", "items")
    return sorted(tuple(row[name] for name in names) for row in rows if row["head"] is not None)
