"""What a mailbox item is called, who sent it and when: its MAPI properties, asked for by tag.

A mailboxItem has no subject, so what people browse and what a restore compares comes from extended
properties. The service writes tags without leading zeros ("String 0x37" for "String 0x0037"), so
names are compared in one spelling. An item has the properties it has: none of them is certain.

https://learn.microsoft.com/graph/api/resources/mailboxitem,
/api/singlevaluelegacyextendedproperty-get; tags: [MS-OXPROPS].
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SUBJECT = "String 0x0037"
SENDER_NAME = "String 0x0C1A"
SENDER_ADDRESS = "String 0x0C1F"  # an X.500 name for people of the same organization
SENDER_SMTP = "String 0x5D01"
DELIVERED = "SystemTime 0x0E06"
SUBMITTED = "SystemTime 0x0039"
MESSAGE_ID = "String 0x1035"
MEETING_ID = "Binary {6ed8da90-450b-101b-98da-00aa003f1305} Id 0x3"  # the same for all its copies
STARTS = "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820d"
_ASKED = (
    SUBJECT, SENDER_NAME, SENDER_ADDRESS, SENDER_SMTP, DELIVERED, SUBMITTED, MESSAGE_ID,
    MEETING_ID, STARTS,
)  # fmt: skip
_FILTER = " or ".join(f"id eq '{name}'" for name in _ASKED)
EXPAND = "$expand=" + quote(f"singleValueExtendedProperties($filter={_FILTER})", safe="$()=,'")
_ZEROS = re.compile(r"0x0*(?=[0-9a-f])")
_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")  # turns the order of times around


def properties(raw: Mapping[str, Any]) -> dict[str, str]:
    """The extended properties of an object by name, in the spelling of one_spelling()."""
    found = {}
    for one in raw.get("singleValueExtendedProperties") or ():
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            found[one_spelling(str(one.get("id") or ""))] = one["value"]
    return found


def one_spelling(name: str) -> str:
    """A property's name in lower case, without the zeros in front of its number."""
    return _ZEROS.sub("0x", name.lower())


def name_of(raw: Mapping[str, Any]) -> str:
    """What a person sees of the item; "" where nothing is known."""
    return properties(raw).get(one_spelling(SUBJECT), "")


def row_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the columns of a listing; newest first."""
    known = properties(raw)

    def value(name: str) -> str:
        return known.get(one_spelling(name), "")

    shown, address = value(SENDER_NAME), value(SENDER_SMTP) or _smtp(value(SENDER_ADDRESS))
    sender = f"{shown} <{address}>" if shown and address and shown != address else shown or address
    size = raw.get("size")
    when = value(DELIVERED) or value(STARTS) or str(raw.get("createdDateTime") or "")
    return {
        "sort": when.translate(_NEWEST_FIRST),
        "type": str(raw.get("type") or ""),
        "from": sender,
        "received": when,
        "size": size if isinstance(size, int) else 0,
    }


def identity_of(raw: Mapping[str, Any]) -> tuple[str, str]:
    """(what collides, what tells two such items apart); an import changes neither.

    Ids and change keys are new after an import, and the time it was last changed is that of the
    import. A message collides by its Message-ID, a meeting by its global id, anything else by what
    a person would compare.
    """
    known = properties(raw)
    own = known.get(one_spelling(MESSAGE_ID)) or known.get(one_spelling(MEETING_ID)) or ""
    names = (SUBJECT, SENDER_NAME, DELIVERED, SUBMITTED, STARTS)
    facts = [str(raw.get("type") or ""), own]
    facts += [_whole_seconds(known.get(one_spelling(name), "")) for name in names]
    if not any(facts[1:]):
        facts.append(_whole_seconds(str(raw.get("createdDateTime") or "")))
    text = json.dumps(facts).encode("utf-8", "surrogatepass")
    same = hashlib.sha256(text).hexdigest()[:32]
    return own or same, same


def _smtp(address: str) -> str:
    return address if "@" in address else ""


def _whole_seconds(text: str) -> str:
    """Times come with and without fractions of a second."""
    return re.sub(r"(T\d\d:\d\d:\d\d)(?:\.\d+)?Z?$", r"\1", text)
