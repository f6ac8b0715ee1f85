"""To Do of a mailbox: lists, tasks with checklists, links and files, and what changed in each.

Rules
- Every change goes through a method here, so that feeds and dates stay true; a change of a
  checklist, link or file changes its task.
- Each mailbox has the list "Tasks" (defaultList) and one that mirrors flagged mail
  (flaggedEmails): nothing is put into that one by hand.
- Whoever completes a recurring task gets the next one of the series beside it.
"""

import copy
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator import mailids
from simulator.feed import ChangeLog, Kind
from simulator.filebytes import Content
from simulator.mailbox import Mailbox, not_found
from simulator.tenant import Tenant
from simulator.web import GraphError, Json

_NUMBERS_FROM = 2_000_000  # so that no task has the id of a message or contact
DATES = ("completedDateTime", "dueDateTime", "reminderDateTime", "startDateTime")
STATUSES = ("notStarted", "inProgress", "completed", "waitingOnOthers", "deferred")


@dataclass(slots=True)
class TaskFile:
    """A file attached to a task; properties are name, contentType, lastModifiedDateTime."""

    number: int
    properties: Json
    content: Content


@dataclass(slots=True)
class Task:
    """A task; properties are Graph's without id, checklistItems, linkedResources, attachments."""

    number: int
    list: "TaskList"
    properties: Json
    checklist: dict[str, Json] = field(default_factory=dict)
    links: dict[str, Json] = field(default_factory=dict)
    files: dict[int, TaskFile] = field(default_factory=dict)
    extensions: dict[str, Json] = field(default_factory=dict)
    moves: int = 0
    change: int = 0
    older: Json | None = None
    """Properties before the last change."""


@dataclass(slots=True)
class TaskList:
    """A list of tasks."""

    number: int
    id: str
    name: str
    well_known: str = "none"
    shared: bool = False
    tasks: dict[int, Task] = field(default_factory=dict)
    log: ChangeLog[int] = field(default_factory=ChangeLog)
    left: dict[int, int] = field(default_factory=dict)
    """Tasks that were here once, with the `moves` they had then."""


