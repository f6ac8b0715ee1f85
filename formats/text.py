"""The words of an HTML body, without anything of its form; what a page may show of a message."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SILENT = ("script", "style", "head", "title", "template")
_BREAKS = ("p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "hr")
TEXT_MAX = 200_000  # characters of one message on a page; the download has all of it


def words_of(html: str) -> str:
    """Text with line breaks where the HTML has blocks."""
    reader = _Words()
    reader.feed(html[: TEXT_MAX * 5])
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.found).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:TEXT_MAX]


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BREAKS:
            self.found.append("\n")
        elif tag in ("td", "th"):
            self.found.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in _BREAKS and tag != "br":
            self.found.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data.replace("\n", " "))
