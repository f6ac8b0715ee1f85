"""Full-fidelity copies of a mailbox: every item as the opaque stream that only an import takes.

https://learn.microsoft.com/graph/mailbox-import-export-concept-overview
"""

from __future__ import annotations

from urllib.parse import quote

from m365.exchange_settings import FIND_MAILBOX, settings_of
from m365.graph.client import GraphReader, GraphWriter, Scope
from m365.graph.errors import ResourceGone
from m365.mailbox_items import (
    COLUMNS,
    KIND,
    NOT_CAPTURED,
    NOT_RESTORABLE,
    MailboxItemSource,
)
from m365.mailbox_writer import MailboxItemWriter
from m365.service import Resource, Service

READS = (
    "MailboxFolder.Read.All",
    "MailboxItem.Read.All",
    "MailboxItem.Export.All",
    FIND_MAILBOX,
)
WRITES = (
    "MailboxFolder.ReadWrite.All",
    "MailboxItem.ReadWrite.All",
    "MailboxItem.ImportExport.All",
    FIND_MAILBOX,
)


def _mailbox(reader: GraphReader, user_id: str, scope: Scope) -> str:
    """The path of a user's primary mailbox. Raises ResourceGone and ApiNotOffered."""
    found = settings_of(reader, user_id, scope, beta=False).get("primaryMailboxId")
    if not isinstance(found, str) or not found:
        raise ResourceGone("The user has no mailbox in Exchange Online.", status_code=404)
    return f"/admin/exchange/mailboxes/{quote(found, safe=':@')}"


def _source(reader: GraphReader, resource: Resource) -> MailboxItemSource:
    scope = Scope.mailbox(resource.graph_id)
    return MailboxItemSource(reader, scope, lambda: _mailbox(reader, resource.graph_id, scope))


def _writer(writer: GraphWriter, resource: Resource) -> MailboxItemWriter:
    scope = Scope.mailbox(resource.graph_id)
    return MailboxItemWriter(writer, scope, lambda: _mailbox(writer, resource.graph_id, scope))


SERVICE = Service(
    name="mailbox-copies",
    title="Full-fidelity mailbox copies",
    resource_kind="mailbox",
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
