"""The fake drive's delta does everything the documentation allows."""

import pytest

from simulator.quirks import Quirks
from tests.simulator.drive_client import NOW, OWNER, Client, code


@pytest.fixture
def client() -> Client:
    client = Client()
    client.file("a.txt", b"alpha")
    client.file("Docs/b.txt", b"beta")
    client.file("Docs/Deep/c.txt", b"gamma")
    return client


def names_after(client: Client, link: str) -> list[str]:
    return client.round(link).names()


def test_the_first_round_holds_root_folders_and_files_and_ends_with_a_delta_link(client):
    first = client.round()
    assert first.names() == ["root", "a.txt", "Docs", "b.txt", "Deep", "c.txt"]
    root, file = first.entries[0], first.entries[1]
    assert root["root"] == {}
    assert "id" not in root["parentReference"]
    assert file["parentReference"] == {
        "driveType": "business", "driveId": "b!one", "id": root["id"],
    }  # fmt: skip
    assert file["file"]["hashes"]["quickXorHash"]
    assert client.round(first.link).entries == []


@pytest.mark.parametrize(
    "spelling",
    [
        "/root/delta",
        "/root/delta()",
        "/root/microsoft.graph.delta",
        "/root/microsoft.graph.delta()",
        "/items/root/delta()",
        "/root/delta(token='')",
        "/delta",
    ],
)
def test_every_spelling_of_delta_is_the_same_function(client, spelling):
    assert len(client.round(spelling).entries) == 6


def test_links_may_spell_the_function_in_any_way_and_all_work(client):
    client.tenant.quirks.odd_link_spellings = True
    client.drive.quirks.page_size = 1
    first = client.round()
    links, url = set(), "/root/delta"
    while url:
        page = client.get(url)
        url = page.get("@odata.nextLink", "")
        links.add(url.partition("root/")[2][:9])
    assert len(first.entries) == 6
    assert len(links) > 2


def test_a_folder_of_another_than_the_root_has_no_delta(client):
    folder = client.drive.by_path(["Docs"])
    assert code(client.ask("GET", f"/items/{folder.id}/delta")) == (400, "invalidRequest")


def test_a_first_call_costs_two_units_and_one_with_a_token_costs_one(client):
    first = client.ask("GET", "/root/delta")
    assert first.headers["x-cost"] == "2"
    assert client.ask("GET", first.body["@odata.deltaLink"]).headers["x-cost"] == "1"


def test_latest_gives_no_items_and_only_what_changes_from_now_on(client):
    page = client.get("/root/delta?token=latest")
    assert page["value"] == []
    client.file("new.txt")
    assert names_after(client, page["@odata.deltaLink"]) == ["root", "new.txt"]


def test_a_timestamp_is_a_token(client):
    client.tenant.clock.advance(60)
    client.drive.put_file(
        client.drive.root, "later.txt", client.drive.by_path(["a.txt"]).content, "fail", OWNER,
        client.tenant.clock.now(),
    )  # fmt: skip
    found = client.round("/root/delta?token=2026-11-21T09%3A00%3A30Z")
    assert found.names() == ["root", "later.txt"]


def test_renaming_a_folder_returns_the_folder_only(client):
    link = client.round().link
    docs = client.drive.by_path(["Docs"])
    client.ask("PATCH", f"/items/{docs.id}", {"name": "Papers"})
    assert names_after(client, link) == ["root", "Papers"]


def test_unchanged_ancestors_come_along_unless_excluded(client):
    link = client.round().link
    plain = client.round("/root/delta?token=latest").link
    excluding = client.round("/root/delta?token=latest", deltaExcludeParent="true").link
    client.drive.rename(
        client.drive.by_path(["Docs", "Deep", "c.txt"]), "d.txt",
        client.drive.by_path(["Docs", "Deep"]), OWNER, NOW,
    )  # fmt: skip
    assert names_after(client, link) == ["root", "Docs", "Deep", "d.txt"]
    assert names_after(client, plain) == ["root", "Docs", "Deep", "d.txt"]
    assert names_after(client, excluding) == ["d.txt"]


def test_deleting_a_folder_reports_everything_in_it_without_names(client):
    link = client.round().link
    docs = client.drive.by_path(["Docs"])
    gone = {docs.id, *(item.id for item in client.drive.living() if "Docs" in path(client, item))}
    client.ask("DELETE", f"/items/{docs.id}")
    found = [entry for entry in client.round(link).entries if "deleted" in entry]
    assert {entry["id"] for entry in found} == gone
    assert all(entry["deleted"] == {"state": "deleted"} for entry in found)
    assert not any({"name", "file", "folder", "cTag"} & set(entry) for entry in found)