class ToDo:
    """The tasks of one mailbox."""

    def __init__(self, mailbox: Mailbox, stamp: Callable[[], str]) -> None:
        self.user_id = mailbox.user_id
        self.guid = mailbox.guid
        self.sequence = 0
        self.lists: dict[str, TaskList] = {}
        self.list_log: ChangeLog[str] = ChangeLog()
        self._stamp = stamp
        self._dice = random.Random(mailbox.guid)
        self._numbers = _NUMBERS_FROM
        self.default = self._new_list("Tasks", "defaultList")
        self.flagged = self._new_list("Flagged Emails", "flaggedEmails")

    # Lists

    def list_of(self, reference: str) -> TaskList:
        """A list by id or well-known name; the service's errors else."""
        for found in self.lists.values():
            if reference == found.id or reference == found.well_known != "none":
                return found
        if not reference.startswith(("AQMkA", "AAMkA", "AAkAL")):
            raise GraphError(400, "invalidRequest", "Invalid ID specified in request.")
        raise not_found()

    def add_list(self, name: str, *, shared: bool = False) -> TaskList:
        """A new list; two may have the same name."""
        return self._new_list(name, shared=shared)

    def rename_list(self, found: TaskList, name: str) -> None:
        """Change the display name."""
        self._refuse_well_known(found)
        found.name = name
        self.list_log.record(found.id, self._next(), "full")

    def delete_list(self, found: TaskList) -> None:
        """Away with everything in it."""
        self._refuse_well_known(found)
        for task in list(found.tasks.values()):
            self.delete(task)
        del self.lists[found.id]
        self.list_log.record(found.id, self._next(), "deleted")

    # Tasks

    def find(self, found: TaskList, reference: str) -> Task:
        """A task of a list by regular or immutable id; the service's errors else."""
        parsed = mailids.parse_item_id(reference)
        if parsed is None or parsed.attachment:
            raise GraphError(400, "invalidRequest", "Invalid ID specified in request.")
        task = found.tasks.get(parsed.message)
        if parsed.mailbox != self.guid or task is None:
            raise not_found()
        if not parsed.immutable and parsed.moves != task.moves:
            raise not_found()
        return task

    def add(self, into: TaskList, properties: Json) -> Task:
        """A new task; what is not given is as a person would find it."""
        self._numbers += 1
        now = self._stamp()
        facts: Json = {
            "importance": "normal", "isReminderOn": False, "status": "notStarted", "title": "",
            "createdDateTime": now, "lastModifiedDateTime": now, "categories": [],
            "body": {"content": "", "contentType": "text"}, "bodyLastModifiedDateTime": now,
        }  # fmt: skip
        facts |= {name: value for name, value in properties.items() if value is not None}
        task = Task(self._numbers, into, facts)
        into.tasks[task.number] = task
        self._record(task)
        self._completed(task)
        return task

    def change(self, task: Task, **properties: object) -> None:
        """Change properties; completing a recurring task brings the next one."""
        task.older = dict(task.properties)
        task.properties.update(properties)
        if "body" in properties:
            task.properties["bodyLastModifiedDateTime"] = self._stamp()
        self.touch(task)
        self._completed(task)

    def touch(self, task: Task) -> None:
        """Note that something of a task was changed."""
        task.properties["lastModifiedDateTime"] = self._stamp()
        self._record(task)

    def add_step(self, task: Task, properties: Json) -> Json:
        """A new item of its checklist."""
        made = {"id": self._new_id(), "createdDateTime": self._stamp(), "isChecked": False}
        made |= {name: value for name, value in properties.items() if value is not None}
        if made["isChecked"]:
            made.setdefault("checkedDateTime", self._stamp())
        task.checklist[str(made["id"])] = made
        self.touch(task)
        return made

    def add_link(self, task: Task, properties: Json) -> Json:
        """A new linked resource."""
        made = {"id": self._new_id()} | properties
        task.links[str(made["id"])] = made
        self.touch(task)
        return made

    def add_file(self, task: Task, name: str, content_type: str, content: Content) -> TaskFile:
        """A new attachment."""
        number = max(task.files, default=0) + 1
        properties = {"name": name, "contentType": content_type}
        properties["lastModifiedDateTime"] = self._stamp()
        made = task.files[number] = TaskFile(number, properties, content)
        self.touch(task)
        return made

    def move(self, task: Task, target: TaskList) -> None:
        """Into another list: gone from one feed, new in the other."""
        source = task.list
        del source.tasks[task.number]
        source.left[task.number] = task.moves
        source.log.record(task.number, self._next(), "deleted")
        target.tasks[task.number] = task
        task.list = target
        task.moves += 1
        self.touch(task)

    def delete(self, task: Task, *, for_good: bool = False) -> None:
        """Away with it; To Do knows no bin, but its mailbox has one."""
        del task.list.tasks[task.number]
        task.list.left[task.number] = task.moves
        kind: Kind = "deleted" if for_good else "changed"
        task.list.log.record(task.number, self._next(), kind)

    def id_of(self, number: int, moves: int, view: Json, attachment: int = 0) -> str:
        """The id of a task, or of one of its files, as a view spells ids."""
        return mailids.item_id(
            self.guid, number, moves, immutable=view["immutable"], salt=view["salt"],
            attachment=attachment,
        )  # fmt: skip

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def _completed(self, task: Task) -> None:
        """The date a completed task gets, and the task that follows it in a series."""
        facts = task.properties
        if facts["status"] != "completed":
            facts.pop("completedDateTime", None)
            return
        today = {"dateTime": f"{self._stamp()[:10]}T00:00:00.0000000", "timeZone": "UTC"}
        facts.setdefault("completedDateTime", today)
        pattern = facts.pop("recurrence", None)
        if pattern is not None:
            following = copy.deepcopy(facts) | {"status": "notStarted", "recurrence": pattern}
            del following["completedDateTime"]
            self.add(task.list, following)

    def _new_list(self, name: str, well_known: str = "none", *, shared: bool = False) -> TaskList:
        self._numbers += 1
        list_id = mailids.folder_id(self.guid, self._numbers)
        made = self.lists[list_id] = TaskList(self._numbers, list_id, name, well_known, shared)
        self.list_log.record(list_id, self._next(), "full")
        return made

    def _refuse_well_known(self, found: TaskList) -> None:
        if found.well_known != "none":
            text = "The list is a well-known one and cannot be changed."
            raise GraphError(400, "invalidRequest", text)

    def _record(self, task: Task) -> None:
        task.change = self._next()
        task.list.log.record(task.number, task.change, "full")

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def todo_of(tenant: Tenant, user: str) -> ToDo:
    """The tasks of a user's mailbox; Exchange's errors where there is none."""
    mailbox = tenant.mailbox(user)
    held: dict[str, ToDo] = tenant.room.setdefault("todo", {})
    found = held.get(mailbox.user_id)
    if found is None:
        found = held[mailbox.user_id] = ToDo(mailbox, tenant.clock.stamp)
    return found
