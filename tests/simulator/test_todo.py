"""To Do: lists, tasks, their parts, files both ways, and tenants that refuse it all."""

import base64

import pytest

from simulator import Tenant, serve
from simulator.todo import todo_of
from tests.simulator.wire import Wire

PATTERN = {"pattern": {"type": "daily", "interval": 1},
           "range": {"type": "noEnd", "startDate": "2027-01-04"}}  # fmt: skip
DUE = {"dateTime": "2027-01-04T00:00:00", "timeZone": "UTC"}


@pytest.fixture
def tenant():
    return Tenant(3)


@pytest.fixture
def user(tenant):
    return tenant.add_user("Adele Vance").id


@pytest.fixture
def todo(tenant, user):
    return todo_of(tenant, user)


@pytest.fixture
def wire(tenant, user):
    with serve(tenant) as running:
        yield Wire(running)


@pytest.fixture
def tasks(user, todo):
    return f"/users/{user}/todo/lists/{todo.default.id}/tasks"


def test_every_mailbox_has_a_default_list_and_one_for_flagged_mail(wire, user, todo):
    lists = {
        one["wellknownListName"]: one["id"]
        for one in wire.get(f"/users/{user}/todo/lists")["value"]
    }
    assert set(lists) == {"defaultList", "flaggedEmails"}
    flagged = f"/users/{user}/todo/lists/{lists['flaggedEmails']}"
    assert wire.code("POST", f"{flagged}/tasks", {"title": "x"})[0] == 400
    assert wire.code("DELETE", flagged)[0] == 400
    made = wire.post(f"/users/{user}/todo/lists", {"displayName": "Errands"})
    pages, link = wire.walk(f"/users/{user}/todo/lists/delta")
    assert made["id"] in {entry["id"] for page in pages for entry in page}
    assert wire.send("DELETE", f"/users/{user}/todo/lists/{made['id']}").status == 204
    ((gone,),) = wire.walk(link)[0]
    assert gone["@removed"] == {"reason": "deleted"}


def test_a_feed_brings_the_parts_it_is_asked_for_and_nothing_where_that_is_ignored(
    tenant, wire, todo, tasks
):
    task = todo.add(todo.default, {"title": "Call"})
    todo.add_step(task, {"displayName": "First"})
    query = "$expand=checklistItems,linkedResources,attachments"
    ((entry,),) = wire.walk(f"{tasks}/delta?{query}")[0]
    assert [step["displayName"] for step in entry["checklistItems"]] == ["First"]
    assert (entry["linkedResources"], entry["attachments"]) == ([], [])
    assert "completedDateTime" not in entry  # what is null is left out
    tenant.quirks.todo_expand = "ignored"
    ((entry,),) = wire.walk(f"{tasks}/delta?{query}")[0]
    assert "checklistItems" not in entry
    tenant.quirks.todo_expand = "refused"
    assert wire.code("GET", f"{tasks}/delta?{query}") == (400, "ErrorInvalidUrlQuery")


def test_a_task_is_created_with_links_and_an_extension_and_changed_by_its_parts(wire, tasks):
    body = {
        "title": "Call", "linkedResources": [{"webUrl": "https://x.example", "displayName": "X"}],
        "extensions": [{"@odata.type": "microsoft.graph.openTypeExtension",
                        "extensionName": "Com.Example", "marker": "m"}],
    }  # fmt: skip
    made = wire.post(tasks, body)
    assert made["linkedResources"][0]["displayName"] == "X"
    _, link = wire.walk(f"{tasks}/delta")
    one = f"{tasks}/{made['id']}"
    step = wire.post(f"{one}/checklistItems", {"displayName": "First", "isChecked": True})
    assert step["checkedDateTime"]
    (entries,) = wire.walk(link)[0]
    assert [entry["id"] for entry in entries] == [made["id"]]
    id_ = "microsoft.graph.openTypeExtension.Com.Example"
    query = f"$expand=extensions($filter=id%20eq%20'{id_}')"
    (seen,) = wire.get(f"{tasks}?{query}")["value"]
    assert seen["extensions"][0]["marker"] == "m"
    wire.send("PATCH", f"{one}/extensions/{id_}", {"marker": "n"})
    assert wire.get(f"{one}/extensions/{id_}")["marker"] == "n"


