"""Feeds read one after another, whatever becomes of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from base.item import FeedPage
from m365.graph.errors import TransientFailure


def each_whole(feeds: Iterable[Iterator[FeedPage]]) -> Iterator[FeedPage]:
    """The pages of one feed after another. One bad folder does not keep the others away: what it
    failed with is raised once all have been read.
    """
    failed: TransientFailure | None = None
    for pages in feeds:
        try:
            yield from pages
        except TransientFailure as problem:
            failed = failed or problem
    if failed is not None:
        raise failed
