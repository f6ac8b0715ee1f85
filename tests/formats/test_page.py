"""Site pages as files: readable anywhere, safe to open, and without loss."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from base.item import StoredItem
from formats import file_of


def item(**raw: Any) -> StoredItem:
    whole = {"id": "p1", "name": "Home.aspx", "title": "Home <1>", **raw}
    return StoredItem("p1", "pages", "site-page", "Home.aspx", {}, whole, ())


def text_of(stored: StoredItem) -> str:
    return b"".join(file_of(stored).blocks()).decode()


def canvas(*parts: Any, vertical: Any = None) -> dict[str, Any]:
    columns = [{"id": "1", "webparts": list(parts)}]
    found: dict[str, Any] = {"horizontalSections": [{"columns": columns}]}
    return found | ({"verticalSection": vertical} if vertical else {})


def shown(text: str) -> str:
    """What a reader sees first, without the object at the end."""
    return text.partition("<main>")[2].partition("</main>")[0]


def object_in(text: str) -> Any:
    found = re.search(r"<pre>(.*)</pre>", text, re.DOTALL)
    assert found
    return json.loads(html.unescape(found[1]))


def test_a_page_is_one_html_file_under_its_own_name() -> None:
    stored = item(lastModifiedDateTime="2026-11-01T08:00:00Z")
    made = file_of(stored)
    data = b"".join(made.blocks())
    assert (made.name, made.media_type) == ("Home.html", "text/html; charset=utf-8")
    assert made.size == len(data)
    assert made.modified is not None
    assert b"<title>Home &lt;1&gt;</title>" in data


def test_text_stays_and_whatever_runs_or_fetches_goes() -> None:
    wild = (
        '<p onclick="x()">read <b>me</b></p><script>alert(1)</script><img src="https://e.example/x">'
        '<iframe src="https://e.example"></iframe><a href="javascript:x()">link</a></div></main>'
    )
    text = text_of(item(canvasLayout=canvas({"innerHtml": wild})))
    seen = shown(text)
    assert "read <b>me</b>" in seen
    for bad in ("onclick", "alert", "e.example", "iframe", "javascript", "<script"):
        assert bad not in seen
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text


def test_web_parts_show_their_words_in_either_shape_of_maps() -> None:
    served = {
        "htmlStrings": [{"key": "a", "value": "<i>rich</i><script>no</script>"}],
        "searchablePlainTexts": {"title": "plain & simple"},
        "links": [{"key": "x", "value": "https://contoso.example/a"}, {"key": "y"}],
        "imageSources": None,
    }
    data = {"title": "Quick links", "description": "For all", "serverProcessedContent": served}
    part = {"@odata.type": "#microsoft.graph.standardWebPart", "webPartType": "t", "data": data}
    seen = shown(text_of(item(canvasLayout=canvas(part))))
    for words in ("Quick links", "For all", "<i>rich</i>", "plain &amp; simple", "contoso.example"):
        assert words in seen
    assert "no<" not in seen


def test_nothing_is_lost_and_odd_pages_have_a_file_too() -> None:
    odd = [
        item(canvasLayout=canvas({"@odata.type": "#tomorrow"}, None, "x")),
        item(canvasLayout=canvas(vertical={"webparts": [{"innerHtml": "<p>side</p>"}]})),
        item(canvasLayout={"horizontalSections": "?"}, publishingState="?", lastModifiedBy="?"),
        item(canvasLayout=None, titleArea={"showTextBlockAboveTitle": True}),
        item(),
        item(title="half \ud83d pair", canvasLayout=canvas({"innerHtml": "\udc00"})),
    ]
    for stored in odd[:-1]:
        assert object_in(text_of(stored)) == stored.raw
    assert "half ? pair" in text_of(odd[-1])
    assert "no content" in text_of(odd[4])
    assert "side" in shown(text_of(odd[1]))
