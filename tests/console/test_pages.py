"""Every page shows hostile names as text, carries nothing that its own policy forbids, and works
without JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient

from base.messages import ExportRun
from engine import export, verify
from formats.text import words_of
from tests.api.house import HOSTILE, ORG, House

BASE = f"/organizations/{ORG}"
COVERAGE_QUERIES = ("", "?state=partly", "?state=not&kind=group", "?kind=onedrive&state=protected")


class Page(HTMLParser):
    """What a page is made of, and what about it is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.posts: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.ids: set[str] = set()
        self._labelled: set[str] = set()
        self._fields: list[dict[str, Any]] = []
        self._in_label = 0
        self.feed(text)
        for field in self._fields:
            if field.get("id") not in self._labelled and not field.get("aria-label"):
                self.wrong.append(f"no label: {field}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.wrong.append("inline script")
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.wrong.append(f"inline style or handler: {given}")
        for name in ("href", "src", "action", "formaction", "hx-get"):
            if name in given and not (given[name] or "").startswith(("/", "#")):
                self.wrong.append(f"leads away: {given[name]}")
        if tag == "a":
            self.links.append(str(given.get("href")))
        if tag == "form":
            self.posts.append(str(given.get("action")))
            assert given.get("method") == "post"
        if tag == "img" and "alt" not in given:
            self.wrong.append("an image without words")
        if tag == "label":
            self._in_label += 1
            self._labelled.add(given.get("for") or "")
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            if not self._in_label:
                self._fields.append(given)
        if given.get("id"):
            assert given["id"] not in self.ids, "an id twice"
            self.ids.add(str(given["id"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._in_label -= 1

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(answer: Any, status: int = 200) -> Page:
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"].startswith("text/html")
    found = Page(answer.text)
    assert found.wrong == []
    assert "alert(1)</script>" not in answer.text
    assert "<html lang=" in answer.text
    return found


def selection(house: House) -> dict[str, Any]:
    return {**house.mail(), "snapshot": "1", "item": house.first_item(**house.mail())["id"]}


@pytest.fixture(scope="module")
def restored(house: House) -> str:
    """The id of a restore that has ended."""
    answer = house.client.post(f"{BASE}/restore", data={**selection(house), "confirmed": "yes"})
    run = answer.headers["location"].rsplit("/", 1)[1]
    house.world.finish_restore(run)
    return str(run)


def every_page(house: House, run: str) -> Iterator[str]:
    yield from ("/", "/problems", BASE, f"{BASE}/policy", f"{BASE}/run/{run}", "/signin")
    yield from (f"{BASE}/coverage{query}" for query in COVERAGE_QUERIES)
    backup = house.get("/runs", kind="backup")["items"][-1]["id"]
    yield f"{BASE}/run/{backup}"
    for where in (house.mail(), house.drive()):
        query = f"service={where['service']}&resource={where['resource']}"
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            yield f"{BASE}/browse?{query}&folder={folder}"
            for entry in house.get("/items", **where, folder=folder, limit=500)["items"]:
                if entry["kind"] == "folder":
                    waiting.append(entry["id"])
                else:
                    yield f"{BASE}/item?{query}&item={entry['id']}"


def test_every_page_shows_hostile_names_as_text(house: House, restored: str) -> None:
    shown = 0
    count = 0
    for path in every_page(house, restored):
        found = page(house.client.get(path))
        shown += HOSTILE in "".join(found.text)
        count += 1
    assert count > 50
    assert shown > 10


def test_every_link_of_the_pages_leads_somewhere(house: House, restored: str) -> None:
    seen: set[str] = set()
    for path in ("/", BASE, f"{BASE}/coverage", f"{BASE}/run/{restored}"):
        for link in page(house.client.get(path)).links:
            if link.startswith("/") and link not in seen:
                seen.add(link)
                assert house.client.get(link).status_code == 200, link
    assert len(seen) > 8


def test_the_coverage_page_says_why_in_words_and_filters_by_state(house: House) -> None:
    whole = "".join(page(house.client.get(f"{BASE}/coverage")).text)
    assert "The policy does not name Calendar" in whole
    assert "OneNote pages" in whole
    reason = "There is none: its owner has no licence."
    for state, shown in (("not", True), ("partly", False)):
        found = page(house.client.get(f"{BASE}/coverage", params={"state": state}))
        assert (reason in "".join(found.text)) is shown
    answer = house.client.get(f"{BASE}/coverage", params={"state": "green"})
    assert answer.status_code == 422


def test_an_error_is_a_page_with_what_to_do(house: House) -> None:
    for path, status in (
        ("/organizations/nobody", 404),
        ("/organizations/NO%20SUCH", 422),
        (f"{BASE}/run/backup-20261124t060517-3fa9c1", 404),
        (f"{BASE}/browse", 422),
        (f"{BASE}/browse?service=mail&resource=mailbox:x", 404),
        (f"{BASE}/browse?service=mail&resource={house.world.mailbox_id}&snapshot=²", 422),
        (f"{BASE}/item?service=mail&resource={house.world.mailbox_id}&item=none", 404),
        ("/nothing", 404),
    ):
        page(house.client.get(path), status)


# --- Organizations ---


def test_an_organization_is_added_and_its_passphrase_shown_once(house: House) -> None:
    form = {
        "name": HOSTILE,
        "tenant_id": "fabrikam.example",
        "client_id": "app",
        "client_secret": "the-clients-secret",
    }
    answer = house.client.post("/organizations", data=form)
    found = page(answer)
    made = next(p for p in found.posts if p.endswith("/connection")).split("/")[2]
    try:
        passphrase = answer.text.split('class="passphrase">')[1].split("<")[0]
        assert len(passphrase) == 39
        assert "the-clients-secret" not in answer.text
        for path in ("/", f"/organizations/{made}", f"/organizations/{made}/policy"):
            text = house.client.get(path).text
            assert passphrase not in text
            assert "the-clients-secret" not in text
        page(house.client.get("/"))
    finally:
        house.client.delete(f"/api/v1/organizations/{made}")


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"tenant_id": "https://evil.example/"},
        {"client_id": ""},
        {"client_secret": ""},
        {"restore_client_id": "only-an-id"},
        {"name": "Contoso"},
    ],
)
def test_a_refused_form_says_why_and_keeps_what_was_typed(
    house: House, change: dict[str, str]
) -> None:
    form = {"name": "Tailspin", "tenant_id": "t.example", "client_id": "app-id"}
    form = {**form, "client_secret": "the-clients-secret", **change}

    answer = house.client.post("/organizations", data=form)

    page(answer, answer.status_code)
    assert answer.status_code in (409, 422)
    assert 'role="alert"' in answer.text
    assert "the-clients-secret" not in answer.text
    if form["client_id"]:
        assert 'value="app-id"' in answer.text


def test_the_connection_test_is_a_page(house: House) -> None:
    good = house.client.post(f"{BASE}/connection")
    assert "The connection works" in "".join(page(good).text)

    app = house.world.tenant.backup_app
    roles = set(app.roles)
    app.roles.discard("Mail.Read")
    try:
        bad = "".join(page(house.client.post(f"{BASE}/connection")).text)
    finally:
        app.roles |= roles
    assert "does not work yet" in bad
    assert "Mail.Read" in bad
    assert "Nothing is backed up without Mail.Read." in bad


# --- The policy ---


def test_the_policy_form_sets_services_people_and_schedule(house: House) -> None:
    version = str(house.get("/policy")["version"])
    ada, bob, *_ = (one["userPrincipalName"] for one in house.get("/directory/users")["items"])
    form: dict[str, Any] = {
        "version": version,
        "service": ["mail"],
        "mode": "include",
        "users": f"{ada}\n\n {bob} ",
        "rhythm": "daily",
        "time": "22:30",
        "time_zone": "Europe/Berlin",
    }

    answer = house.client.post(f"{BASE}/policy", data=form)

    assert answer.headers["location"] == BASE
    policy = house.get("/policy")
    assert policy["services"] == ["mail"]
    assert policy["selection"]["users"] == [ada, bob]
    assert policy["schedule"] == {"cron": "30 22 * * *", "time_zone": "Europe/Berlin"}
    shown = house.client.get(f"{BASE}/policy").text
    assert 'value="daily" selected' in shown
    assert 'value="22:30"' in shown
    stale = house.client.post(f"{BASE}/policy", data=form)
    page(stale, 409)
    both = {"version": str(policy["version"]), "service": ["mail", "drive"], "time": "01:00"}
    assert house.client.post(f"{BASE}/policy", data=both).status_code == 303
    assert house.get("/policy")["schedule"] is None


def test_the_policy_form_sets_retention_and_keeps_it(house: House) -> None:
    page = house.client.get(f"{BASE}/policy").text
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version is not None
    form = {"service": ["mail"], "mode": "all", "version": version[1], "keep_daily": "30"}
    assert house.client.post(f"{BASE}/policy", data=form).status_code == 303
    kept = house.get("/policy")["retention"]
    assert (kept["daily"], kept["last"]) == (30, 0)
    assert 'name="keep_daily" type="number" min="0" max="100000" value="30"' in (
        house.client.get(f"{BASE}/policy").text
    )
    refused = house.client.post(f"{BASE}/policy", data={**form, "keep_daily": "many"})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    "change",
    [
        {"service": []},
        {"service": ["fax"]},
        {"rhythm": "daily", "time": "25:00"},
        {"rhythm": "hourly"},
        {"rhythm": "cron", "cron": "nonsense"},
        {"rhythm": "daily", "time_zone": "Mars/Olympus"},
        {"mode": "some"},
        {"version": "²"},
    ],
)
def test_a_bad_policy_is_refused_on_the_page(house: House, change: dict[str, Any]) -> None:
    before = house.get("/policy")
    form = {"version": str(before["version"]), "service": ["mail"], "time": "01:00", **change}

    answer = house.client.post(f"{BASE}/policy", data=form)

    assert answer.status_code in (409, 422)
    page(answer, answer.status_code)
    assert house.get("/policy") == before


