"""The Azure stores and tables under whole backups and a restore, on Microsoft's emulator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import simulator
from engine import policies, rebuild
from engine.assembly import App
from engine.restore_plan import RestoreRequest
from simulator import contoso
from state.counting import CountingTables
from state.names import ALL
from state.tables.azure_tables import AzureTables
from tests.azurite import azurite
from tests.end_to_end.installation import installation
from tests.engine.world import ORG, SCRYPT_N, World, calm_tenant, settings_for, take_in

__all__ = ["azurite"]  # a fixture is found by its name


def test_backups_and_a_restore_on_azure_storage(azurite: str, tmp_path: Path) -> None:
    tenant = calm_tenant(seed=9)
    with simulator.serve(tenant, ca_out=tmp_path / "ca.pem") as running:
        settings = settings_for(running, tmp_path, storage="azure", storage_connection=azurite)
        tables = CountingTables(AzureTables.from_connection_string(azurite))
        app = App(settings, tables=tables, scrypt_n=SCRYPT_N)
        made = World(app, running)
        take_in(app, running)
        document = {
            "services": ["mail", "drive"],
            "selection": {"mode": "include", "users": [made.mailbox.user_id]},
        }
        policies.change(app, ORG, document, 0)
        blobs = app.store_counts(ORG)

        blobs.reset()
        tables.writes = 0
        first = made.back_up()
        assert first["counts"]["items"] > 100
        ended = 1  # the run's own record
        assert blobs.writes - ended == first["counts"]["blob_writes"] <= 9  # pack, page, snapshot
        assert tables.writes <= 60  # of steps, runs, the directory and limits; none of items

        blobs.reset()
        tables.writes = 0
        made.back_up()
        assert blobs.writes == ended
        assert tables.writes <= 35  # counts are compared for the first time

        contoso.month(tenant)
        made.back_up()
        drive = f"drive:{tenant.users[made.mailbox.user_id].drive_id}"
        assert made.mail_in_vault() == made.mail_in_tenant()
        assert made.files_in_vault(drive) == made.files_in_tenant(drive)

        blobs.reset()
        tables.writes = 0
        restored = made.restore(RestoreRequest("mail", made.mailbox_id))
        assert restored["state"] == "green"
        assert restored["counts"]["created"] > 30
        assert blobs.writes <= 10  # request, plan, audit; batch, before, done of two batches; ended
        assert tables.writes <= 20
        made.verify()

        made.back_up()  # what was restored
        before = [(row.resource, row.head, row.items) for row in app.resources.all(ORG)]
        for table in ALL:
            for partition in list(tables.partitions(table)):
                tables.delete_partition(table, partition)
        made.app = App(settings, tables=tables, scrypt_n=SCRYPT_N)
        (request,) = (one for one in rebuild.request_rebuild(made.app, "test") if one.org == ORG)
        answer = rebuild.rebuild_slice(made.app, request)
        while answer["state"] == "more":
            request = replace(request, next=answer["next"])
            answer = rebuild.rebuild_slice(made.app, request)
        assert answer["state"] == "done"
        assert [(row.resource, row.head, row.items) for row in made.app.resources.all(ORG)] == [
            row for row in before if row[1] >= 0
        ]
        assert set(made.back_up()["detail"]["resources"]) == {"unchanged"}


def test_the_server_brings_its_own_azurite(azurite: str, tmp_path: Path) -> None:
    del azurite  # named so that this is skipped where there is none
    with installation(tmp_path, "--storage", "azurite") as made:
        made.start()  # it waits until /api/health answers
        made.take_in()

        assert made.api.of_org("GET", "")["has_credential"] is True
        assert not (tmp_path / "data" / "vaults").exists()
