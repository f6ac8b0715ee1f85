"""Attachments are lifted out of MIME and put back byte for byte, whatever a message is like."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.world import CHAIN, StillClock, close, new_vault
from vault import (
    Content,
    CountingStore,
    Entry,
    MemoryChunkIndex,
    UnknownFeature,
    VaultDamaged,
)
from vault.entry import Base64
from vault.lift import LIFT_BYTES, stretches, written, written_bytes
from vault.stores.memory import MemoryStore

END = b"\r\n"


def lines_of(data: bytes, line: int = 76, end: bytes = END) -> bytes:
    text = base64.b64encode(data)
    return end.join(text[at : at + line] for at in range(0, len(text), line))


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def taken_apart(data: bytes, block: int = 0) -> list[tuple[Base64 | None, bytes]]:
    whole: bytes | Iterator[bytes] = data
    if block:
        whole = (data[at : at + block] for at in range(0, len(data), block))
    return [(one.text, b"".join(one.blocks)) for one in stretches(whole)]


def put_together(parts: list[tuple[Base64 | None, bytes]]) -> bytes:
    return b"".join(
        data if text is None else b"".join(written(text, [data])) for text, data in parts
    )


def mail(*attachments: bytes, line: int = 76, end: bytes = END) -> bytes:
    parts = [b"Subject: hello", b"", b"--b", b"Content-Type: text/plain", b"", b"Dear all"]
    for attachment in attachments:
        parts += [
            b"--b",
            b"Content-Transfer-Encoding: base64",
            b"",
            lines_of(attachment, line, end),
        ]
    return end.join([*parts, b"--b--", b""])


@pytest.mark.parametrize("block", [0, 1000, 4096, 70_000])
@pytest.mark.parametrize("size", [LIFT_BYTES + 19, 57 * 300, 57 * 300 + 1, 57 * 300 + 55, 250_000])
def test_an_attachment_is_lifted_whole_and_put_back(size: int, block: int) -> None:
    data = mail(noise(size), noise(size, 2))
    parts = taken_apart(data, block)
    assert put_together(parts) == data
    assert [piece for text, piece in parts if text] == [noise(size), noise(size, 2)]
    assert {text for text, _ in parts if text} == {Base64(76)}


@pytest.mark.parametrize("line", [60, 64, 72, 76])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_of_other_mailers_are_lifted_too(line: int, end: bytes) -> None:
    data = mail(noise(50_000), line=line, end=end)
    assert (Base64(line, end), noise(50_000)) in taken_apart(data)
    assert put_together(taken_apart(data)) == data


def test_a_short_attachment_stays_text() -> None:
    data = mail(noise(LIFT_BYTES - 100))
    assert taken_apart(data) == [(None, data)]


def test_an_attachment_at_the_very_end_needs_no_line_end() -> None:
    data = b"head\r\n\r\n" + lines_of(noise(20_000))
    assert taken_apart(data)[-1] == (Base64(76), noise(20_000))
    assert put_together(taken_apart(data)) == data


def test_a_last_line_with_spare_bits_set_stays_text() -> None:
    whole = lines_of(noise(57 * 200 + 1))
    assert whole.endswith(b"==")
    wrong = whole[:-3] + bytes([whole[-3] + 1]) + b"=="
    data = b"\r\n" + wrong + b"\r\n--b--"
    parts = taken_apart(data)
    assert parts[1] == (Base64(76), noise(57 * 200 + 1)[:-1])
    assert put_together(parts) == data


@pytest.mark.parametrize(
    "broken",
    [
        lines_of(noise(30_000)).replace(b"\r\n", b"\n", 200),
        lines_of(noise(30_000)).replace(b"\r\n", b" \r\n", 200),
        lines_of(noise(30_000))[:9000] + b"=" + lines_of(noise(30_000))[9000:],
        lines_of(noise(30_000))[:15_000] + b"\r\n" + lines_of(noise(30_000))[15_000:],
        lines_of(noise(12_000)) + b"\r\n" + lines_of(noise(12_000, 3)),
        lines_of(noise(30_000)) + b"=",
        b"A" * 76 + b"\r\n" * 500,
        (b"A" * 76 + b"\r\n") * 500,
    ],
)
@pytest.mark.parametrize("block", [0, 997])
def test_whatever_is_irregular_comes_back_as_it_was(broken: bytes, block: int) -> None:
    data = b"head\r\n\r\n" + broken + b"\r\n--b--\r\n"
    assert put_together(taken_apart(data, block)) == data


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([b"\r\n", b"\n", b"=", b"\r", b"=="]),
            st.integers(0, 30_000).map(lambda size: b"\r\n" + lines_of(noise(size))),
            st.integers(0, 30_000).map(lambda size: b"\n" + lines_of(noise(size), 64, b"\n")),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 1, 77, 1021, 20_000]),
)
def test_any_bytes_come_back_as_they_were(pieces: list[bytes], block: int) -> None:
    data = b"".join(pieces)
    parts = taken_apart(data, max(block, len(data) // 2000) if block else 0)
    assert put_together(parts) == data
    for text, piece in parts:
        if text is not None:
            assert written_bytes(text, len(piece)) == len(b"".join(written(text, [piece])))
            assert len(piece) >= LIFT_BYTES


def test_text_is_written_the_same_from_blocks_of_any_size() -> None:
    data = noise(5000)
    whole = b"".join(written(Base64(76), [data]))
    for block in (1, 3, 56, 57, 58, 1000):
        blocks = [data[at : at + block] for at in range(0, len(data), block)]
        assert b"".join(written(Base64(76), blocks)) == whole
    assert b"".join(written(Base64(76), [])) == b""


def letter(text: bytes, *attachments: bytes) -> bytes:
    return b"Received: from somewhere\r\nSubject: report\r\n\r\n" + text + mail(*attachments)


def test_the_same_file_in_a_mail_a_reply_and_a_drive_is_stored_once() -> None:
    store = CountingStore(MemoryStore(StillClock()))
    repo = new_vault(store, index=MemoryChunkIndex())
    report, logo = noise(3_000_000), noise(20_000, 7)
    contents = {}
    for number, (chain, data, lift) in enumerate(
        [
            ("mail/mailbox:a", letter(b"see the report", report, logo), True),
            ("mail/mailbox:b", letter(b"> see the report", logo, report, logo), True),
            ("drive/drive:c", report, False),
        ]
    ):
        step = repo.round(chain, 1).step()
        content = contents[data] = step.add("mime", [data], lift=lift)
        step.put(Entry(str(number), "", "item", "report", contents=(content,)), "root")
        close(step.commit(complete=True))
    ends = 3 * 65_536  # where the seed leaves a last piece too small to be shared
    assert 3_000_000 < store.bytes_written < 3_060_000 + ends
    for data, content in contents.items():
        assert Content.from_json(content.to_json()) == content
        assert b"".join(repo.read(content)) == data


@pytest.mark.parametrize("streamed", [True, False])
def test_a_message_of_very_many_pieces_keeps_them_in_a_list(streamed: bool) -> None:
    repo = new_vault()
    data = letter(b"pictures", *(noise(9_000 + number, number) for number in range(40)))
    step = repo.round(CHAIN, 1).step()
    whole = [data[at : at + 5000] for at in range(0, len(data), 5000)] if streamed else data
    content = step.add("mime", whole, lift=True)
    step.put(Entry("1", "", "item", "pictures", contents=(content,)), "root")
    close(step.commit(complete=True))
    assert content.listed
    assert len(content.segments) == 81
    assert b"".join(repo.read(content)) == data
    assert b"".join(repo.read(content, 100_001)) == data[100_001:]
    assert step.raw_bytes == content.size == len(data)


def test_a_message_without_attachments_is_a_plain_content() -> None:
    step = new_vault().round(CHAIN, 1).step()
    assert step.add("mime", letter(b"short"), lift=True).segments == ()
    assert step.add("mime", b"", lift=True).refs == ()
    assert step.add("mime", [letter(b"long" * 90_000)], lift=True).segments == ()


def test_a_content_written_in_an_unknown_way_is_refused() -> None:
    for segments, problem in (([[2, 1]], UnknownFeature), ([[1, 75, 0, 1]], VaultDamaged)):
        with pytest.raises(problem):
            Content.from_json(["mime", 1, {}, [], 2, segments])


def test_segments_that_do_not_cover_the_content_are_damage() -> None:
    repo = new_vault()
    step = repo.round(CHAIN, 1).step()
    content = step.add("mime", letter(b"see", noise(20_000)), lift=True)
    step.put(Entry("1", "", "item", "m", contents=(content,)), "root")
    close(step.commit(complete=True))
    for segments in (content.segments[:2], content.segments[1:], (content.segments[1],) * 3):
        with pytest.raises(VaultDamaged):
            list(repo.read(replace(content, segments=segments)))


def test_attachments_are_shared_from_half_the_size_on_that_other_pieces_are() -> None:
    store = CountingStore(MemoryStore(StillClock()))
    repo = new_vault(store, index=MemoryChunkIndex())
    written = []
    for chain in ("mail/mailbox:a", "mail/mailbox:b"):
        before = store.bytes_written
        step = repo.round(chain, 1).step()
        content = step.add("mime", letter(chain.encode(), noise(40_000)), lift=True)
        step.put(Entry("1", "", "item", "report", contents=(content,)), "root")
        close(step.commit(complete=True))
        written.append(store.bytes_written - before)
    assert written[0] > 40_000 > 5_000 > written[1]
