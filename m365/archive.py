"""In-place archives: found by the beta settings of a user, read and restored like mailbox copies.

An archive that grew beyond what one mailbox holds is several; its folders say where they lie.

https://learn.microsoft.com/graph/api/resources/exchangesettings?view=graph-rest-beta
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from base.errors import Throttled
from m365.exchange_settings import ApiNotOffered, judged_settings, settings_of
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, GraphWriter, Scope
from m365.graph.errors import Forbidden, GraphProblem, ResourceGone, Unauthorized
from m365.holdings import Found
from m365.mailbox_copies import READS, WRITES
from m365.mailbox_items import (
    COLUMNS,
    KIND,
    NOT_CAPTURED,
    NOT_RESTORABLE,
    MailboxItemSource,
)
from m365.mailbox_writer import MailboxItemWriter
from m365.service import Resource, Service

NO_ARCHIVE = "no-archive"
NO_MAILBOX = "no-mailbox"
FORBIDDEN = "forbidden"
_ID = "inPlaceArchiveMailboxId"


class NoArchive(ResourceGone):
    """The user has no in-place archive (any more)."""

    code = NO_ARCHIVE
    hint = "Nothing to do: the restore points of an archive that was disabled stay."


def archives_of(reader: GraphReader, user_ids: Sequence[str]) -> dict[str, Found]:
    """Who has an in-place archive, twenty users a request; Found.id is the user's id.

    Reasons: "no-archive", "no-mailbox", "mailbox-export-not-offered", "forbidden", or the code of
    another problem. Raises Throttled and Unauthorized.
    """
    unique = list(dict.fromkeys(user_ids))
    requests = [
        BatchRequest(f"/users/{quote(user_id, safe='')}/settings/exchange") for user_id in unique
    ]
    answers = reader.batch(requests, Scope.directory(), beta=True)
    return {
        user_id: _found(answer, user_id) for user_id, answer in zip(unique, answers, strict=True)
    }


def _found(answer: BatchAnswer, user_id: str) -> Found:
    try:
        return Found(user_id) if answer.json().get(_ID) else Found(reason=NO_ARCHIVE)
    except (Throttled, Unauthorized):
        raise
    except GraphProblem as problem:
        return Found(reason=_reason(problem))


def _reason(problem: GraphProblem) -> str:
    judged = judged_settings(problem)
    if isinstance(judged, ApiNotOffered):
        return judged.code
    if isinstance(judged, ResourceGone):
        return NO_MAILBOX
    return FORBIDDEN if isinstance(judged, Forbidden) else judged.code


def _archive(reader: GraphReader, user_id: str, scope: Scope) -> str:
    """The path of a user's archive. Raises NoArchive, ResourceGone and ApiNotOffered."""
    found = settings_of(reader, user_id, scope, beta=True).get(_ID)
    if not isinstance(found, str) or not found:
        raise NoArchive("The user has no in-place archive.", status_code=404)
    return f"/beta/admin/exchange/mailboxes/{quote(found, safe=':@')}"


def _source(reader: GraphReader, resource: Resource) -> MailboxItemSource:
    scope = Scope.mailbox(resource.graph_id)
    return MailboxItemSource(
        reader, scope, lambda: _archive(reader, resource.graph_id, scope), spreads=True
    )


def _writer(writer: GraphWriter, resource: Resource) -> MailboxItemWriter:
    scope = Scope.mailbox(resource.graph_id)
    return MailboxItemWriter(
        writer, scope, lambda: _archive(writer, resource.graph_id, scope), spreads=True
    )


SERVICE = Service(
    name="archive",
    title="In-place archive",
    resource_kind="archive",
    item_kind=KIND,
    reads=READS,
    writes=WRITES,
    columns=COLUMNS,
    source=_source,
    writer=_writer,
    not_captured=NOT_CAPTURED,
    not_restorable=NOT_RESTORABLE,
    optional=True,
    refusable=True,
)
