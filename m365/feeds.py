"""What sources and writers of several services do alike with their feeds and lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from base.item import FeedPage
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import GraphProblem, TransientFailure


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


def with_marker(
    writer: GraphWriter, path: str, params: Mapping[str, str], expand: str, scope: Scope
) -> Iterator[dict[str, Any]]:
    """The items of a list, with our marker (`expand`) where the target gives it."""
    started = False
    try:
        for page in follow(writer, path, {**params, "$expand": expand}, scope=scope):
            started = True
            yield from page.value
    except GraphProblem as problem:
        if started or problem.status_code != 400:
            raise
        for page in follow(writer, path, params, scope=scope):
            yield from page.value
