"""kill -9 at any moment, then a restart on the same file: the run ends, each page is there once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import project
from tests.local.killable import DAMAGED, PAGES, SHARDS

KILLS = 6


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.local.killable", str(folder)]
    return subprocess.Popen(command, cwd=project.ROOT, stdout=subprocess.PIPE, text=True)


def _lines(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_run_survives_kills_at_any_moment(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    seen = []
    for _ in range(KILLS):
        process = _start(tmp_path)
        goal = len(_lines(tmp_path)) + dice.randrange(0, 16)
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        while len(_lines(tmp_path)) < goal and process.poll() is None:
            pass
        for _ in range(dice.randrange(100_000)):  # some way into whatever comes next
            pass
        process.kill()
        process.communicate()
        seen.append(len(_lines(tmp_path)))
    ended = _start(tmp_path)
    said, _ = ended.communicate(timeout=60)
    assert ended.returncode == 0
    verdict = json.loads(said.splitlines()[1])

    assert seen[0] < seen[-1], "the kills fell after the end"
    assert verdict == {"state": "completed", "output": {"state": "red"}}
    resources = {chain.split("/")[1] for shard in SHARDS for chain in shard if chain != DAMAGED}
    pages = {path.name for path in (tmp_path / "pages").iterdir()}
    assert pages == {f"{resource}.{page}" for resource in resources for page in range(PAGES)}
    steps = Counter(_lines(tmp_path))
    assert steps[f'close ["{DAMAGED}: step-crashed"]'] >= 1
    again = sum(steps.values()) - len(resources) * PAGES - 2
    assert again <= KILLS * 4, "more steps were repeated than can have been in flight"
