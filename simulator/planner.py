"""Planner over HTTP: plans of groups, buckets, tasks and details; etags for every change.

https://learn.microsoft.com/graph/api/resources/planner-overview and the operations it names
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from simulator.plain_lists import listed
from simulator.planner_state import Plan, Task, Thing, place, planner_of
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request, Route

READ = ("Tasks.Read.All", "Tasks.ReadWrite.All")
WRITE = ("Tasks.ReadWrite.All",)
_PAGE = "100"
_ASSIGNMENT = "microsoft.graph.plannerassignment"
_OF_TASKS = (
    "bucketId", "title", "orderHint", "assigneePriority", "percentComplete", "startDateTime",
    "dueDateTime", "priority", "conversationThreadId", "appliedCategories", "assignments",
)  # fmt: skip
_OF_DETAILS = ("description", "previewType", "checklist", "references")
_ASSIGNEES_MAX = 20


def list_plans(tenant: Tenant, request: Request, group: str) -> Answer:
    """GET /groups/{group}/planner/plans."""
    here = planner_of(tenant)
    if group not in tenant.groups:
        raise GraphError(404, "", "The requested item is not found.")
    if group in here.refused_groups:
        raise GraphError(403, "", "You do not have the required permissions to access this item.")
    values = [plan_json(request.url_base, one) for one in here.of_group(group)]
    return _listed(tenant, request, f"/groups/{group}/planner/plans", values)


def create_plan(tenant: Tenant, request: Request) -> Answer:
    """POST /planner/plans with a container or, as before, an owner."""
    here, body = planner_of(tenant), request.json()
    container = body.get("container") or {}
    path = urlsplit(str(container.get("url") or "")).path
    group = str(container.get("containerId") or path.rpartition("/")[2] or body.get("owner") or "")
    if group not in tenant.groups or not body.get("title"):
        raise GraphError(400, "", "The container or the title of the plan is not valid.")
    if len(here.of_group(group)) >= here.plans_max:
        raise GraphError(403, "MaximumProjectsOwnedByUser", "The limit of plans is exceeded.")
    made = here.add_plan(group, str(body["title"]), tenant.clock.stamp(), _by(request))
    return Answer(201, plan_json(request.url_base, made))


def get_plan(tenant: Tenant, request: Request, plan: str) -> Answer:
    """GET /planner/plans/{plan}."""
    return Answer(200, plan_json(request.url_base, planner_of(tenant).plan(plan)))


def delete_plan(tenant: Tenant, request: Request, plan: str) -> Answer:
    """DELETE /planner/plans/{plan}."""
    here = planner_of(tenant)
    _match(request, here.plan(plan).plan)
    del here.plans[plan]
    return Answer(204)


def get_plan_details(tenant: Tenant, request: Request, plan: str) -> Answer:
    """GET /planner/plans/{plan}/details."""
    found = planner_of(tenant).plan(plan)
    return Answer(200, details_json(found.details, plan))


def update_plan_details(tenant: Tenant, request: Request, plan: str) -> Answer:
    """PATCH /planner/plans/{plan}/details."""
    here, body = planner_of(tenant), request.json()
    found = here.plan(plan)
    _match(request, found.details)
    for name in ("categoryDescriptions", "sharedWith"):
        if name in body:
            found.details.facts[name] = {**found.details.facts[name], **body[name]}
    here.changed(found.details)
    return _changed(request, details_json(found.details, plan))


def list_buckets(tenant: Tenant, request: Request, plan: str) -> Answer:
    """GET /planner/plans/{plan}/buckets."""
    found = planner_of(tenant).plan(plan)
    values = [thing_json(one) for one in found.buckets.values()]
    return _listed(tenant, request, f"/planner/plans/{plan}/buckets", values)


def create_bucket(tenant: Tenant, request: Request) -> Answer:
    """POST /planner/buckets."""
    here, body = planner_of(tenant), request.json()
    plan = here.plan(str(body.get("planId")))
    made = here.add_bucket(plan, str(body["name"]), str(body.get("orderHint", " !")))
    return Answer(201, thing_json(made))


def get_bucket(tenant: Tenant, request: Request, bucket: str) -> Answer:
    """GET /planner/buckets/{bucket}."""
    return Answer(200, thing_json(planner_of(tenant).bucket(bucket)[1]))


def delete_bucket(tenant: Tenant, request: Request, bucket: str) -> Answer:
    """DELETE /planner/buckets/{bucket}, with its tasks."""
    plan, found = planner_of(tenant).bucket(bucket)
    _match(request, found)
    remove_bucket(plan, bucket)
    return Answer(204)


def remove_bucket(plan: Plan, bucket_id: str) -> None:
    """Takes a bucket and its tasks away."""
    del plan.buckets[bucket_id]
    for key, one in list(plan.tasks.items()):
        if one.task.facts["bucketId"] == bucket_id:
            del plan.tasks[key]


def list_tasks(tenant: Tenant, request: Request, plan: str = "", bucket: str = "") -> Answer:
    """GET …/tasks of a plan or a bucket; $expand=details as the tenant has it."""
    here = planner_of(tenant)
    found = here.plan(plan) if plan else here.bucket(bucket)[0]
    if found.refused:
        raise GraphError(found.refused, "", "You do not have the required permissions.")
    mode = here.expand or tenant.quirks.todo_expand
    expanded = request.query.get("$expand", "").lower() == "details"
    if expanded and mode == "refused":
        raise GraphError(400, "", "The query specified in the URI is not valid.")
    values = []
    for one in found.tasks.values():
        if plan or one.task.facts["bucketId"] == bucket:
            shown = task_json(one)
            if expanded and mode == "honoured" and not one.broken:
                shown["details"] = details_json(one.details, one.task.id)
            values.append(shown)
    path = f"/planner/plans/{plan}/tasks" if plan else f"/planner/buckets/{bucket}/tasks"
    return _listed(tenant, request, path, values)


def create_task(tenant: Tenant, request: Request) -> Answer:
    """POST /planner/tasks."""
    here, body = planner_of(tenant), request.json()
    plan = here.plan(str(body.get("planId")))
    if len(plan.tasks) >= here.tasks_max:
        raise GraphError(403, "MaximumTasksInProject", "The limit of tasks is exceeded.")
    if not body.get("title"):
        raise GraphError(400, "", "A task needs a title.")
    facts = _facts(tenant, request, plan, {}, body)
    made = here.add_task(plan, facts, tenant.clock.stamp(), _by(request))
    _complete(tenant, request, made)
    return Answer(201, task_json(made))


def get_task(tenant: Tenant, request: Request, task: str) -> Answer:
    """GET /planner/tasks/{task}."""
    return Answer(200, task_json(planner_of(tenant).task(task)[1]))


def update_task(tenant: Tenant, request: Request, task: str) -> Answer:
    """PATCH /planner/tasks/{task}."""
    here, body = planner_of(tenant), request.json()
    plan, found = here.task(task)
    _match(request, found.task)
    found.task.facts |= _facts(tenant, request, plan, found.task.facts, body)
    _complete(tenant, request, found)
    here.changed(found.task)
    return _changed(request, task_json(found))


def delete_task(tenant: Tenant, request: Request, task: str) -> Answer:
    """DELETE /planner/tasks/{task}."""
    plan, found = planner_of(tenant).task(task)
    _match(request, found.task)
    del plan.tasks[task]
    return Answer(204)


def get_task_details(tenant: Tenant, request: Request, task: str) -> Answer:
    """GET /planner/tasks/{task}/details."""
    found = planner_of(tenant).task(task)[1]
    if found.broken:
        raise GraphError(found.broken, "", "The details are not given.")
    return Answer(200, details_json(found.details, task))


def update_task_details(tenant: Tenant, request: Request, task: str) -> Answer:
    """PATCH /planner/tasks/{task}/details; null takes an entry of an open type away."""
    here, body = planner_of(tenant), request.json()
    found = here.task(task)[1]
    _match(request, found.details)
    facts = found.details.facts
    changed = {name: body[name] for name in _OF_DETAILS if name in body}
    for name, place_name in (("checklist", "orderHint"), ("references", "previewPriority")):
        if name in changed:
            changed[name] = _entries(facts[name], changed[name], place_name, name)
    if len(changed.get("checklist", ())) > here.steps_max:
        raise GraphError(403, "MaximumChecklistItemsOnTask", "The limit of items is exceeded.")
    facts |= changed
    here.details_changed(found)
    return _changed(request, details_json(found.details, task))


def _board_format(name: str) -> Callable[..., Answer]:
    """GET …/{assignedTo|bucket|progress}TaskBoardFormat."""

    def get_board_format(tenant: Tenant, request: Request, task: str) -> Answer:
        found = planner_of(tenant).task(task)[1]
        return Answer(
            200, {"@odata.etag": found.task.etag, "id": task} | found.boards.get(name, {})
        )

    return get_board_format


def thing_json(one: Thing) -> Json:
    """A bucket, or what a task has of its own."""
    return {"@odata.etag": one.etag} | one.facts | {"id": one.id}


def plan_json(url_base: str, one: Plan) -> Json:
    """A plan as Graph shows it."""
    container = {
        "@odata.type": "#microsoft.graph.plannerPlanContainer", "containerId": one.group,
        "type": "group", "url": f"{url_base}/groups/{one.group}",
    }  # fmt: skip
    return thing_json(one.plan) | {"owner": one.group, "container": container}


def task_json(one: Task) -> Json:
    """A task as Graph shows it, without its details."""
    return thing_json(one.task) | one.counted()


def details_json(one: Thing, owner: str) -> Json:
    """Details, which have the id of what they belong to."""
    return {"@odata.etag": one.etag} | one.facts | {"id": owner}


def _facts(tenant: Tenant, request: Request, plan: Plan, before: Json, body: Json) -> Json:
    """What a request sets of a task; 400 for what cannot be."""
    facts = {name: body[name] for name in _OF_TASKS if name in body}
    if facts.get("bucketId") and facts["bucketId"] not in plan.buckets:
        raise GraphError(400, "", "The bucket is not one of the plan.")
    if "orderHint" in facts:
        facts["orderHint"] = place(str(facts["orderHint"]))
    if "assignments" in facts:
        facts["assignments"] = _assigned(tenant, request, before, facts["assignments"])
    if "appliedCategories" in facts:
        labels = {**(before.get("appliedCategories") or {}), **facts["appliedCategories"]}
        facts["appliedCategories"] = {key: True for key, value in labels.items() if value is True}
    start, due = (facts.get(k, before.get(k)) for k in ("startDateTime", "dueDateTime"))
    if start and due and start > due:
        raise GraphError(400, "", "The start of a task lies behind its end.")
    return facts


def _assigned(tenant: Tenant, request: Request, before: Json, given: Json) -> Json:
    people = dict(before.get("assignments") or {})
    for user, assignment in given.items():
        if assignment is None:
            people.pop(user, None)
            continue
        kind = str(assignment.get("@odata.type", "")).lstrip("#").lower()
        if kind != _ASSIGNMENT or not assignment.get("orderHint"):
            raise GraphError(400, "", "An assignment needs its type and a hint of order.")
        if user not in tenant.users:
            raise GraphError(400, "", "The user does not exist.")
        people[user] = {
            "@odata.type": "#microsoft.graph.plannerAssignment",
            "assignedDateTime": tenant.clock.stamp(), "orderHint": place(assignment["orderHint"]),
            "assignedBy": _by(request),
        }  # fmt: skip
    if len(people) > _ASSIGNEES_MAX:
        raise GraphError(403, "MaximumAssigneesInTasks", "The limit of assignees is exceeded.")
    return people


def _entries(before: Json, given: Json, place_name: str, kind: str) -> Json:
    entries = {key: dict(value) for key, value in before.items()}
    wanted = "plannerchecklistitem" if kind == "checklist" else "plannerexternalreference"
    for key, value in given.items():
        if value is None:
            entries.pop(key, None)
            continue
        if str(value.get("@odata.type", "")).rpartition(".")[2].lower() != wanted:
            raise GraphError(400, "", "An entry of an open type needs its type.")
        if kind == "references" and any(c in key for c in ".:%") and "%" not in key:
            raise GraphError(400, "", "The address of a reference is not encoded.")
        entry = entries.get(key, {}) | value
        entry["@odata.type"] = f"#microsoft.graph.{value['@odata.type'].rpartition('.')[2]}"
        if place_name in value:
            entry[place_name] = place(str(value[place_name]))
        entries[key] = entry
    return entries


def _complete(tenant: Tenant, request: Request, task: Task) -> None:
    facts = task.task.facts
    done = facts["percentComplete"] == 100
    if done and not facts["completedDateTime"]:
        facts["completedDateTime"], facts["completedBy"] = tenant.clock.stamp(), _by(request)
    elif not done:
        facts["completedDateTime"] = facts["completedBy"] = None


def _match(request: Request, thing: Thing) -> None:
    given = request.headers.get("if-match")
    if given is None:
        raise GraphError(400, "", "The If-Match header must be specified.")
    if given not in ("*", thing.etag):
        raise GraphError(412, "", "The If-Match header contains one or more invalid values.")


def _changed(request: Request, body: Json) -> Answer:
    if request.prefer("return") == "representation":
        return Answer(200, body)
    return Answer(204)


def _listed(tenant: Tenant, request: Request, path: str, values: list[Json]) -> Answer:
    request.query.setdefault("$top", _PAGE)
    return listed(tenant, request, path, values)


def _by(request: Request) -> Json:
    app = request.app
    return {"application": {"id": app.app_id if app is not None else ""}, "user": {"id": None}}


_PLAN, _BUCKET, _TASK = (
    "/planner/plans/{plan}",
    "/planner/buckets/{bucket}",
    "/planner/tasks/{task}",
)
_Handler = Callable[..., Answer]
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", "/groups/{group}/planner/plans", list_plans, READ),
    ("POST", "/planner/plans", create_plan, WRITE),
    ("GET", _PLAN, get_plan, READ),
    ("DELETE", _PLAN, delete_plan, WRITE),
    ("GET", f"{_PLAN}/details", get_plan_details, READ),
    ("PATCH", f"{_PLAN}/details", update_plan_details, WRITE),
    ("GET", f"{_PLAN}/buckets", list_buckets, READ),
    ("GET", f"{_PLAN}/tasks", list_tasks, READ),
    ("POST", "/planner/buckets", create_bucket, WRITE),
    ("GET", _BUCKET, get_bucket, READ),
    ("DELETE", _BUCKET, delete_bucket, WRITE),
    ("GET", f"{_BUCKET}/tasks", list_tasks, READ),
    ("POST", "/planner/tasks", create_task, WRITE),
    ("GET", _TASK, get_task, READ),
    ("PATCH", _TASK, update_task, WRITE),
    ("DELETE", _TASK, delete_task, WRITE),
    ("GET", f"{_TASK}/details", get_task_details, READ),
    ("PATCH", f"{_TASK}/details", update_task_details, WRITE),
    *(
        ("GET", f"{_TASK}/{name}", _board_format(name), READ)
        for name in (
            "assignedToTaskBoardFormat",
            "bucketTaskBoardFormat",
            "progressTaskBoardFormat",
        )
    ),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, roles) for method, pattern, handler, roles in _OPERATIONS
)
