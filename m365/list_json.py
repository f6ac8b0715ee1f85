"""Lists of SharePoint as entries: what is kept of a list, its columns and its rows, and the link of
a list's feed.

A row's id is that of its list and its own number: Graph finds a row in its list only. Beside what
Graph sent a row carries "words": what its lookups and people showed when it was read, by column,
[{"id", "value", "email"}], because Graph gives only their numbers.

https://learn.microsoft.com/graph/api/resources/list
https://learn.microsoft.com/graph/api/resources/columndefinition
https://learn.microsoft.com/graph/api/resources/fieldvalueset
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from base.item import Change
from m365.graph.errors import GraphProblem, ItemGone, Locked, ResourceGone, ResourceLocked

FEED = "lists"
ROOT = "lists"  # the folder above all lists of a site
KIND = "list-item"
MISSING = (ItemGone, ResourceGone)  # of a row, a list, a site: the code tells no difference
MARK = "HoldfastRestore"  # the hidden column of lists that a restore made
KINDS = (
    "text", "choice", "number", "currency", "boolean", "dateTime", "lookup", "personOrGroup",
    "calculated", "hyperlinkOrPicture", "geolocation", "term", "thumbnail",
    "contentApprovalStatus",
)  # fmt: skip
LOOKED_UP = ("lookup", "personOrGroup")
PEOPLE_TEMPLATE = "userInformation"
# Lists that SharePoint keeps for itself, whatever it says of their being hidden.
_OWN_TEMPLATES = frozenset(
    ("sharinglinks", "accessrequest", "webtemplateextensionslist", "appdatacatalog", "appdata",
     "designcatalog", "masterpagecatalog", "solutioncatalog", "themecatalog", "userinformation",
     "webpartcatalog", "listtemplatecatalog", "workflowhistory", "nocodeworkflows",
     "hidesharepointpage", "maintenancelogs")
)  # fmt: skip
_VOLATILE = frozenset(
    ("@odata.etag", "@odata.context", "eTag", "lastModifiedDateTime", "lastModifiedBy")
)
_ODATA = ("@odata.etag", "@odata.context", "@odata.navigationLink", "@odata.associationLink")
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListLink:
    """The link of a list's feed: `told` stands for what the listing said of the list when its
    columns were read, `at` is where its rows go on. A library has no rows of its own.
    """

    told: str = ""
    at: str = ""
    library: bool = False
    files: bool = False  # whether attached files could be asked for when it was read from nothing

    @staticmethod
    def read(link: str) -> ListLink:
        return ListLink(**json.loads(link)) if link else ListLink()

    def write(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def going_on(self, at: str) -> ListLink:
        return replace(self, at=at)


def of_site(problem: GraphProblem) -> GraphProblem:
    """What it means of the site that its lists are not told."""
    kind = ResourceLocked if isinstance(problem, Locked) else ResourceGone
    return problem.told_as(kind, "The site is not there, or is locked.")


def part_of(list_id: str) -> str:
    """The name of a list's feed."""
    return f"list:{list_id}"


def list_of(part: str) -> str:
    """The list that a feed is about."""
    return part.partition(":")[2]


def item_id(list_id: str, number: object) -> str:
    """The id of a row."""
    return f"{list_id}:{number}"


def ids_of(item: str) -> tuple[str, str]:
    """The list and the number of a row. Raises ItemGone for what is none."""
    list_id, colon, number = item.rpartition(":")
    if not colon or not list_id or not number:
        raise ItemGone("That is not the id of a row.", status_code=404)
    return list_id, number


