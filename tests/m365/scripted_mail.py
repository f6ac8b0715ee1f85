"""Scripts of a mailbox: folders, messages and attachments as Graph writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.item import Change, FeedPage
from m365.graph.errors import GraphProblem, ItemGone, ResyncNeeded
from m365.mail import MailSource
from m365.service import Resource
from tests.m365.scripted_graph import ScriptedGraph

BOX = Resource("mailbox", "u1")
U = "/users/u1"
DELTA = f"{U}/mailFolders/delta"
GONE = ItemGone("gone", graph_code="ErrorItemNotFound", status_code=404)
REFUSED = GraphProblem("refused", graph_code="ErrorInvalidRequest", status_code=400)
LOST = ResyncNeeded("lost", graph_code="SyncStateNotFound", status_code=410)


def feed_of(folder: str) -> str:
    return f"{U}/mailFolders/{folder}/messages/delta"


def listing(folder: str) -> str:
    return f"GET {U}/mailFolders/{folder}/childFolders"


def folder(key: str, parent: str = "root", **more: Any) -> dict[str, Any]:
    facts = {"childFolderCount": 0, "totalItemCount": 1, "isHidden": False}
    return {"id": key, "displayName": key.upper(), "parentFolderId": parent, **facts, **more}


ROOT = folder("root", parent="top", childFolderCount=2, totalItemCount=0)
INBOX = folder("in", childFolderCount=1)
WORK = folder("work", parent="in")
SECRET = folder("secret", isHidden=True)
DEEP = folder("deep", parent="work", isHidden=True)
FINDER = {**folder("finder", parent="srch"), "@odata.type": "#microsoft.graph.mailSearchFolder"}


def message(key: str, **more: Any) -> dict[str, Any]:
    return {
        "@odata.etag": f'W/"{key}"',
        "id": key,
        "changeKey": "ck",
        "subject": f"About {key}",
        "body": {"contentType": "html", "content": "<p>hello</p>"},
        "bodyPreview": "hello",
        "isRead": False,
        "isDraft": False,
        "hasAttachments": False,
        "internetMessageId": f"<{key}@example.org>",
        "sentDateTime": "2026-01-02T03:04:05Z",
        "receivedDateTime": "2026-01-02T03:04:09Z",
        "parentFolderId": "in",
        "from": {"emailAddress": {"name": "Ada", "address": "ada@example.org"}},
        "toRecipients": [{"emailAddress": {"name": "Bo", "address": "bo@example.org"}}],
        "importance": "normal",
        "flag": {"flagStatus": "notFlagged"},
        "categories": [],
        "attachments": [],
        **more,
    }


def attachment(key: str, size: int = 10, kind: str = "file", **more: Any) -> dict[str, Any]:
    return {
        "@odata.type": f"#microsoft.graph.{kind}Attachment",
        "id": key,
        "name": f"{key}.bin",
        "contentType": "application/octet-stream",
        "size": size,
        "isInline": False,
        **more,
    }


def mailbox(**more: Any) -> dict[str, Any]:
    """A script: five folders (two of them hidden, one deep), one search folder, no messages."""
    script: dict[str, Any] = {
        f"GET {DELTA}": {"value": [INBOX, WORK, FINDER], "@odata.deltaLink": "tree-1"},
        f"GET {U}/mailFolders/msgfolderroot": ROOT,
        f"GET {U}/mailFolders": {"value": [INBOX, SECRET]},
        listing("in"): {"value": [WORK]},
        listing("work"): {"value": [DEEP]},
        listing("secret"): {"value": []},
        listing("deep"): {"value": []},
        "GET tree-1": {"value": [], "@odata.deltaLink": "tree-2"},
    }
    for role in (
        "inbox sentitems drafts deleteditems junkemail outbox archive conversationhistory "
        "searchfolders"
    ).split():
        script[f"GET {U}/mailFolders/{role}?$select=id"] = GONE
    script[f"GET {U}/mailFolders/recoverableitemsdeletions"] = GONE
    script[f"GET {U}/mailFolders/inbox?$select=id"] = {"id": "in"}
    script[f"GET {U}/mailFolders/searchfolders?$select=id"] = {"id": "srch"}
    for key in ("in", "work", "secret", "deep"):
        script[f"GET {feed_of(key)}"] = {"value": [], "@odata.deltaLink": f"{key}-1"}
        script[f"GET {key}-1"] = {"value": [], "@odata.deltaLink": f"{key}-2"}
    return {**script, **more}


def run(
    graph: ScriptedGraph, links: Mapping[str, str] | None = None, done: frozenset[str] = frozenset()
) -> list[FeedPage]:
    return list(MailSource(graph, BOX).changes(links or {}, done))


def links_of(pages: list[FeedPage]) -> dict[str, str]:
    links: dict[str, str] = {}
    for page in pages:
        links[page.part] = page.link
        for part in page.dropped_parts:
            links.pop(part, None)
    return links


def tree_of(pages: list[FeedPage]) -> FeedPage:
    return next(page for page in pages if page.part == "folders")


def changes(pages: list[FeedPage]) -> list[Change]:
    return [entry for page in pages for entry in page.entries if isinstance(entry, Change)]


def only_inbox(**more: Any) -> dict[str, Any]:
    script = mailbox(**more)
    script[f"GET {DELTA}"] = {"value": [INBOX], "@odata.deltaLink": "tree-1"}
    script[f"GET {U}/mailFolders"] = {"value": [INBOX]}
    script[listing("in")] = {"value": []}
    return script


def read_one(raw: dict[str, Any]) -> Change:
    page = {"value": [raw], "@odata.deltaLink": "in-1"}
    pages = run(ScriptedGraph(only_inbox(**{f"GET {feed_of('in')}": page})))
    (change,) = (entry for entry in changes(pages) if entry.kind == "message")
    return change
