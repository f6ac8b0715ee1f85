"""Sticky notes as files: words and pictures, and nothing that runs or fetches."""

from __future__ import annotations

from typing import Any

from base.item import StoredItem, StoredPart
from formats import file_of

PNG = b"\x89PNG\r\n\x1a\n picture"


def text_of(*pictures: bytes, **raw: Any) -> str:
    parts = tuple(
        StoredPart("attachment", len(one), {"name": "p<1>.png"}, (one,).__iter__)
        for one in pictures
    )
    stored = StoredItem("n", "notes", "note", "Pier / 1", {}, raw, parts)
    made = file_of(stored)
    assert made.name.endswith(".html")
    return b"".join(made.blocks()).decode()


def test_words_stay_and_whatever_runs_or_fetches_goes() -> None:
    wild = '<p onclick="x()">call <b>now</b></p><script>x</script><img src="https://e.example/x">'
    text = text_of(subject="A & B", body={"contentType": "html", "content": wild})
    assert "<h1><bdi>A &amp; B</bdi></h1>" in text
    assert "call <b>now</b>" in text
    for bad in ("onclick", "<script", "e.example"):
        assert bad not in text


def test_plain_text_is_escaped_and_keeps_its_lines() -> None:
    text = text_of(body={"contentType": "text", "content": "1 < 2\nend"})
    assert "<p>1 &lt; 2<br>end</p>" in text


def test_pictures_are_inside_and_what_is_none_is_only_named() -> None:
    text = text_of(PNG, b"MZ\x90 program", body=None)
    assert text.count("data:image/png;base64,") == 1
    assert "<p>p&lt;1&gt;.png</p>" in text
    assert "program" not in text