def test_completing_a_task_of_a_series_brings_the_next_one(wire, tasks):
    assert wire.code("POST", tasks, {"title": "Water", "recurrence": PATTERN})[0] == 400
    made = wire.post(tasks, {"title": "Water", "recurrence": PATTERN, "dueDateTime": DUE})
    done = wire.send("PATCH", f"{tasks}/{made['id']}", {"status": "completed"}).json()
    assert done["completedDateTime"]["timeZone"] == "UTC"
    assert "recurrence" not in done
    following = [one for one in wire.get(tasks)["value"] if one["id"] != made["id"]]
    assert [(one["status"], "recurrence" in one) for one in following] == [("notStarted", True)]


def test_a_task_keeps_its_immutable_id_when_it_moves(wire, user, todo, tasks):
    task = todo.add(todo.default, {"title": "Call"})
    other = todo.add_list("Errands")
    pages, link = wire.walk(f"{tasks}/delta")
    todo.move(task, other)
    ((gone,),) = wire.walk(link)[0]
    assert gone["@removed"] == {"reason": "deleted"}
    ((new,),) = wire.walk(f"/users/{user}/todo/lists/{other.id}/tasks/delta")[0]
    assert new["id"] == gone["id"] == pages[0][0]["id"]


def test_small_files_are_posted_and_given_back_wrapped_or_raw(wire, tasks):
    one = f"{tasks}/{wire.post(tasks, {'title': 'Call'})['id']}"
    body = {
        "@odata.type": "#microsoft.graph.taskFileAttachment", "name": "a.txt",
        "contentType": "text/plain", "contentBytes": base64.b64encode(b"hello").decode(),
    }  # fmt: skip
    made = wire.post(f"{one}/attachments", body)
    assert "contentBytes" not in made
    (listed,) = wire.get(f"{one}/attachments")["value"]
    assert (listed["size"], "contentBytes" in listed) == (5, False)
    whole = wire.get(f"{one}/attachments/{made['id']}")["value"]
    assert base64.b64decode(whole["contentBytes"]) == b"hello"
    assert wire.send("GET", f"{one}/attachments/{made['id']}/$value").data == b"hello"
    assert wire.get(one)["hasAttachments"] is True


def test_an_upload_session_lies_on_graph_and_asks_for_the_token(wire, tasks):
    one = f"{tasks}/{wire.post(tasks, {'title': 'Call'})['id']}"
    info = {"attachmentType": "file", "name": "big.bin", "size": 5_000_000}
    session = wire.post(f"{one}/attachments/createUploadSession", {"attachmentInfo": info})
    assert session["uploadUrl"].startswith(wire.running.url)
    url = f"{session['uploadUrl']}/content"
    data = bytes(5_000_000)
    first = {"Content_Range": "bytes 0-3999999/5000000", "Content_Type": "application/octet-stream"}
    assert wire.send("PUT", url, data[:4_000_000], bare=True, **first).status == 401
    answer = wire.send("PUT", url, data[:4_000_000], **first)
    assert answer.json()["nextExpectedRanges"] == ["4000000"]
    assert wire.send("PUT", url, data[:4_000_000], **first).status == 416
    last = first | {"Content_Range": "bytes 4000000-4999999/5000000"}
    answer = wire.send("PUT", url, data[4_000_000:], **last)
    assert answer.status == 201
    assert "/Attachments/" in answer.headers["Location"]
    assert wire.get(f"{one}/attachments")["value"][0]["size"] == 5_000_000
    info["size"] = 26 * 1024 * 1024
    assert wire.code("POST", f"{one}/attachments/createUploadSession", {"attachmentInfo": info})


@pytest.mark.parametrize(("how", "status"), [("unauthorized", 401), ("forbidden", 403)])
def test_some_tenants_refuse_applications_everything(tenant, wire, user, tasks, how, status):
    tenant.quirks.todo_for_applications = how
    for path in (f"/users/{user}/todo/lists/delta", f"/users/{user}/todo/lists", tasks):
        assert wire.code("GET", path)[0] == status
    assert wire.get(f"/users/{user}/contacts")["value"] == []
