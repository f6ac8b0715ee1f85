"""Sharing set again on restored files and folders: to whom, how wide, and without any mail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from base.errors import Throttled
from base.item import StoredItem
from m365.drive_names import unfinished
from m365.drive_sharing import SHARING
from m365.service import Written
from tests.m365.drive_target import Killed, Target, part, stored, target

REQUESTS_MAX = 40


@pytest.fixture
def here() -> Iterator[Target]:
    with target() as made:
        yield made


def person(here: Target, name: str = "Megan Bowen") -> str:
    known = (one.id for one in here.tenant.users.values() if one.properties["displayName"] == name)
    return next(known, "") or here.tenant.add_user(name).id


def user(key: str, role: str = "write", **more: Any) -> dict[str, Any]:
    who = {"user": {"id": key, "displayName": "Somebody"}}
    return {"id": f"p-{key}", "roles": [role], "grantedToV2": who, "grantedTo": who, **more}


def link(scope: str, kind: str = "view", **more: Any) -> dict[str, Any]:
    return {
        "id": f"l-{scope}",
        "roles": ["read"],
        "link": {"type": kind, "scope": scope, "webUrl": "https://contoso.example/old"},
        **more,
    }


def share(here: Target, *permissions: Mapping[str, Any], **wish: Any) -> Written:
    item = stored("a.txt", b"data", permissions=permissions)
    return here.writer(permissions=True, **wish).write(item, here.into, "run:1", None, False)


def set_on(here: Target, path: str = "a.txt") -> list[tuple[str, str]]:
    """(whom or what, role) of every permission of its own."""
    found = []
    for one in here.item(path).permissions:
        who = one.get("grantedToV2") or {}
        names = [str(identity["id"]) for identity in who.values()]
        scope = (one.get("link") or {}).get("scope")
        found.append((names[0] if names else str(scope), one["roles"][0]))
    return found


def troubles(written: Written) -> list[tuple[str, str]]:
    return [(trouble.cause, trouble.detail) for trouble in written.troubles]


def test_people_and_groups_get_back_what_they_had(here: Target) -> None:
    megan, group = person(here), here.tenant.add_group("Sales", []).id
    of_group = {"id": "g", "roles": ["read"], "grantedToV2": {"group": {"id": group}}}
    written = share(here, user(megan), of_group)
    assert (written.outcome, written.troubles) == ("created", ())
    assert set_on(here) == [(megan, "write"), (group, "read")]


def test_nothing_is_shared_without_being_asked_for(here: Target) -> None:
    item = stored("a.txt", b"data", permissions=[user(person(here))])
    here.writer().write(item, here.into, "run:1", None, False)
    assert set_on(here) == []


def test_backups_without_permissions_restore_as_ever(here: Target) -> None:
    written = here.writer(permissions=True).write(
        stored("a.txt", b"data"), here.into, "run:1", None, False
    )
    assert (written.outcome, written.troubles) == ("created", ())
    assert here.graph.counters.requests == 2  # the session and the bytes


def test_owners_and_what_is_inherited_are_left_to_the_target(here: Target) -> None:
    written = share(
        here,
        user(person(here), "owner"),
        user(person(here, "Alex"), inheritedFrom={"id": "above"}),
    )
    assert written.troubles == ()
    assert set_on(here) == []


def test_what_the_folder_above_grants_already_is_not_granted_once_more(here: Target) -> None:
    megan = person(here)
    here.drive.share(here.drive.root, user(megan), here.tenant.clock.now())
    share(here, user(megan, "read"))
    assert set_on(here) == []


def test_a_link_for_the_organization_is_made_anew_and_said(here: Target) -> None:
    written = share(here, link("organization", "edit"))
    assert troubles(written) == [("link-has-new-address", "")]
    assert set_on(here) == [("organization", "write")]


def test_a_link_for_some_people_is_for_the_same_people(here: Target) -> None:
    megan = person(here)
    some = link("users", grantedToIdentitiesV2=[{"user": {"id": megan}}])
    assert troubles(share(here, some)) == [("link-has-new-address", "")]
    (made,) = here.item("a.txt").permissions
    assert [one["user"]["id"] for one in made["grantedToIdentitiesV2"]] == [megan]


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (link("anonymous"), ("anonymous-link-left-out", "")),
        (link("organization", hasPassword=True), ("permission-not-set", "password")),
        (link("somethingNew"), ("permission-not-set", "unknown-scope")),
        (user("x", expirationDateTime="2020-01-01T00:00:00Z"), ("permission-not-set", "expired")),
        (user("x", expirationDateTime="soon"), ("permission-not-set", "expired")),
        (user("x", "sp.full control"), ("permission-not-set", "unknown-role")),
        ({"id": "?", "roles": ["read"]}, ("permission-not-set", "unknown-person")),
        (
            {"id": "s", "roles": ["read"], "grantedToV2": {"siteGroup": {"id": "5"}}},
            ("permission-not-set", "siteGroup"),
        ),
        (
            {"id": "s", "roles": ["read"], "grantedToV2": {"application": {"id": "5"}}},
            ("permission-not-set", "application"),
        ),
    ],
)
def test_nothing_becomes_wider_than_it_was(
    here: Target, permission: Mapping[str, Any], expected: tuple[str, str]
) -> None:
    written = share(here, permission)
    assert written.outcome == "created"
    assert troubles(written) == [expected]
    assert set_on(here) == []


def test_a_link_that_prevents_downloads_does_not_become_one_that_allows_them(here: Target) -> None:
    kept = link("organization")
    kept["link"]["preventsDownload"] = True
    assert troubles(share(here, kept)) == [("permission-not-set", "prevents-download")]


@pytest.mark.parametrize("inside", [False, True])
def test_whom_the_directory_no_longer_knows_is_a_trouble_of_one_permission(
    here: Target, inside: bool
) -> None:
    here.drive.quirks.invite_errors_inside = inside
    megan = person(here)
    written = share(here, user("gone"), user(megan))
    ((cause, _),) = troubles(written)
    assert cause == "permission-not-set"
    assert written.troubles[0].part == "permission:p-gone"
    assert set_on(here) == [(megan, "write")]


def test_addresses_and_login_names_serve_where_there_is_no_id(here: Target) -> None:
    first, second = person(here), person(here, "Alex")
    mail = {key: str(here.tenant.users[key].properties["mail"]) for key in (first, second)}
    by_login = {"siteUser": {"loginName": f"i:0#.f|membership|{mail[second]}"}}
    share(
        here,
        {"id": "1", "roles": ["read"], "invitation": {"email": mail[first]}},
        {"id": "2", "roles": ["write"], "grantedToV2": by_login},
    )
    assert set_on(here) == [(first, "read"), (second, "write")]


def test_a_date_of_expiry_in_the_future_is_kept(here: Target) -> None:
    share(here, user(person(here), expirationDateTime="2099-01-01T00:00:00Z"))
    (made,) = here.item("a.txt").permissions
    assert made["expirationDateTime"] == "2099-01-01T00:00:00Z"


def test_a_site_that_forbids_sharing_is_a_trouble_and_the_file_is_there(here: Target) -> None:
    here.tenant.faults.map(r"createLink", "p")
    written = share(here, link("organization"))
    assert [cause for cause, _ in troubles(written)] == ["permission-not-set"]
    assert here.files() == {"a.txt": b"data"}


def test_sharing_cut_off_at_any_request_is_completed(here: Target) -> None:
    megan, alex = person(here), person(here, "Alex")
    permissions = [user(megan), user(alex, "read"), link("organization")]
    for dies_at in range(1, REQUESTS_MAX):
        name = f"{dies_at}.txt"
        item = stored(name, b"data", permissions=permissions)
        survived = False
        with suppress(Killed):
            here.writer(dies_at, permissions=True).write(item, here.into, "run:1", None, False)
            survived = True
        if name not in here.files():
            here.writer(permissions=True).write(item, here.into, "run:1", None, False)
        assert set_on(here, name) == [(megan, "write"), (alex, "read"), ("organization", "read")]
        assert len(here.files()) == dies_at
        if survived:
            return
    raise AssertionError("it never survived")


def test_the_limit_of_sharing_is_kept_without_ever_being_told(here: Target) -> None:
    writer = here.writer(permissions=True)
    for _ in range(299):
        here.graph.take_place(SHARING)
    items = [
        stored(f"{number}.txt", b"data", permissions=[link("organization")]) for number in (1, 2)
    ]
    writer.write(items[0], here.into, "run:1", None, False)
    with pytest.raises(Throttled) as told:
        writer.write(items[1], here.into, "run:2", None, False)
    assert told.value.retry_after_s > 60
    assert here.tenant.counters.throttled.total() == 0
    assert list(here.files()) == ["1.txt", unfinished("2.txt", "run:2")]


def test_a_folder_the_restore_names_is_shared_too(here: Target) -> None:
    megan = person(here)
    raw = {"id": "f", "name": "Docs", "folder": {}}
    listed = part("permissions", json.dumps([user(megan)]).encode())
    folder = StoredItem("f", "r", "folder", "Docs", {}, raw, (listed,))
    writer = here.writer(permissions=True)
    made = writer.ensure_folder(here.into, "Docs", folder)
    for _ in range(2):
        assert writer.finish_folder(folder, made) == ()
    assert len(here.drive.get(made.id).permissions) == 1
    assert here.writer().finish_folder(folder, made) == ()
