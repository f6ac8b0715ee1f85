"""The fake drive: items, names, content, versions, sharing and refusals."""

from datetime import datetime

import pytest

from simulator.drive import Drive, downloads, truth
from simulator.filebytes import LiteralBytes
from simulator.tenant import Clock, Tenant
from tests.simulator.drive_client import NOW, OTHER_HOST, OWNER, Client, code, whole


@pytest.fixture
def client() -> Client:
    return Client()


def url_of(client: Client, item_id: str) -> str:
    return client.ask("GET", f"/items/{item_id}/content").headers["Location"]


# Where drives are


def test_a_drive_is_found_by_id_user_group_and_site(client):
    tenant = client.tenant
    group = tenant.add_group("Team", [])
    group.drive_id = "b!one"
    tenant.sites["s,1,2"] = {"id": "s,1,2"}
    tenant.room["site drives"] = {"s,1,2": ["b!one"]}
    user = next(iter(tenant.users))
    upn = tenant.users[user].properties["userPrincipalName"]
    for owner in (f"users/{user}", f"users/{upn}", f"groups/{group.id}", "sites/s,1,2"):
        base = f"https://localhost:8443/v1.0/{owner}"
        assert client.get(f"{base}/drive")["id"] == "b!one"
        assert [drive["id"] for drive in client.get(f"{base}/drives")["value"]] == ["b!one"]
        assert client.get(f"{base}/drive/root")["root"] == {}


def test_a_user_without_drive_has_no_mysite(client):
    user = client.tenant.add_user("Fresh Starter")
    answer = client.ask("GET", f"https://localhost:8443/v1.0/users/{user.id}/drive")
    assert code(answer) == (404, "ResourceNotFound")


def test_a_locked_drive_refuses_everything(client):
    client.drive.locked = (423, "resourceLocked")
    for url in ("", "/root", "/root/delta", "/root/children"):
        answer = client.ask("GET", url)
        assert code(answer) == (423, "notAllowed")
        assert answer.body["error"]["innerError"]["code"] == "resourceLocked"


# Items and names


def test_items_are_reached_by_path_and_by_path_below_an_item(client):
    item = client.file("Docs & more/ä%b/c d.txt")
    docs = client.drive.by_path(["docs & MORE"])
    paths = (
        "/root:/Docs%20%26%20more/%C3%A4%25b/c%20d.txt",
        "/root:/Docs%20%26%20more/%C3%A4%25b/c%20d.txt:",
        f"/items/{docs.id}:/%C3%A4%25b/C%20D.TXT:",
    )
    for path in paths:
        found = client.get(path)
        assert found["id"] == item.id
        assert found["parentReference"]["path"].endswith("root:/Docs%20%26%20more/%C3%A4%25b")
    assert code(client.ask("GET", "/root:/nothing")) == (404, "itemNotFound")


def test_children_are_paged(client):
    for number in range(5):
        client.file(f"{number}.txt")
    page = client.get("/root/children?$top=2&$select=name")
    names = [item["name"] for item in page["value"]]
    while "@odata.nextLink" in page:
        page = client.get(page["@odata.nextLink"])
        names += [item["name"] for item in page["value"]]
    assert names == ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"]


@pytest.mark.parametrize(
    "name",
    ['a"b', "a*b", "a:b", "a<b", "a>b", "a?b", "a|b", "a\\b", "a/b", "end.", " start", "end ",
     "CON", "com1", "desktop.ini", "~$word.docx", "a_vti_b", "", "x" * 256],
)  # fmt: skip
def test_forbidden_names_are_refused(client, name):
    answer = client.ask("POST", "/root/children", {"name": name, "folder": {}})
    assert code(answer) == (400, "invalidRequest")


def test_a_path_of_more_than_400_characters_is_refused(client):
    client.file("/".join(["f" * 95] * 4))
    where = "/root:/" + "/".join(["f" * 95] * 3)
    ok = client.ask("POST", where + ":/children", {"name": "g" * 100, "folder": {}})
    too_long = client.ask("POST", where + ":/children", {"name": "h" * 115, "folder": {}})
    assert ok.status == 201
    assert code(too_long) == (400, "pathIsTooLong")


