"""Keys over HTTP: what is shown, what is told once, what is refused, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api import key_answers as answers
from base.clock import SystemClock
from cli.client import Client
from cli.commands import app as command
from tests.api import house as houses
from tests.api.house import BELOW, House
from tests.api.test_answers import documented
from tests.engine.world import calm_tenant, world
from tests.vault.test_keys import PUBLIC_PEM

runner = CliRunner()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[House]:
    """A house of one test: keys are changed in it."""
    with world(calm_tenant(seed=5), tmp_path) as made:
        yield houses.over(made)


def posted(house: House, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = house.client.post(f"{BELOW}/keys{path}", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def run(house: House, *arguments: str, typed: str = "") -> Result:
    client = Client(house.client, SystemClock())
    return runner.invoke(command, ["keys", *arguments], obj=client, input=typed)


def test_keys_are_shown_without_anything_secret(house: House) -> None:
    shown = house.get("/keys")
    documented(answers.KeysOut, shown)
    documented(answers.SlotOut, shown["slots"][0])
    documented(answers.DataKeyOut, shown["data_keys"][0])
    assert shown["recovery"]
    assert [slot["purpose"] for slot in shown["slots"]] == ["service", "recovery"]
    assert [slot["in_use"] for slot in shown["slots"]] == [True, False]
    assert not {"wrapped", "salt", "key", "master"} & set(str(shown).replace("'", " ").split())


def test_both_layers_are_rotated_and_the_answer_says_what_that_means(own: House) -> None:
    done = posted(own, "/rotate", {"layer": "data"})
    documented(answers.KeysChangedOut, done)
    assert [key["state"] for key in done["data_keys"]] == ["retired", "active"]
    refused = posted(own, "/rotate", {"layer": "slots"}, 409)
    assert (refused["code"], refused["details"]["slot"]) == ("vault-slot-not-at-hand", "1-2")
    kept = posted(own, "/rotate", {"layer": "slots", "keep_master": True})
    assert not kept["fresh_master"]
    posted(own, "/rotate", {"layer": "both"}, 422)


def test_slots_come_and_go_and_the_last_recovery_slot_stays(own: House) -> None:
    made = posted(own, "/slots", {"kind": "public-key", "public_key": PUBLIC_PEM}, 201)
    documented(answers.SlotAddedOut, made)
    assert (made["passphrase"], made["recovery_kit"]) == ("", "")
    gone = own.client.delete(f"{BELOW}/keys/slots/1-2")
    assert gone.status_code == 200, gone.text
    assert gone.json()["fresh_master"]
    last = own.client.delete(f"{BELOW}/keys/slots/{made['added'][0]}")
    assert last.json()["code"] == "vault-too-few-slots"
    assert own.client.delete(f"{BELOW}/keys/slots/1-2").json()["code"] == "vault-slot-missing"
    assert own.client.delete(f"{BELOW}/keys/slots/1-1").json()["code"] == "vault-slot-in-use"
    new = posted(own, "/slots", {"kind": "passphrase"}, 201)
    assert len(new["passphrase"]) == 39
    assert new["passphrase"] in new["recovery_kit"]
    acts = [row["action"] for row in own.get("/audit")["items"]]
    assert acts[:3] == ["key-slot-added", "key-slot-dropped", "key-slot-added"]
    assert new["passphrase"] not in own.client.get(f"{BELOW}/audit").text


def test_the_recovery_kit_is_a_page_of_its_own_that_loads_nothing(house: House) -> None:
    page = house.client.get(f"{BELOW}/keys/recovery-kit")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<h1>Recovery kit: Contoso (contoso)</h1>" in page.text
    assert "<script" not in page.text
    text = house.client.get(f"{BELOW}/keys/recovery-kit", params={"form": "text"})
    assert text.headers["content-type"].startswith("text/plain")
    assert text.text.startswith("RECOVERY KIT: Contoso (contoso)")


def test_shredding_wants_the_id_typed_out_and_ends_everything(own: House) -> None:
    assert posted(own, "/shred", {"confirm": "yes"}, 422)["code"] == "invalid-input"
    done = posted(own, "/shred", {"confirm": houses.ORG})
    documented(answers.ShreddedOut, done)
    assert done["shredded"]
    for answer in (
        own.client.post(f"{BELOW}/backups"),
        own.client.get(f"{BELOW}/keys"),
        own.client.post(f"{BELOW}/keys/rotate", json={"layer": "data"}),
    ):
        assert answer.status_code == 410, answer.text
        assert answer.json()["code"] == "organization-shredded"
    shown = own.get("")
    assert shown["shredded_at"]
    assert own.get("/audit")["items"][0]["action"] == "shredded"
    assert own.client.delete(BELOW).status_code == 204


def test_the_command_line_does_the_same(own: House, tmp_path: Path) -> None:
    first = run(own, "show", houses.ORG)
    assert first.exit_code == 0, (first.output, first.exception)
    assert [line.split("\t")[0] for line in first.stdout.splitlines()] == [
        "1-1",
        "1-2",
        "data key 1",
    ]
    rotated = run(own, "rotate", houses.ORG, "data")
    assert "data key 2\tactive" in rotated.stdout
    pem = tmp_path / "public.pem"
    pem.write_text(PUBLIC_PEM)
    assert "3-1\tpublic-key" in run(own, "add-slot", houses.ORG, "--public-key", str(pem)).stdout
    replaced = run(own, "add-slot", houses.ORG, "--replaces", "1-2", typed="\n")
    assert "RECOVERY KIT" in replaced.stdout
    assert "4-1\tpassphrase\trecovery" in replaced.stdout
    dropped = run(own, "drop-slot", houses.ORG, "4-1", typed="\n")
    assert dropped.exit_code == 0, (dropped.output, dropped.exception)
    page = tmp_path / "kit.html"
    assert run(own, "kit", houses.ORG, "-o", str(page)).exit_code == 0
    assert "<table>" in page.read_text("utf-8")
    shredded = run(own, "shred", houses.ORG, typed=f"{houses.ORG}\n")
    assert "1 key files destroyed, 0 kept." in shredded.stdout
    assert shredded.exit_code == 0
