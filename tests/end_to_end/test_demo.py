"""The demo on the tiny profile: it tells its whole story, and its figures are there to be read."""

from __future__ import annotations

import json
from pathlib import Path

from local import demo

KEYS = {
    "ok",
    "items_backed_up",
    "items_compared",
    "differences",
    "requests",
    "blob_writes",
    "seconds",
}


def test_the_demo_ends_well_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"

    assert demo.main(["--profile", "tiny", "--json", str(file)]) == 0

    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures.keys() >= KEYS
    assert figures["ok"] is True
    assert figures["differences"] == []
    assert figures["items_compared"] > figures["items_backed_up"] > 0
    assert figures["requests"] > 0 < figures["blob_writes"]
