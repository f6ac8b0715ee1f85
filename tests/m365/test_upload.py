"""Upload sessions against one that breaks, forgets, refuses and disappears."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base.errors import InvalidInput, Throttled
from m365.graph.client import Scope
from m365.graph.errors import (
    Clash,
    ForeignHost,
    MaybeDone,
    QuotaFull,
    SessionGone,
    TransientFailure,
)
from m365.graph.upload import RANGE_UNIT_BYTES, UPLOAD_BLOCK_BYTES
from tests.m365.wire_fake import Heard, Hostile, Reply, fails, says

DRIVES = Scope.sharepoint()
CONTENT = bytes(range(253)) * 6_000  # 1.5 MB
BLOCK = RANGE_UNIT_BYTES


class Session:
    """A session that takes ranges in order, and does what it is told instead, once, before that."""

    def __init__(self, size: int, *instead: Reply | str) -> None:
        self.size = size
        self.got = bytearray()
        self.lengths: list[int] = []
        self.instead = list(instead)
        self.final = says({"id": "new"}, 201)
        self.gone_after = False

    def __call__(self, heard: Heard) -> Reply:
        assert "authorization" not in heard.headers
        if heard.method == "GET":
            if self.gone_after and len(self.got) == self.size:
                return fails(404, "itemNotFound")
            return says({"nextExpectedRanges": [f"{len(self.got)}-"]})
        if heard.method == "DELETE":
            return Reply(204)
        told = self.instead.pop(0) if self.instead else None
        if isinstance(told, Reply):
            return told
        start, end, size = self._range(heard)
        if start != len(self.got):
            return fails(416, "invalidRange")
        assert (len(heard.body), size) == (end - start + 1, self.size)
        if told == "takes half":
            self.got += heard.body[: len(heard.body) // 2]
            return Reply(dead=True)
        self.got += heard.body
        self.lengths.append(len(heard.body))
        if told == "takes all, says nothing":
            return Reply(dead=True)
        if len(self.got) == self.size:
            return self.final
        return says({"nextExpectedRanges": [f"{len(self.got)}-{self.size - 1}"]}, 202)

    @staticmethod
    def _range(heard: Heard) -> tuple[int, int, int]:
        span, _, size = heard.headers["content-range"].removeprefix("bytes ").partition("/")
        start, _, end = span.partition("-")
        return int(start), int(end), int(size)


def pieces(content: bytes = CONTENT, piece: int = 100_003) -> Iterator[bytes]:
    for start in range(0, len(content), piece):
        yield content[start : start + piece]


def send(fake: Hostile, session: Session, scope: Scope = DRIVES, block: int = BLOCK) -> object:
    fake.on("/session", session)
    url = f"{fake.elsewhere}/session?token=secret"
    return fake.writer().upload(url, session.size, pieces(), scope=scope, block_bytes=block)


def test_ranges_are_multiples_of_320_kib_and_carry_no_token() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT))
        assert send(fake, session) == {"id": "new"}
        assert bytes(session.got) == CONTENT
        assert session.lengths == [BLOCK] * 4 + [len(CONTENT) - 4 * BLOCK]
        assert fake.tokens.asked == 0


@pytest.mark.parametrize(
    "instead",
    [
        Reply(dead=True),
        fails(500),
        fails(502),
        fails(504),
        fails(503, Retry_After="1"),
        fails(429, Retry_After="2"),
        "takes half",
        "takes all, says nothing",
    ],
)
def test_after_a_break_it_goes_on_where_the_session_says(instead: Reply | str) -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), "", instead)
        assert send(fake, session) == {"id": "new"}
        assert bytes(session.got) == CONTENT


def test_a_range_it_has_already_is_not_sent_again() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), "takes all, says nothing")
        assert send(fake, session) == {"id": "new"}
        puts = [heard for heard in fake.heard if heard.method == "PUT"]
        assert len(puts) == 5


@pytest.mark.parametrize("had", [0, BLOCK, 3 * BLOCK])
def test_a_session_of_an_earlier_step_goes_on_where_it_says(had: int) -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), "takes half")
        session.got += CONTENT[:had]
        fake.on("/session", session)
        asked: list[int] = []

        def from_there(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            return pieces(CONTENT[offset:])

        url = f"{fake.elsewhere}/session?token=secret"
        writer = fake.writer()
        made = writer.upload(url, session.size, from_there, scope=DRIVES, block_bytes=BLOCK)
        assert made == {"id": "new"}
        assert asked == [had]
        assert bytes(session.got) == CONTENT


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_of_an_earlier_step_that_is_gone_says_so(status: int) -> None:
    with Hostile() as fake:
        fake.on("/session", lambda heard: fails(status))
        url = f"{fake.elsewhere}/session?token=secret"
        with pytest.raises(SessionGone):
            fake.writer().upload(url, len(CONTENT), lambda offset: pieces(), scope=DRIVES)


def test_a_416_is_settled_by_asking() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), fails(416, "invalidRange"))
        assert send(fake, session) == {"id": "new"}
        assert bytes(session.got) == CONTENT


@pytest.mark.parametrize("status", [404, 401, 403, 410])
def test_a_session_that_is_gone_says_so_and_is_started_anew_by_the_caller(status: int) -> None:
    with Hostile() as fake:
        with pytest.raises(SessionGone):
            send(fake, Session(len(CONTENT), "", fails(status)))


def test_a_session_that_lost_what_it_took_is_gone() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), "", "")

        def forget(heard: Heard) -> Reply:
            if len(session.lengths) == 2:
                session.got.clear()
                session.lengths.append(0)
                return Reply(dead=True)
            return session(heard)

        fake.on("/session", forget)
        with pytest.raises(SessionGone):
            fake.writer().upload(
                f"{fake.elsewhere}/session", session.size, pieces(), scope=DRIVES, block_bytes=BLOCK
            )


def test_a_name_clash_at_the_last_range_and_a_full_target_are_told() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT))
        session.final = fails(409, "nameAlreadyExists")
        with pytest.raises(Clash):
            send(fake, session)
        with pytest.raises(QuotaFull):
            send(fake, Session(len(CONTENT), fails(507, "quotaLimitReached")))


def test_a_lost_answer_to_the_last_range_is_maybe_done() -> None:
    with Hostile() as fake:
        session = Session(len(CONTENT), "", "", "", "", "takes all, says nothing")
        session.gone_after = True
        with pytest.raises(MaybeDone):
            send(fake, session)
        assert bytes(session.got) == CONTENT


def test_a_session_that_breaks_off_every_time_is_given_up() -> None:
    with Hostile() as fake:
        with pytest.raises(TransientFailure):
            send(fake, Session(len(CONTENT), *[Reply(dead=True)] * 20))
        assert len([heard for heard in fake.heard if heard.method == "PUT"]) == 6


def test_a_long_pause_is_handed_up() -> None:
    with Hostile() as fake:
        with pytest.raises(Throttled) as asked:
            send(fake, Session(len(CONTENT), fails(429, Retry_After="90")))
        assert asked.value.retry_after_s == 90


def test_outlook_gets_ranges_below_four_megabytes_and_answers_with_a_location_only() -> None:
    content = bytes(9_000_000)
    with Hostile() as fake:
        session = Session(len(content))
        session.final = Reply(201, headers={"Location": "https://outlook.office.com/attachments/1"})
        fake.on("/session", session)
        made = fake.writer().upload(
            f"{fake.elsewhere}/session", len(content), iter([content]), scope=Scope.mailbox("anna")
        )
        assert (made, bytes(session.got)) == ({}, content)
        assert max(session.lengths) == 12 * RANGE_UNIT_BYTES < 4_000_000


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_content_of_another_size_than_announced_is_not_completed(size: int) -> None:
    with Hostile() as fake:
        session = Session(size)
        with pytest.raises(InvalidInput):
            send(fake, session)
        assert len(session.got) < size
        assert fake.heard[-1].method == "DELETE"


@pytest.mark.parametrize(("size", "block"), [(0, BLOCK), (5, 1000), (5, 0), (5, 192 * BLOCK)])
def test_what_no_session_can_take_is_refused_at_once(size: int, block: int) -> None:
    with Hostile() as fake:
        with pytest.raises(InvalidInput):
            fake.writer().upload(
                f"{fake.elsewhere}/s", size, iter(()), scope=DRIVES, block_bytes=block
            )
        assert fake.heard == []


def test_a_session_at_a_strange_address_gets_nothing() -> None:
    with Hostile() as fake:
        with pytest.raises(ForeignHost):
            fake.writer().upload("http://localhost/s", 5, iter((b"12345",)), scope=DRIVES)
        assert UPLOAD_BLOCK_BYTES % RANGE_UNIT_BYTES == 0
