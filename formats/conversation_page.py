"""A conversation as one HTML page that needs nothing else: oldest first, replies under what they
answer.

Rule 1: the page asks nobody for anything and runs nothing: its policy says so to the browser, and
        nothing on it would need more.
Rule 2: what people wrote goes through safe_html; everything else is escaped.
Rule 3: pictures are streamed into it; what a picture is, its first bytes say.
Rule 4: memory holds one message and one block.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any
from urllib.parse import unquote

from base.clock import iso
from base.errors import Problem
from base.item import StoredItem, StoredPart
from base.picture import BEGINNING_BYTES, picture_type
from formats.conversation_style import STYLE
from formats.conversation_words import attachment_words, event_words, name_of, reaction_words
from formats.html_frame import END, as_text, head
from formats.item_file import moment
from formats.safe_html import BODY_CHARS_MAX, HOSTED, safe_html

# safe_html writes "<" and ">" in text and attributes as entities, so this is only ever a picture.
_PICTURE = re.compile(rf'(<img(?: [a-z]+="[^"<>]*")*? src="){HOSTED}:(\d+)(?=")')
_ADDRESS = re.compile(r"/hostedContents(?:/|\(')([^/'()?]+)(?:'\))?/\$value", re.IGNORECASE)
_KINDS = {
    "oneOnOne": "One-on-one chat",
    "group": "Group chat",
    "meeting": "Meeting chat",
    "private": "Private channel",
    "shared": "Shared channel",
}

Threads = Iterable[Iterable[StoredItem]]
Blocks = Iterator[bytes]


def page(folder: StoredItem, threads: Threads, left_out: tuple[type[Problem], ...]) -> Blocks:
    """The page in blocks. `left_out`: what reading a picture raises where its bytes are lost."""
    yield _utf8(
        head(folder.name or "Conversation", _about(folder.raw), STYLE, pictures=True),
    )
    day = ""
    for thread in threads:
        for number, item in enumerate(thread):
            if number == 0:
                now = _day(item)
                if now != day:
                    yield _utf8(f"<h2>{as_text(now)}</h2>\n")
                day = now
                yield b"<section>\n"
            yield from _message(item, number > 0, left_out)
        yield b"</section>\n"
    yield _utf8(END)


def _about(raw: Mapping[str, Any]) -> Iterator[str]:
    for key in ("chatType", "membershipType"):
        if raw.get(key) in _KINDS:
            yield _KINDS[raw[key]]
    if raw.get("description"):
        yield str(raw["description"])


def _message(item: StoredItem, below: bool, left_out: tuple[type[Problem], ...]) -> Blocks:
    raw = item.raw
    if not raw:
        yield _utf8(f'<p class="note">This message could not be read: {_lacks(item)}</p>\n')
        return
    if (
        isinstance(raw.get("eventDetail"), Mapping)
        or raw.get("messageType") == "systemEventMessage"
    ):
        yield _utf8(f'<p class="event">{as_text(event_words(raw))} {_time(raw)}</p>\n')
        return
    orphan = not below and raw.get("replyToId")
    kind = ' class="reply"' if below or orphan else ""
    yield _utf8(
        f"<article{kind}><h3><bdi>{as_text(name_of(raw))}</bdi> {_time(raw)}{_marks(raw)}</h3>"
    )
    if orphan:
        yield b'<p class="note">Answers a message that is not on this page.</p>'
    if raw.get("deletedDateTime"):
        when = _when(raw.get("deletedDateTime"), "deletedDateTime")
        yield _utf8(f'<p class="gone">This message was deleted {when}</p>')
    else:
        yield from _content(item, left_out)
    if item.missing:
        yield _utf8(f'<p class="note">Not in the backup: {_lacks(item)}</p>')
    yield b"</article>\n"


def _content(item: StoredItem, left_out: tuple[type[Problem], ...]) -> Blocks:
    raw = item.raw
    subject = str(raw.get("subject") or "")
    if subject:
        yield _utf8(f'<p class="subject" dir="auto">{as_text(subject)}</p>')
    yield from _body(item, left_out)
    attached = raw.get("attachments")
    rows = [_attachment(one) for one in attached or () if isinstance(one, Mapping)]
    if any(rows):
        yield _utf8(f"<ul>{''.join(rows)}</ul>")
    reactions = reaction_words(raw)
    if reactions:
        yield _utf8(f'<p class="reactions">{as_text(reactions)}</p>')


def _body(item: StoredItem, left_out: tuple[type[Problem], ...]) -> Blocks:
    """The words, with pictures in their places."""
    body = item.raw.get("body")
    body = body if isinstance(body, Mapping) else {}
    content = str(body.get("content") or "")
    if str(body.get("contentType")).lower() != "html":
        yield _utf8(f'<div class="words plain" dir="auto">{as_text(content)}</div>')
        return
    pictures = [part for part in item.parts if part.role == HOSTED]
    places = {str(part.meta.get("id")): str(place) for place, part in enumerate(pictures)}

    def picture(address: str) -> str | None:
        found = _ADDRESS.search(address)
        return places.get(unquote(found[1])) if found else None

    html = safe_html(content, picture)
    yield b'<div class="words" dir="auto">'
    done = 0
    for found in _PICTURE.finditer(html):
        yield _utf8(html[done : found.start()] + found[1])
        yield from _data(pictures[int(found[2])], left_out)
        done = found.end()
    yield _utf8(html[done:])
    yield b"</div>"
    if len(content) > BODY_CHARS_MAX:
        yield b'<p class="note">The message is longer; the JSON beside this page has all of it.</p>'


def _data(part: StoredPart, left_out: tuple[type[Problem], ...]) -> Blocks:
    """A picture as a data URI; "data:," where it is none, or its bytes are lost."""
    held = b""
    begun = False
    try:
        for block in part.open():
            held += block
            if not begun and len(held) >= BEGINNING_BYTES:
                kind = picture_type(held)
                if not kind:
                    break
                begun = True
                yield f"data:{kind};base64,".encode()
            if begun:
                whole = len(held) // 3 * 3
                yield base64.b64encode(held[:whole])
                held = held[whole:]
    except left_out:
        held = b""  # what is there of it is shown, as far as a picture goes
    yield base64.b64encode(held) if begun else b"data:,"


def _attachment(one: Mapping[str, Any]) -> str:
    words = attachment_words(one)
    if not words:
        return ""
    url = str(one.get("contentUrl") or "")
    if not url.lower().startswith("https://"):
        return f'<li dir="auto">{as_text(words)}</li>'
    link = (
        f'<a href="{as_text(url)}" target="_blank" rel="noopener noreferrer">{as_text(words)}</a>'
    )
    return f'<li dir="auto">{link}</li>'


def _marks(raw: Mapping[str, Any]) -> str:
    found = ""
    if raw.get("importance") in ("high", "urgent"):
        found += f' <em class="important">{raw["importance"]}</em>'
    if raw.get("lastEditedDateTime") and not raw.get("deletedDateTime"):
        found += f" <small>edited {_when(raw['lastEditedDateTime'], 'lastEditedDateTime')}</small>"
    if isinstance(raw.get("policyViolation"), Mapping):
        found += " <small>a policy of the organization applies</small>"
    return found


def _lacks(item: StoredItem) -> str:
    return as_text(", ".join(item.missing))


def _day(item: StoredItem) -> str:
    at = moment(item.raw.get("createdDateTime"))
    return f"{at.astimezone(UTC):%Y-%m-%d}" if at else "Without a date"


def _time(raw: Mapping[str, Any]) -> str:
    return _when(raw.get("createdDateTime"), "createdDateTime")


def _when(value: Any, title: str) -> str:
    """A moment in UTC; what Graph said stands in its title."""
    at = moment(value)
    if at is None:
        return ""
    told = as_text(f"{title} {value}")
    shown = f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f'<time datetime="{iso(at)}" title="{told}">{shown} UTC</time>'


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
