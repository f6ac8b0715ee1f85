"""Files of tasks: lists, content, and both ways of adding one.

Unlike those of mail, an upload session of To Do lies on Graph itself and asks for the token; the
bytes go to its …/content: https://learn.microsoft.com/graph/todo-attachments
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from simulator.filebytes import LiteralBytes, SpooledBytes
from simulator.mail import check_size
from simulator.mail_json import applied
from simulator.mail_query import page_bounds, with_next
from simulator.mailbox import not_found
from simulator.mailids import parse_item_id
from simulator.tenant import Tenant
from simulator.todo import Task, TaskFile
from simulator.todo_json import file_json, view_of
from simulator.todo_routes import READ, WRITE, found_task
from simulator.web import Answer, GraphError, Json, Request, Route

_SMALL_MAX = 3 * 1024 * 1024
_SIZE_MAX = 25 * 1024 * 1024
_RANGE_MAX = 4 * 1024 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(slots=True)
class Session:
    """A file on its way."""

    task: Task
    name: str
    content_type: str
    size: int
    content: SpooledBytes


def list_files(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """GET …/attachments, without their bytes."""
    todo, found = found_task(tenant, user, tasklist, task)
    view, files = view_of(tenant, request), list(found.files.values())
    skip, size = page_bounds(request)
    values = [file_json(todo, found, one, view) for one in files[skip : skip + size]]
    path = f"/users/{user}/todo/lists/{tasklist}/tasks/{task}/attachments"
    return Answer(200, with_next(request, path, values, len(files), {}), applied(request))


def get_file(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, attachment: str
) -> Answer:
    """GET …/attachments/{attachment}: with its bytes; the answer is wrapped in "value"."""
    todo, found = found_task(tenant, user, tasklist, task)
    file = _file(found, attachment)
    whole = file.content.read(0, file.content.size)
    shown = file_json(todo, found, file, view_of(tenant, request))
    shown["contentBytes"] = base64.b64encode(whole).decode("ascii")
    return Answer(200, {"value": shown})


def get_content(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, attachment: str
) -> Answer:
    """GET …/attachments/{attachment}/$value."""
    _, found = found_task(tenant, user, tasklist, task)
    file = _file(found, attachment)
    kind = str(file.properties["contentType"] or "application/octet-stream")
    whole = file.content.read(0, file.content.size)
    return Answer(200, whole, {"Content-Type": kind})


def add_file(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """POST …/attachments: less than 3 MB."""
    check_size(tenant, request)
    todo, found = found_task(tenant, user, tasklist, task)
    body = request.json()
    if not str(body.get("@odata.type", "")).endswith("taskFileAttachment"):
        raise GraphError(400, "invalidRequest", "@odata.type must be a taskFileAttachment.")
    name, text = body.get("name"), body.get("contentBytes")
    if not isinstance(name, str) or not isinstance(text, str):
        raise GraphError(400, "invalidRequest", "name and contentBytes are required.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GraphError(400, "invalidRequest", "contentBytes is not base64.") from None
    if len(data) >= _SMALL_MAX:
        raise GraphError(413, "RequestEntityTooLarge", "Create an upload session instead.")
    kind = str(body.get("contentType") or "application/octet-stream")
    made = todo.add_file(found, name, kind, LiteralBytes(data))
    return Answer(201, file_json(todo, found, made, view_of(tenant, request)))


def delete_file(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, attachment: str
) -> Answer:
    """DELETE …/attachments/{attachment}."""
    todo, found = found_task(tenant, user, tasklist, task)
    del found.files[_file(found, attachment).number]
    todo.touch(found)
    return Answer(204)


def create_session(tenant: Tenant, request: Request, user: str, tasklist: str, task: str) -> Answer:
    """POST …/attachments/createUploadSession: up to 25 MB."""
    _, found = found_task(tenant, user, tasklist, task)
    info = request.json().get("attachmentInfo")
    if not isinstance(info, dict) or not isinstance(info.get("name"), str):
        raise GraphError(400, "invalidRequest", "attachmentInfo with a name is required.")
    size = info.get("size")
    if str(info.get("attachmentType", "")).lower() != "file" or not isinstance(size, int):
        raise GraphError(400, "invalidRequest", "attachmentType file and a size are needed.")
    if not 0 < size <= _SIZE_MAX:
        raise GraphError(400, "invalidRequest", "The attachment size exceeds 25 MB.")
    kind = str(info.get("contentType") or "application/octet-stream")
    name = f"AAMkTaskSession{tenant.rng.getrandbits(96):024x}="
    _sessions(tenant)[name] = Session(found, info["name"], kind, size, SpooledBytes())
    path = f"/users/{user}/todo/lists/{tasklist}/tasks/{task}/attachmentSessions/{name}"
    body = _status(_sessions(tenant)[name])
    return Answer(201, body | {"uploadUrl": request.url_base + path, "nextExpectedRanges": ["0-"]})


def put_range(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, session: str
) -> Answer:
    """PUT …/attachmentSessions/{session}/content: one range; 201 with Location at the end."""
    todo, _ = found_task(tenant, user, tasklist, task)
    found = _session(tenant, session)
    match = _RANGE.fullmatch(request.headers.get("content-range", ""))
    if match is None:
        raise GraphError(400, "invalidRequest", "Content-Range is missing or malformed.")
    start, end, total = (int(text) for text in match.groups())
    if total != found.size or end - start + 1 != len(request.body) or end >= total:
        raise GraphError(400, "invalidRequest", "Content-Range does not fit.")
    if len(request.body) >= _RANGE_MAX:
        raise GraphError(413, "RequestEntityTooLarge", "A range must be less than 4 MB.")
    if start != found.content.size:
        text = f"The next expected range is {found.content.size}-."
        raise GraphError(416, "invalidRange", text)
    found.content.append(request.body)
    if found.content.size < found.size:
        return Answer(200, _status(found))
    made = todo.add_file(found.task, found.name, found.content_type, found.content)
    del _sessions(tenant)[session]
    view = view_of(tenant, request)
    file_id = todo.id_of(found.task.number, found.task.moves, view, made.number)
    path = f"/users/{user}/todo/lists/{tasklist}/tasks/{task}/Attachments/{file_id}"
    return Answer(201, None, {"Location": request.url_base + path})


def get_session(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, session: str
) -> Answer:
    """GET …/attachmentSessions/{session}: which range is expected next."""
    found_task(tenant, user, tasklist, task)
    return Answer(200, _status(_session(tenant, session)))


def cancel(
    tenant: Tenant, request: Request, user: str, tasklist: str, task: str, session: str
) -> Answer:
    """DELETE …/attachmentSessions/{session}: give up."""
    _session(tenant, session)
    del _sessions(tenant)[session]
    return Answer(204)


def _file(task: Task, reference: str) -> TaskFile:
    parsed = parse_item_id(reference)
    if parsed is None or not parsed.attachment:
        raise GraphError(400, "invalidRequest", "Invalid ID specified in request.")
    file = task.files.get(parsed.attachment)
    if file is None or parsed.message != task.number:
        raise not_found()
    return file


def _session(tenant: Tenant, name: str) -> Session:
    found = _sessions(tenant).get(name)
    if found is None:
        raise GraphError(404, "ErrorItemNotFound", "The upload session was not found.")
    if found.task.number not in found.task.list.tasks:
        raise not_found()
    return found


def _status(session: Session) -> Json:
    return {
        "expirationDateTime": "2099-01-01T00:00:00Z",
        "nextExpectedRanges": [str(session.content.size)],
    }


def _sessions(tenant: Tenant) -> dict[str, Session]:
    sessions: dict[str, Session] = tenant.room.setdefault("task attachment sessions", {})
    return sessions


_Handler = Callable[..., Answer]
_ONE = "/users/{user}/todo/lists/{tasklist}/tasks/{task}"
_A = f"{_ONE}/attachments"
_S = f"{_ONE}/attachmentSessions/{{session}}"
_OPERATIONS: tuple[tuple[str, str, _Handler, tuple[str, ...]], ...] = (
    ("GET", _A, list_files, READ),
    ("POST", _A, add_file, WRITE),
    ("POST", f"{_A}/createUploadSession", create_session, WRITE),
    ("GET", f"{_A}/{{attachment}}", get_file, READ),
    ("GET", f"{_A}/{{attachment}}/$value", get_content, READ),
    ("DELETE", f"{_A}/{{attachment}}", delete_file, WRITE),
    ("GET", _S, get_session, WRITE),
    ("PUT", f"{_S}/content", put_range, WRITE),
    ("DELETE", _S, cancel, WRITE),
)
ROUTES: tuple[Route, ...] = tuple(
    Route(method, pattern, handler, permissions, "outlook")
    for method, pattern, handler, permissions in _OPERATIONS
)