def test_names_are_equal_without_case_and_behavior_decides(client):
    client.file("Report.txt")
    url = "/root:/REPORT.TXT:/content?@microsoft.graph.conflictBehavior="
    assert code(client.ask("PUT", url + "fail", b"new")) == (409, "nameAlreadyExists")
    renamed = client.ask("PUT", url + "rename", b"new")
    assert (renamed.status, renamed.body["name"]) == (201, "REPORT 1.TXT")
    replaced = client.ask("PUT", url + "replace", b"newer")
    assert (replaced.status, replaced.body["name"], replaced.body["size"]) == (200, "Report.txt", 5)


def test_a_folder_is_created_with_its_dates_by_the_app(client):
    times = {
        "createdDateTime": "2019-01-02T03:04:05Z",
        "lastModifiedDateTime": "2020-01-02T03:04:05Z",
    }
    wish = {"name": "New", "folder": {}, "fileSystemInfo": times}
    made = client.ask("POST", "/root/children", wish).body
    assert made["fileSystemInfo"] == times
    assert made["createdBy"]["application"]["displayName"] == "Restore"
    assert code(client.ask("POST", "/root/children", wish)) == (409, "nameAlreadyExists")


def test_an_empty_file_can_be_made_first_and_uploaded_into(client):
    made = client.ask("POST", "/root/children", {"name": "a.bin", "file": {}}).body
    assert (made["size"], "file" in made) == (0, True)
    assert client.ask("POST", f"/items/{made['id']}/createUploadSession").status == 200
    assert code(client.ask("POST", "/root/children", {"name": "b"})) == (400, "invalidRequest")
    assert code(client.ask("PUT", "/root/content", b"x")) == (400, "invalidRequest")


def test_patch_renames_moves_and_dates(client):
    item, folder = client.file("a.txt"), client.file("F/x.txt")
    times = {
        "createdDateTime": "2019-01-02T03:04:05Z",
        "lastModifiedDateTime": "2020-01-02T03:04:05Z",
    }
    wish = {"name": "b.txt", "parentReference": {"id": folder.parent_id}, "fileSystemInfo": times}
    assert client.ask("PATCH", f"/items/{item.id}", wish).status == 200
    assert client.drive.path(item) == ["F", "b.txt"]
    assert item.created == datetime.fromisoformat("2019-01-02T03:04:05Z")
    clash = client.ask("PATCH", f"/items/{item.id}", {"name": "X.TXT"})
    assert code(clash) == (409, "nameAlreadyExists")


def test_a_folder_cannot_be_moved_below_itself(client):
    client.file("A/B/c.txt")
    top, below = client.drive.by_path(["A"]), client.drive.by_path(["A", "B"])
    wish = {"parentReference": {"id": below.id}}
    assert code(client.ask("PATCH", f"/items/{top.id}", wish)) == (400, "invalidRequest")


def test_a_stale_etag_is_refused(client):
    item = client.file("a.txt")
    old = client.get(f"/items/{item.id}")["eTag"]
    client.ask("PATCH", f"/items/{item.id}", {"name": "b.txt"}, {"If-Match": old})
    answer = client.ask("DELETE", f"/items/{item.id}", headers={"If-Match": old})
    assert code(answer) == (412, "resourceModified")


def test_a_deleted_item_is_gone_with_all_below(client):
    item = client.file("A/b.txt")
    folder = client.drive.by_path(["A"])
    assert client.ask("DELETE", f"/items/{folder.id}").status == 204
    assert code(client.ask("GET", f"/items/{item.id}")) == (404, "itemNotFound")
    assert truth(client.drive) == []
    assert client.drive.used_bytes() == 0


