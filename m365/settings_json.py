"""What the settings of a mailbox are as items: ids, rows, and what two of them have in common.

Rules
- An item's id is the word for its sort and Graph's id: "rule:AQAAAJ5dZp8=". Ids of rules are only
  unique within one mailbox, and may hold a slash, which is escaped: our ids stand in paths.
- While automatic replies are not scheduled, the times of their schedule are the next day as seen
  from now: they change by themselves, and are kept apart.
- Two rules are the same when name, conditions, actions and exceptions are: their place in the
  order, and whether they are switched on, are not what they do. Words are compared without regard
  to case, because Exchange answers those a rule looks for in capitals.

https://learn.microsoft.com/graph/api/resources/messagerule
https://learn.microsoft.com/graph/api/resources/outlookcategory
https://learn.microsoft.com/graph/api/resources/inferenceclassificationoverride
https://learn.microsoft.com/graph/api/resources/mailboxsettings
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from base.item import Change

ROOT = "settings"  # id of the folder that holds the others
MAILBOX = "mailboxSettings"  # id of the one item that is not in a list, and its path
SENDING = ("forwardTo", "forwardAsAttachmentTo", "redirectTo")  # actions that send mail
FOLDERS = ("moveToFolder", "copyToFolder")  # actions that name a folder of the mailbox
_RULE = ("conditions", "actions", "exceptions")
_REPLIES = "automaticRepliesSetting"
_SCHEDULE = ("scheduledStartDateTime", "scheduledEndDateTime")

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """One of the lists. `name` is the id of its folder and the name of its feed."""

    name: str
    title: str
    item: str  # begins the ids of its items
    path: str  # below /users/{id}

    def item_id(self, graph_id: str) -> str:
        return f"{self.item}:{quote(graph_id, safe='=')}"


RULES = Section("rules", "Rules", "rule", "/mailFolders/inbox/messageRules")
CATEGORIES = Section("categories", "Categories", "category", "/outlook/masterCategories")
OVERRIDES = Section("overrides", "Overrides", "override", "/inferenceClassification/overrides")
SECTIONS = (RULES, CATEGORIES, OVERRIDES)


def section_of(item_id: str) -> tuple[Section, str] | None:
    """The list an item stands in, and its id there; None for what stands in none."""
    word, _, escaped = item_id.partition(":")
    found = next((one for one in SECTIONS if one.item == word), None)
    return (found, unquote(escaped)) if found and escaped else None


def digest(value: Any) -> str:
    """Changes when the value does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def kept(raw: Mapping[str, Any]) -> Raw:
    """An object without what changes without meaning."""
    return {name: value for name, value in raw.items() if not name.startswith("@odata.")}


def folder(section: Section, refused: str = "", detail: str = "") -> Change:
    """The folder of a list. `refused` is the cause why the tenant does not give the list."""
    row = {"refused": refused, "detail": detail} if refused else {}
    mark = f"refused {refused}" if refused else "folder"
    return Change(section.name, ROOT, "folder", section.title, row=row, fingerprint=mark)


def root() -> Change:
    """The folder that holds the others."""
    return Change(ROOT, "", "folder", "Mailbox settings", fingerprint="folder")


def entry(section: Section, raw: Mapping[str, Any], extra: Mapping[str, Any]) -> Change:
    """One rule, category or override. `extra` goes into the row."""
    about = {RULES: _rule_row, CATEGORIES: _category_row, OVERRIDES: _override_row}[section]
    return _change(section.item_id(str(raw["id"])), section.name, raw, {**about(raw), **extra})


def mailbox(raw: Mapping[str, Any], owner: str) -> Change:
    """mailboxSettings themselves; `owner` is the mailbox they are of."""
    replies = raw.get(_REPLIES) or {}
    status = str(replies.get("status") or "disabled")
    zone = str(raw.get("timeZone") or "")
    row = {"type": "Settings", "detail": zone, "replies": status, "mailbox": owner}
    change = _change(MAILBOX, ROOT, settled(raw), row, "Settings")
    if status.casefold() == "scheduled" or not replies:
        return change
    schedule = {name: replies[name] for name in _SCHEDULE if name in replies}
    return replace(change, volatile={**change.volatile, _REPLIES: schedule})


def settled(raw: Mapping[str, Any]) -> Raw:
    """mailboxSettings without what changes by itself."""
    replies = raw.get(_REPLIES)
    if not isinstance(replies, Mapping):
        return dict(raw)
    if str(replies.get("status") or "").casefold() == "scheduled":
        return dict(raw)
    rest = {name: value for name, value in replies.items() if name not in _SCHEDULE}
    return {**raw, _REPLIES: rest}


def _change(
    item_id: str, parent: str, raw: Mapping[str, Any], row: Mapping[str, Any], name: str = ""
) -> Change:
    stored = kept(raw)
    return Change(
        id=item_id,
        parent=parent,
        kind="setting",
        name=name or str(row["name"]),
        raw=stored,
        volatile={key: value for key, value in raw.items() if key not in stored},
        row={key: value for key, value in row.items() if key != "name"},
        fingerprint=digest(stored),
    )


def _rule_row(raw: Mapping[str, Any]) -> Raw:
    sequence = raw.get("sequence")
    return {
        "sort": f"{sequence:08}" if isinstance(sequence, int) else "",
        "name": str(raw.get("displayName") or "(no name)"),
        "type": "Rule",
        "detail": ", ".join(sorted(given(raw.get("actions")))),
        "enabled": raw.get("isEnabled") is not False,
    }


def _category_row(raw: Mapping[str, Any]) -> Raw:
    name, color = (str(raw.get(key) or "") for key in ("displayName", "color"))
    return {"name": name or "(no name)", "type": "Category", "detail": color}


def _override_row(raw: Mapping[str, Any]) -> Raw:
    name = str((raw.get("senderEmailAddress") or {}).get("name") or address(raw))
    detail = f"{address(raw)}: {raw.get('classifyAs') or ''}"
    return {"name": name or "(no name)", "type": "Override", "detail": detail}


def address(override: Mapping[str, Any]) -> str:
    """The address an override is about."""
    return str((override.get("senderEmailAddress") or {}).get("address") or "")


def given(value: Any) -> Raw:
    """The properties of conditions or actions that say something."""
    if not isinstance(value, Mapping):
        return {}
    return {
        name: one
        for name, one in value.items()
        if one not in (None, [], "") and not name.startswith("@odata.")
    }


def folders_of(rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the folders that rules name, each once."""
    found: dict[str, None] = {}
    for rule in rules:
        actions = given(rule.get("actions"))
        found.update((str(actions[name]), None) for name in FOLDERS if actions.get(name))
    return list(found)


def rule_body(raw: Mapping[str, Any]) -> Raw:
    """What a rule is created from; what the service sets by itself is left out."""
    body = {
        name: raw[name]
        for name in ("displayName", "sequence", "isEnabled")
        if raw.get(name) is not None
    }
    body.update((name, given(raw[name])) for name in _RULE if given(raw.get(name)))
    return body


def same_rule(raw: Mapping[str, Any]) -> str:
    """Equal for two rules that do the same under the same name."""
    facts = [raw.get("displayName") or "", *(given(raw.get(name)) for name in _RULE)]
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False).casefold()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
