"""Signing in: what is cached, what a refusal means, and that nothing secret is ever shown."""

from __future__ import annotations

import json
import threading
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from base.clock import SystemClock
from base.errors import Problem, Throttled
from m365.graph.auth import (
    Certificate,
    ClientSecret,
    ConsentMissing,
    Credential,
    SignInFailed,
    Tokens,
    UnknownApp,
    UnknownTenant,
    WrongSecret,
    tokens_for,
)
from m365.graph.client import GraphReader, Scope
from m365.graph.errors import TransientFailure
from m365.graph.permissions import missing_roles
from tests.m365.wire_fake import Hostile, Reply, fails, says, token

TENANT = "6e7b1f40-0000-4000-8000-0000c0ffee00"
APP = "a1b2c3d4-0000-4000-8000-000000000001"
SECRET = ClientSecret(TENANT, APP, "s3cret~value")


class RealTime(SystemClock):
    """The machine's clock, as azure-identity reads it; sleeping is instant, hours can be added."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s

    def sleep(self, seconds: float) -> None:
        self.added_s += seconds


def signed_in(fake: Hostile, credential: Credential = SECRET) -> Tokens:
    return Tokens(fake.place, credential, RealTime())


def token_requests(fake: Hostile) -> int:
    return len(fake.paths(f"/{TENANT}/oauth2"))


def refusal(number: str, status: int = 401) -> Reply:
    text = f"AADSTS{number}: Something about app '{APP}' and value s3cret~value. Trace ID: 1"
    return says({"error": "invalid_client", "error_description": text}, status)


def certificate(password: bytes | None = None) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backup")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    sealing: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        sealing = serialization.BestAvailableEncryption(password)
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, sealing
    )


def test_one_token_serves_many_requests_and_threads_until_shortly_before_its_end() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token("Mail.Read"), token("Mail.Read"))
        clock = RealTime()
        tokens = Tokens(fake.place, SECRET, clock)
        got: list[str] = []
        threads = [threading.Thread(target=lambda: got.append(tokens.token())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert (len(got), len(set(got)), token_requests(fake)) == (8, 1, 1)
        clock.added_s += 3000
        assert tokens.token() == got[0]
        clock.added_s += 400
        tokens.refresh(got[0], "")
        assert token_requests(fake) == 2


def test_readers_made_for_every_step_sign_in_once() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token("Mail.Read"))
        fake.on("/v1.0/users", says({}))
        for _ in range(3):
            same = ClientSecret(TENANT, APP, "s3cret~value")
            GraphReader(fake.place, same, fake.limiter).get("/users", scope=Scope.directory())
        assert token_requests(fake) == 1
        other = ClientSecret(TENANT, APP, "other")
        assert tokens_for(fake.place, other, RealTime()) is not tokens_for(
            fake.place, SECRET, RealTime()
        )


def test_tokens_are_asked_for_graph_at_the_login_url_without_instance_discovery() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token())
        signed_in(fake).token()
        assert fake.paths() == [
            f"/{TENANT}/v2.0/.well-known/openid-configuration",
            f"/{TENANT}/oauth2/v2.0/token",
        ]
        assert b"graph.microsoft.com" not in fake.heard[1].body
        assert f"localhost%3A{fake.port}%2F.default".encode() in fake.heard[1].body


def test_after_a_401_a_really_new_token_is_fetched_once_for_all_threads() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token("A"), token("B"), token("C"))
        tokens = signed_in(fake)
        stale = tokens.token()
        challenge = 'Bearer realm="", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7InZhbHVlIjoiMSJ9fX0="'
        tokens.refresh(stale, challenge)
        fresh = tokens.token()
        tokens.refresh(stale, challenge)  # a second thread with the same old token
        assert fresh != stale
        assert (tokens.token(), token_requests(fake)) == (fresh, 2)
        assert b"nbf" in fake.heard[-1].body


@pytest.mark.parametrize("challenge", ["", "Bearer", 'claims="%%%"', 'claims="WzFd"'])
def test_a_challenge_without_claims_that_make_sense_still_gets_a_new_token(challenge: str) -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token("A"), token("B"))
        tokens = signed_in(fake)
        stale = tokens.token()
        tokens.refresh(stale, challenge)
        assert tokens.roles() == {"B"}


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        ("7000215", WrongSecret, "wrong"),
        ("7000222", WrongSecret, "expired"),
        ("700016", UnknownApp, "application"),
        ("7000112", UnknownApp, "disabled"),
        ("65001", ConsentMissing, "consent"),
        ("7000229", ConsentMissing, "never"),
        ("700027", WrongSecret, "certificate"),
        ("1000502", WrongSecret, "expired"),
        ("700024", WrongSecret, "another time"),
        ("53003", SignInFailed, "Conditional Access"),
        ("50034", SignInFailed, "refused"),
    ],
)
def test_each_refusal_of_the_sign_in_says_what_to_do(
    number: str, kind: type[SignInFailed], word: str
) -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, refusal(number))
        with pytest.raises(SignInFailed) as failed:
            signed_in(fake).token()
        assert type(failed.value) is kind
        assert word in failed.value.message
        assert (failed.value.aadsts, bool(failed.value.hint)) == (f"AADSTS{number}", True)


def test_an_unknown_tenant_is_told_from_the_first_question_already() -> None:
    with Hostile() as fake:
        fake.on(f"/{TENANT}/v2.0/.well-known/openid-configuration", refusal("90002", 400))
        with pytest.raises(UnknownTenant):
            signed_in(fake).token()
        with pytest.raises(UnknownTenant):
            signed_in(fake, ClientSecret("not a tenant!", APP, "x"))


def test_no_text_of_a_problem_holds_the_secret_or_what_the_service_wrote() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, refusal("7000215"))
        with pytest.raises(Problem) as failed:
            signed_in(fake).token()
        shown = json.dumps(failed.value.to_json()) + "".join(
            traceback.format_exception(failed.value)
        )
        assert "s3cret" not in shown
        assert "Trace ID" not in shown
        pem = Certificate(TENANT, APP, b"-----BEGIN", "passw0rd")
        for credential in (SECRET, pem):
            assert not any(word in repr(credential) for word in ("s3cret", "BEGIN", "passw0rd"))


def test_a_sign_in_service_that_cannot_be_reached_is_tried_three_times() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, Reply(dead=True))
        with pytest.raises(TransientFailure):
            signed_in(fake).token()
        assert token_requests(fake) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_sign_in_service_that_asks_for_a_pause_is_left_alone_for_so_long(status: int) -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, fails(status, Retry_After="45"), token("Mail.Read"))
        clock = RealTime()
        tokens = Tokens(fake.place, SECRET, clock)
        for added_s, left_s in ((0, 45), (40, 5)):
            clock.added_s = added_s
            with pytest.raises(Throttled) as asked:
                tokens.token()
            assert asked.value.retry_after_s == pytest.approx(left_s, abs=1)
        assert token_requests(fake) == 1
        clock.added_s = 50
        assert tokens.roles() == {"Mail.Read"}


def test_a_sign_in_service_that_fails_for_a_moment_is_asked_again() -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, fails(503), fails(500), token("Mail.Read"))
        assert signed_in(fake).roles() == {"Mail.Read"}
        assert token_requests(fake) == 3


@pytest.mark.parametrize("password", [None, b"passw0rd"])
def test_a_certificate_signs_an_assertion_instead_of_sending_a_secret(
    password: bytes | None,
) -> None:
    with Hostile() as fake:
        fake.on_sign_in(TENANT, token("Mail.Read"))
        text = password.decode() if password else None
        tokens = signed_in(fake, Certificate(TENANT, APP, certificate(password), text))
        assert tokens.roles() == {"Mail.Read"}
        assert b"client_assertion=" in fake.heard[-1].body
        assert b"client_secret" not in fake.heard[-1].body


@pytest.mark.parametrize(
    ("pem", "password"), [(b"", None), (b"rubbish", None), (b"-----BEGIN CERTIFICATE-----", None)]
)
def test_a_certificate_that_is_none_is_said_to_be_wrong(pem: bytes, password: str | None) -> None:
    with Hostile() as fake:
        with pytest.raises(WrongSecret):
            signed_in(fake, Certificate(TENANT, APP, pem, password))


def test_a_certificate_with_the_wrong_password_is_said_to_be_wrong() -> None:
    with Hostile() as fake:
        with pytest.raises(WrongSecret):
            signed_in(fake, Certificate(TENANT, APP, certificate(b"right"), "wrong"))


@pytest.mark.parametrize(
    ("needed", "granted", "missing"),
    [
        (["Mail.Read"], ["Mail.Read"], ()),
        (["Mail.Read"], ["mail.readwrite"], ()),
        (["Mail.ReadBasic.All"], ["Mail.Read"], ()),
        (["Files.Read.All"], ["Files.ReadWrite.All"], ()),
        (["Files.Read.All"], ["Sites.FullControl.All"], ()),
        (["User.Read.All"], ["Directory.Read.All"], ()),
        (["Mail.ReadWrite"], ["Mail.Read"], ("Mail.ReadWrite",)),
        (["Files.ReadWrite.All"], ["Files.Read.All"], ("Files.ReadWrite.All",)),
        (["Mail.Read", "User.Read.All"], [], ("Mail.Read", "User.Read.All")),
        (["Mail.Read"], ["Mail.ReadBasic.All"], ("Mail.Read",)),
    ],
)
def test_missing_permissions_are_those_that_no_wider_one_covers(
    needed: list[str], granted: list[str], missing: tuple[str, ...]
) -> None:
    assert missing_roles(needed, granted) == missing


def test_a_token_that_cannot_be_read_has_no_roles() -> None:
    with Hostile() as fake:
        opaque = says({"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600})
        fake.on_sign_in(TENANT, opaque)
        assert signed_in(fake).roles() == frozenset()
