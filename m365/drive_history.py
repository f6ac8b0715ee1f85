"""The history of a file as it is written again: which editions, in which order, and how many of
them a killed attempt has written.

Nothing makes history in Graph; it is written by uploading every version in its order, each with its
own dates, so that the newest comes last (learn.microsoft.com/graph/api/driveitem-list-versions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from base.item import StoredItem, StoredPart
from m365.drive_names import extension
from m365.drive_upload import Edition, quick_xor_of, seconds_of, times_of

VERSION = "version"  # the role of older versions; meta: {id, modified, by, size}
_MODIFIED = "lastModifiedDateTime"
_REWRITTEN = frozenset(  # SharePoint promotes properties into these, so their bytes change
    "doc docx docm dot dotx dotm xls xlsx xlsm xlsb xlt xltx xltm ppt pptx pptm pot potx potm pps "
    "ppsx ppsm vsd vsdx one onetoc2 onepkg pub mpp msg htm html aspx".split()
)


def editions(item: StoredItem, content: StoredPart, with_versions: bool) -> tuple[Edition, ...]:
    """What is to be written, the oldest first; without versions the current content alone."""
    times = times_of(item.raw)
    older = [part for part in item.parts if part.role == VERSION] if with_versions else []
    older.sort(key=lambda part: age(part.meta))
    found = [Edition(part, _times_then(times, part)) for part in older]
    found.append(Edition(content, times, quick_xor_of(item.raw)))
    return tuple(
        Edition(one.part, one.times, one.quick_xor, number) for number, one in enumerate(found)
    )


def written(
    wanted: Sequence[Edition], name: str, raw: Mapping[str, Any], versions: int
) -> int | None:
    """How many editions an unfinished file holds, by the state it is in; None: it cannot be told.

    `versions`: how many the service lists of it, the current one included.
    """
    fits = [one.number + 1 for one in wanted if is_at(one, name, raw)]
    if len(fits) > 1:  # several editions look alike: their number tells
        fits = [count for count in fits if count == versions]
    return fits[0] if fits else None


def is_at(edition: Edition, name: str, raw: Mapping[str, Any]) -> bool:
    """Whether a file of the drive is, by hash or size and by dates where there are any, this
    edition of the one called `name`.
    """
    same_size = is_rewritten(name) or raw.get("size") == edition.part.size
    same = same_size or (edition.quick_xor != "" and quick_xor_of(raw) == edition.quick_xor)
    dates = seconds_of(edition.times)
    return same and (not dates or seconds_of(times_of(raw)) == dates)


def is_rewritten(name: str) -> bool:
    """Whether SharePoint changes files of that name when they arrive: onedrive-api-docs 935."""
    return extension(name) in _REWRITTEN


def age(version: Mapping[str, Any]) -> tuple[bool, list[int], str]:
    """What versions of a file are sorted by: their numbers "1.0", "2.0", …, else their dates.

    `version`: the meta of a part of the role "version".
    """
    numbers = str(version.get("id") or "").split(".")
    plain = all(one.isdecimal() for one in numbers)
    return plain, [int(one) for one in numbers] if plain else [], str(version.get("modified") or "")


def _times_then(times: Mapping[str, str], part: StoredPart) -> dict[str, str]:
    """The dates of a file when one of its older versions was the newest."""
    modified = str(part.meta.get("modified") or "")
    return {**times, _MODIFIED: modified} if modified else dict(times)
