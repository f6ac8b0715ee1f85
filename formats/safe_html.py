"""HTML that people wrote, made harmless: text, links and tables stay; nothing runs or is fetched.

Rule 1: only elements and attributes on the lists below survive; no style, class, id or event.
Rule 2: a link leads to https and nowhere else, opens on its own and tells the other side nothing.
Rule 3: a picture is shown only where `picture` knows it; every other address is dropped, so that
        reading a page never asks anybody for anything.
Rule 4: what comes out is balanced: it cannot close an element of the page around it.

nh3 parses as browsers do and writes anew what it understood; patterns on text are no defence.
"""

from __future__ import annotations

from collections.abc import Callable

import nh3

BODY_CHARS_MAX = 128 * 1024  # Teams takes far less; deeper nesting than that costs minutes
HOSTED = "hosted"  # scheme of a picture that `picture` knew: src="hosted:<what it answered>"

_TAGS = frozenset(
    "a abbr at b blockquote br code codeblock customemoji dd del div dl dt em emoji h1 h2 h3 h4"
    " h5 h6 hr i img ins kbd li ol p pre q s small span strike strong sub sup table tbody td tfoot"
    " th thead tr u ul".split()
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "img": {"src", "alt", "title", "width", "height"},
    "emoji": {"alt", "title"},
    "customemoji": {"alt", "title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
}
_SILENT = {"script", "style", "template", "title", "noscript", "iframe", "object", "svg", "math"}
_NUMBERS = ("width", "height", "colspan", "rowspan", "start")
_DIGITS_MAX = 4


def safe_html(html: str, picture: Callable[[str], str | None]) -> str:
    """The harmless rest of a fragment. `picture` answers what stands for the address of a picture
    it knows, or None.
    """

    def keep(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            known = picture(value)
            return None if known is None else f"{HOSTED}:{known}"
        if name == "href":
            return value if value.strip().lower().startswith("https://") else None
        if name in _NUMBERS:
            return value if value.isascii() and value.isdigit() and _fits(value) else None
        return value

    return nh3.clean(
        encodable(html[:BODY_CHARS_MAX]),
        tags=set(_TAGS),
        clean_content_tags=_SILENT,
        attributes=_ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"https", HOSTED},
        url_relative="deny",
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def encodable(text: str) -> str:
    """The text with a mark for each half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _fits(digits: str) -> bool:
    return len(digits) <= _DIGITS_MAX
