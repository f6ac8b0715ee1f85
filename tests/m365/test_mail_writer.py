"""Restoring messages: what is sent, in which order, and what happens when the target objects."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from base.errors import Throttled
from base.item import StoredItem
from m365.graph.errors import Clash, GraphProblem, MaybeDone
from m365.mail_writer import MailWriter
from m365.marks import MARKER, OPEN
from m365.service import Existing, Folder
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import BOX, GONE, REFUSED, U, attachment, message
from tests.m365.scripted_restore import (
    ATTACH,
    INTO,
    LISTED,
    MARK,
    MOVE,
    PATCH,
    POST,
    StillClock,
    answered,
    item,
    part,
    properties,
    script,
    write,
)

# --- the message itself ------------------------------------------------------------------------


@pytest.mark.parametrize(("read", "flags"), [(True, "1"), (False, "0")])
def test_a_message_comes_back_sent_with_its_dates_and_read_state(read: bool, flags: str) -> None:
    raw = message("a", isRead=read)
    graph = ScriptedGraph(script(raw))
    written = write(graph, item(raw=raw))
    assert (written.id, written.outcome, written.troubles) == ("new", "created", ())
    assert properties(graph.sent(POST)) == {
        MARKER: MARK,
        "Integer 0x0E07": flags,
        "SystemTime 0x0039": "2026-01-02T03:04:05Z",
        "SystemTime 0x0E06": "2026-01-02T03:04:09Z",
    }
    assert len(graph.calls) == 1  # nothing to attach, nothing to correct


def test_a_draft_stays_a_draft() -> None:
    raw = message("a", isDraft=True, isReadReceiptRequested=True)
    graph = ScriptedGraph(script(raw))
    assert write(graph, item(raw=raw)).troubles == ()
    assert "Integer 0x0E07" not in properties(graph.sent(POST))
    assert graph.sent(POST)["isReadReceiptRequested"] is True


def test_a_draft_keeps_its_dates_so_that_the_newest_stays_on_top() -> None:
    raw = message("a", isDraft=True)
    graph = ScriptedGraph(script(raw))
    write(graph, item(raw=raw))
    assert properties(graph.sent(POST))["SystemTime 0x0E06"] == "2026-01-02T03:04:09Z"


def test_the_place_in_a_thread_comes_back() -> None:
    raw = message("a", conversationIndex="AQHc")
    graph = ScriptedGraph(script(raw))
    write(graph, item(raw=raw))
    assert properties(graph.sent(POST))["Binary 0x0071"] == "AQHc"


def test_a_target_that_refuses_thread_and_headers_gets_the_message_without_them() -> None:
    mime = part(b"X-Project: Harbour\r\n\r\nhello", {}, "mime")
    raw = message("a", conversationIndex="AQHc")
    graph = ScriptedGraph(script(raw, **{POST: [REFUSED, answered(raw)]}))
    (trouble,) = write(graph, item(mime, raw=raw)).troubles
    assert (trouble.part, trouble.cause) == ("properties", "not-set")
    assert graph.bodies[0]["internetMessageHeaders"]
    assert "internetMessageHeaders" not in graph.bodies[1]
    assert set(properties(graph.bodies[1])) == {
        MARKER, "Integer 0x0E07", "SystemTime 0x0039", "SystemTime 0x0E06",
    }  # fmt: skip


def test_a_message_that_is_refused_whatever_is_left_out_raises_the_refusal() -> None:
    raw = message("a", conversationIndex="AQHc")
    graph = ScriptedGraph(script(raw, **{POST: REFUSED}))
    with pytest.raises(GraphProblem):
        write(graph, item(raw=raw))
    assert graph.count(POST) == 2


def test_a_due_date_is_never_sent_without_a_start_date() -> None:
    due = {"dateTime": "2026-12-01T00:00:00.0000000", "timeZone": "UTC"}
    raw = message("a", flag={"flagStatus": "flagged", "dueDateTime": due})
    graph = ScriptedGraph(script(raw))
    write(graph, item(raw=raw))
    assert graph.sent(POST)["flag"]["startDateTime"] == due


def test_dates_of_a_flag_that_create_did_not_take_are_patched() -> None:
    due = {"dateTime": "2026-12-01T00:00:00.0000000", "timeZone": "UTC"}
    flag = {"flagStatus": "flagged", "startDateTime": due, "dueDateTime": due}
    raw = message("a", flag=flag)
    taken = answered(raw, flag={"flagStatus": "flagged"})
    graph = ScriptedGraph(script(raw, **{POST: taken}))
    write(graph, item(raw=raw))
    assert graph.sent(PATCH)["flag"] == flag


def test_read_only_properties_and_receipts_are_not_sent() -> None:
    raw = message("a", isReadReceiptRequested=True, webLink="https://x", conversationId="c")
    graph = ScriptedGraph(script(raw))
    write(graph, item(raw=raw))
    sent = graph.sent(POST)
    assert not {"id", "webLink", "conversationId", "attachments", "hasAttachments"} & set(sent)
    assert "isReadReceiptRequested" not in sent
    assert sent["internetMessageId"] == "<a@example.org>"


def test_what_create_did_not_take_is_patched_once() -> None:
    raw = message("a", isRead=True, categories=["Red"], flag={"flagStatus": "flagged"})
    taken = answered(raw, isRead=False, categories=[], flag={"flagStatus": "notFlagged"})
    graph = ScriptedGraph(script(raw, **{POST: taken}))
    write(graph, item(raw=raw))
    assert graph.sent(PATCH) == {
        "isRead": True, "categories": ["Red"], "flag": {"flagStatus": "flagged"},
    }  # fmt: skip
    assert graph.count("PATCH") == 1


def test_a_property_that_is_refused_is_a_note_and_not_a_failure() -> None:
    raw = message("a", categories=["Red"])
    graph = ScriptedGraph(script(raw, **{POST: answered(raw, categories=[]), PATCH: REFUSED}))
    (trouble,) = write(graph, item(raw=raw)).troubles
    assert (trouble.cause, trouble.detail, trouble.retry) == ("not-set", "categories", False)


def test_a_message_that_came_back_as_a_draft_says_so() -> None:
    graph = ScriptedGraph(script(**{POST: answered(message("a"), isDraft=True)}))
    assert [one.cause for one in write(graph, item()).troubles] == ["restored-as-draft"]


def test_recipients_the_target_does_not_take_are_left_out_with_a_note() -> None:
    odd = {"emailAddress": {"name": "Old", "address": "/o=ExchangeLabs/cn=old"}}
    good = {"emailAddress": {"name": "Bo", "address": "bo@example.org"}}
    raw = message("a", toRecipients=[odd, good])
    bad = GraphProblem("no", graph_code="ErrorInvalidRecipients", status_code=400)
    graph = ScriptedGraph(script(raw, **{POST: [bad, answered(raw)]}))
    (trouble,) = write(graph, item(raw=raw)).troubles
    assert trouble.cause == "invalid-recipients-left-out"
    assert graph.bodies[1]["toRecipients"] == [good]


def test_empty_recipients_are_never_sent() -> None:
    raw = message("a", replyTo=[{"emailAddress": {"name": "", "address": ""}}])
    graph = ScriptedGraph(script(raw))
    write(graph, item(raw=raw))
    assert graph.sent(POST)["replyTo"] == []


def test_a_create_without_an_answer_is_looked_for_before_it_is_repeated() -> None:
    found = {"id": "new", "singleValueExtendedProperties": [{"id": MARKER, "value": MARK}]}
    graph = ScriptedGraph(
        script(
            **{
                POST: MaybeDone("lost"),
                f"GET {U}/mailFolders/f1/messages": {"value": [found]},
                f"GET {U}/messages/new": answered(message("a")),
            }
        )
    )
    assert write(graph, item()).id == "new"
    assert graph.count(POST) == 1


def test_a_create_that_did_not_happen_is_repeated() -> None:
    graph = ScriptedGraph(
        script(
            **{
                POST: [MaybeDone("lost"), answered(message("a"))],
                f"GET {U}/mailFolders/f1/messages": {"value": []},
            }
        )
    )
    assert write(graph, item()).id == "new"
    assert graph.count(POST) == 2


def test_a_body_over_the_request_limit_comes_back_as_an_attached_original() -> None:
    raw = message("a", body={"contentType": "html", "content": "x" * 4_000_000})
    graph = ScriptedGraph(script(raw))
    (trouble,) = write(graph, item(part(b"MIME", {}, "mime"), raw=raw)).troubles
    assert (trouble.part, trouble.cause) == ("body", "too-large")
    assert graph.sent(POST)["body"]["content"] == "hello"
    assert graph.sent(ATTACH)["name"] == "original message.eml"
    assert base64.b64decode(graph.sent(ATTACH)["contentBytes"]) == b"MIME"


# --- replacing ---------------------------------------------------------------------------------

OLD = Existing("old", "<a@example.org>", "same")


def test_the_old_message_goes_to_deleted_items_when_the_new_one_is_complete() -> None:
    graph = ScriptedGraph(script())
    assert write(graph, item(part(b"d", attachment("f"))), OLD).outcome == "replaced"
    assert graph.calls[-1] == MOVE
    assert graph.sent(MOVE) == {"destinationId": "bin"}
    assert graph.count("DELETE") == 0


def test_the_old_message_stays_when_the_new_one_is_not_complete() -> None:
    graph = ScriptedGraph(script(**{LISTED: {"value": []}}))
    written = write(graph, item(part(b"d", attachment("f"))), OLD)
    assert written.outcome == "copied"
    assert "old-one-kept" in {trouble.cause for trouble in written.troubles}
    assert graph.count(MOVE) == 0


def test_the_old_message_stays_when_writing_is_interrupted() -> None:
    graph = ScriptedGraph(script(**{ATTACH: Throttled("wait", 30.0)}))
    with pytest.raises(Throttled):
        write(graph, item(part(b"d", attachment("f"))), OLD)
    assert graph.count(MOVE) == 0
    assert properties(graph.sent(POST))[MARKER].endswith(OPEN)


# --- what is there already ---------------------------------------------------------------------


def present(*messages: Mapping[str, Any], **more: Any) -> list[Existing]:
    graph = ScriptedGraph({f"GET {U}/mailFolders/f1/messages": {"value": list(messages)}, **more})
    return list(MailWriter(graph, BOX, StillClock()).existing(INTO))


def marked(value: str) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": MARKER.upper(), "value": value}]}


def test_existing_tells_finished_from_unfinished_writes() -> None:
    found = present(
        message("x"), {**message("y"), **marked(MARK)}, {**message("z"), **marked(MARK + OPEN)}
    )
    assert [(one.id, one.marker, one.complete) for one in found] == [
        ("x", "", True), ("y", MARK, True), ("z", MARK, False),
    ]  # fmt: skip


def test_a_target_that_refuses_the_marker_is_listed_without_it() -> None:
    key = f"GET {U}/mailFolders/f1/messages"
    graph = ScriptedGraph({key: [REFUSED, {"value": [message("x")]}]})
    (found,) = MailWriter(graph, BOX, StillClock()).existing(INTO)
    assert (found.id, found.marker) == ("x", "")
    assert "$expand" in graph.calls[0]
    assert "$expand" not in graph.calls[1]


def test_the_same_message_is_the_same_in_the_backup_and_in_the_target() -> None:
    identity = MailWriter(ScriptedGraph({}), BOX, StillClock()).identity(item())
    (found,) = present({**message("a"), "id": "other", "sentDateTime": "2026-01-02T03:04:05.000Z"})
    assert (found.key, found.same) == (identity.key, identity.same)


@pytest.mark.parametrize(
    "other",
    [{"internetMessageId": "<b@example.org>"}, {"sentDateTime": "2026-01-03T00:00:00Z"},
     {"subject": "x"}],
)  # fmt: skip
def test_identical_newsletters_are_different_mails(other: dict[str, Any]) -> None:
    identity = MailWriter(ScriptedGraph({}), BOX, StillClock()).identity(item())
    (found,) = present(message("a", **other))
    assert found.same != identity.same


# --- folders -----------------------------------------------------------------------------------

CHILDREN = f"GET {U}/mailFolders/f1/childFolders"
MAKE = f"POST {U}/mailFolders/f1/childFolders"


def stored_folder(key: str, role: str = "", hidden: bool = False) -> StoredItem:
    return StoredItem(key, "root", "folder", "N", {"role": role, "hidden": hidden}, {}, ())


def test_a_folder_is_found_whatever_its_case() -> None:
    graph = ScriptedGraph({CHILDREN: {"value": [{"id": "c", "displayName": "PROJEKTE"}]}})
    found = MailWriter(graph, BOX, StillClock()).ensure_folder(INTO, "projekte", None)
    assert found == Folder("c", ("Restored", "projekte"))


def test_a_missing_folder_is_made_hidden_where_it_was() -> None:
    graph = ScriptedGraph({CHILDREN: {"value": []}, MAKE: {"id": "c"}})
    MailWriter(graph, BOX, StillClock()).ensure_folder(INTO, "N", stored_folder("x", hidden=True))
    assert graph.sent(MAKE) == {"displayName": "N", "isHidden": True}


def test_a_folder_that_another_attempt_made_meanwhile_is_taken() -> None:
    exists = Clash("exists", graph_code="ErrorFolderExists", status_code=409)
    pages = [{"value": []}, {"value": [{"id": "c", "displayName": "N"}]}]
    graph = ScriptedGraph({CHILDREN: pages, MAKE: exists})
    assert MailWriter(graph, BOX, StillClock()).ensure_folder(INTO, "N", None).id == "c"


def well_known(**ids: str) -> dict[str, Any]:
    return {f"GET {U}/mailFolders/{role}": {"id": key} for role, key in ids.items()}


def test_a_well_known_folder_finds_its_counterpart_in_another_mailbox() -> None:
    graph = ScriptedGraph(well_known(inbox="their-inbox"))
    writer = MailWriter(graph, BOX, StillClock())
    found = writer.original_folder(stored_folder("x", role="inbox"))
    assert found == Folder("their-inbox", ("N",))


def test_an_ordinary_folder_is_found_by_its_id() -> None:
    ids = well_known(deleteditems="bin", msgfolderroot="root")
    here = {f"GET {U}/mailFolders/x": {"id": "x", "displayName": "N", "parentFolderId": "root"}}
    writer = MailWriter(ScriptedGraph({**ids, **here}), BOX, StillClock())
    assert writer.original_folder(stored_folder("x")) == Folder("x", ("N",))


@pytest.mark.parametrize("answer", [GONE, REFUSED, {"id": "x", "parentFolderId": "bin"}])
def test_a_folder_that_is_gone_or_thrown_away_is_no_original(answer: Any) -> None:
    ids = well_known(deleteditems="bin", msgfolderroot="root")
    graph = ScriptedGraph({**ids, f"GET {U}/mailFolders/x": answer})
    assert MailWriter(graph, BOX, StillClock()).original_folder(stored_folder("x")) is None
