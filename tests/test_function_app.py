"""What Azure finds behind the door: a golden list of functions, and nothing done at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import typing
from pathlib import Path

import activities
import function_app
import orchestrators
from local.host import functions_of, registered
from tests import project

GOLDEN = {
    "backup_organization": [("orchestrationTrigger", "context")],
    "drain_lane": [("orchestrationTrigger", "context")],
    "restore_items": [("orchestrationTrigger", "context")],
    "export_items": [("orchestrationTrigger", "context")],
    "verify_vault": [("orchestrationTrigger", "context")],
    "collect_vault": [("orchestrationTrigger", "context")],
    "rebuild_records": [("orchestrationTrigger", "context")],
    "plan_backup": [("activityTrigger", "request")],
    "shard_resources": [("activityTrigger", "request")],
    "drain": [("activityTrigger", "request")],
    "close_run": [("activityTrigger", "request")],
    "plan_restore": [("activityTrigger", "request")],
    "write_batch": [("activityTrigger", "request")],
    "close_restore": [("activityTrigger", "request")],
    "write_export": [("activityTrigger", "request")],
    "close_export": [("activityTrigger", "request")],
    "verify_slice": [("activityTrigger", "request")],
    "collect_slice": [("activityTrigger", "request")],
    "rebuild_slice": [("activityTrigger", "request")],
    "start_due_backups": [("durableClient", "client"), ("timerTrigger", "timer")],
    "web": [("durableClient", "client"), ("http", "$return"), ("httpTrigger", "req")],
}


def test_azure_finds_exactly_these_functions() -> None:
    found = {
        function.get_function_name(): sorted((b.type, b.name) for b in function.get_bindings())
        for function in registered(function_app.app)
    }
    assert found == GOLDEN


def test_stories_and_steps_that_exist_are_registered() -> None:
    functions = functions_of(function_app.app)
    assert set(functions.stories) == {story.__name__ for story in orchestrators.ALL}
    assert set(functions.steps) == {step.__name__ for step in activities.ALL}


def test_the_one_route_takes_every_path_and_leaves_sign_in_to_the_app() -> None:
    web = next(f for f in registered(function_app.app) if f.get_function_name() == "web")
    trigger = web.get_trigger().get_dict_repr()
    assert trigger["route"] == "{*path}"
    assert str(trigger["authLevel"]).lower().endswith("anonymous")
    assert {str(method).rsplit(".", 1)[-1] for method in trigger["methods"]} == {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
    }


def test_the_due_backups_are_looked_for_every_five_minutes() -> None:
    (timer,) = functions_of(function_app.app).timers
    assert (timer.name, timer.schedule) == ("start_due_backups", "0 */5 * * * *")


def test_importing_the_app_reads_no_settings_and_loads_no_web_framework(tmp_path: Path) -> None:
    code = (
        "import sys, json, function_app, engine.assembly as a;"
        "print(json.dumps([a._current is None,"
        " [m for m in ('fastapi', 'jinja2', 'msgraph', 'starlette') if m in sys.modules]]))"
    )
    nonsense = {"HOLDFAST_STEP_SECONDS": "nonsense", "HOLDFAST_STORAGE": "nonsense"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.ROOT,
        env={**os.environ, **nonsense},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == [True, []]


def test_every_parameter_is_annotated_with_a_class_as_the_functions_worker_demands() -> None:
    """It refuses to load anything else, dict[str, Any] among it, and says so only in Azure."""
    for step in activities.ALL:
        hints = typing.get_type_hints(step)
        assert hints.pop("return") is dict, step.__name__
        assert all(isinstance(hint, type) for hint in hints.values()), step.__name__
        assert not any(isinstance(hint, types.GenericAlias) for hint in hints.values())


def test_the_door_is_short() -> None:
    assert len(project.text("function_app.py").splitlines()) <= 40


def test_the_door_holds_one_app_object() -> None:
    """The Functions worker refuses to index a module that holds two."""
    import azure.functions as func

    apps = [v for v in vars(function_app).values() if isinstance(v, func.FunctionRegister)]
    assert apps == [function_app.app]


def test_host_json_names_the_settings_that_the_installation_makes() -> None:
    host = json.loads(project.text("host.json"))
    durable = host["extensions"]["durableTask"]
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert durable["hubName"] == "%DURABLE_HUB%"
    assert durable["storageProvider"]["connectionName"] == "DurableStorage"
    assert durable["extendedSessionsEnabled"] is False
