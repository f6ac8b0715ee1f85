"""Typed identifiers, so that a run id is never passed for a snapshot number, and the only dice for
names.
"""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import datetime
from typing import NewType

from base.errors import InvalidInput

OrgId = NewType("OrgId", str)  # our short name for one Microsoft 365 tenant: a-z, 0-9, hyphen
RunId = NewType("RunId", str)  # one backup, restore, export or verification; sorts by start time
ResourceId = NewType("ResourceId", str)  # "mailbox:{user id}" or "drive:{drive id}"
ItemId = NewType("ItemId", str)  # Graph's id of a message, folder, file

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_RUN = re.compile(r"(?:backup|restore|export|verify|collect|rebuild)-[0-9]{8}t[0-9]{6}-[0-9a-f]{6}")


def org_id(text: str) -> OrgId:
    """Checks an organization id: at most 40 of a-z, 0-9 and inner hyphens (it names blob
    containers).
    """
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


def new_request_id() -> str:
    """The client-request-id of one HTTP request, by which Microsoft finds it in its own logs."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def fraction() -> float:
    """A number from 0 up to 1, so that clients who were turned away together do not return
    together.
    """
    return secrets.randbelow(1 << 20) / (1 << 20)


def scheduled_run_id(kind: str, due: datetime, tail: str) -> RunId:
    """The id of a run that a schedule starts: the same however often its time is noticed."""
    return RunId(f"{kind}-{due:%Y%m%dt%H%M%S}-{tail}")


def new_passphrase() -> str:
    """Eight groups of four easily told characters, 160 bits: to be written down by a person."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # 32: without l, o, 0 and 1
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(8))


def new_token() -> str:
    """A bearer token of 256 bits."""
    return secrets.token_urlsafe(32)


def fresh_slug(prefix: str) -> str:
    """An id where a name gives none."""
    return f"{prefix}-{secrets.token_hex(3)}"
