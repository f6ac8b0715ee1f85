"""Settings put back into a mailbox: what is missing is made, what is there stays unless told.

Rules
- Nothing is made twice: a rule that does the same under the same name, a category of the same name
  and an override for the same address are there already, whatever their ids.
- Nothing of what a mailbox has is changed but by a restore that replaces.
- Nothing begins to send mail in another mailbox than its own: rules that forward are made switched
  off there, automatic replies stay off, and a note says so.
- A rule whose folders have no counterpart in the target is not made: half of it would do other
  things than it did.

https://learn.microsoft.com/graph/api/mailfolder-post-messagerules
https://learn.microsoft.com/graph/api/outlookuser-post-mastercategories
https://learn.microsoft.com/graph/api/inferenceclassification-post-overrides
https://learn.microsoft.com/graph/api/user-update-mailboxsettings
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from base.item import Cause, StoredItem, Trouble
from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, Forbidden, GraphProblem, MaybeDone
from m365.service import Existing, Folder, Identity, Resource, Written
from m365.settings_folders import FolderNames
from m365.settings_json import (
    CATEGORIES,
    FOLDERS,
    MAILBOX,
    OVERRIDES,
    ROOT,
    RULES,
    SECTIONS,
    SENDING,
    Raw,
    Section,
    address,
    digest,
    given,
    kept,
    rule_body,
    same_rule,
    section_of,
    settled,
)

_SETTABLE = (
    "automaticRepliesSetting",
    "dateFormat",
    "delegateMeetingMessageDeliveryOptions",
    "language",
    "timeFormat",
    "timeZone",
    "workingHours",
)
_COPY = " (restored)"  # ends the name of what is kept beside its like


class SettingsWriter:
    """Restores into the settings of one mailbox."""

    keeps_markers = False

    def __init__(self, writer: GraphWriter, resource: Resource) -> None:
        self._writer = writer
        self._mailbox = resource.graph_id
        self._scope = Scope.mailbox(resource.graph_id)
        self._base = f"/users/{quote(resource.graph_id, safe='')}"
        self._folders = FolderNames(writer, self._base, self._scope)
        self._lists: dict[Section, list[Raw]] = {}
        self._found: dict[str, str] = {}  # folder of a stored rule -> folder of the target

    def root(self) -> Folder:
        return Folder(ROOT)

    def ensure_folder(self, into: Folder, name: str, stored: StoredItem | None) -> Folder:
        """Settings lie in no folders: those of the backup stand for the mailbox's lists."""
        if stored is None or not stored.parent:
            return into
        return Folder(stored.id, (*into.path, name))

    def original_folder(self, stored: StoredItem) -> Folder | None:
        return Folder(stored.id, (stored.name,)) if stored.parent else self.root()

    def identity(self, item: StoredItem) -> Identity:
        section = _section(item)
        if section is None:
            return Identity(MAILBOX, digest(kept(item.raw)))
        found = self._alike(section, item)
        same = _same(section, self._here(item))
        return Identity(section.item_id(found["id"]) if found else f"new {same}", same)

    def existing(self, into: Folder) -> Iterator[Existing]:
        self._lists.clear()
        for section in SECTIONS:
            if into.id == section.name:
                for raw in self._list(section):
                    item_id = section.item_id(raw["id"])
                    yield Existing(item_id, item_id, _same(section, raw))
        if into.id == ROOT:
            yield Existing(MAILBOX, MAILBOX, digest(kept(settled(self._settings()))))

    def write(
        self, item: StoredItem, into: Folder, marker: str, replace: Existing | None, new_name: bool
    ) -> Written:
        section = _section(item)
        if section is None:
            return self._set(item) if replace else _skipped(item, "only-by-replacing", MAILBOX)
        found = self._alike(section, item)
        if found and not replace and not new_name:
            return Written(section.item_id(found["id"]), "skipped")
        if section is RULES:
            return self._rule(item, replace, new_name)
        if section is CATEGORIES:
            return self._category(item, replace, new_name)
        return self._override(item, replace, new_name)

    def remove(self, item_id: str) -> None:
        found = section_of(item_id)
        if found is not None:  # the settings themselves cannot be taken away
            self._delete(*found)

    def _rule(self, item: StoredItem, replace: Existing | None, new_name: bool) -> Written:
        body, notes = rule_body(self._here(item)), list[Trouble]()
        lost = [name for name in FOLDERS if name in given(item.raw.get("actions"))]
        lost = [name for name in lost if name not in body.get("actions", {})]
        if lost:
            return _skipped(item, "folder-not-found", part=lost[0])
        if not body.get("actions"):
            return _skipped(item, Cause.NOT_SUPPORTED)
        if not self._is_own(item) and any(name in body["actions"] for name in SENDING):
            body["isEnabled"] = False
            notes.append(_note(item, "switched-off"))
        if new_name:
            body["displayName"] = f"{body.get('displayName') or ''}{_COPY}"
        made = self._create(RULES, body)
        wanted = body.get("isEnabled") is not False
        if bool(made.get("isEnabled", wanted)) != wanted:
            path = self._path(RULES, str(made["id"]))
            self._writer.patch(path, {"isEnabled": wanted}, scope=self._scope)
        outcome = "copied" if new_name else "created"
        if replace is not None:
            outcome = self._instead_of(item, replace, notes)
        return Written(RULES.item_id(made["id"]), outcome, tuple(notes))

    def _instead_of(self, item: StoredItem, old: Existing, notes: list[Trouble]) -> str:
        """Takes the old rule away; what Outlook does not let go of stays beside the new one."""
        try:
            self.remove(old.id)
        except Forbidden:
            notes.append(_note(item, "old-one-kept", "replace"))
            return "copied"
        return "replaced"

    def _here(self, item: StoredItem) -> Mapping[str, Any]:
        """The stored object, with the target's folders in a rule; "" for those it has not."""
        actions = item.raw.get("actions")
        if not isinstance(actions, Mapping) or not any(actions.get(name) for name in FOLDERS):
            return item.raw
        mapped = {
            name: self._folder(item, str(actions[name])) for name in FOLDERS if actions.get(name)
        }
        return {**item.raw, "actions": {**actions, **mapped}}

    def _folder(self, item: StoredItem, folder_id: str) -> str:
        """What a folder of the stored rule is in the target; "" where there is none."""
        if folder_id not in self._found:
            place = (item.row.get("folders") or {}).get(folder_id)
            if self._is_own(item) and self._folders.exists(folder_id):
                self._found[folder_id] = folder_id
            else:
                self._found[folder_id] = self._folders.find(place) if place else ""
        return self._found[folder_id]

    def _category(self, item: StoredItem, replace: Existing | None, new_name: bool) -> Written:
        color = item.raw.get("color") or "none"
        if replace is not None:  # a name never changes, and is what collides
            path = self._path(CATEGORIES, _graph_id(replace.id))
            self._writer.patch(path, {"color": color}, scope=self._scope)
            return Written(replace.id, "replaced")
        name = f"{item.raw.get('displayName') or ''}{_COPY if new_name else ''}"
        try:
            made = self._create(CATEGORIES, {"displayName": name, "color": color})
        except Clash:
            return _skipped(item, "name-taken")
        return Written(CATEGORIES.item_id(made["id"]), "copied" if new_name else "created")

    def _override(self, item: StoredItem, replace: Existing | None, new_name: bool) -> Written:
        if new_name:
            return _skipped(item, "one-per-address")
        kind = item.raw.get("classifyAs")
        if replace is not None:
            path = self._path(OVERRIDES, _graph_id(replace.id))
            self._writer.patch(path, {"classifyAs": kind}, scope=self._scope)
            return Written(replace.id, "replaced")
        sender = kept(item.raw.get("senderEmailAddress") or {})
        made = self._create(OVERRIDES, {"classifyAs": kind, "senderEmailAddress": sender})
        return Written(OVERRIDES.item_id(made["id"]), "created")

    def _set(self, item: StoredItem) -> Written:
        """The settings of the mailbox itself, as far as they differ."""
        now, notes = self._settings(), list[Trouble]()
        wanted = {name: item.raw[name] for name in _SETTABLE if item.raw.get(name) is not None}
        if isinstance(wanted.get("language"), Mapping):
            wanted["language"] = {"locale": wanted["language"].get("locale")}
        if isinstance(wanted.get("automaticRepliesSetting"), Mapping):
            replies = kept(wanted["automaticRepliesSetting"])
            wanted["automaticRepliesSetting"] = self._replies(item, replies, now, notes)
        changes = {name: value for name, value in wanted.items() if not _says(now, name, value)}
        if changes:
            self._patch_settings(item, changes, notes)
        return Written(MAILBOX, "replaced", tuple(notes))

    def _replies(self, item: StoredItem, wanted: Raw, now: Raw, notes: list[Trouble]) -> Raw:
        """Automatic replies as they were; switched on in their own mailbox only, and never
        silently.
        """
        before = now.get("automaticRepliesSetting") or {}
        if _is_on(wanted) and not self._is_own(item):
            wanted["status"] = "disabled"
            notes.append(_note(item, "switched-off", "automaticReplies"))
        elif _is_on(wanted) and not _is_on(before):
            notes.append(_note(item, "switched-on", "automaticReplies"))
        return {name: value for name, value in wanted.items() if value is not None}

    def _patch_settings(self, item: StoredItem, changes: Raw, notes: list[Trouble]) -> None:
        """All of them in one request; where that is refused one by one."""
        path = f"{self._base}/{MAILBOX}"
        try:
            self._writer.patch(path, changes, scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            for name, value in changes.items():
                self._attempt(item, name, {name: value}, notes, path)

    def _attempt(
        self, item: StoredItem, name: str, change: Raw, notes: list[Trouble], path: str
    ) -> None:
        try:
            self._writer.patch(path, change, scope=self._scope)
        except GraphProblem as problem:
            if problem.status_code != 400:
                raise
            notes.append(_note(item, "not-set", name))

    def _alike(self, section: Section, item: StoredItem) -> Raw | None:
        """What the target has already of a stored rule, category or override."""
        wanted = _same(section, self._here(item))
        present = self._list(section)
        if section is RULES and self._is_own(item):
            own = _graph_id(item.id)
            present = sorted(present, key=lambda raw: raw["id"] != own)
            if present and present[0]["id"] == own:
                return present[0]
        return next((raw for raw in present if _same(section, raw) == wanted), None)

    def _is_own(self, item: StoredItem) -> bool:
        """Whether the item was read from the very mailbox it is written to."""
        return item.row.get("mailbox") == self._mailbox

    def _create(self, section: Section, body: Raw) -> Raw:
        """Creates once: without an answer the list is asked whether it was done."""
        path = f"{self._base}{section.path}"
        before = {raw["id"] for raw in self._list(section)}
        try:
            made = self._writer.post(path, body, scope=self._scope)
        except MaybeDone:
            self._lists.pop(section, None)
            wanted = _same(section, body)
            fresh = (raw for raw in self._list(section) if raw["id"] not in before)
            found = next((raw for raw in fresh if _same(section, raw) == wanted), None)
            made = found or self._writer.post(path, body, scope=self._scope)
        self._lists[section] = [*(r for r in self._list(section) if r["id"] != made["id"]), made]
        return made

    def _delete(self, section: Section, graph_id: str) -> None:
        self._writer.delete(self._path(section, graph_id), scope=self._scope)
        if section in self._lists:
            self._lists[section] = [r for r in self._lists[section] if r["id"] != graph_id]

    def _list(self, section: Section) -> list[Raw]:
        if section not in self._lists:
            path, found = f"{self._base}{section.path}", dict[str, Raw]()
            try:
                for page in follow(self._writer, path, scope=self._scope):
                    found.update((str(raw["id"]), raw) for raw in page.value if raw.get("id"))
            except Forbidden:
                if section is not RULES:  # some tenants refuse those: then each of them fails
                    raise
            self._lists[section] = list(found.values())
        return self._lists[section]

    def _settings(self) -> Raw:
        return self._writer.get(f"{self._base}/{MAILBOX}", scope=self._scope)

    def _path(self, section: Section, graph_id: str) -> str:
        return f"{self._base}{section.path}/{quote(graph_id, safe='')}"


def _graph_id(item_id: str) -> str:
    found = section_of(item_id)
    return found[1] if found else ""


def _section(item: StoredItem) -> Section | None:
    found = section_of(item.id)
    return found[0] if found else None


def _same(section: Section, raw: Mapping[str, Any]) -> str:
    """What makes two of a list one: see the rules above."""
    if section is RULES:
        return same_rule(raw)
    name = address(raw) if section is OVERRIDES else str(raw.get("displayName") or "")
    return name.casefold()


def _is_on(replies: Mapping[str, Any]) -> bool:
    return str(replies.get("status") or "disabled").casefold() != "disabled"


def _says(now: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether a setting has the wanted value already."""
    before = now.get(name)
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        return all(before.get(key) == one for key, one in value.items())
    return bool(before == value)


def _note(item: StoredItem, cause: str, part: str = "item") -> Trouble:
    return Trouble(item.id, part, cause, retry=False)


def _skipped(item: StoredItem, cause: str, new_id: str = "", part: str = "item") -> Written:
    return Written(new_id, "skipped", (_note(item, cause, part),))
