"""What happens in the demo, one method a chapter, in the order a person would live through it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from local import demo_checks, demo_coverage, demo_people, demo_sites
from local.demo_checks import Checks
from local.demo_client import DemoFailed, Running
from local.demo_report import Display

Resource = Mapping[str, Any]
_POLICY = ("services", "selection", "protection", "choices", "schedule", "version")


class Story:
    """Holds what later chapters need of earlier ones."""

    def __init__(self, installation: Running, display: Display) -> None:
        self._installation, self._display = installation, display
        self._api, self._control = installation.api, installation.control
        self._facts = installation.facts
        self._checks = Checks()
        self._runs: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, int] = {}
        self._restored: Counter[str] = Counter()
        self.statement = b""  # of coverage, as the file that people download

    def tell(self) -> None:
        """The whole story."""
        self._take_in()
        self._back_up("first backup")
        first, heads = self._control.truth(), self._heads()
        self._compare("first backup", first)
        self._rotate_keys()
        self._control.mutate({"action": "month"})
        self._back_up("after a month")
        truth = self._control.truth()
        self._compare("after a month", truth)
        self._back_up("nothing changed")
        self._state_coverage(truth)
        self._look_around(first, heads, truth)
        self._restore_elsewhere(truth)
        self._restore_in_place(truth)
        self._take_away(truth)
        self._verify("Verify the vault: read back every byte")
        self._lose_tables()
        self._collect()
        self._verify("Verify what is left")

    def result(self, seconds: float) -> dict[str, Any]:
        """The figures, as --json writes them."""
        first = self._runs["first backup"]["counts"]
        totals: Counter[str] = Counter()
        for run in self._runs.values():
            totals.update(run["counts"])
        return {
            "ok": not self._checks.differences,
            "items_backed_up": first["items"],
            "items_compared": self._checks.total,
            "differences": self._checks.differences,
            "requests": self._control.requests(),
            "blob_writes": totals["blob_writes"],
            "seconds": round(seconds, 1),
            "requests_per_item": round(first["requests"] / first["items"], 2),
            "blob_writes_per_item": round(first["blob_writes"] / first["items"], 3),
            "raw_bytes": first.get("raw_bytes", 0),
            "new_bytes": first.get("new_bytes", 0),
            "stored_bytes": first["stored_bytes"],
            "runs": {name: run["counts"] for name, run in self._runs.items()},
            "requests_seen": self._requests,
            "restored": dict(self._restored),
            "comparisons": self._checks.compared,
            "left_out": self._checks.left_out,
            "coverage": json.loads(self.statement)["totals"],
        }

    # --- Chapters ---

    def _take_in(self) -> None:
        with self._display.chapter("Take in the organization and test the connection"):
            apps = self._facts["apps"]
            # So that nobody waits for the next minute's share of SharePoint.
            self._control.mutate({"action": "buy_licences", "count": 60_000})
            body = {
                "name": "Contoso",
                "tenant_id": self._facts["tenant_id"],
                "credential": _credential(apps["backup"]),
                "restore_credential": _credential(apps["restore"]),
            }
            self._api.org = self._api.call("POST", "/organizations", body)["id"]
            if not self._api.of_org("POST", "/connection-test")["ok"]:
                raise DemoFailed("The connection test found something missing.")
            policy = self._api.of_org("GET", "/policy")
            policy = {key: policy[key] for key in _POLICY}
            policy["services"] += ["archive", "notes", "chats"]  # copied where somebody asks for it
            self._api.of_org("PUT", "/policy", {**policy, "choices": {"drive": {"versions": 3}}})

    def _back_up(self, name: str) -> None:
        before = self._control.requests()
        with self._display.run(f"Back up: {name}") as watch:
            run = self._api.of_org("POST", "/backups")["id"]
            ended = self._api.finished(run, watch)
        if ended["state"] not in ("green", "amber"):
            raise DemoFailed("A backup failed.", state=ended["state"], run_code=ended["code"])
        self._runs[name] = ended
        self._requests[name] = self._control.requests() - before

    def _compare(self, name: str, truth: Mapping[str, Any]) -> None:
        """Everything protected, against what the tenant holds at this moment."""
        rows = list(self._protected())
        with self._display.steps(f"Compare with the tenant's truth: {name}", len(rows)) as step:
            for row in rows:
                demo_people.held(self._checks, self._api, row, row["head"], truth)
                step()

    def _heads(self) -> dict[str, int]:
        """The newest restore point of every mailbox's mail."""
        return {row["resource"]: row["head"] for row in self._largest("mail")}

    def _state_coverage(self, truth: Mapping[str, Any]) -> None:
        """What is protected, partly or not, in every form that people and programs get."""
        with self._display.chapter("Ask for the coverage statement, and compare it"):
            self.statement = demo_coverage.exported(self._api)
            demo_coverage.compared(self._checks, self._api, self.statement, truth)

    def _look_around(
        self, first: Mapping[str, Any], heads: Mapping[str, int], truth: Mapping[str, Any]
    ) -> None:
        """The state of a month ago, a search, and a look at what was found."""
        source = self._largest("mail")[0]
        with self._display.chapter("Browse an earlier restore point, search, preview"):
            head = heads[source["resource"]]
            demo_people.held(self._checks, self._api, source, head, first)
            wanted = next(
                message
                for message in truth["mailboxes"][_id(source)]["messages"]
                if message["folder"] == ["Inbox"] and len(message["subject"] or "") > 12
            )
            query = urlencode({"q": wanted["subject"], "resource": source["resource"]})
            found = self._api.of_org("GET", f"/search?{query}")["items"]
            ids = [one["id"] for one in found]
            self._checks.same("found by its subject", True, wanted["id"] in ids, wanted["id"])
            where = {key: source[key] for key in ("service", "resource")}
            item = quote(wanted["id"], safe="")
            seen = self._api.of_org("GET", f"/items/{item}/preview?{urlencode(where)}")
            senders = dict(seen["people"]).get("From", "")
            sender = wanted["from"]["emailAddress"]["address"]
            self._checks.same("preview names the sender", True, sender in senders, wanted["id"])

    def _restore_elsewhere(self, truth: Mapping[str, Any]) -> None:
        """A whole mailbox and a whole drive into somebody else's."""
        for service, kind in (("mail", "mailboxes"), ("drive", "drives")):
            source, target = self._largest(service)[:2]
            body = {
                "service": service,
                "resource": source["resource"],
                "target": target["resource"],
            }
            rows = self._restore(f"Restore {service} into another place", body)
            after = self._control.truth()[kind][_id(target)]
            self._check_restored(service, rows, truth[kind][_id(source)], after)
        for service in ("calendar", "contacts", "tasks"):
            source, target = self._largest(service)[:2]
            body = {
                "service": service,
                "resource": source["resource"],
                "target": target["resource"],
            }
            rows = self._restore(f"Restore {service} into another mailbox", body)
            items = demo_people.COMPARISONS[service].items
            after = items(self._control.truth(), _id(target))
            before = items(truth, _id(source))
            demo_people.restored(self._checks, service, rows, before, after)
        for service in demo_sites.RESTORED:
            self._restore_part_of_a_site(service, truth)

    def _restore_part_of_a_site(self, service: str, truth: Mapping[str, Any]) -> None:
        """Into another site or group, where there is one."""
        source, *others = (row["resource"] for row in self._largest(service))
        target = others[0] if others else source
        body = {"service": service, "resource": source, "target": target}
        rows = self._restore(f"Restore {service} into another place", body)
        before, after = truth[service], self._control.truth()[service]
        original, copy = before[source.split(":", 1)[1]], after[target.split(":", 1)[1]]
        demo_sites.RESTORED[service](self._checks, rows, original, copy)

    def _restore_in_place(self, truth: Mapping[str, Any]) -> None:
        """Things are deleted in the tenant and come back where they were; the rest is left
        alone.
        """
        for service, kind in (("mail", "mailboxes"), ("drive", "drives")):
            source = self._largest(service)[0]
            before = truth[kind][_id(source)]
            lost = self._lose_some(service, source, before)
            body = {"service": service, "resource": source["resource"], "place": "original"}
            rows = self._restore(f"Restore deleted {service} in place", {**body, "items": lost})
            self._checks.same("items brought back", len(lost), len(rows), source["resource"])
            after = self._control.truth()[kind][_id(source)]
            self._check_restored(service, rows, before, after)
            again = self._restore(f"Restore {service} again: skip", {**body, "items": lost})
            kept = Counter(row["outcome"] for row in again)
            self._checks.same("items skipped", len(lost), kept["skipped"], source["resource"])

    def _take_away(self, truth: Mapping[str, Any]) -> None:
        """A mailbox as a zip of .eml files."""
        source = self._largest("mail")[-1]
        with self._display.run("Download a mailbox as a zip of .eml files") as watch:
            body = {"service": "mail", "resource": source["resource"]}
            run = self._api.of_org("POST", "/exports", body)["id"]
            if self._api.finished(run, watch)["state"] != "green":
                raise DemoFailed("The export failed.")
            data = b"".join(self._api.blocks(f"/exports/{run}/archive"))
        where = {"service": "mail", "resource": source["resource"], "snapshot": str(source["head"])}
        entries = self._api.items("mail", source["resource"], source["head"])
        kept = [entry["id"] for entry in entries if entry["kind"] != "folder"]
        hashes = {m["id"]: m["mime_sha256"] for m in truth["mailboxes"][_id(source)]["messages"]}
        whole = [key for key in kept if self._has_mime(key, where)]
        self._restored["files in the zip"] += demo_checks.archive(
            self._checks, data, [hashes[key] for key in whole]
        )

    def _rotate_keys(self) -> None:
        """The next backup writes under a new data key, and the passphrase is another one."""
        with self._display.chapter("Rotate the data key, and exchange the recovery passphrase"):
            self._api.of_org("POST", "/keys/rotate", {"layer": "data"})
            slots = self._api.of_org("GET", "/keys")["slots"]
            old = next(slot["id"] for slot in slots if slot["purpose"] == "recovery")
            wanted = {"kind": "passphrase", "replaces": old}
            self._api.of_org("POST", "/keys/slots", wanted)
            keys = self._api.of_org("GET", "/keys")
            self._checks.same("data keys", 2, len(keys["data_keys"]), "keys")
            self._checks.same("recovery slot", True, keys["recovery"], "keys")

    def _lose_tables(self) -> None:
        """Deletes every table; the vault brings back what they said."""
        before = self._told()
        with self._display.chapter("Delete every table, and rebuild them from the vault"):
            self._installation.lose_tables()
            left = self._api.call("GET", "/organizations")["items"]
            self._checks.same("organizations left", [], left, "tables")
            for one in self._api.call("POST", "/rebuilds")["rebuilds"]:
                self._api.finished(one["run"], lambda _: None)
        after = self._told()
        for name, wanted in before.items():
            self._checks.same(f"{name} after a rebuild", wanted, after[name], "tables")

    def _told(self) -> dict[str, Any]:
        rows = self._protected()
        return {
            "organization": self._api.of_org("GET", ""),
            "policy": self._api.of_org("GET", "/policy"),
            "audit": [one["hash"] for one in self._api.all_of("/audit")],
            "restore points": sorted((row["resource"], row["head"], row["items"]) for row in rows),
            "names": sorted((row["resource"], row["name"]) for row in rows),
            "coverage": demo_coverage.states(self._api.all_of("/coverage/rows?limit=500")),
        }

    def _collect(self) -> None:
        """Keeps one restore point of everything; the others expire."""
        with self._display.run("Keep the newest restore points only, and collect") as watch:
            policy = self._api.of_org("GET", "/policy")
            policy = {key: policy[key] for key in _POLICY}
            self._api.of_org("PUT", "/policy", {**policy, "retention": {"last": 1}})
            said = self._collected({"dry_run": True}, watch)
            done = self._collected({}, watch)
        self._checks.same("what a dry run says", said, done, "collection")
        left = max(
            len(list(self._api.all_of(f"/snapshots?{urlencode(where)}")))
            for where in (
                {"service": row["service"], "resource": row["resource"]}
                for row in self._protected()
            )
        )
        self._checks.same("restore points of each resource", 1, left, "collection")

    def _collected(self, asked: Mapping[str, Any], watch: Any) -> dict[str, Any]:
        run = self._api.of_org("POST", "/collections", asked)["id"]
        self._api.finished(run, watch)
        report: dict[str, Any] = self._api.of_org("GET", f"/collections/{run}")["report"]
        return {key: report[key] for key in ("snapshots_expired", "packs", "bytes")}

    def _verify(self, title: str) -> None:
        with self._display.run(title) as watch:
            run = self._api.of_org("POST", "/verifications", {})["id"]
            state = self._api.finished(run, watch)["state"]
        self._checks.same("vault verifies", "green", state, "verification")

    # --- Pieces ---

    def _protected(self) -> list[Resource]:
        rows = self._api.all_of("/resources?limit=500")
        return [row for row in rows if row["state"] == "protected" and row["head"]]

    def _largest(self, service: str) -> list[Resource]:
        """The service's resources, the one with most items first."""
        rows = [row for row in self._protected() if row["service"] == service]
        return sorted(rows, key=lambda row: -int(row["items"]))

    def _restore(self, title: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._api.of_org("POST", "/restores", {**body, "dry_run": True})
        with self._display.run(title) as watch:
            run = self._api.of_org("POST", "/restores", body)["id"]
            ended = self._api.finished(run, watch)
        if ended["state"] not in ("green", "amber"):
            raise DemoFailed("A restore failed.", state=ended["state"], run_code=ended["code"])
        rows = list(self._api.all_of(f"/restores/{run}/report"))
        self._restored.update(row["outcome"] for row in rows)
        for row in rows:
            if row["outcome"] == "failed":
                self._checks.same("item restored", "written", "failed", row["id"])
        return rows

    def _check_restored(
        self, service: str, rows: list[dict[str, Any]], before: Any, after: Any
    ) -> None:
        if service == "mail":
            demo_checks.mail_restored(self._checks, rows, before, after)
        else:
            demo_checks.files_restored(self._checks, rows, before, after)

    def _lose_some(self, service: str, source: Resource, before: Any) -> list[str]:
        """Deletes a few items in the tenant for good; answers their ids."""
        if service == "mail":
            inbox = next(f["id"] for f in before["folders"] if f["well_known"] == "inbox")
            held = [m for m in before["messages"] if m["folder_id"] == inbox and not m["broken"]]
            lost = [message["id"] for message in held[:25]]
            orders = [
                {
                    "action": "delete_message",
                    "mailbox": _id(source),
                    "message": key,
                    "for_good": True,
                }
                for key in lost
            ]
        else:
            held = [one for one in before if one["kind"] == "file" and one["readable"]]
            lost = [one["id"] for one in held[:25]]
            orders = [{"action": "delete_item", "drive": _id(source), "item": key} for key in lost]
        self._control.mutate(*orders)
        return lost

    def _has_mime(self, item: str, where: Mapping[str, str]) -> bool:
        shown = self._api.of_org("GET", f"/items/{quote(item, safe='')}?{urlencode(where)}")
        return any(part["role"] == "mime" for part in shown["parts"])


def _credential(app: Mapping[str, str]) -> dict[str, str]:
    return {"client_id": app["client_id"], "client_secret": app["client_secret"]}


def _id(row: Resource) -> str:
    return str(row["resource"]).split(":", 1)[1]