def path(client: Client, item) -> list[str]:
    return client.drive.path(item)


def test_a_deletion_may_report_the_folder_only(client):
    link = client.round().link
    client.drive.quirks.deletes_list_children = False
    client.drive.delete(client.drive.by_path(["Docs"]), NOW)
    assert len([e for e in client.round(link).entries if "deleted" in e]) == 1


def test_deleted_entries_may_lack_their_parents_or_have_names(client):
    link = client.round().link
    client.drive.delete(client.drive.by_path(["a.txt"]), NOW)
    client.drive.quirks.deleted_parents = False
    assert client.round(link).entries[-1].keys() == {"id", "deleted"}
    client.drive.quirks.deleted_names = True
    assert client.round(link).entries[-1]["name"] == "a.txt"


def test_a_first_round_may_hold_deleted_items(client):
    client.drive.delete(client.drive.by_path(["a.txt"]), NOW)
    assert not any("deleted" in entry for entry in client.round().entries)
    client.tenant.quirks.removed_in_first_round = True
    assert any("deleted" in entry for entry in client.round().entries)


def test_children_may_come_before_their_parents(client):
    client.drive.quirks.children_first = True
    assert client.round().names() == ["c.txt", "Deep", "b.txt", "Docs", "a.txt", "root"]


def test_older_states_come_first_some_states_come_twice_and_the_last_is_true(client):
    item = client.drive.by_path(["a.txt"])
    client.drive.rename(item, "renamed.txt", client.drive.root, OWNER, NOW)
    client.tenant.quirks.p_duplicate = 1.0
    first = client.round()
    assert first.names().index("a.txt") < first.names().index("renamed.txt")
    assert first.names().count("renamed.txt") == 2
    assert first.last[item.id]["name"] == "renamed.txt"


def test_pages_may_be_empty_or_short_and_asking_again_gives_the_same_page(client):
    for number in range(60):
        client.file(f"file {number}.txt")
    client.tenant.quirks.p_empty_page = 0.5
    client.tenant.quirks.p_short_page = 0.9
    found = client.round("/root/delta?$top=20")
    sizes = [len(page) for page in found.pages]
    assert 0 in sizes
    assert max(sizes) <= 20
    assert any(0 < size < 20 for size in sizes[:-1])
    assert len(found.last) == 66
    assert [len(page) for page in client.round("/root/delta?$top=20").pages] == sizes


def test_a_change_during_a_round_is_reported_in_the_next(client):
    client.drive.quirks.page_size = 2
    page = client.get("/root/delta")
    client.file("meanwhile.txt")
    rest = client.round(page["@odata.nextLink"])
    assert "meanwhile.txt" not in rest.names()
    assert "meanwhile.txt" in names_after(client, rest.link)


def test_a_file_written_during_a_round_is_still_found_by_the_next(client):
    client.drive.quirks.page_size = 1
    page = client.get("/root/delta")
    item = client.file("a.txt", b"other words")
    rest = client.round(page["@odata.nextLink"])
    assert client.round(rest.link).last[item.id]["size"] == 11


@pytest.mark.parametrize(
    "reason", ["resyncChangesApplyDifferences", "resyncChangesUploadDifferences"]
)
def test_a_lost_token_answers_410_with_a_location_that_starts_from_scratch(client, reason):
    link = client.round().link
    client.drive.forget_tokens(reason)
    answer = client.ask("GET", link)
    assert code(answer) == (410, "resyncRequired")
    assert answer.body["error"]["innerError"]["code"] == reason
    assert len(client.round(answer.headers["Location"]).last) == 6


def test_a_token_that_is_none_is_refused(client):
    assert code(client.ask("GET", "/root/delta?token=%21%21nonsense")) == (400, "invalidRequest")


def test_select_is_carried_by_links_and_hides_the_download_url_unless_named(client):
    client.drive.quirks.page_size = 2
    found = client.round("/root/delta?$select=name,parentReference")
    assert all(entry.keys() == {"id", "name", "parentReference"} for entry in found.entries)
    named = client.round("/root/delta?$select=id,@microsoft.graph.downloadUrl")
    assert "@microsoft.graph.downloadUrl" in named.entries[-1]
    assert "name" not in named.entries[-1]