def test_select_gives_what_is_named(client):
    item = client.file("a.txt")
    found = client.get(f"/items/{item.id}?$select=name,@microsoft.graph.downloadUrl")
    assert found.keys() == {"name", "@microsoft.graph.downloadUrl"}


# Content


def test_content_redirects_to_the_other_host_where_no_token_is_needed(client):
    item = client.file("a.txt", b"words")
    assert url_of(client, item.id).startswith(OTHER_HOST)
    assert client.fetch(item.id) == b"words"


def test_a_download_with_a_token_is_refused_and_noted(client):
    url = url_of(client, client.file("a.txt").id)
    answer = client.ask("GET", url, headers={"Authorization": "Bearer x"})
    assert answer.status == 401
    assert client.tenant.counters.offences["token-to-foreign-host"] == 1


def test_a_download_url_expires_and_cannot_be_forged(client):
    url = url_of(client, client.file("a.txt").id)
    other = client.file("b.txt").id
    stolen = url.replace(client.drive.by_path(["a.txt"]).id, other)
    assert client.ask("GET", stolen).status == 401
    assert client.ask("GET", url).status == 200
    client.tenant.clock.advance(client.drive.quirks.download_url_ttl_s + 1)
    assert client.ask("GET", url).status == 401


@pytest.mark.parametrize(
    ("asked", "status", "got", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-", 416, None, "bytes */10"),
    ],
)
def test_ranges(client, asked, status, got, said):
    url = url_of(client, client.file("a.txt", b"0123456789").id)
    answer = client.ask("GET", url, headers={"Range": asked})
    assert (answer.status, answer.headers["Content-Range"]) == (status, said)
    if got is not None:
        assert whole(answer) == got


def test_a_range_asked_for_as_json_is_refused(client):
    url = url_of(client, client.file("a.txt", b"0123456789").id)
    headers = {"Range": "bytes=0-3", "Accept": "application/json"}
    assert client.ask("GET", url, headers=headers).status == 416


def test_a_download_may_break_off_and_be_resumed(client):
    url = url_of(client, client.file("a.txt", b"0123456789").id)
    downloads(client.tenant).cuts.append(4)
    answer = client.ask("GET", url)
    assert (next(answer.body), answer.headers["Content-Length"]) == (b"0123", "10")
    with pytest.raises(ConnectionAbortedError):
        next(answer.body)
    assert whole(client.ask("GET", url, headers={"Range": "bytes=4-"})) == b"456789"


def test_malware_is_refused_everywhere_with_its_header(client):
    item = client.file("bad.txt")
    url = url_of(client, item.id)
    item.infected = True
    for where in (f"/items/{item.id}/content", url):
        answer = client.ask("GET", where)
        assert code(answer) == (403, "malwareDetected")
        assert answer.headers["X-Virus-Infected"] == "true"
    assert "malware" in client.get(f"/items/{item.id}")


def test_a_notebook_is_a_package_whose_sections_cannot_be_read(client):
    package = client.drive.create_folder(
        client.drive.root, "Notebook", "fail", OWNER, NOW, kind="package"
    )
    client.file("Notebook/a.one", out_of_order=(503, "serviceNotAvailable"))
    shown = client.get(f"/items/{package.id}")
    assert shown["package"] == {"type": "oneNote"}
    assert "folder" not in shown
    section = client.get(f"/items/{package.id}/children")["value"][0]
    assert client.ask("GET", f"/items/{section['id']}/content").status == 503
    assert client.ask("GET", section["@microsoft.graph.downloadUrl"]).status == 503


def test_an_empty_file_downloads_as_nothing(client):
    item = client.file("empty.txt", b"")
    assert client.fetch(item.id) == b""
    assert client.get(f"/items/{item.id}")["size"] == 0


def test_office_files_are_rewritten_on_upload_unless_switched_off(client):
    def put(name: str) -> bytes:
        made = client.ask("PUT", f"/root:/{name}:/content", b"PK\x03\x04 not really").body
        return client.fetch(made["id"])

    assert put("a.docx") != b"PK\x03\x04 not really"
    assert put("a.txt") == b"PK\x03\x04 not really"
    client.drive.quirks.rewrite_office = False
    assert put("b.docx") == b"PK\x03\x04 not really"


