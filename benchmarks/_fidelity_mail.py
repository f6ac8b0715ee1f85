"""Messages that together use every property of Graph's message, and what became of them."""

from __future__ import annotations

import email
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from base.item import StoredItem
from benchmarks._fidelity import Scene, Shown, mailboxes, numbered
from benchmarks._fidelity_files import kept_files, shown_files
from benchmarks._graph import Graph
from benchmarks._installation import Installation
from simulator import Tenant, extended, mail_create
from simulator.content import Letter, Person, SeedMessage
from simulator.content_kinds import with_file
from simulator.content_special import SPECIAL
from simulator.mailbox import Folder, Mailbox

_AT = datetime(2026, 9, 14, 7, 31, tzinfo=UTC)
_SENDER = Person("Nora O'Hara, Ships", "nora@ships.example")
_TEXT = "String {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Project"
_WORDS = "StringArray {6f2a1c53-9d2e-4c0b-8a57-31d6a1f0b9e4} Name Keywords"
_EXTENSION = "com.contoso.referral"
_NAMES = (
    "bccRecipients", "body", "bodyPreview", "categories", "ccRecipients", "changeKey",
    "conversationId", "conversationIndex", "createdDateTime", "flag", "from", "hasAttachments",
    "id", "importance", "inferenceClassification", "internetMessageHeaders", "internetMessageId",
    "isDeliveryReceiptRequested", "isDraft", "isRead", "isReadReceiptRequested",
    "lastModifiedDateTime", "parentFolderId", "receivedDateTime", "replyTo", "sender",
    "sentDateTime", "subject", "toRecipients", "uniqueBody", "webLink",
)  # fmt: skip
_EXPAND = (
    f"singleValueExtendedProperties($filter=id eq '{_TEXT}'),"
    f"multiValueExtendedProperties($filter=id eq '{_WORDS}'),"
    f"extensions($filter=id eq '{_EXTENSION}')"
)
_PLAIN = "#microsoft.graph.message"
_HEADERS = "internetMessageHeaders"
_RECOVERABLE = "recoverableitemsdeletions"
_LOOKS = ("receivedDateTime", "isRead", "categories", "flag")


class Mail:
    """The mail among the subjects of the measurement."""

    service = "mail"

    def furnish(self, tenant: Tenant) -> Scene:
        scene = mailboxes(tenant)
        mailbox, user = tenant.mailboxes[scene.source], tenant.users[scene.source]
        owner = Person(str(user.properties["displayName"]), str(user.properties["mail"]))
        letters = _letters(owner)
        folder = mailbox.add_folder("Projects / 2026")
        for kind in SPECIAL:
            mailbox.deliver(kind(next(letters)), folder.id)
        mailbox.deliver(_done(next(letters)), "archive")
        full = mailbox.deliver(_full(next(letters)))
        full.extended[extended.key(_TEXT)] = "Harbour"
        full.extended_lists[extended.key(_WORDS)] = ["pier", "crane"]
        full.extensions.append(
            {"@odata.type": "#microsoft.graph.openTypeExtension", "id": _EXTENSION, "stars": 5}
        )
        mail_create.from_json(tenant, mailbox, mailbox.folder("drafts"), _draft())
        with_previews(mailbox)
        return scene

    def shown(self, graph: Graph, tenant: Tenant, where: str) -> Shown:
        mailbox = tenant.mailboxes[where]
        found = {}
        for message in list(mailbox.messages.values()):
            if not is_protected(message.folder):
                continue
            key = mailbox.message_id(message, immutable=True)
            path = f"/users/{where}/messages/{quote(key)}"
            raw = graph.get(path, select=",".join(_NAMES), expand=_EXPAND)
            raw.pop("@odata.etag", None)
            listed = graph.all(f"{path}/attachments", select="id")
            raw["attachments"] = shown_files(graph, path, listed)
            found[key] = _comparable(raw, mailbox)
        return {"message": _by_name(found)}

    def kept(self, installation: Installation, where: str, shown: Shown) -> Shown:
        mailbox = installation.tenant.mailboxes[where]
        view = installation.view(self.service, f"mailbox:{where}")
        found = {}
        for entry in view.catalog.items():
            if entry.kind == "folder":
                continue
            item = view.item(entry.id)
            raw = {**item.raw, **entry.facts.get("volatile", {})}
            raw["attachments"] = kept_files(item.parts)
            facts = _comparable(raw, mailbox)
            facts[_HEADERS] = list(_mime_headers(item))
            found[entry.id] = facts
        named = _by_name(found)
        for key, facts in named.items():
            wanted, held = shown["message"].get(key, {}).get(_HEADERS, []), facts.pop(_HEADERS)
            if all(_header(one) in held for one in wanted):
                facts[_HEADERS] = wanted
        return {"message": named}


