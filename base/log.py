"""Events with fields, one JSON object a line, on standard logging; tenant content and secrets have
no field here.

Rule: pass ids, counts, codes and seconds. Never a subject, body, name, address, path, token or URL.
"""

from __future__ import annotations

import json
import logging
from typing import Any

_SAFE = (str, int, float, bool, type(None))
_VALUE_MAX = 200  # characters; an id or a code is shorter, content is what would be longer

logger = logging.getLogger("holdfast")


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Writes one event, such as event("step-committed", org="contoso", page=3)."""
    shown = {key: _shown(value) for key, value in fields.items()}
    logger.log(level, json.dumps({"event": name, **shown}, ensure_ascii=False))


def _shown(value: Any) -> Any:
    if not isinstance(value, _SAFE):
        return type(value).__name__
    return value[:_VALUE_MAX] if isinstance(value, str) else value
