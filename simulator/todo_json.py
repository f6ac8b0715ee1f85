"""How lists, tasks and their files look as JSON, and what may be set of a task."""

import re

from simulator.expansion import expanded, extensions_json
from simulator.mail_json import wants_immutable
from simulator.tenant import Tenant
from simulator.todo import DATES, STATUSES, Task, TaskFile, TaskList, ToDo
from simulator.web import GraphError, Json, Request

_EXPANDED = ("checklistItems", "linkedResources", "attachments", "extensions")
_TEXTS = ("title", "categories", "body", "isReminderOn", "recurrence")
_IMPORTANCE = ("low", "normal", "high")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def view_of(tenant: Tenant, request: Request, options: dict[str, str] | None = None) -> Json:
    """What an answer shows; options replace the query's (a delta's first request)."""
    query = request.query if options is None else options
    immutable = wants_immutable(request)
    salted = tenant.quirks.volatile_ids and not immutable
    expand = expanded(query.get("$expand", ""), _EXPANDED)
    if expand and tenant.quirks.todo_expand == "refused":
        text = "The query parameter '$expand' is not supported."
        raise GraphError(400, "ErrorInvalidUrlQuery", text)
    if tenant.quirks.todo_expand == "ignored":
        expand.clear()
    select = {name.strip() for name in query.get("$select", "").split(",")} - {""}
    salt = tenant.rng.getrandbits(32) if salted else 0
    return {"immutable": immutable, "salt": salt, "select": select, "expand": expand}


def list_json(found: TaskList) -> Json:
    """A list as Graph shows it."""
    return {
        "@odata.type": "#microsoft.graph.todoTaskList",
        "@odata.etag": f'W/"list{found.number}"', "displayName": found.name, "isOwner": True,
        "isShared": found.shared, "wellknownListName": found.well_known, "id": found.id,
    }  # fmt: skip


def task_json(todo: ToDo, task: Task, view: Json, *, older: bool = False) -> Json:
    """A task, with what the view expands; what is null is left out, as in the service."""
    properties = task.older if older and task.older is not None else task.properties
    facts = properties | {"hasAttachments": bool(task.files)}
    select = view["select"]
    shown: Json = {"@odata.etag": f'W/"{todo.guid.hex()[:12]}{task.change - older:08d}"'}
    shown["id"] = todo.id_of(task.number, task.moves, view)
    shown |= {name: value for name, value in facts.items() if not select or name in select}
    expand = view["expand"]
    if "checklistItems" in expand:
        shown["checklistItems"] = list(task.checklist.values())
    if "linkedResources" in expand:
        shown["linkedResources"] = list(task.links.values())
    if "attachments" in expand:
        shown["attachments"] = [file_json(todo, task, one, view) for one in task.files.values()]
    if "extensions" in expand:
        shown["extensions"] = extensions_json(task.extensions, expand["extensions"])
    return shown


def file_json(todo: ToDo, task: Task, file: TaskFile, view: Json) -> Json:
    """An attachment without its bytes."""
    return {
        "@odata.type": "#microsoft.graph.taskFileAttachment",
        "id": todo.id_of(task.number, task.moves, view, file.number),
        "size": file.content.size, **file.properties,
    }  # fmt: skip


def given(body: Json) -> Json:
    """What a body sets of a task, as the service keeps it; read-only names are passed over."""
    found: Json = {name: body[name] for name in _TEXTS if name in body}
    for name in DATES:
        if name in body:
            found[name] = _moment(name, body[name])
    for name, known in (("status", STATUSES), ("importance", _IMPORTANCE)):
        if body.get(name) is not None:
            if body[name] not in known:
                raise _wrong(name)
            found[name] = body[name]
    if found.get("recurrence") is not None and not (found.get("dueDateTime")):
        raise GraphError(400, "invalidRequest", "A recurring task needs a due date.")
    if found.get("body") is not None and str(found["body"].get("contentType")) not in (
        "text",
        "html",
    ):
        raise _wrong("body")
    return found


def link_given(body: Json) -> Json:
    """What a body sets of a linked resource."""
    names = ("webUrl", "applicationName", "displayName", "externalId")
    return {name: body[name] for name in names if body.get(name) is not None}


def step_given(body: Json) -> Json:
    """What a body sets of a checklist item."""
    names = ("displayName", "isChecked", "checkedDateTime", "createdDateTime")
    return {name: body[name] for name in names if body.get(name) is not None}


def _moment(name: str, value: object) -> Json | None:
    if value is None:
        return None
    text = value.get("dateTime") if isinstance(value, dict) else None
    found = _MOMENT.match(text) if isinstance(text, str) else None
    if found is None or not isinstance(value, dict) or not value.get("timeZone"):
        raise _wrong(name)
    return {"dateTime": f"{found[0]}.0000000", "timeZone": value["timeZone"]}


def _wrong(name: str) -> GraphError:
    return GraphError(400, "invalidRequest", f"The property {name} is not valid.")
