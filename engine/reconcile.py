"""Whether the tenant holds as many items as the vault says, feed by feed.

A change feed that forgets a change is never noticed by following it. So once in a while a step
counts: what the tenant says before and after it has read the feeds, and what the vault holds then.
Where the tenant's number stood still and the vault's is another, the feed is read from nothing; a
difference that is still there afterwards is how this tenant counts (Outlook counts what its feeds
leave out), and is kept so that it does not start another sweep every week.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from base import log
from base.errors import Problem, Throttled
from m365.graph.errors import ResourceGone
from m365.service import LiveCount, Source
from state.resources import ResourceRow
from vault import Catalog

DAYS = 7  # between two counts of a resource

Counts = Mapping[str, LiveCount]


def is_due(row: ResourceRow, now: datetime) -> bool:
    """Whether a resource that has been read whole is to be counted."""
    if row.head < 1:
        return False
    return (
        bool(row.sweep)
        or row.reconciled_at is None
        or now - row.reconciled_at >= timedelta(days=DAYS)
    )


def live(source: Source) -> Counts | None:
    """What the tenant says it holds, by feed; None where it does not tell now, which is no reason
    to fail a backup.
    """
    try:
        return {count.part: count for count in source.counts()}
    except (Throttled, ResourceGone):
        raise
    except Problem as problem:
        log.event("counts-not-told", code=problem.code)
        return None


def differences(
    before: Counts, after: Counts, catalog: Catalog, links: Mapping[str, str]
) -> dict[str, int]:
    """Live minus stored items of every feed whose live number stood still and is not the stored."""
    found = {}
    for part, count in after.items():
        if before.get(part) == count and part in links:
            difference = count.items - catalog.count_items(count.scope)
            if difference:
                found[part] = difference
    return found
