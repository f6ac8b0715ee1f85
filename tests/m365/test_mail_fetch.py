"""Messages as changes, and what is fetched for each: MIME and attachments."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from base.errors import Throttled
from m365.graph.errors import Corrupt, TransientFailure
from m365.mail import EXPAND, MailSource
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import (
    BOX,
    GONE,
    REFUSED,
    U,
    attachment,
    message,
    read_one,
)

# --- messages as changes -----------------------------------------------------------------------


def test_a_message_keeps_its_object_apart_from_what_changes_without_meaning() -> None:
    change = read_one(message("a"))
    assert "changeKey" not in change.raw
    assert set(change.volatile) == {"@odata.etag", "changeKey"}
    assert change.raw["parentFolderId"] == "in"
    assert change.row["from"] == "Ada <ada@example.org>"
    assert change.name == "About a"


def test_bytes_of_attachments_never_stay_in_the_object() -> None:
    change = read_one(message("a", attachments=[attachment("f", contentBytes="AAAA")]))
    assert "contentBytes" not in json.dumps(change.raw)


@pytest.mark.parametrize(
    "changed",
    [{"isRead": True}, {"categories": ["Red"]}, {"flag": {"flagStatus": "flagged"}},
     {"parentFolderId": "work"}, {"lastModifiedDateTime": "2026-11-11T11:11:11Z"}],
)  # fmt: skip
def test_read_flag_category_and_move_do_not_change_the_fingerprint(changed: dict[str, Any]) -> None:
    assert read_one(message("a", **changed)).fingerprint == read_one(message("a")).fingerprint != ""


@pytest.mark.parametrize(
    "changed",
    [{"subject": "x"}, {"body": {"contentType": "text", "content": "x"}}, {"toRecipients": []},
     {"attachments": [attachment("f")]}, {"isDraft": True}, {"importance": "high"}],
)  # fmt: skip
def test_what_mime_and_attachments_hold_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert read_one(message("a", **changed)).fingerprint != read_one(message("a")).fingerprint


def test_a_piece_is_partial_and_merges_into_the_stored_object() -> None:
    piece = read_one({"id": "a", "isRead": True, "@odata.etag": "new"})
    assert piece.partial
    assert piece.fingerprint == ""
    stored = read_one(message("a"))
    graph = ScriptedGraph({})
    merged = MailSource(graph, BOX).merge(stored.raw, piece)
    assert not merged.partial
    assert merged.raw["isRead"] is True
    assert merged.raw["subject"] == "About a"
    assert merged.fingerprint == stored.fingerprint
    assert merged.volatile == {"@odata.etag": "new"}
    assert graph.calls == []


def test_a_piece_that_touches_content_asks_for_the_whole_message() -> None:
    piece = read_one({"id": "a", "subject": "other"})
    stored = read_one(message("a"))
    whole = message("a", subject="other", attachments=[attachment("f")])
    graph = ScriptedGraph({f"GET {U}/messages/a": whole})
    merged = MailSource(graph, BOX).merge(stored.raw, piece)
    assert [one["id"] for one in merged.raw["attachments"]] == ["f"]


def test_a_message_known_only_by_a_piece_is_fetched_whole() -> None:
    graph = ScriptedGraph({f"GET {U}/messages/a?{EXPAND}": message("a")})
    change = MailSource(graph, BOX).complete("a")
    assert (change.partial, change.parent, change.kind) == (False, "in", "message")


# --- fetching ----------------------------------------------------------------------------------


def fetched(raw: dict[str, Any], script: Mapping[str, Any]) -> tuple[Any, Any, ScriptedGraph]:
    graph = ScriptedGraph({f"GET {U}/messages/a/$value": b"MIME", **script})
    parts, troubles = MailSource(graph, BOX).fetch(read_one(raw))
    return parts, troubles, graph


LIST = f"GET {U}/messages/a/attachments"


def at(key: str) -> str:
    return f"GET {U}/messages/a/attachments/{key}"


def test_a_message_without_attachments_costs_one_request() -> None:
    parts, troubles, graph = fetched(message("a"), {})
    assert [(part.role, part.data) for part in parts] == [("mime", b"MIME")]
    assert troubles == []
    assert len(graph.calls) == 1


def test_the_small_files_of_a_message_are_read_in_one_list() -> None:
    raw = message("a", hasAttachments=True, attachments=[attachment("f"), attachment("g")])
    data = base64.b64encode(b"bytes").decode()
    inline = {"isInline": True, "contentId": "pic"}
    whole = [
        {**attachment("f"), "contentBytes": data},
        {**attachment("g"), "contentBytes": data, **inline},
    ]
    parts, troubles, graph = fetched(raw, {LIST: {"value": whole}})
    assert [part.data for part in parts[1:]] == [b"bytes", b"bytes"]
    assert parts[2].meta["contentId"] == "pic"
    assert "contentBytes" not in parts[2].meta
    assert troubles == []
    assert len(graph.calls) == 2


def test_what_the_list_leaves_out_or_repeats_is_fetched_by_its_own_call() -> None:
    keys = ("f", "g", "h", "i")
    raw = message("a", attachments=[attachment(key) for key in keys])
    whole = {
        key: {**attachment(key), "contentBytes": base64.b64encode(key.encode()).decode()}
        for key in keys
    }
    script = {
        LIST: {"value": [whole["f"]], "@odata.nextLink": "again"},
        "GET again": {"value": [whole["f"], attachment("g")], "@odata.nextLink": "again"},
        **{at(key): whole[key] for key in ("g", "h", "i")},
    }
    parts, troubles, graph = fetched(raw, script)
    assert [part.data for part in parts[1:]] == [b"f", b"g", b"h", b"i"]
    assert troubles == []
    assert graph.count("GET again") == 1


def test_files_too_large_together_are_fetched_one_by_one() -> None:
    raw = message("a", attachments=[attachment(key, size=2_500_000) for key in ("f", "g")])
    script = {at(key): {**attachment(key), "contentBytes": "AAAA"} for key in ("f", "g")}
    parts, _, _ = fetched(raw, script)
    assert [part.data for part in parts[1:]] == [bytes(3), bytes(3)]


def test_attachment_bytes_that_json_left_out_come_from_value() -> None:
    raw = message("a", attachments=[attachment("f")])
    parts, _, _ = fetched(raw, {at("f"): attachment("f"), at("f") + "/$value": b"raw"})
    assert parts[1].data == b"raw"


def test_an_attached_message_is_kept_as_mime_and_as_json() -> None:
    listed = attachment("i", kind="item")
    item = {"@odata.type": "#microsoft.graph.message", "subject": "inner"}
    parts, _, _ = fetched(
        message("a", attachments=[listed]),
        {at("i"): {**listed, "item": item}, at("i") + "/$value": b"INNER"},
    )
    assert [(part.role, part.data) for part in parts[1:]] == [
        ("attachment", b"INNER"),
        ("attachment-item", json.dumps(item, separators=(",", ":")).encode()),
    ]
    assert "item" not in parts[1].meta
    assert parts[2].meta == {"id": "i"}


def test_a_link_is_kept_without_asking_for_its_bytes() -> None:
    listed = attachment("r", kind="reference")
    parts, troubles, graph = fetched(
        message("a", attachments=[listed]), {at("r"): {**listed, "sourceUrl": "https://x"}}
    )
    assert (parts[1].data, parts[1].meta["sourceUrl"]) == (b"", "https://x")
    assert not any("/$value" in call and "attachments" in call for call in graph.calls)
    assert troubles == []


def test_a_large_attachment_is_streamed_and_never_asked_for_as_json() -> None:
    raw = message("a", attachments=[attachment("f", size=30_000_000)])
    script = {
        f"STREAM {U}/messages/a/$value": b"MIME",
        f"STREAM {U}/messages/a/attachments/f/$value": b"large",
    }
    parts, _, graph = fetched(raw, script)
    assert graph.calls == []  # nothing is open before somebody reads it
    assert [b"".join(part.data) for part in parts] == [b"MIME", b"large"]
    assert graph.count(at("f")) == 0


def test_a_large_inline_picture_keeps_the_id_its_body_refers_to() -> None:
    listed = attachment("f", size=30_000_000, isInline=True)
    body = {"contentType": "html", "content": '<img src="cid:pic">'}
    script = {
        f"STREAM {U}/messages/a/$value": b"MIME",
        f"STREAM {U}/messages/a/attachments/f/$value": b"large",
        at("f"): [REFUSED, {**listed, "contentId": "pic"}],
    }
    parts, _, _ = fetched(message("a", attachments=[listed], body=body), script)
    assert parts[1].meta["contentId"] == "pic"


def test_one_broken_attachment_leaves_the_message_and_the_others() -> None:
    broken = Corrupt("no", graph_code="ErrorCannotOpenFileAttachment", status_code=500)
    raw = message("a", attachments=[attachment("f"), attachment("g")])
    good = {**attachment("g"), "contentBytes": ""}
    parts, troubles, _ = fetched(raw, {LIST: broken, at("f"): broken, at("g"): good})
    assert [part.role for part in parts] == ["mime", "attachment"]
    (trouble,) = troubles
    assert (trouble.part, trouble.cause, trouble.retry) == (
        "attachment:f", "corrupt-in-service", False,
    )  # fmt: skip
    assert "ErrorCannotOpenFileAttachment" in trouble.detail


def test_a_passing_failure_of_one_attachment_is_tried_again_in_the_next_run() -> None:
    raw = message("a", attachments=[attachment("f")])
    _, troubles, _ = fetched(raw, {at("f"): TransientFailure("no", status_code=500)})
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("attachment:f", "graph-unstable", True)
    ]


def test_a_message_whose_mime_is_corrupt_keeps_its_attachments() -> None:
    broken = Corrupt("no", graph_code="ErrorCorruptData", status_code=500)
    raw = message("a", attachments=[attachment("f")])
    good = {**attachment("f"), "contentBytes": ""}
    parts, troubles, _ = fetched(raw, {f"GET {U}/messages/a/$value": broken, at("f"): good})
    assert [part.role for part in parts] == ["attachment"]
    assert [(one.part, one.cause) for one in troubles] == [("mime", "corrupt-in-service")]


@pytest.mark.parametrize("problem", [GONE, Throttled("wait", 30.0)])
def test_a_vanished_message_and_a_pause_are_not_troubles(problem: Exception) -> None:
    with pytest.raises(type(problem)):
        fetched(message("a"), {f"GET {U}/messages/a/$value": problem})


def test_a_pause_during_an_attachment_is_not_a_trouble() -> None:
    with pytest.raises(Throttled):
        fetched(message("a", attachments=[attachment("f")]), {at("f"): Throttled("wait", 30.0)})


def plain(**more: Any) -> dict[str, Any]:
    """A message of a tenant that ignores $expand=attachments."""
    raw = message("a", **more)
    del raw["attachments"]
    return raw


LIST = f"GET {U}/messages/a/attachments"


def test_attachments_are_listed_where_the_page_did_not_bring_them() -> None:
    parts, _, _ = fetched(
        plain(hasAttachments=True),
        {
            f"STREAM {U}/messages/a/$value": b"MIME",
            LIST: {"value": [attachment("f")]},
            at("f"): {**attachment("f"), "contentBytes": ""},
        },
    )
    assert [part.role for part in parts] == ["mime", "attachment"]


def test_inline_pictures_are_looked_for_although_the_message_claims_no_attachments() -> None:
    body = {"contentType": "html", "content": "<IMG SRC='CID:image001'>"}
    _, _, graph = fetched(plain(body=body), {LIST: {"value": []}})
    assert graph.count(LIST) == 1


def test_a_message_without_any_sign_of_attachments_is_not_asked_for_them() -> None:
    _, _, graph = fetched(plain(), {})
    assert len(graph.calls) == 1


def test_a_list_of_attachments_that_repeats_its_pages_ends_and_says_what_is_missing() -> None:
    page = {"value": [attachment("f")], "@odata.nextLink": "again"}
    parts, troubles, graph = fetched(
        plain(hasAttachments=True),
        {
            f"STREAM {U}/messages/a/$value": b"MIME",
            LIST: page,
            "GET again": page,
            f"{LIST}/$count": b"\xef\xbb\xbf2",
            at("f"): {**attachment("f"), "contentBytes": ""},
        },
    )
    assert [part.role for part in parts] == ["mime", "attachment"]
    assert [(one.part, one.cause, one.retry) for one in troubles] == [
        ("attachments", "attachments-incomplete", True)
    ]
    assert graph.count("GET again") == 1
