"""Content types of the lists that a restore writes: found in the list, taken from the site, made.

Rules
- A stored list's type is the child of one of its site; its id begins with that one's. In a target
  it is known by its own id, by that of the site's type, or by its name, in this order.
- Only lists of ours get types. What the list lacks is copied from the type of the target site of
  the same id, else of the same name; where there is none it is made there from the nearest type it
  derives from. One that was made has the fields of that type: those of the list hold the values.
- Folders and document sets are no types of rows. What a tenant refuses stays out, and rows that
  need it say so.

https://learn.microsoft.com/graph/api/contenttype-addcopy
https://learn.microsoft.com/graph/api/site-post-contenttypes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from m365.graph.client import GraphWriter, Scope
from m365.graph.delta import follow
from m365.graph.errors import Clash, GraphProblem, Locked, MaybeDone, TransientFailure
from m365.list_json import Raw
from m365.list_target import COST_OF_LIST, Target

_FOLDERS = "0x0120"  # content types of folders and document sets begin so
_ITEM = "0x01"
_MADE = re.compile(r"0x[0-9a-f]+00[0-9a-f]{32}")  # by people; SharePoint's own have short ids
_STEP = 2  # digits by which an id of SharePoint's own is longer than that of the type above
_UP_MAX = 20
_FACTS = ("name", "description", "group")


class ContentTypes:
    """The content types of one target site, and of its lists; read when they are needed."""

    def __init__(self, writer: GraphWriter, scope: Scope, site: str) -> None:
        """`site` is the path of the site."""
        self._writer, self._scope, self._path = writer, scope, f"{site}/contentTypes"
        self._site: list[Raw] | None = None
        self._refused: set[str] = set()  # names of types that this tenant did not take

    def of(self, target: Target) -> list[Raw]:
        """The types of a list, its default first."""
        if not target.content_types:
            target.content_types = self._all(f"{target.path}/contentTypes")
        return target.content_types

    def bring(self, target: Target) -> None:
        """Adds the types that a list of ours lacks. Safe to repeat."""
        for stored in wanted_types(target.stored):
            name = str(stored["name"])
            if self.found(target, stored) is None and name not in self._refused:
                made = self._copied(target, stored)
                if made is not None:
                    target.content_types.append(made)
                else:
                    self._refused.add(name)

    def lacks(self, target: Target, stored: Raw) -> bool:
        """Whether a list has types, and none for a row of this one."""
        return bool(stored and self.of(target)) and self.found(target, stored) is None

    def found(self, target: Target, stored: Raw) -> Raw | None:
        """The type of a list that a stored one, or that of a row ({"id", "name"}), stands for."""
        types = self.of(target) if stored else []
        own, name = _id(stored), str(stored.get("name") or "")
        above = parent_id(own)
        same = [one for one in types if own and _id(one) == own]
        if _is_made(above):
            same += [one for one in types if parent_id(_id(one)) == above]
        same += [one for one in types if name and one.get("name") == name]
        return same[0] if same else None

    def _copied(self, target: Target, stored: Raw) -> Raw | None:
        """The site's type as one of the list; None where the tenant refuses."""
        try:
            above = self._of_site(stored) or self._made(stored)
            link = self._writer.place.graph_link(f"{self._path}/{quote(str(above['id']), safe='')}")
            path, body = f"{target.path}/contentTypes/addCopy", {"contentType": link}
            try:
                made = self._writer.post(path, body, scope=self._scope)
            except (MaybeDone, Clash):
                made = {}
            if made.get("id"):
                return {"name": stored["name"], **made}
            target.content_types = []
            return self.found(target, stored)
        except (Locked, TransientFailure, MaybeDone):
            raise
        except GraphProblem:
            return None  # no such action here, no right to it, or not for this type

    def _of_site(self, stored: Raw) -> Raw | None:
        above = parent_id(_id(stored))
        types = self._types()
        found = [one for one in types if _is_made(above) and _id(one) == above]
        found += [one for one in types if one.get("name") == stored["name"]]
        return found[0] if found else None

    def _made(self, stored: Raw) -> Raw:
        """A new type of the site; without an answer the site is asked again."""
        body: dict[str, Any] = {name: stored[name] for name in _FACTS if stored.get(name)}
        body["base"] = self._base(_id(stored))
        try:
            made = self._writer.post(self._path, body, scope=self._scope)
        except (MaybeDone, Clash):
            self._site = None
            found = self._of_site(stored)
            if found is None:
                raise
            return found
        self._types().append(made)
        return made

    def _base(self, own: str) -> dict[str, Any]:
        """The nearest type of the target site that a type derives from."""
        known = {_id(one): one for one in self._types()}
        above = own
        for _ in range(_UP_MAX):
            above = parent_id(above)
            if above in known:
                return {"id": known[above]["id"], "name": known[above].get("name")}
        return {"id": _ITEM, "name": "Item"}

    def _types(self) -> list[Raw]:
        if self._site is None:
            self._site = self._all(self._path)
        return self._site

    def _all(self, path: str, params: Mapping[str, str] | None = None) -> list[Raw]:
        pages = follow(
            self._writer, path, params, scope=self._scope,
            cost_first=COST_OF_LIST, cost_next=COST_OF_LIST,
        )  # fmt: skip
        return [raw for page in pages for raw in page.value if raw.get("id")]


def wanted_types(definition: Raw) -> list[Raw]:
    """The types of a stored list that rows may be of and that no new list has by itself."""
    found = [one for one in definition.get("contentTypes") or () if isinstance(one, Mapping)]
    return [one for one in found if one.get("name") and _is_wanted(one)]


def is_folder_type(type_id: str) -> bool:
    """Whether it is a content type of folders or document sets."""
    return type_id.lower().startswith(_FOLDERS)


def parent_id(type_id: str) -> str:
    """The id of the type that one derives from, by its own id; "" above the first.

    https://learn.microsoft.com/previous-versions/office/developer/sharepoint-2010/aa543822(v=office.14)
    """
    own = type_id.lower()
    above = own[:-34] if _is_made(own) else own[:-_STEP]
    return above if len(above) >= len(_ITEM) else ""


def _is_made(type_id: str) -> bool:
    """Whether people made it, or it is the list's copy of one that SharePoint comes with."""
    return _MADE.fullmatch(type_id.lower()) is not None


def _is_wanted(raw: Raw) -> bool:
    """Whether it is no folder's, and the copy of a type people made or under another name."""
    above = str((raw.get("base") or {}).get("name") or raw["name"])
    own = _is_made(parent_id(_id(raw))) or above != raw["name"]
    return own and not is_folder_type(_id(raw))


def _id(raw: Raw) -> str:
    return str(raw.get("id") or "").lower()
