"""What a plain listing of sites adds to their delta feed, which may not tell of all of them.

https://learn.microsoft.com/graph/api/site-getallsites
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from m365.directory import CHANGED, LISTED, REMOVED, Feed, Record
from m365.graph.client import GraphReader
from m365.graph.delta import follow


def with_listed(
    reader: GraphReader, feed: Feed, known: Mapping[str, Record], now: datetime
) -> Mapping[str, Record]:
    """The records of a feed and what its plain listing adds: what no delta told of. What only
    listings ever told of goes when one leaves it out. The same records where nothing changed.

    Raises Forbidden, Throttled, TransientFailure, and whatever else the listing answers.
    """
    spelled = {key.casefold(): key for key in known}  # Graph spells one id in two ways
    there: dict[str, Record] = {}
    for page in follow(reader, feed.listing, scope=feed.scope, cost_first=2, cost_next=2):
        for entry in page.value:
            key = entry.get("id")
            if isinstance(key, str) and key and entry.get("deleted") is None:
                key = spelled.get(key.casefold(), key)
                there[key] = {name: entry[name] for name in feed.keeps if name in entry}
    found, stamp = dict(known), now.isoformat()
    for key, piece in there.items():
        before = known.get(key)
        if before is None or before.get(REMOVED):
            found[key] = {**piece, LISTED: True, CHANGED: stamp}
        elif before.get(LISTED) and any(before.get(k) != v for k, v in piece.items()):
            found[key] = {**before, **piece, CHANGED: stamp}
    for key, record in known.items():
        if record.get(LISTED) and key not in there and not record.get(REMOVED):
            found[key] = {**record, REMOVED: stamp, CHANGED: stamp}
    return found
