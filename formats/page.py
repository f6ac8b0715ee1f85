"""A site page as one .html file that can be read anywhere, with the page's object inside it.

Rule 1: the file asks nobody for anything and runs nothing: its policy says so to the browser, and
        nothing in it would need more.
Rule 2: what people wrote goes through safe_html; everything else is escaped.
Rule 3: nothing is lost: the object as Microsoft 365 gave it stands at the end as JSON. Pictures
        are files of the site: they are named, not fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from base.item import StoredItem
from formats.files import safe_name
from formats.html_frame import as_text, head
from formats.item_file import ItemFile, moment
from formats.safe_html import BODY_CHARS_MAX, safe_html
from formats.text import words_of

_STYLE = """:root{color-scheme:light dark}
body{margin:0 auto;max-width:70rem;padding:1rem;overflow-wrap:anywhere;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header p{margin:.2rem 0;opacity:.7}
section{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
section>div{flex:1 1 16rem;min-width:0}
aside{border:1px solid #8888;border-radius:8px;padding:.6rem .8rem;margin:.6rem 0}
aside h3,aside p{margin:.2rem 0;font-size:.9rem}
table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{border:1px solid #8888;padding:.25rem .5rem}
pre{white-space:pre-wrap;font:12px/1.4 ui-monospace,Consolas,Menlo,monospace}
"""
_END = """</main>
<details><summary>The page as Microsoft 365 gave it</summary><pre>{object}</pre></details>
</body></html>
"""
_NO_CANVAS = "<p>The backup holds no content of this page.</p>\n"


def page_file(item: StoredItem) -> ItemFile:
    """The page under the name of its file, with .html behind its stem."""
    data = "".join(_pieces(item)).encode("utf-8")
    name = item.name.removesuffix(".aspx")
    return ItemFile(
        name=safe_name(name, "page", ".html"),
        media_type="text/html; charset=utf-8",
        size=len(data),
        modified=moment(item.raw.get("lastModifiedDateTime")),
        blocks=lambda: iter((data,)),
        rebuilt=True,
    )


def page_words(raw: Mapping[str, Any]) -> str:
    """What the file says between its head and the object, as plain text."""
    return words_of("".join(_sections(raw)))


def _pieces(item: StoredItem) -> Iterator[str]:
    yield head(item.raw.get("title") or item.name, _about(item.raw), _STYLE)
    yield from _sections(item.raw)
    yield _END.format(object=as_text(json.dumps(item.raw, ensure_ascii=False, indent=1)))


def _sections(raw: Mapping[str, Any]) -> Iterator[str]:
    canvas = raw.get("canvasLayout")
    if not isinstance(canvas, Mapping):
        yield _NO_CANVAS
        return
    for section in _objects(canvas.get("horizontalSections")):
        columns = "".join(map(_column, _objects(section.get("columns"))))
        yield f"<section>{columns}</section>\n"
    if isinstance(vertical := canvas.get("verticalSection"), Mapping):
        yield f"<section>{_column(vertical)}</section>\n"


def _about(raw: Mapping[str, Any]) -> Iterator[Any]:
    area = raw.get("titleArea")
    if isinstance(area, Mapping) and area.get("showTextBlockAboveTitle"):
        yield area.get("textAboveTitle")
    yield raw.get("description")
    state = raw.get("publishingState")
    level = state.get("level") if isinstance(state, Mapping) else None
    facts = (raw.get("webUrl"), _who(raw), raw.get("lastModifiedDateTime"), level)
    yield " · ".join(str(one) for one in facts if one)


def _who(raw: Mapping[str, Any]) -> Any:
    by = raw.get("lastModifiedBy")
    user = by.get("user") if isinstance(by, Mapping) else None
    return user.get("displayName") if isinstance(user, Mapping) else None


def _column(column: Mapping[str, Any]) -> str:
    return f"<div>{''.join(map(_part, _objects(column.get('webparts'))))}</div>"


def _part(part: Mapping[str, Any]) -> str:
    if isinstance(html := part.get("innerHtml"), str):
        return _words(html)
    data = part.get("data")
    data = data if isinstance(data, Mapping) else {}
    name = data.get("title") or part.get("webPartType") or part.get("@odata.type") or "Web part"
    lines = [f"<h3>{as_text(name)}</h3>"]
    if data.get("description"):
        lines.append(f"<p>{as_text(data['description'])}</p>")
    served = data.get("serverProcessedContent")
    served = served if isinstance(served, Mapping) else {}
    lines += [_words(text) for text in _values(served.get("htmlStrings"))]
    for kind in ("searchablePlainTexts", "links", "imageSources"):
        lines += [f"<p>{as_text(text)}</p>" for text in _values(served.get(kind))]
    return f"<aside>{''.join(lines)}</aside>"


def _values(pairs: Any) -> list[str]:
    """Of a map, which comes as one or as a list of keys with values."""
    if isinstance(pairs, Mapping):
        return [text for text in pairs.values() if isinstance(text, str)]
    values = [one.get("value") for one in _objects(pairs)]
    return [text for text in values if isinstance(text, str)]


def _words(html: str) -> str:
    """What people wrote. It may be longer than is safe to parse: the rest is in the object."""
    more = "<p>…</p>" if len(html) > BODY_CHARS_MAX else ""
    return f"<div>{safe_html(html, lambda address: None)}{more}</div>"


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []
