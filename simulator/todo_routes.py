"""To Do over HTTP: lists, tasks, checklists, linked resources, extensions and feeds."""

from collections.abc import Callable

from simulator import outlook_feed
from simulator.expansion import extension_in, extension_of
from simulator.mail_json import applied
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import not_found
from simulator.tenant import Tenant
from simulator.todo import Task, TaskList, ToDo, todo_of
from simulator.todo_json import given, link_given, list_json, step_given, task_json, view_of
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Tasks.Read.All", "Tasks.ReadWrite.All")
WRITE = ("Tasks.ReadWrite.All",)
_DELTA = ("$select", "$top", "$expand")


def opened(tenant: Tenant, user: str) -> ToDo:
    """The tasks of a user, unless this tenant gives applications none of anybody's."""
    found = todo_of(tenant, user)
    how = tenant.quirks.todo_for_applications
    if how == "unauthorized":
        raise GraphError(401, "UnknownError", "")
    if how == "forbidden":
        raise GraphError(403, "ErrorAccessDenied", "Access is denied.")
    return found


# Lists


def list_lists(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET todo/lists."""
    found = list(opened(tenant, user).lists.values())
    skip, size = page_bounds(request)
    values = [list_json(one) for one in found[skip : skip + size]]
    return Answer(200, with_next(request, f"/users/{user}/todo/lists", values, len(found), {}))


def lists_delta(tenant: Tenant, request: Request, user: str) -> Answer:
    """GET todo/lists/delta."""
    todo = opened(tenant, user)
    name = f"todoLists/{todo.user_id}"
    page, _ = outlook_feed.page_of(tenant, request, name, todo.list_log, todo.sequence)
    values: list[Json | None] = []
    for list_id, variant in page.entries:
        found = todo.lists.get(list_id)
        if variant in ("deleted", "changed"):
            values.append(outlook_feed.removed("todoTaskList", list_id, variant))
        elif found is not None:
            values.append(list_json(found))
    path = f"/users/{todo.user_id}/todo/lists/delta"
    return outlook_feed.answer_of(tenant, request, page, "todoTaskList", path, values)


def create_list(tenant: Tenant, request: Request, user: str) -> Answer:
    """POST todo/lists."""
    name = request.json().get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise GraphError(400, "invalidRequest", "displayName is required.")
    return Answer(201, list_json(opened(tenant, user).add_list(name)))


def get_list(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """GET todo/lists/{list}."""
    return Answer(200, list_json(opened(tenant, user).list_of(tasklist)))


def change_list(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """PATCH: the display name."""
    todo = opened(tenant, user)
    found = todo.list_of(tasklist)
    todo.rename_list(found, str(request.json().get("displayName")))
    return Answer(200, list_json(found))


def delete_list(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """DELETE: with everything in it."""
    todo = opened(tenant, user)
    todo.delete_list(todo.list_of(tasklist))
    return Answer(204)


# Tasks


def list_tasks(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """GET …/tasks."""
    todo = opened(tenant, user)
    tasks = list(todo.list_of(tasklist).tasks.values())
    skip, size = page_bounds(request)
    view = view_of(tenant, request)
    values = [task_json(todo, one, view) for one in tasks[skip : skip + size]]
    path = f"/users/{user}/todo/lists/{tasklist}/tasks"
    return Answer(200, with_next(request, path, values, len(tasks), {}), applied(request))


def tasks_delta(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """GET …/tasks/delta: $select, $top and $expand, in the first request."""
    todo = opened(tenant, user)
    found = todo.list_of(tasklist)
    if "$skiptoken" not in request.query and "$deltatoken" not in request.query:
        view_of(tenant, request)
    name = f"tasks/{todo.user_id}/{found.id}"
    page, options = outlook_feed.page_of(tenant, request, name, found.log, todo.sequence, _DELTA)
    view = view_of(tenant, request, options)
    values: list[Json | None] = []
    for number, variant in page.entries:
        task = found.tasks.get(number)
        if variant in ("deleted", "changed"):
            moves = task.moves if task else found.left.get(number, 0)
            gone = todo.id_of(number, moves, view)
            values.append(outlook_feed.removed("todoTask", gone, variant))
        elif task is not None:
            values.append(task_json(todo, task, view, older=variant == "older"))
    path = f"/users/{todo.user_id}/todo/lists/{found.id}/tasks/delta"
    return outlook_feed.answer_of(tenant, request, page, "todoTask", path, values)


def get_task(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """GET …/tasks/{task}."""
    todo, found = found_task(tenant, user, tasklist, task)
    return Answer(200, task_json(todo, found, view_of(tenant, request)), applied(request))


def create_task(tenant: Tenant, request: Request, user: str, tasklist: str) -> Answer:
    """POST …/tasks, with linked resources and open extensions in the same request."""
    todo, body = opened(tenant, user), request.json()
    into = todo.list_of(tasklist)
    if into is todo.flagged:
        raise GraphError(400, "invalidRequest", "Tasks cannot be created in this list.")
    if body.get("extensions") and tenant.quirks.todo_extensions == "refused":
        raise GraphError(400, "invalidRequest", "Extensions are not supported.")
    made = todo.add(into, _given(tenant, body))
    for link in body.get("linkedResources") or []:
        todo.add_link(made, link_given(link))
    made.extensions = dict(extension_of(one) for one in body.get("extensions") or [])
    shown = task_json(todo, made, view_of(tenant, request))
    if made.links:
        shown["linkedResources"] = list(made.links.values())
    return Answer(201, shown, applied(request))


def patch_task(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """PATCH …/tasks/{task}."""
    todo, found = found_task(tenant, user, tasklist, task)
    todo.change(found, **_given(tenant, request.json()))
    return Answer(200, task_json(todo, found, view_of(tenant, request)), applied(request))


def _given(tenant: Tenant, body: Json) -> Json:
    found = given(body)
    if tenant.quirks.todo_completes_today:
        found.pop("completedDateTime", None)
    return found


def delete_task(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """DELETE …/tasks/{task}."""
    todo, found = found_task(tenant, user, tasklist, task)
    todo.delete(found)
    return Answer(204)


def found_task(tenant: Tenant, user: str, tasklist: str, task: str) -> tuple[ToDo, Task]:
    """A task of a list; the service's errors else."""
    todo = opened(tenant, user)
    found: TaskList = todo.list_of(tasklist)
    return todo, todo.find(found, task)


# What belongs to a task


def list_steps(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """GET …/checklistItems."""
    _, found = found_task(tenant, user, tasklist, task)
    return Answer(200, {"value": list(found.checklist.values())})


def add_step(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """POST …/checklistItems."""
    todo, found = found_task(tenant, user, tasklist, task)
    return Answer(201, todo.add_step(found, step_given(request.json())))


def list_links(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """GET …/linkedResources."""
    _, found = found_task(tenant, user, tasklist, task)
    return Answer(200, {"value": list(found.links.values())})


def add_link(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """POST …/linkedResources."""
    todo, found = found_task(tenant, user, tasklist, task)
    return Answer(201, todo.add_link(found, link_given(request.json())))


def change_part(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, part: str
) -> Answer:
    """PATCH …/checklistItems/{part} or …/linkedResources/{part}."""
    todo, found = found_task(tenant, user, tasklist, task)
    steps = "checklistItems" in request.segments
    held = found.checklist if steps else found.links
    if part not in held:
        raise not_found()
    held[part] |= step_given(request.json()) if steps else link_given(request.json())
    todo.touch(found)
    return Answer(200, held[part])


def delete_part(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, part: str
) -> Answer:
    """DELETE …/checklistItems/{part} or …/linkedResources/{part}."""
    todo, found = found_task(tenant, user, tasklist, task)
    held = found.checklist if "checklistItems" in request.segments else found.links
    if held.pop(part, None) is None:
        raise not_found()
    todo.touch(found)
    return Answer(204)


def add_extension(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """POST …/extensions."""
    todo, found = found_task(tenant, user, tasklist, task)
    name, shown = extension_of(request.json())
    found.extensions[name] = shown
    todo.touch(found)
    return Answer(201, shown)


def get_extension(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, extension: str
) -> Answer:
    """GET …/extensions/{extension}."""
    _, found = found_task(tenant, user, tasklist, task)
    return Answer(200, found.extensions[extension_in(found.extensions, extension)])


def change_extension(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, extension: str
) -> Answer:
    """PATCH …/extensions/{extension}: its data is replaced."""
    todo, found = found_task(tenant, user, tasklist, task)
    name = extension_in(found.extensions, extension)
    found.extensions[name] = extension_of({"extensionName": name} | request.json())[1]
    todo.touch(found)
    return Answer(200, found.extensions[name])


_Handler = Callable[..., Answer]
_L = "/users/{user}/todo/lists"
_T = f"{_L}/{{tasklist}}/tasks"
_ONE = f"{_T}/{{task}}"
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _L, list_lists, READ),
    ("POST", _L, create_list, WRITE),
    ("GET", f"{_L}/delta", lists_delta, READ),
    ("GET", f"{_L}/{{tasklist}}", get_list, READ),
    ("PATCH", f"{_L}/{{tasklist}}", change_list, WRITE),
    ("DELETE", f"{_L}/{{tasklist}}", delete_list, WRITE),
    ("GET", _T, list_tasks, READ),
    ("POST", _T, create_task, WRITE),
    ("GET", f"{_T}/delta", tasks_delta, READ),
    ("GET", _ONE, get_task, READ),
    ("PATCH", _ONE, patch_task, WRITE),
    ("DELETE", _ONE, delete_task, WRITE),
    ("GET", f"{_ONE}/checklistItems", list_steps, READ),
    ("POST", f"{_ONE}/checklistItems", add_step, WRITE),
    ("PATCH", f"{_ONE}/checklistItems/{{part}}", change_part, WRITE),
    ("DELETE", f"{_ONE}/checklistItems/{{part}}", delete_part, WRITE),
    ("GET", f"{_ONE}/linkedResources", list_links, READ),
    ("POST", f"{_ONE}/linkedResources", add_link, WRITE),
    ("PATCH", f"{_ONE}/linkedResources/{{part}}", change_part, WRITE),
    ("DELETE", f"{_ONE}/linkedResources/{{part}}", delete_part, WRITE),
    ("POST", f"{_ONE}/extensions", add_extension, WRITE),
    ("GET", f"{_ONE}/extensions/{{extension}}", get_extension, READ),
    ("PATCH", f"{_ONE}/extensions/{{extension}}", change_extension, WRITE),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, permissions, "outlook")
    for method, pattern, handler, permissions in _OPERATIONS
)
