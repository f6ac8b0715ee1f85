"""Mail restores: being written."""

from __future__ import annotations


class MailWriter:
    """Being written."""