def test_a_full_drive_takes_no_more(client):
    client.drive.quota_bytes = 10
    assert client.ask("PUT", "/root:/a.txt:/content", b"12345678").status == 201
    answer = client.ask("PUT", "/root:/b.txt:/content", b"12345678")
    assert code(answer) == (507, "quotaLimitReached")


# Versions and sharing


def test_versions_are_newest_first_and_only_older_ones_have_content_of_their_own(client):
    item = client.file("a.txt", b"one")
    for text in (b"two", b"three"):
        client.ask("PUT", f"/items/{item.id}/content", text)
    url = f"/items/{item.id}/versions"
    assert [version["id"] for version in client.get(url)["value"]] == ["3.0", "2.0", "1.0"]
    first = client.ask("GET", f"{url}/1.0/content").headers["Location"]
    assert whole(client.ask("GET", first)) == b"one"
    assert code(client.ask("GET", f"{url}/3.0/content")) == (400, "invalidRequest")
    assert client.fetch(item.id) == b"three"


def test_permissions_are_inherited_and_cost_five(client):
    item = client.file("A/b.txt")
    folder = client.drive.by_path(["A"])
    client.drive.share(folder, {"id": "p1", "roles": ["write"]}, NOW)
    found = client.get(f"/items/{item.id}/permissions")["value"]
    assert [(p["id"], p["inheritedFrom"]["id"]) for p in found] == [("p1", folder.id)]
    expanded = client.ask("GET", f"/items/{item.id}?$expand=permissions")
    assert expanded.headers["x-cost"] == "5"
    assert expanded.body["permissions"] == found


# Truth


def test_the_truth_lists_what_lives_with_hashes(client):
    client.file("A/b.txt", b"x")
    found = {"/".join(entry["path"]): entry for entry in truth(client.drive)}
    assert found.keys() == {"A", "A/b.txt"}
    assert found["A/b.txt"]["sha256"]().startswith("2d711642b726")
    assert found["A/b.txt"]["size"] == 1


def test_two_drives_of_one_seed_are_alike():
    def make() -> list[str]:
        drive = Drive("b!x", OWNER, NOW, seed=3)
        drive.create_folder(drive.root, "A", "fail", OWNER, NOW)
        return list(drive.items)

    assert make() == make()
    assert Tenant(1, clock=Clock(NOW)).id == Tenant(1, clock=Clock(NOW)).id


def test_permissions_and_versions_are_lists_in_pages(client):
    item = client.file("Docs/shared.txt")
    for number in range(3):
        client.drive.share(item, {"id": f"p{number}", "roles": ["read"]}, NOW)
        client.drive.write(item, LiteralBytes(b"%d" % number), OWNER, NOW)
    client.drive.quirks.permissions_page = client.drive.quirks.versions_page = 2
    first = client.get(f"/items/{item.id}/permissions")
    second = client.get(first["@odata.nextLink"])
    assert [one["id"] for one in first["value"] + second["value"]] == ["p0", "p1", "p2"]
    first = client.get(f"/items/{item.id}/versions")
    second = client.get(first["@odata.nextLink"])
    assert [one["id"] for one in first["value"] + second["value"]] == ["4.0", "3.0", "2.0", "1.0"]


def test_where_a_permission_is_inherited_from_may_not_be_told(client):
    item = client.file("Docs/shared.txt")
    client.drive.share(client.drive.by_path(["Docs"]), {"id": "p", "roles": ["read"]}, NOW)
    (found,) = client.get(f"/items/{item.id}/permissions")["value"]
    assert "inheritedFrom" in found
    client.drive.quirks.inherited_from = False
    (found,) = client.get(f"/items/{item.id}/permissions")["value"]
    assert "inheritedFrom" not in found
