"""Settings of a mailbox: inbox rules, master categories, focused-inbox overrides, mailbox settings.

Rules
- There is no change feed: the four are asked for in one $batch, and compared with digests that the
  link of each feed keeps. What is not listed any more is gone.
- Feeds: "mailbox" (the settings themselves), "rules", "categories", "overrides". A link is a JSON
  text of ours.
- Some tenants refuse rules to applications (Microsoft's permission table has no entry for them).
  That is a row of the ledger at the folder of the rules; what is stored of them stays.
- The folders a rule names are kept with their place, or no other mailbox could have the rule.

https://learn.microsoft.com/graph/api/mailfolder-list-messagerules
https://learn.microsoft.com/graph/api/outlookuser-list-mastercategories
https://learn.microsoft.com/graph/api/inferenceclassification-list-overrides
https://learn.microsoft.com/graph/api/user-get-mailboxsettings
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from base.errors import Throttled
from base.item import Change, FeedPage, Gone, Part, Trouble
from m365.graph.client import BatchAnswer, BatchRequest, GraphReader, Scope
from m365.graph.delta import follow
from m365.graph.errors import (
    Forbidden,
    GraphProblem,
    ItemGone,
    ResourceGone,
    TransientFailure,
    Unauthorized,
)
from m365.service import Column, LiveCount, Resource, Service, trouble_of
from m365.settings_folders import FolderNames
from m365.settings_json import (
    MAILBOX,
    RULES,
    SECTIONS,
    Raw,
    Section,
    digest,
    entry,
    folder,
    folders_of,
    kept,
    mailbox,
    root,
    section_of,
)
from m365.settings_writer import SettingsWriter

_SETTINGS = f"/{MAILBOX}"
_FEED = "mailbox"  # of the settings themselves
_PREFER = {"Prefer": "odata.maxpagesize=500"}
_NOT_OF_ONE_LIST = (Throttled, TransientFailure, ResourceGone, Unauthorized)


@dataclass(slots=True)
class _Notes:
    """What the link of a list's feed remembers."""

    seen: dict[str, str] | None = None  # Graph id -> digest; None until the list was read once
    refused: str = ""

    @staticmethod
    def read(link: str) -> _Notes:
        stored = json.loads(link) if link else {}
        return _Notes(stored.get("seen"), stored.get("refused", ""))

    def write(self) -> str:
        stored = {"seen": self.seen, "refused": self.refused}
        return json.dumps(stored, sort_keys=True, separators=(",", ":"))


