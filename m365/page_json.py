"""What a site page is as an item, and what of it Graph takes when it is made anew.

https://learn.microsoft.com/graph/api/resources/sitepage /sitepage-create /sitepage-update
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from base.item import Change
from m365.seen import tag

Raw = dict[str, Any]

CANVAS = "canvasLayout"
ROOT = "pages"
TYPE = "#microsoft.graph.sitePage"
_TEXT, _STANDARD = "#microsoft.graph.textWebPart", "#microsoft.graph.standardWebPart"
# What says nothing of the page: etags change without a reason, reactions are not its content.
_VOLATILE = frozenset(
    ("@odata.context", "@odata.etag", f"{CANVAS}@odata.context", "eTag", "reactions")
)
_UNTOLD = ("@odata.context", "reactions")  # what makes no news in a list
_SETTABLE = ("description", "promotionKind", "showComments", "showRecommendedPages", "titleArea")
_UNKNOWN = ("unknownFutureValue", "microsoftReserved")
_LAYOUTS = ("article", "home")


def told(raw: Mapping[str, Any]) -> str:
    """The tag of what a list tells of a page; "" where it does not say when the page changed."""
    if not raw.get("eTag") and not raw.get("lastModifiedDateTime"):
        return ""
    return tag({name: value for name, value in raw.items() if name not in _UNTOLD})


def page(raw: Mapping[str, Any], *, whole: bool) -> Change:
    """A page as an item. `whole`: its canvas is there, or it is known to have none."""
    kept = {name: value for name, value in raw.items() if name not in _VOLATILE}
    return Change(
        id=str(raw["id"]),
        parent=ROOT,
        kind="site-page",
        name=str(raw.get("name") or raw.get("title") or ""),
        raw=kept,
        volatile={name: value for name, value in raw.items() if name in _VOLATILE},
        row={
            "title": str(raw.get("title") or ""),
            "modified": str(raw.get("lastModifiedDateTime") or ""),
            "author": _author(raw),
            "state": level(raw),
            "promotion": str(raw.get("promotionKind") or ""),
        },
        fingerprint=tag(kept) if whole else "",
    )


def root() -> Change:
    """The folder that holds all pages of a site."""
    return Change(ROOT, "", "folder", "Site pages", fingerprint="folder")


def level(raw: Mapping[str, Any]) -> str:
    """ "published", "draft", "checkout" or what else the service says; "" where it does not."""
    state = raw.get("publishingState")
    return str(state.get("level") or "") if isinstance(state, dict) else ""


def web_parts(raw: Mapping[str, Any]) -> Iterator[Raw]:
    """The web parts of a page in the order a reader meets them."""
    canvas = raw.get(CANVAS)
    for _, parts in _places(canvas if isinstance(canvas, dict) else {}):
        yield from parts


def body_of(raw: Mapping[str, Any], name: str) -> Raw:
    """What makes the page anew under a name."""
    title = str(raw.get("title") or name.removesuffix(".aspx"))
    body: Raw = {"@odata.type": TYPE, "name": name, "title": title}
    layout = raw.get("pageLayout")
    body["pageLayout"] = layout if layout in _LAYOUTS else "article"
    body.update(changes_of(raw))
    return body


def changes_of(raw: Mapping[str, Any]) -> Raw:
    """What of a page can also be set later, beside its title."""
    body: Raw = {}
    for name in _SETTABLE:
        value = raw.get(name)
        if value is not None and value not in _UNKNOWN:
            body[name] = _plain(value)
    if isinstance(raw.get(CANVAS), dict):
        body[CANVAS] = canvas_body(raw[CANVAS])
    return body


def canvas_body(canvas: Mapping[str, Any], chosen: Collection[int] | None = None) -> Raw:
    """A canvas as requests have it. `chosen`: places of the web parts it is to have; None: all."""
    made: Raw = _plain(canvas)
    made.pop("id", None)
    place = 0
    for holder, parts in _places(made):
        kept = [one for at, one in enumerate(parts, place) if chosen is None or at in chosen]
        place += len(parts)
        holder["webparts"] = [_part_body(one) for one in kept]
    return made


def _places(canvas: Mapping[str, Any]) -> Iterator[tuple[Raw, list[Raw]]]:
    """Every column and the vertical section, with their web parts."""
    for section in canvas.get("horizontalSections") or ():
        for column in section.get("columns") or () if isinstance(section, dict) else ():
            if isinstance(column, dict):
                yield column, _dicts(column.get("webparts"))
    vertical = canvas.get("verticalSection")
    if isinstance(vertical, dict):
        yield vertical, _dicts(vertical.get("webparts"))


def _dicts(values: Any) -> list[Raw]:
    return [one for one in values or () if isinstance(one, dict)]


def _part_body(part: Mapping[str, Any]) -> Raw:
    """A web part with its type in the words that requests know."""
    body = dict(part)
    kind = str(part.get("@odata.type") or "").rpartition(".")[2].lower()
    if kind == "textwebpart" or (not kind and "innerHtml" in part):
        body["@odata.type"] = _TEXT
    elif kind == "standardwebpart" or (not kind and "webPartType" in part):
        body["@odata.type"] = _STANDARD
    return body


def _plain(value: Any) -> Any:
    """Without the service's notes: contexts and etags are refused in requests."""
    if isinstance(value, dict):
        kept = {k: _plain(v) for k, v in value.items() if "@odata." not in k or k == "@odata.type"}
        return {name: inner for name, inner in kept.items() if inner not in _UNKNOWN}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _author(raw: Mapping[str, Any]) -> str:
    by = raw.get("lastModifiedBy")
    user = by.get("user") if isinstance(by, dict) else None
    return str(user.get("displayName") or "") if isinstance(user, dict) else ""
