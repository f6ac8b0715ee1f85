"""The frame of every page that leaves as a file: under its policy nothing runs and nothing is
fetched, whatever the page holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from formats.safe_html import encodable

_NOTHING = "default-src 'none'; "
_PICTURES = "img-src data:; "
_ONLY_STYLE = "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style></head>
<body><header><h1><bdi>{title}</bdi></h1>{about}</header>
<main>
"""
END = "</main></body></html>\n"


def head(title: Any, about: Iterable[Any] = (), style: str = "", *, pictures: bool = False) -> str:
    """Everything before what the page is about: `about` stands below the title, a line each.
    `pictures`: some may lie in the page itself.
    """
    policy = _NOTHING + (_PICTURES if pictures else "") + _ONLY_STYLE
    return _HEAD.format(
        policy=escape(policy, quote=True),
        title=as_text(title),
        about="".join(f"<p>{as_text(one)}</p>" for one in about),
        style=style,
    )


def as_text(value: Any) -> str:
    """Words of anybody as text and in attributes; nothing for None."""
    return escape(encodable(str(value or "")), quote=True)
