"""The door Azure comes through: every trigger is registered here, and nothing else happens here."""

import asyncio
from typing import Any

import azure.durable_functions as df
import azure.functions as func

import activities
import orchestrators

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # App Service checks callers: api/auth.py

for story in orchestrators.ALL:
    app.orchestration_trigger(context_name="context")(story)

for step in activities.ALL:
    app.activity_trigger(input_name="request")(step)


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
@app.durable_client_input(client_name="client")
async def start_due_backups(timer: func.TimerRequest, client: Any) -> None:
    """Starts the backups that are due, and what a dead process had written down and not started."""
    from activities.schedule import due_runs
    from api.azure import DurableStories

    stories = DurableStories(lambda: client)
    for run in await asyncio.to_thread(due_runs):
        await stories.start(run["story"], run["message"], run["run"])


@app.route(route="{*path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@app.durable_client_input(client_name="client")
async def web(req: func.HttpRequest, client: Any, context: func.Context) -> func.HttpResponse:
    """The API and the console: one FastAPI app, imported here so that steps never load it."""
    from api import azure

    return await azure.answer(req, context, client)
