"""Runs in Python 3.13 with azure-functions-runtime: what Azure's worker does with function_app.py.

    python -m tests.runtime_worker FOLDER

Indexes the app in FOLDER, invokes the web function, an orchestrator, a step and the timer, and
prints one JSON object. The runtime speaks protobuf only at its edge, so plain stand-ins will do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

HUB = {
    "taskHubName": "hub",
    "creationUrls": {},
    "managementUrls": {},
    "baseUrl": "http://127.0.0.1:1/",
    "requiredQueryStringParameters": "",
    "rpcBaseUrl": "http://127.0.0.1:1/durabletask/",
}


class Messages:
    """Any message of the worker's protocol: keeps what it is made of."""

    def __getattr__(self, name: str) -> Any:
        def make(**fields: Any) -> SimpleNamespace:
            return SimpleNamespace(kind=name, **fields)

        constants = {"Success": 1, "Failure": 0, "inout": 2, "out": 1, "undefined": 0}
        for constant, value in constants.items():
            setattr(make, constant, value)
        return make


def main(folder: str) -> None:
    # As in Azure: installed packages are found before the app's own folders.
    sys.path[:] = [path for path in sys.path if path not in ("", folder)] + [folder]
    said = asyncio.run(_worked(folder))
    print(json.dumps(said))


async def _worked(folder: str) -> dict[str, Any]:
    from azure_functions_runtime import functions_metadata_request, worker_init_request
    from azure_functions_runtime.bindings.datumdef import Datum

    start = SimpleNamespace(capabilities={}, function_app_directory=folder)
    request = SimpleNamespace(
        request=SimpleNamespace(worker_init_request=start),
        properties={"host": "127.0.0.1", "protos": Messages()},
    )
    begun = await worker_init_request(request)
    if begun.result.status != 1:
        raise SystemExit(begun.result.exception.message)
    found = (await functions_metadata_request(request)).function_metadata_results
    ids = {function.name: function.function_id for function in found}
    client = ("client", Datum(json.dumps(HUB), "string"))
    timer = Datum(json.dumps({"IsPastDue": False}), "json")
    run = {"org": "contoso", "run": "backup-20261124t060000-000000", "steps_at_once": 2}
    return {
        "python": sys.version.split()[0],
        "functions": sorted(ids),
        "web": await _invoke(ids["web"], [("req", _http("/api/health")), client]),
        "refused": await _invoke(ids["web"], [("req", _http("/api/v1/organizations")), client]),
        "story": await _invoke(
            ids["backup_organization"], [("context", Datum(json.dumps(_episode(run)), "json"))]
        ),
        "step": await _invoke(ids["plan_backup"], [("request", Datum(json.dumps(run), "json"))]),
        "timer": await _invoke(ids["start_due_backups"], [("timer", timer), client]),
    }


async def _invoke(function: str, inputs: list[tuple[str, Any]]) -> dict[str, Any]:
    from azure_functions_runtime.native_invocation import invocation_request_native

    done, answer, _, error, trace = await invocation_request_native("1", function, inputs, {})
    return {"ok": done, "error": error, "trace": trace, "answer": _plain(answer)}


def _plain(datum: Any) -> Any:
    """A datum of data as JSON values."""
    value = getattr(datum, "value", datum)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _http(path: str) -> Any:
    from azure_functions_runtime.bindings.datumdef import Datum

    return Datum(
        {
            "method": Datum("GET", "string"),
            "url": Datum(f"http://127.0.0.1{path}", "string"),
            "headers": {"host": Datum("127.0.0.1", "string")},
            "params": {"path": Datum(path.lstrip("/"), "string")},
            "query": {},
            "body": Datum(b"", "bytes"),
        },
        "http",
    )


def _episode(run: dict[str, Any]) -> dict[str, Any]:
    when = {"EventId": -1, "IsPlayed": False, "Timestamp": "2026-11-24T06:00:00.000000Z"}
    started = {"EventType": 0, "Name": "backup_organization", "Version": "", **when}
    return {
        "history": [{"EventType": 12, **when}, {**started, "Input": json.dumps(run)}],
        "input": json.dumps(run),
        "instanceId": run["run"],
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }


if __name__ == "__main__":
    main(sys.argv[1])