class SettingsSource:
    """Reads one mailbox's settings; safe to use from several threads."""

    def __init__(self, reader: GraphReader, resource: Resource) -> None:
        self._reader = reader
        self._mailbox = resource.graph_id
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._folders = FolderNames(reader, self._base, self._scope)

    def changes(self, links: Mapping[str, str], finished: frozenset[str]) -> Iterator[FeedPage]:
        sections = [one for one in SECTIONS if one.name not in finished]
        answers = iter(self._ask([_SETTINGS, *(one.path for one in sections)]))
        failed: GraphProblem | None = None
        try:
            settings = self._settings(next(answers))  # tells whether the mailbox is there at all
            if _FEED not in finished:
                yield _settings_page(mailbox(settings, self._mailbox), links.get(_FEED, ""))
        except (TransientFailure, Forbidden) as problem:
            failed = problem
        for section, answer in zip(sections, answers, strict=True):
            try:
                yield self._page(section, answer, links.get(section.name, ""))
            except (TransientFailure, Forbidden) as problem:
                failed = failed or problem  # one list does not keep the others away
        if failed is not None:
            raise failed

    def fetch(
        self, change: Change, leave: Collection[str] = ()
    ) -> tuple[list[Part], list[Trouble]]:
        refused = change.row.get("refused")
        if change.kind != "folder" or not refused:
            return [], []
        detail = str(change.row.get("detail", ""))
        return [], [Trouble(change.id, "list", str(refused), retry=False, detail=detail)]

    def complete(self, item_id: str) -> Change:
        if item_id == MAILBOX:
            return mailbox(self._settings(self._ask([_SETTINGS])[0]), self._mailbox)
        found = section_of(item_id)
        if found is not None:
            section, graph_id = found
            listed = self._listed(self._ask([section.path])[0])
            if graph_id in listed:
                return self._entry(section, listed[graph_id])
        raise ItemGone("The setting is not there any more.")

    def merge(self, raw: Mapping[str, Any], change: Change) -> Change:
        return change  # settings always come whole

    def counts(self) -> Iterator[LiveCount]:
        yield from ()  # every round lists all there is

    def _page(self, section: Section, answer: BatchAnswer, link: str) -> FeedPage:
        """What became of one list since its link."""
        notes = _Notes.read(link)
        starts = notes.seen is None
        refused, entries = "", list[Change | Gone]()
        try:
            listed = self._listed(answer)
        except _NOT_OF_ONE_LIST:
            raise
        except GraphProblem as problem:
            if isinstance(problem, Forbidden) and section is not RULES:
                raise  # a permission is missing, and the connection test names it
            trouble = trouble_of(section.name, "list", problem)
            refused = trouble.cause
            at_it = folder(section, refused, trouble.detail)
        else:
            at_it = folder(section)
            entries = self._differing(section, listed, notes)
        if not link or refused != notes.refused:
            entries.insert(0, at_it)
        notes.refused = refused
        return FeedPage(
            section.name,
            tuple(entries),
            notes.write(),
            more=False,
            reset=starts and not refused,
            scope=section.name,
        )

    def _differing(
        self, section: Section, listed: Mapping[str, Raw], notes: _Notes
    ) -> list[Change | Gone]:
        """What is new, changed or gone; `notes` know it from then on."""
        now = {key: digest(kept(raw)) for key, raw in listed.items()}
        before = notes.seen or {}
        changed = [listed[key] for key in now if before.get(key) != now[key]]
        gone = [key for key in before if key not in now]
        notes.seen = now
        extras = self._extras(changed) if section is RULES else {}
        return [
            *(entry(section, raw, extras.get(str(raw["id"]), {})) for raw in changed),
            *(Gone(section.item_id(key)) for key in gone),
        ]

    def _entry(self, section: Section, raw: Raw) -> Change:
        extras = self._extras([raw]) if section is RULES else {}
        return entry(section, raw, extras.get(str(raw["id"]), {}))

    def _extras(self, rules: list[Raw]) -> dict[str, Raw]:
        """By rule: its mailbox, and the places of the folders it names."""
        try:
            places = self._folders.places(folders_of(rules))
        except _NOT_OF_ONE_LIST:
            raise
        except GraphProblem:
            places = {}  # the rules are worth keeping without them
        return {
            str(rule["id"]): {
                "mailbox": self._mailbox,
                "folders": {key: places[key] for key in folders_of([rule]) if key in places},
            }
            for rule in rules
        }

    def _ask(self, paths: list[str]) -> list[BatchAnswer]:
        requests = [BatchRequest(f"{self._base}{path}", headers=_PREFER) for path in paths]
        return self._reader.batch(requests, scope=self._scope)

    def _settings(self, answer: BatchAnswer) -> Raw:
        try:
            return answer.json()
        except ItemGone as problem:
            raise problem.told_as(ResourceGone, "The mailbox is not there.") from problem

    def _listed(self, answer: BatchAnswer) -> dict[str, Raw]:
        """All entries of a list whose first page is given, by id."""
        body = answer.json()
        entries = list(body.get("value") or ())
        if link := body.get("@odata.nextLink"):
            for page in follow(self._reader, link, headers=_PREFER, scope=self._scope):
                entries += page.value
        return {str(one["id"]): one for one in entries if isinstance(one, dict) and one.get("id")}


def _settings_page(change: Change, link: str) -> FeedPage:
    """The settings, where they differ; this feed never resets: nothing in it can go away."""
    entries: tuple[Change, ...] = ()
    if link != change.fingerprint:
        entries = (change,) if link else (root(), change)
    return FeedPage(_FEED, entries, change.fingerprint, more=False)


SERVICE = Service(
    name="settings",
    title="Mailbox settings",
    resource_kind="mailbox",
    item_kind="setting",
    reads=("MailboxSettings.Read", "Mail.Read"),
    # Microsoft's permission table accepts only the reading permissions for reading the lists.
    writes=("MailboxSettings.Read", "MailboxSettings.ReadWrite", "Mail.Read", "Mail.ReadWrite"),
    columns=(
        Column("type", "Kind", "text"),
        Column("detail", "Detail", "text"),
        Column("enabled", "On", "flag"),
    ),
    source=SettingsSource,
    writer=SettingsWriter,
    not_captured=(
        "Actions of rules that only Outlook on a computer can run: Graph does not show them.",
        "Signatures, rules of the server's administrator, delegates, permissions of folders.",
    ),
    not_restorable=(
        "Settings of the mailbox itself are only put back by a restore that replaces.",
        "Automatic replies and rules that forward mail stay switched off in another mailbox.",
        "Rules that only Outlook on a computer can run are kept and cannot be created.",
        "The archive folder and the purpose of a mailbox cannot be set by an application.",
    ),
)