# --- Runs, restores, exports ---


def test_a_backup_is_started_watched_and_cancelled(house: House) -> None:
    path = house.client.post(f"{BASE}/backup").headers["location"]

    page(house.client.get(path))
    fragment = house.client.get(path, headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "hx-get" in fragment
    page(house.client.post(f"{BASE}/backup"), 409)
    assert house.client.post(f"{path}/cancel").headers["location"] == path
    assert "hx-get" not in house.client.get(path).text
    assert [story for story, _, _ in house.stories.started] == ["backup_organization"]


def test_a_restore_is_planned_and_confirmed_and_undone(house: House) -> None:
    plan = house.client.post(f"{BASE}/restore", data=selection(house))
    page(plan)
    assert house.stories.started == []

    started = house.client.post(f"{BASE}/restore", data={**selection(house), "confirmed": "yes"})
    path = started.headers["location"]
    run = house.world.finish_restore(path.rsplit("/", 1)[1])
    shown = house.client.get(path).text
    undone = house.client.post(f"{path}/undo")

    assert run["state"] in ("green", "amber")
    assert "What became of each item" in shown
    assert "created" in shown
    house.world.finish_restore(undone.headers["location"].rsplit("/", 1)[1])
    page(house.client.get(undone.headers["location"]))
    page(house.client.post(f"{undone.headers['location']}/undo"), 409)


def test_a_restore_can_go_to_somebody_else(house: House) -> None:
    query = {**house.mail(), "folder": ""}
    listing = house.client.get(f"{BASE}/browse", params=query).text
    other = listing.split('<option value="mailbox:')[1].split('"')[0]

    plan = house.client.post(
        f"{BASE}/restore", data={**selection(house), "target": f"mailbox:{other}"}
    )

    page(plan)
    assert "To another place" in plan.text
    assert f'name="target" value="mailbox:{other}"' in plan.text


@pytest.mark.parametrize(
    "change",
    [
        {"target": "drive:x"},
        {"item": "none"},
        {"service": "fax"},
        {"place": "moon"},
        {"conflict": "destroy"},
        {"snapshot": "99"},
    ],
)
def test_a_bad_restore_is_a_page_and_starts_nothing(house: House, change: dict[str, str]) -> None:
    for act in ("restore", "export"):
        answer = house.client.post(f"{BASE}/{act}", data={**selection(house), **change})
        if act == "restore":
            page(answer, answer.status_code)
            assert 400 <= answer.status_code < 500
    assert "restore_items" not in [story for story, _, _ in house.stories.started]


def test_an_export_is_made_and_offered(house: House) -> None:
    path = house.client.post(f"{BASE}/export", data=selection(house)).headers["location"]
    made = ExportRun(ORG, path.rsplit("/", 1)[1])
    export.write_export(house.app, made)
    export.close_export(house.app, made)

    links = page(house.client.get(path)).links

    archive = next(link for link in links if link.endswith("/archive"))
    assert house.client.get(archive).content.startswith(b"PK")


def test_a_verification_is_started_and_says_what_it_found(house: House) -> None:
    path = house.client.post(f"{BASE}/verify").headers["location"]
    page(house.client.get(path))
    _, message, _ = house.stories.started[0]
    verify.verify_slice(house.app, dict(message))

    assert "nothing is wrong" in house.client.get(path).text


def test_a_repair_shows_what_it_would_do_before_it_does_it(house: House) -> None:
    store = house.app.store_counts(ORG)
    record = next(listed.name for listed in store.list("r/"))
    kept = store.read(record)
    store.delete(record)
    store.put_new(record, b"damaged")
    path = house.client.post(f"{BASE}/verify").headers["location"]
    _, message, _ = house.stories.started[-1]
    verify.verify_slice(house.app, dict(message))
    shown = house.client.get(path).text
    assert f'action="{path}/repair"' in shown
    assert "record-damaged" in shown

    planned = house.client.post(f"{path}/repair").text
    assert "What a repair would do" in planned
    assert record in planned
    done = house.client.post(f"{path}/repair", data={"confirmed": "yes"}).text
    assert "Repaired" in done
    store.delete(record)
    store.put_new(record, kept)


# --- The door ---


def test_signing_out_forgets_the_session(house: House) -> None:
    browser = TestClient(house.client.app, follow_redirects=False)
    token = house.client.headers["authorization"].removeprefix("Bearer ")
    browser.post("/signin", data={"token": token})
    assert browser.get("/").status_code == 200

    browser.post("/signout")

    assert browser.get("/").headers["location"] == "/signin"


# --- Text of a message ---


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("a<br>b", "a\nb"),
        ("<style>x</style><script>alert(1)</script>seen", "seen"),
        ("&lt;b&gt; &amp; <b>bold</b>", "<b> & bold"),
        ("<table><tr><td>1<td>2</table>", "1 2"),
        ("", ""),
    ],
)
def test_the_words_of_html_are_what_a_person_would_read(html: str, words: str) -> None:
    assert words_of(html) == words