def with_previews(mailbox: Mailbox) -> None:
    """Gives every message the preview of the body it shows; seeds have that of their text part."""
    for message in mailbox.messages.values():
        message.properties["bodyPreview"] = mail_create.preview(message.properties["body"])


def is_protected(folder: Folder) -> bool:
    """Whether messages of a folder are: below the visible root and not found by a search, or what
    can be recovered.
    """
    if folder.search_filter is not None:
        return False
    if folder.well_known == _RECOVERABLE:
        return True
    at: Folder | None = folder
    while at is not None and at.well_known != "searchfolders":
        if at.well_known == "msgfolderroot":
            return True
        at = at.parent
    return False


def _letters(owner: Person) -> Iterator[Letter]:
    dice, number = random.Random("fidelity"), 0
    while True:
        number += 1
        yield Letter(dice, _SENDER, (owner,), _AT + timedelta(hours=number), cc=(owner,))


def _full(letter: Letter) -> SeedMessage:
    """A received message with every property that a mailbox can hold."""
    made = with_file(letter)
    day = {"dateTime": "2026-12-01T00:00:00.0000000", "timeZone": "UTC"}
    other = {"emailAddress": {"name": "Office of Nora", "address": "office@ships.example"}}
    made.properties.update(
        categories=["Blue category", "Übersee"],
        importance="low",
        inferenceClassification="other",
        isRead=False,
        isReadReceiptRequested=True,
        isDeliveryReceiptRequested=True,
        bccRecipients=[{"emailAddress": {"name": "Archive", "address": "archive@ships.example"}}],
        replyTo=[other],
        sender=other,
        flag={"flagStatus": "flagged", "startDateTime": day, "dueDateTime": day},
    )
    own = ("X-Project", "Harbour")
    made.properties["internetMessageHeaders"].append({"name": own[0], "value": own[1]})
    return replace(made, headers=(*made.headers, own))


def _done(letter: Letter) -> SeedMessage:
    """A message whose follow-up is done, read."""
    made = with_file(letter)
    day = {"dateTime": "2026-10-02T00:00:00.0000000", "timeZone": "UTC"}
    flag = {"flagStatus": "complete", "completedDateTime": day}
    made.properties.update(isRead=True, importance="high", flag=flag)
    return made


def _draft() -> dict[str, Any]:
    """A draft as a program leaves one, with a header of its own."""
    return {
        "subject": "Not sent yet",
        "body": {"contentType": "html", "content": "<p>Dear all,</p>"},
        "toRecipients": [{"emailAddress": {"name": "Ada", "address": "ada@ships.example"}}],
        "isReadReceiptRequested": True,
        "isDeliveryReceiptRequested": True,
        "internetMessageHeaders": [{"name": "x-campaign", "value": "Harbour 2027"}],
    }


def _by_name(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By Message-ID, folder and number: copies of one message in one folder are told apart by what
    they look like.
    """
    named: dict[str, list[dict[str, Any]]] = {}
    for facts in found.values():
        name = f"{facts['internetMessageId']} {facts['parentFolderId']}"
        named.setdefault(name, []).append(facts)
    for copies in named.values():
        copies.sort(key=lambda one: str([one[fact] for fact in _LOOKS]))
    return numbered(named)


def _comparable(raw: Mapping[str, Any], mailbox: Mailbox) -> dict[str, Any]:
    """Values that mean the same in every mailbox where they can."""
    facts = {**raw, "@odata.type": raw.get("@odata.type", _PLAIN)}
    folder = mailbox.folders.get(str(raw["parentFolderId"]))
    if folder is not None and folder.well_known == _RECOVERABLE:
        folder = mailbox.folder("deleteditems")  # where a restore puts it: in reach of people
    facts["parentFolderId"] = folder.names() if folder is not None else None
    for name in ("body", "uniqueBody"):  # a body without content has no type worth speaking of
        if not (facts.get(name) or {}).get("content"):
            facts[name] = None
    return facts


def _mime_headers(item: StoredItem) -> Iterator[tuple[str, str]]:
    mime = item.part("mime")
    if mime is not None:
        for name, value in email.message_from_bytes(mime.read()).items():
            yield _header({"name": name, "value": value})


def _header(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one["name"]).lower(), " ".join(str(one["value"]).split())
