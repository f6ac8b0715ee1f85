"""What a restore takes from a stored MIME: headers of the sender's program, and sealed messages."""

from __future__ import annotations

import base64

import pytest

from m365.mail_mime import SEALED, SIGNED, own_headers, sealed_class, with_sealed_part
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import attachment, message
from tests.m365.scripted_restore import ATTACH, POST, item, part, properties, script, write

SIGNED_BODY = (
    b"--b\r\nContent-Type: text/plain\r\n\r\nsigned \r\n"
    b"--b\r\nContent-Type: x/p7s\r\n\r\nAA\r\n--b--\r\n"
)
SIGNED_MIME = (
    b"From: a@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; boundary="b";\r\n\tprotocol="application/pkcs7-signature"\r\n'
    b"\r\n" + SIGNED_BODY
)
SEALED_MIME = (
    b'Subject: s\r\nContent-Type: application/pkcs7-mime; name="smime.p7m"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"sealed" * 40)
)


def mime(data: bytes):
    return part(data, {}, "mime")


def smime(kind: str):
    return part(b"p7m", attachment("f", name="smime.p7m", contentType=kind))


def test_headers_of_the_sender_come_back_and_those_of_the_transport_do_not() -> None:
    head = (
        b"Received: from x\r\nX-MS-Exchange-Organization-SCL: -1\r\nX-Project: Harbour\r\n"
        b" Phase 2\r\nx-campaign: 7\r\nx-project: again\r\nX-Microsoft-Antispam: BCL:0\r\n"
        b"X-Forefront-Antispam-Report: z\r\nX-Originating-IP: [1.2.3.4]\r\n\r\nX-Body: no\r\n"
    )
    assert own_headers(item(mime(head))) == [
        {"name": "X-Project", "value": "Harbour Phase 2"},
        {"name": "x-campaign", "value": "7"},
    ]


def test_no_more_than_five_headers_are_sent_as_more_are_refused() -> None:
    head = b"".join(b"X-N%d: v\r\n" % n for n in range(9)) + b"\r\n"
    assert [one["name"] for one in own_headers(item(mime(head)))] == [f"X-N{n}" for n in range(5)]


def test_headers_that_are_not_plain_text_are_left_out() -> None:
    head = "X-Ä: v\r\nX-B: grün\r\nX-C:\r\nX-D: ok\r\n\r\n".encode()
    assert own_headers(item(mime(head))) == [{"name": "X-D", "value": "ok"}]


def test_without_a_mime_there_are_no_headers() -> None:
    assert own_headers(item()) == []
    assert own_headers(item(mime(b""))) == []


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("multipart/signed", SIGNED),
        ("application/pkcs7-mime", SEALED),
        ("Application/X-PKCS7-MIME; smime-type=enveloped-data", SEALED),
        ("application/octet-stream", ""),
    ],
)
def test_the_attachment_tells_the_class_of_a_sealed_message(kind: str, wanted: str) -> None:
    assert sealed_class(item(smime(kind))) == wanted


def test_smime_p7m_beside_other_files_is_an_ordinary_attachment() -> None:
    assert sealed_class(item(smime("application/pkcs7-mime"), part(b"x", attachment("g")))) == ""


def test_a_sealed_message_is_created_with_its_class_and_without_a_body() -> None:
    raw = message("a", body={"contentType": "html", "content": ""})
    graph = ScriptedGraph(script(raw))
    write(graph, item(smime("multipart/signed"), raw=raw))
    assert properties(graph.sent(POST))["String 0x001A"] == SIGNED
    assert "body" not in graph.sent(POST)


def test_an_ordinary_message_has_no_class_of_its_own() -> None:
    graph = ScriptedGraph(script())
    write(graph, item(mime(b"Content-Type: text/plain\r\n\r\nx")))
    assert "String 0x001A" not in properties(graph.sent(POST))


def test_a_signed_message_whose_attachment_is_missing_is_cut_out_of_its_mime() -> None:
    graph = ScriptedGraph(script())
    assert write(graph, item(mime(SIGNED_MIME))).troubles == ()
    sent = graph.sent(ATTACH)
    assert (sent["name"], sent["contentType"]) == ("smime.p7m", "multipart/signed")
    data = base64.b64decode(sent["contentBytes"])
    assert data.startswith(b'Content-Type: multipart/signed; boundary="b";\r\n\tprotocol')
    assert data.endswith(b"\r\n\r\n" + SIGNED_BODY)
    assert b"Subject" not in data


def test_an_encrypted_message_whose_attachment_is_missing_is_decoded_from_its_mime() -> None:
    (_, found) = with_sealed_part(item(mime(SEALED_MIME))).parts
    assert found.read() == b"sealed" * 40
    assert found.size == 240


def test_the_attachment_of_the_backup_goes_before_the_mime() -> None:
    stored = item(mime(SIGNED_MIME), smime("multipart/signed"))
    assert with_sealed_part(stored) is stored
