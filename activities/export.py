"""Steps of a download."""

from __future__ import annotations

from base.messages import ExportRun
from engine import export
from engine.assembly import current_app


def write_export(request: dict) -> dict:
    """Writes the archive of an export, part by part."""
    return export.write_export(current_app(), ExportRun.from_json(request)).to_json()


def close_export(request: dict) -> dict:
    """Marks an export as ready or failed."""
    return export.close_export(current_app(), ExportRun.from_json(request)).to_json()