def test_the_download_url_has_two_names(client):
    assert "@microsoft.graph.downloadUrl" in client.round().entries[1]
    client.drive.quirks.download_url_name = "@content.downloadUrl"
    assert "@content.downloadUrl" in client.round().entries[1]


def test_ctags_and_hashes_may_be_missing(client):
    entry = client.round().entries[1]
    assert "cTag" in entry
    client.drive.quirks.ctag = client.drive.quirks.hashes = False
    entry = client.round().entries[1]
    assert "cTag" not in entry
    assert "hashes" not in entry["file"]


ALL_THREE = "deltashowremovedasdeleted, deltatraversepermissiongaps, deltashowsharingchanges"
MARK = "@microsoft.graph.sharedChanged"


def marked(client: Client, link: str, prefer: str) -> list[str]:
    entries = client.round(link, Prefer=prefer).entries
    return [entry["name"] for entry in entries if entry.get(MARK) == "True"]


def test_changed_sharing_is_marked_where_every_condition_holds(client):
    docs = client.drive.by_path(["Docs"])
    link = client.round("/root/delta?token=latest").link
    client.drive.share(docs, {"id": "p1", "roles": ["read"]}, NOW)
    assert marked(client, link, ALL_THREE) == []  # the application may not change permissions
    client.app = client.tenant.add_app("Owner", ("Sites.FullControl.All",))
    assert marked(client, link, ALL_THREE) == ["Docs"]
    assert marked(client, link, "deltashowsharingchanges") == []
    assert marked(client, link, "") == []  # headers are not carried over
    client.drive.rename(docs, "Documents", client.drive.root, OWNER, NOW)
    assert marked(client, link, ALL_THREE) == ["Documents"]  # whatever came behind it
    answer = client.ask("GET", link, headers={"Prefer": ALL_THREE})
    assert "deltashowsharingchanges" in answer.headers["Preference-Applied"]


def test_a_tenant_may_ignore_or_refuse_the_preferences(client):
    client.app = client.tenant.add_app("Owner", ("Sites.FullControl.All",))
    link = client.round("/root/delta?token=latest").link
    client.drive.share(client.drive.by_path(["Docs"]), {"id": "p1", "roles": ["read"]}, NOW)
    client.drive.quirks.headers_ignored = True
    assert marked(client, link, ALL_THREE) == []
    assert (
        "Preference-Applied" not in client.ask("GET", link, headers={"Prefer": ALL_THREE}).headers
    )
    client.drive.quirks.headers_refused = (400, "invalidRequest")
    assert client.ask("GET", link, headers={"Prefer": ALL_THREE}).status == 400
    assert client.ask("GET", link).status == 200


def test_hierarchical_sharing_shows_the_facet_only_where_sharing_begins(client):
    client.drive.share(client.drive.by_path(["Docs"]), {"id": "p1", "roles": ["read"]}, NOW)
    every = {e["name"] for e in client.round().entries if "shared" in e}
    rooted = {
        e["name"]
        for e in client.round("/root/delta", Prefer="hierarchicalsharing").entries
        if "shared" in e
    }
    assert every == {"Docs", "b.txt", "Deep", "c.txt"}
    assert rooted == {"Docs"}


def test_moving_there_and_back_shows_the_item_once_in_its_place(client):
    link = client.round().link
    item, docs = client.drive.by_path(["a.txt"]), client.drive.by_path(["Docs"])
    client.drive.rename(item, "a.txt", docs, OWNER, NOW)
    client.drive.rename(item, "a.txt", client.drive.root, OWNER, NOW)
    entry = client.round(link).last[item.id]
    assert entry["parentReference"]["id"] == client.drive.root.id


def test_all_hostility_at_once_still_adds_up_to_the_truth(client):
    client.tenant.quirks = Quirks(
        p_empty_page=0.4, p_short_page=0.6, p_duplicate=0.5, removed_in_first_round=True
    )
    client.drive.quirks.children_first = True
    for number in range(40):
        client.file(f"f{number % 7}/{number}.txt", b"x" * number)
    client.drive.delete(client.drive.by_path(["f3"]), NOW)
    found = client.round("/root/delta?$top=7")
    alive = {entry["id"] for entry in found.last.values() if "deleted" not in entry}
    assert alive == {item.id for item in client.drive.living()}
