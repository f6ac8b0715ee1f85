"""Drive restores: being written."""

from __future__ import annotations


class DriveWriter:
    """Being written."""
