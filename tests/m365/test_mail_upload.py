"""Restoring attachments of every kind and size, and what becomes of those that are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from base.item import StoredPart, Trouble
from m365.graph.errors import MaybeDone, SessionGone
from m365.marks import MARKER, OPEN
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import GONE, REFUSED, attachment
from tests.m365.scripted_restore import (
    ATTACH,
    LISTED,
    MARK,
    PATCH,
    POST,
    SESSION,
    StillClock,
    item,
    part,
    properties,
    script,
    write,
)

# --- attachments -------------------------------------------------------------------------------


def test_a_message_with_attachments_is_marked_unfinished_until_they_are_counted() -> None:
    graph = ScriptedGraph(script())
    write(graph, item(part(b"data", attachment("f"))))
    assert properties(graph.sent(POST))[MARKER] == MARK + OPEN
    assert properties(graph.sent(PATCH))[MARKER] == MARK
    order = [call.partition("?")[0] for call in graph.calls]
    assert order == [POST, ATTACH, LISTED, PATCH]


def test_small_inline_pictures_keep_their_place() -> None:
    graph = ScriptedGraph(script())
    write(graph, item(part(b"data", attachment("f", isInline=True, contentId="pic"))))
    sent = graph.sent(ATTACH)
    assert (sent["isInline"], sent["contentId"]) == (True, "pic")
    assert base64.b64decode(sent["contentBytes"]) == b"data"


def test_large_inline_pictures_keep_their_place_too() -> None:
    data = b"x" * 3_000_000
    graph = ScriptedGraph(script(**{SESSION: {"uploadUrl": "up"}, "UPLOAD up": {}}))
    written = write(graph, item(part(data, attachment("f", isInline=True, contentId="pic"))))
    assert written.troubles == ()
    assert graph.sent(SESSION) == {
        "AttachmentItem": {
            "attachmentType": "file", "name": "f.bin", "size": 3_000_000, "isInline": True,
            "contentId": "pic", "contentType": "application/octet-stream",
        }
    }  # fmt: skip
    assert graph.uploads == [("up", data)]


def test_a_lost_upload_session_is_replaced_by_a_new_one() -> None:
    data = b"x" * 3_000_000
    sessions = [{"uploadUrl": "one"}, {"uploadUrl": "two"}]
    lost = {SESSION: sessions, "UPLOAD one": SessionGone("lost"), "UPLOAD two": {}}
    graph = ScriptedGraph(script(**lost))
    assert write(graph, item(part(data, attachment("f")))).troubles == ()
    assert graph.uploads == [("one", data), ("two", data)]


def test_an_attachment_over_the_limit_of_the_target_is_named() -> None:
    huge = StoredPart("attachment", 151 * 1024 * 1024, attachment("f"), lambda: iter(()))
    graph = ScriptedGraph(script(**{LISTED: {"value": []}}))
    (trouble,) = write(graph, item(huge)).troubles
    assert (trouble.part, trouble.cause) == ("attachment:f", "too-large")


INNER = {
    "@odata.type": "#microsoft.graph.message",
    "id": "",
    "subject": "inner",
    "body": {"contentType": "text", "content": "x"},
    "webLink": "https://x",
    "sentDateTime": "2026-01-02T03:04:05Z",
}


def nested(inner: Mapping[str, Any]) -> tuple[StoredPart, StoredPart]:
    return (
        part(b"INNER MIME", attachment("i", kind="item")),
        part(json.dumps(inner).encode(), {"id": "i"}, "attachment-item"),
    )


def test_an_attached_message_is_rebuilt_without_what_graph_refuses() -> None:
    graph = ScriptedGraph(script())
    assert write(graph, item(*nested(INNER))).troubles == ()
    sent = graph.sent(ATTACH)
    assert sent["@odata.type"] == "#microsoft.graph.itemAttachment"
    assert sent["item"]["subject"] == "inner"
    assert not {"id", "webLink"} & set(sent["item"])


def test_an_attached_message_that_is_refused_comes_back_as_an_eml_file_with_a_note() -> None:
    graph = ScriptedGraph(script(**{ATTACH: [REFUSED, {"id": "x"}]}))
    (trouble,) = write(graph, item(*nested(INNER))).troubles
    assert (trouble.part, trouble.detail) == ("attachment:i", "as-file")
    file = graph.bodies[2]
    assert (file["name"], file["contentType"]) == ("i.bin.eml", "message/rfc822")
    assert base64.b64decode(file["contentBytes"]) == b"INNER MIME"


def test_messages_nested_deeper_come_back_as_mime() -> None:
    deeper = {**INNER, "attachments": [{"@odata.type": "#microsoft.graph.itemAttachment"}]}
    graph = ScriptedGraph(script())
    (trouble,) = write(graph, item(*nested(deeper))).troubles
    assert trouble.detail == "as-file"
    assert graph.sent(ATTACH)["contentType"] == "message/rfc822"


def test_a_link_that_cannot_be_set_is_named() -> None:
    link = part(b"", attachment("r", kind="reference", sourceUrl="https://x"))
    graph = ScriptedGraph(script(**{ATTACH: REFUSED, LISTED: {"value": []}}))
    (trouble,) = write(graph, item(link)).troubles
    assert (trouble.part, trouble.cause) == ("attachment:r", "not-supported")
    assert graph.sent(ATTACH)["sourceUrl"] == "https://x"


def test_attachments_the_backup_lacks_are_named() -> None:
    graph = ScriptedGraph(script())
    lacking = ("attachment:AA: corrupt-in-service",)
    assert write(graph, item(missing=lacking)).troubles == (
        Trouble("a", "attachment:AA", "corrupt-in-service", retry=False),
    )


def test_a_fresh_message_that_is_not_visible_yet_is_waited_for() -> None:
    clock = StillClock()
    graph = ScriptedGraph(script(**{ATTACH: [GONE, GONE, {"id": "x"}]}))
    assert write(graph, item(part(b"d", attachment("f"))), clock=clock).troubles == ()
    assert len(clock.slept_s) == 2


def test_an_attachment_whose_answer_was_lost_is_not_posted_twice() -> None:
    graph = ScriptedGraph(script(**{ATTACH: MaybeDone("lost")}))
    assert write(graph, item(part(b"d", attachment("f")))).troubles == ()
    assert graph.count(ATTACH) == 1


def test_a_count_that_differs_is_a_trouble() -> None:
    graph = ScriptedGraph(script(**{LISTED: {"value": []}}))
    (trouble,) = write(graph, item(part(b"d", attachment("f")))).troubles
    assert (trouble.cause, trouble.retry, trouble.detail) == ("attachments-differ", True, "0 of 1")