def told_of(raw: Raw) -> str:
    """Stands for what the listing says of a list, its change date and etag included."""
    text = json.dumps(raw, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def template_of(raw: Raw) -> str:
    return str((raw.get("list") or {}).get("template") or "")


def is_library(raw: Raw) -> bool:
    """Whether its rows are files, which are protected with the drive."""
    return template_of(raw).lower().endswith("library") or raw.get("drive") is not None


def is_derived(raw: Raw) -> bool:
    """Whether SharePoint fills it by itself: nothing is ever written into it."""
    return template_of(raw).lower() in _OWN_TEMPLATES


def is_hidden(raw: Raw) -> bool:
    """Whether people do not see it, or SharePoint fills it by itself."""
    shown = not (raw.get("list") or {}).get("hidden") and raw.get("system") is None
    return not shown or is_derived(raw)


def kind_of(column: Raw) -> str:
    """The facet that says what sort of column it is; "" for none that is known."""
    return next((kind for kind in KINDS if column.get(kind) is not None), "")


def allows_several(column: Raw) -> bool:
    """Whether a value of the column may be a list of values."""
    facet = column.get(kind_of(column)) or {}
    if kind_of(column) == "choice":
        return str(facet.get("displayAs") or "").lower() == "checkboxes"
    return bool(facet.get("allowMultipleValues") or facet.get("allowMultipleSelection"))


def own_columns(raw: Raw) -> list[Raw]:
    """The columns of a stored list that people made or fill: no read-only ones but calculated."""
    found = [one for one in raw.get("columns") or () if isinstance(one, Mapping)]
    return [one for one in found if _is_own(one)]


def references(fields: Raw, column: Raw) -> list[dict[str, Any]]:
    """What a row refers to by a lookup or a person: [{"id", "value"?, "email"?}]; ids are whole."""
    name = str(column.get("name") or "")
    several = fields.get(name)
    found: list[dict[str, Any]] = []
    for one in several if isinstance(several, list) else ():
        if isinstance(one, Mapping) and _whole(one.get("LookupId")) is not None:
            texts = {"value": one.get("LookupValue"), "email": one.get("Email")}
            texts = {key: text for key, text in texts.items() if text}
            found.append({"id": _whole(one["LookupId"]), **texts})
    if found:
        return found
    by_id = fields.get(f"{name}LookupId")
    ids = by_id if isinstance(by_id, list) else [by_id]
    return [{"id": number} for number in map(_whole, ids) if number is not None]


def root() -> Change:
    return Change(ROOT, "", "folder", "Lists", fingerprint="folder")


def list_change(raw: Raw) -> Change:
    """A list with its columns and content types."""
    kept = {name: value for name, value in raw.items() if _is_kept(name)}
    kept = {name: _plain(value) for name, value in kept.items()}
    name = str(raw.get("displayName") or raw.get("name") or raw["id"])
    row: dict[str, Any] = {"template": template_of(raw)}
    if is_hidden(raw):
        row["hidden"] = True
    return Change(
        id=str(raw["id"]),
        parent=ROOT,
        kind="folder",
        name=name,
        raw=kept,
        volatile={name: value for name, value in raw.items() if name in _VOLATILE},
        row=row,
        fingerprint=_digest(kept),
    )


def item_change(
    raw: Raw, list_id: str, words: Raw, *, partial: bool = False, files: bool = False
) -> Change:
    """A row with what its lookups and people showed. `files`: attached ones can be asked for, so
    that those of rows stored without them are.
    """
    kept = {k: _plain(v) for k, v in raw.items() if k != "eTag" and not k.endswith(_ODATA)}
    if words:
        kept["words"] = dict(words)
    volatile = {name: raw[name] for name in ("eTag", "@odata.etag") if name in raw}
    return Change(
        id=item_id(list_id, raw["id"]),
        parent=list_id,
        kind=KIND,
        name=_name(raw),
        raw=kept,
        volatile=volatile,
        row={} if partial else _row(raw),
        fingerprint="" if partial else _digest(kept) + ("+files" if files else ""),
        partial=partial,
    )


def has_attachments(raw: Raw) -> bool:
    """Whether the row says that files are attached to it."""
    return (raw.get("fields") or {}).get("Attachments") is True


def target_of(column: Raw) -> str:
    """The list a lookup leads to."""
    return str((column.get("lookup") or {}).get("listId") or "").strip("{}")


def _is_own(column: Raw) -> bool:
    name, kind = str(column.get("name") or ""), kind_of(column)
    if not name or name.startswith("_") or name in _NOT_OWN:
        return False
    if column.get("columnGroup") == "_Hidden" and column.get("hidden"):
        return False  # SharePoint's own
    if kind == "lookup" and not target_of(column):
        return False  # one of SharePoint's counters
    return not column.get("readOnly") or kind == "calculated"


_NOT_OWN = ("ContentType", "Attachments", "Edit", "AppAuthor", "AppEditor", MARK)


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if not isinstance(value, bool) and text.isdecimal() and value != "" else None


def _is_kept(name: str) -> bool:
    return name not in _VOLATILE and not name.endswith(_ODATA)


def _plain(value: Any) -> Any:
    """Without etags and contexts, at any depth; types stay."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _plain(one) for name, one in value.items() if not name.endswith(_ODATA)}


def _name(raw: Raw) -> str:
    fields = raw.get("fields") or {}
    for name in ("Title", "LinkTitle", "FileLeafRef"):
        if isinstance(fields.get(name), str) and fields[name].strip():
            return " ".join(str(fields[name]).split())[:255]
    return f"({raw['id']})"


def _row(raw: Raw) -> dict[str, Any]:
    number = _whole(raw.get("id"))
    by = (raw.get("lastModifiedBy") or {}).get("user") or {}
    row = {
        "modified": str(raw.get("lastModifiedDateTime") or ""),
        "by": str(by.get("displayName") or by.get("email") or ""),
        "created": str(raw.get("createdDateTime") or ""),
        "type": str((raw.get("contentType") or {}).get("name") or ""),
        "attachments": has_attachments(raw),
    }
    return row if number is None else {"sort": f"{number:012d}", **row}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