# --- Choosing people ---


def fragment(answer: Any) -> Page:
    """A piece of a page, as htmx asks for it."""
    assert answer.status_code == 200, answer.text
    found = Page(answer.text)
    assert found.wrong == []
    return found


def test_the_policy_page_finds_people_and_groups_and_takes_one(house: House) -> None:
    found = house.client.get(f"{BASE}/directory", params={"into": "selection", "search": "sales"})
    shown = fragment(found)
    assert "Sales Inbox" in "".join(shown.text)
    assert "group" in "".join(shown.text)
    entry = {"kind": "groups", "value": "g1", "name": HOSTILE, "address": '"><b>'}
    chip = house.client.get(f"{BASE}/directory/chosen", params={"into": "drives", **entry})
    fragment(chip)
    assert 'name="drives_groups" value="g1" checked' in chip.text
    assert "<b>" not in chip.text
    none = house.client.get(f"{BASE}/directory", params={"into": "sites", "search": "no such"})
    assert "Nobody" in "".join(fragment(none).text)
    empty = house.client.get(f"{BASE}/directory", params={"into": "sites", "search": " "})
    assert empty.text.strip() == ""


def test_the_policy_form_sets_groups_patterns_drives_and_sites(house: House) -> None:
    before = house.get("/policy")
    person = house.get("/directory/users")["items"][0]
    group = house.get("/directory/groups")["items"][0]
    site = house.get("/directory/sites")["items"][0]
    team = house.get("/directory/teams")["items"][0]
    form: dict[str, Any] = {
        "version": str(before["version"]),
        "service": before["services"],
        "mode": "include",
        "users": [person["id"], f"{person['mail']}\n"],
        "groups": group["id"],
        "patterns": "*@sales.contoso.com\n\n*@a.b",
        "leavers": "stop",
        "drives_own": "yes",
        "drives_mode": "exclude",
        "drives_groups": group["id"],
        "sites_mode": "exclude",
        "sites_sites": ["", site["id"]],
        "teams_own": "yes",
        "teams_mode": "exclude",
        "teams_teams": team["id"],
    }
    assert house.client.post(f"{BASE}/policy", data=form).status_code == 303

    now = house.get("/policy")

    assert now["selection"]["users"] == [person["id"], person["mail"]]
    assert now["selection"]["patterns"] == ["*@sales.contoso.com", "*@a.b"]
    assert (now["selection"]["groups"], now["selection"]["leavers"]) == ([group["id"]], "stop")
    assert (now["drives"]["mode"], now["drives"]["groups"]) == ("exclude", [group["id"]])
    assert now["sites"] == {"mode": "exclude", "sites": [site["id"]], "patterns": []}
    assert now["teams"] == {"mode": "exclude", "teams": [team["id"]], "patterns": []}
    shown = house.client.get(f"{BASE}/policy")
    page(shown)
    for name in (group["displayName"], site["displayName"], team["displayName"]):
        assert name in shown.text
    plain = {"version": str(now["version"]), "service": before["services"]}
    assert house.client.post(f"{BASE}/policy", data=plain).status_code == 303
    assert house.get("/policy")["selection"]["mode"] == "all"


def test_a_refused_form_keeps_what_was_typed(house: House) -> None:
    form = {
        "version": str(house.get("/policy")["version"]),
        "service": ["mail"],
        "mode": "include",
        "users": "nobody@contoso.example",
        "patterns": "typed-*",
    }
    answer = house.client.post(f"{BASE}/policy", data=form)
    page(answer, 422)
    assert "selection-unknown" in answer.text
    assert "nobody@contoso.example" in answer.text
    assert "typed-*" in answer.text
