"""A simulated tenant in a process of its own, so that its memory and time are nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def served(module: str, folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """What a client has to know of the tenant, which is the first line `module` prints; its
    certificate lies in `folder`.
    """
    command = [sys.executable, "-m", module, "--ca-out", str(folder / "ca.pem"), *options]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("The simulated tenant did not start.")
        yield json.loads(line)
    finally:
        process.kill()
        process.wait()
