"""Typed identifiers, so that a run id is never passed for a snapshot number, and the only dice for names."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import NewType

from base.errors import InvalidInput

OrgId = NewType("OrgId", str)  # our short name for one Microsoft 365 tenant: a-z, 0-9, hyphen
RunId = NewType("RunId", str)  # one backup, restore, export or verification; sorts by start time
ResourceId = NewType("ResourceId", str)  # "mailbox:{user id}" or "drive:{drive id}"
ItemId = NewType("ItemId", str)  # Graph's id of a message, folder, file

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_RUN = re.compile(r"(?:backup|restore|export|verify)-[0-9]{8}t[0-9]{6}-[0-9a-f]{6}")


def org_id(text: str) -> OrgId:
    """Checks an organization id: at most 40 of a-z, 0-9 and inner hyphens (it names blob containers)."""
    if not _SLUG.fullmatch(text):
        raise InvalidInput(
            "An organization id is 1 to 40 lower-case letters, digits and inner hyphens.",
            field="id",
        )
    return OrgId(text)


def run_id(text: str) -> RunId:
    """Checks the id of a run as it comes in from outside."""
    if not _RUN.fullmatch(text):
        raise InvalidInput("That is not the id of a run.", field="run")
    return RunId(text)


def new_run_id(kind: str, now: datetime) -> RunId:
    """A fresh id such as backup-20261124t060517-3fa9c1."""
    return RunId(f"{kind}-{now:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}")
