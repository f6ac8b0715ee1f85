"""exportItems on a hostile wire: batches with errors and gaps, and one item larger than memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from base.errors import InvalidInput
from m365.graph import export
from m365.graph.client import Scope
from m365.graph.errors import (
    Corrupt,
    Forbidden,
    ForeignHost,
    ItemGone,
    TransientFailure,
    Unauthorized,
)
from m365.graph.export import NotExported
from tests.m365.wire_fake import Heard, Hostile, Reply, fails, says

ANNA = Scope.mailbox("anna")
BOX = "/admin/exchange/mailboxes/MBX:1@2"
PATH = f"/v1.0{BOX}/exportItems"
BYTES = bytes(range(256)) * 40
FORMS = (
    '{"value":[{"itemId":"a","data":"%s","error":null}]}',
    '{ "value" : [ { "data" : "%s" , "itemId" : "a\\"data\\":" } ] }',
)


def answer(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"@odata.context": "…#Collection(exportItemResponse)", "value": list(entries)}


def item(key: str, data: bytes = BYTES, **more: Any) -> dict[str, Any]:
    return {"itemId": key, "changeKey": "c", "data": base64.b64encode(data).decode(), **more}


def error(key: str, code: str) -> dict[str, Any]:
    return {"itemId": key, "error": {"code": code, "message": "Anna Karenina"}}


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def test_a_batch_answers_each_item_for_itself() -> None:
    with Hostile() as fake:
        fake.on(
            PATH,
            says(
                answer(
                    item("b"),
                    error("a", "ErrorCorruptData"),
                    item("d", data=b""),
                    {"itemId": "e", "data": None, "error": None},
                    {"data": "AAAA"},
                    error("f", "ErrorItemNotFound"),
                    error("g", "ErrorAccessDenied"),
                    error("h", "ErrorSomethingNew"),
                )
            ),
        )
        found = fake.reader().export_items(BOX, ["a", "b", "c", "d", "e", "f", "g", "h"], ANNA)
        assert set(found) == {"a", "b", "f", "g", "h"}
        assert found["b"].data == BYTES
        assert found["b"].problem is None
        kinds = {key: type(one.problem) for key, one in found.items() if one.problem}
        assert kinds == {"a": Corrupt, "f": ItemGone, "g": Forbidden, "h": TransientFailure}
        assert "Karenina" not in str([one.problem for one in found.values()])
        (heard,) = fake.heard
        assert heard.method == "POST"
        assert heard.json() == {"itemIds": ["a", "b", "c", "d", "e", "f", "g", "h"]}
        assert "immutableid" in heard.headers["prefer"].lower()


def test_an_export_is_repeated_like_any_other_reading() -> None:
    with Hostile() as fake:
        fake.on(PATH, fails(503, Retry_After="1"), Reply(dead=True), says(answer(item("a"))))
        assert fake.reader().export_items(BOX, ["a"], ANNA)["a"].data == BYTES


def test_no_more_than_twenty_ids_are_sent() -> None:
    with Hostile() as fake:
        for count in (0, 21):
            with pytest.raises(InvalidInput):
                fake.reader().export_items(BOX, ["x"] * count, ANNA)
        assert fake.heard == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000, 100_000])
@pytest.mark.parametrize("data", [b"\xfb\xff\xbf" * 5, b"x", b"xy", BYTES])
def test_one_item_is_decoded_however_the_answer_is_cut_and_spelled(data: bytes, size: int) -> None:
    plain = base64.b64encode(data).decode()
    spellings = [
        plain,
        plain.replace("+", "-").replace("/", "_").rstrip("="),
        plain.replace("/", "\\/").replace("+", "\\u002B"),
        "\\r\\n".join(plain[at : at + 4] for at in range(0, len(plain), 4)),
    ]
    for text in spellings:
        for form in FORMS:
            sent = (form % text).encode()
            assert b"".join(export.decoded(cut(sent, size))) == data


def test_what_the_answer_says_of_an_item_alone_comes_at_its_end() -> None:
    def read(value: Any) -> bytes:
        return b"".join(export.decoded(iter([json.dumps(value).encode()])))

    with pytest.raises(Corrupt):
        read(answer(error("a", "ErrorCorruptData")))
    with pytest.raises(ItemGone):
        read(answer(error("a", "ErrorItemNotFound")))
    for nonsense in (answer(), answer({"itemId": "a"}), answer({"data": ""}), {"x": 1}, [1]):
        with pytest.raises(NotExported):
            read(nonsense)
    for text in (b'{"value":[{"data":"AAAA', b'{"value":[{"data":"A"}]}', b'{"value":[{"data":"!!'):
        with pytest.raises(NotExported):
            list(export.decoded(iter([text])))


def test_one_item_larger_than_any_answer_may_be_is_streamed_and_resumed() -> None:
    data = bytes(1 + at % 251 for at in range(7_000_000))
    whole = json.dumps(answer(item("a", data))).encode()
    with Hostile() as fake:
        fake.on(PATH, Reply(body=whole, sent=6_000_000), Reply(body=whole))
        assert b"".join(fake.reader().export_item(BOX, "a", ANNA)) == data
        assert [(heard.method, heard.json()) for heard in fake.heard] == [
            ("POST", {"itemIds": ["a"]})
        ] * 2


def test_another_mailbox_of_the_archive_is_reached_by_its_link_and_no_other_host_is() -> None:
    def echo(heard: Heard) -> Reply:
        return says(answer(item("a", heard.path.encode())))

    with Hostile() as fake:
        fake.on("/beta/admin/exchange/mailboxes/MBX:3@2/exportItems", echo)
        link = f"{fake.place.graph_url}/beta/admin/exchange/mailboxes/MBX:3@2"
        found = fake.reader().export_items(link, ["a"], ANNA)
        assert found["a"].data.endswith(b"MBX:3@2/exportItems")
        with pytest.raises(ForeignHost):
            fake.reader().export_items("https://graph.example/v1.0/mailbox", ["a"], ANNA)


def test_an_import_goes_out_without_a_token_and_its_address_is_in_no_error() -> None:
    with Hostile() as fake:
        fake.on("/importItem", says({"itemId": "n"}, 201))
        url = f"{fake.elsewhere}/importItem?authtoken=secret"
        assert fake.writer().post_preauthenticated(url, b"{}", scope=ANNA) == {"itemId": "n"}
        assert "authorization" not in fake.heard[0].headers
        fake.on("/refused", fails(401))
        with pytest.raises(Unauthorized) as raised:
            fake.writer().post_preauthenticated(
                f"{fake.elsewhere}/refused?authtoken=secret", b"{}", scope=ANNA
            )
        assert "secret" not in f"{raised.value} {raised.value!r}"
