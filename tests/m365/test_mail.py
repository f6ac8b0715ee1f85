"""The feeds of a mailbox: what the source makes of every answer about folders and messages."""

from __future__ import annotations

import pytest

from base.item import Change, FeedPage, Gone
from m365.graph.errors import AnswerTooLarge, GatewayTimeout, ItemGone, TransientFailure
from m365.mail import EXPAND, PAGE_ITEMS_SMALL, MailSource
from tests.m365.scripted_graph import ScriptedGraph
from tests.m365.scripted_mail import (
    BOX,
    DELTA,
    GONE,
    INBOX,
    LOST,
    REFUSED,
    ROOT,
    SECRET,
    WORK,
    U,
    changes,
    feed_of,
    folder,
    links_of,
    listing,
    mailbox,
    message,
    only_inbox,
    run,
    tree_of,
)

# --- the folder tree ---------------------------------------------------------------------------


def test_the_first_round_finds_hidden_folders_at_any_depth_and_no_search_folders() -> None:
    pages = run(ScriptedGraph(mailbox()))
    tree = {entry.id: entry for entry in tree_of(pages).entries if isinstance(entry, Change)}
    assert set(tree) == {"root", "in", "work", "secret", "deep"}
    assert {key: entry.parent for key, entry in tree.items()} == {
        "root": "", "in": "root", "work": "in", "secret": "root", "deep": "work",
    }  # fmt: skip
    assert tree["in"].row["role"] == "inbox"
    assert tree["deep"].row["hidden"] is True


def test_parents_come_before_their_children() -> None:
    order = [entry.id for entry in tree_of(run(ScriptedGraph(mailbox()))).entries]
    assert order.index("root") < order.index("in") < order.index("work") < order.index("deep")


def test_feeds_are_announced_with_a_reset_before_the_tree_is_told() -> None:
    pages = run(ScriptedGraph(mailbox()))
    at = pages.index(tree_of(pages))
    announced = pages[:at]
    assert {page.part for page in announced} == {
        "folder:in", "folder:work", "folder:secret", "folder:deep",
    }  # fmt: skip
    assert all(page.reset and page.more and page.link for page in announced)
    assert all(page.scope == page.part.removeprefix("folder:") for page in announced)
    assert not any(page.reset for page in pages[at:])


def test_a_round_that_died_behind_the_tree_still_reads_every_feed() -> None:
    first = run(ScriptedGraph(mailbox()))
    at = first.index(tree_of(first))
    graph = ScriptedGraph(mailbox())
    pages = run(graph, links_of(first[: at + 1]), frozenset(("folders", "folder:in")))
    assert {page.part for page in pages} == {"folder:work", "folder:secret", "folder:deep"}
    assert graph.count("GET " + DELTA) == 0


def test_an_idle_round_costs_two_requests_and_one_for_each_folder() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    graph = ScriptedGraph(mailbox())
    pages = run(graph, links)
    assert len(graph.calls) == 2 + 4
    assert not any(page.entries for page in pages)


def test_the_first_round_stays_within_its_budget_of_requests() -> None:
    graph = ScriptedGraph(mailbox())
    run(graph)
    assert len(graph.calls) <= 2 * 4 + 2  # delta, names, top, two levels of children, four feeds


def test_a_renamed_hidden_folder_is_told_although_the_delta_says_nothing() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    renamed = {"value": [INBOX, {**SECRET, "displayName": "NEW"}]}
    pages = run(ScriptedGraph(mailbox(**{f"GET {U}/mailFolders": renamed})), links)
    assert [(entry.id, entry.name) for entry in changes(pages)] == [("secret", "NEW")]


def test_a_hidden_folder_that_is_no_longer_listed_is_gone_with_its_feed() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    graph = ScriptedGraph(mailbox(**{f"GET {U}/mailFolders": {"value": [INBOX]}}))
    tree = tree_of(run(graph, links))
    assert tree.entries == (Gone("secret"),)
    assert tree.dropped_parts == ("folder:secret",)
    assert "GET secret-1" not in graph.calls


def test_a_new_hidden_folder_below_a_changed_one_is_found() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    new = folder("new", parent="in", isHidden=True)
    graph = ScriptedGraph(
        mailbox(
            **{
                "GET tree-1": {"value": [INBOX], "@odata.deltaLink": "tree-2"},
                listing("in"): {"value": [WORK, new]},
                f"GET {feed_of('new')}": {"value": [], "@odata.deltaLink": "new-1"},
            }
        )
    )
    pages = run(graph, links)
    assert {entry.id for entry in changes(pages)} == {"in", "new"}
    assert pages[0].part == "folder:new"


def test_a_piece_of_a_folder_is_completed() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    piece = {"value": [{"id": "work", "totalItemCount": 7}], "@odata.deltaLink": "tree-2"}
    graph = ScriptedGraph(mailbox(**{"GET tree-1": piece, f"GET {U}/mailFolders/work": WORK}))
    (change,) = changes(run(graph, links))
    assert (change.id, change.name, change.parent, change.row["items"]) == ("work", "WORK", "in", 7)


def test_a_removed_folder_is_gone_and_its_feed_dropped() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    removed = {"id": "work", "@removed": {"reason": "deleted"}}
    answer = {"value": [removed], "@odata.deltaLink": "tree-2"}
    tree = tree_of(run(ScriptedGraph(mailbox(**{"GET tree-1": answer})), links))
    assert set(tree.entries) == {Gone("work"), Gone("deep")}  # what only a listing showed below it
    assert set(tree.dropped_parts) == {"folder:work", "folder:deep"}


@pytest.mark.parametrize("key", ["root", "in", "secret"])
def test_a_removal_of_a_folder_that_is_still_listed_is_not_believed(key: str) -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    removed = {"id": key, "@removed": {"reason": "deleted"}}
    answer = {"value": [removed], "@odata.deltaLink": "tree-2"}
    pages = run(ScriptedGraph(mailbox(**{"GET tree-1": answer})), links)
    assert not any(isinstance(entry, Gone) for page in pages for entry in page.entries)
    assert tree_of(pages).dropped_parts == ()


def test_a_lost_tree_is_read_again_and_known_folders_not_in_it_are_gone() -> None:
    links = {**links_of(run(ScriptedGraph(mailbox()))), "folder:old": "old-1"}
    graph = ScriptedGraph(mailbox(**{"GET tree-1": LOST}))
    tree = tree_of(run(graph, links))
    assert not tree.reset
    assert {entry.id for entry in tree.entries if isinstance(entry, Change)} == {
        "root", "in", "work", "secret", "deep",
    }  # fmt: skip
    assert Gone("old") in tree.entries
    assert tree.dropped_parts == ("folder:old",)


def test_messages_in_the_root_are_read_once_there_are_any() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    graph = ScriptedGraph(
        mailbox(
            **{
                "GET tree-1": {"value": [INBOX], "@odata.deltaLink": "tree-2"},
                f"GET {U}/mailFolders/msgfolderroot": {**ROOT, "totalItemCount": 1},
                f"GET {feed_of('root')}": {"value": [message("m")], "@odata.deltaLink": "root-1"},
                listing("root"): {"value": [INBOX, SECRET]},
            }
        )
    )
    pages = run(graph, links)
    start = pages[0]
    assert (start.part, start.reset) == ("folder:root", True)
    assert {entry.id for entry in start.entries} == {"in", "secret"}  # they lie in the scope too
    assert "m" in {entry.id for entry in changes(pages)}


# --- the feeds of folders ----------------------------------------------------------------------


def test_pages_removals_and_duplicates_are_passed_on_as_they_come() -> None:
    first = {
        "value": [message("a"), {"id": "x", "@removed": {"reason": "changed"}}],
        "@odata.nextLink": "p2",
    }
    graph = ScriptedGraph(
        only_inbox(
            **{
                f"GET {feed_of('in')}": first,
                "GET p2": {"value": [], "@odata.nextLink": "p3"},
                "GET p3": {"value": [message("a", subject="2")], "@odata.deltaLink": "in-1"},
            }
        )
    )
    pages = [page for page in run(graph) if page.part == "folder:in"][1:]
    assert [(page.link, page.more, len(page.entries)) for page in pages] == [
        ("p2", True, 2), ("p3", True, 0), ("in-1", False, 1),
    ]  # fmt: skip
    assert pages[0].entries[1] == Gone("x", parent="in")


def test_no_delta_is_asked_with_top() -> None:
    graph = ScriptedGraph(mailbox())
    run(graph)
    assert not [call for call in graph.calls if "delta" in call and "$top" in call]


def test_a_lost_feed_starts_anew_and_names_the_subfolders_that_lie_in_its_scope() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    page = {"value": [message("a")], "@odata.deltaLink": "in-9"}
    graph = ScriptedGraph(mailbox(**{"GET in-1": LOST, f"GET {feed_of('in')}": page}))
    start, again = (page for page in run(graph, links) if page.part == "folder:in")
    assert (start.reset, start.scope, start.more) == (True, "in", True)
    assert [entry.id for entry in start.entries] == ["work"]
    assert (again.reset, again.link, again.more) == (False, "in-9", False)


def test_a_later_page_that_is_too_heavy_makes_the_feed_start_anew_in_small_pages() -> None:
    links = {**links_of(run(ScriptedGraph(mailbox()))), "folder:in": "p2"}
    heavy = GatewayTimeout("heavy", status_code=504)
    page = {"value": [message("a")], "@odata.deltaLink": "in-9"}
    graph = ScriptedGraph(mailbox(**{"GET p2": heavy, f"GET {feed_of('in')}": page}))
    start, again = (page for page in run(graph, links) if page.part == "folder:in")
    assert (start.reset, again.more) == (True, False)
    assert graph.page_sizes[f"GET {feed_of('in')}?{EXPAND}"] == "odata.maxpagesize=10"


def test_the_feed_of_a_deleted_folder_ends_with_the_folder_gone() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    gone = {"GET work-1": GONE, f"GET {U}/mailFolders/work": GONE}
    pages = run(ScriptedGraph(mailbox(**gone)), links)
    (last,) = (page for page in pages if page.part == "folder:work")
    assert last.entries == (Gone("work"),)
    assert last.dropped_parts == ("folder:work",)


def test_an_odd_404_does_not_end_the_feed_of_a_folder_that_is_there() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    graph = ScriptedGraph(mailbox(**{"GET work-1": GONE, f"GET {U}/mailFolders/work": WORK}))
    with pytest.raises(ItemGone):
        run(graph, links)


def test_one_failing_folder_does_not_keep_the_others_away() -> None:
    links = links_of(run(ScriptedGraph(mailbox())))
    graph = ScriptedGraph(mailbox(**{"GET in-1": TransientFailure("no", status_code=500)}))
    pages: list[FeedPage] = []
    with pytest.raises(TransientFailure):
        pages.extend(MailSource(graph, BOX).changes(links, frozenset()))
    assert {"GET work-1", "GET secret-1", "GET deep-1"} <= set(graph.calls)


def test_a_tenant_that_refuses_the_expand_is_asked_without_it_once() -> None:
    script = mailbox()
    for key in ("in", "work", "secret", "deep"):
        script[f"GET {feed_of(key)}?{EXPAND}"] = REFUSED
    graph = ScriptedGraph(script)
    pages = run(graph)
    assert sum(not page.more for page in pages) == 5
    assert sum(EXPAND in call for call in graph.calls) == 1


def test_a_tenant_that_sends_bytes_with_the_expand_is_asked_without_it_once() -> None:
    script = mailbox()
    heavy = {"id": "a", "name": "x", "contentBytes": "eHh4"}
    for key in ("in", "work", "secret", "deep"):
        page = {"value": [{"id": f"m{key}", "attachments": [heavy]}]}
        script[f"GET {feed_of(key)}?{EXPAND}"] = {**page, "@odata.deltaLink": f"{key}-x"}
    graph = ScriptedGraph(script)
    pages = run(graph)
    assert sum(not page.more for page in pages) == 5
    assert sum(EXPAND in call for call in graph.calls) == 1


def test_a_page_too_large_to_read_is_asked_for_anew_without_attachments() -> None:
    script = mailbox()
    for key in ("in", "work", "secret", "deep"):
        script[f"GET {feed_of(key)}?{EXPAND}"] = AnswerTooLarge("too large")
    graph = ScriptedGraph(script)
    pages = run(graph)
    assert sum(not page.more for page in pages) == 5
    assert graph.page_sizes[f"GET {feed_of('in')}"] == f"odata.maxpagesize={PAGE_ITEMS_SMALL}"


def test_a_mailbox_need_not_know_every_well_known_name() -> None:
    script = mailbox()
    for role in ("archive", "conversationhistory", "searchfolders"):
        script[f"GET {U}/mailFolders/{role}?$select=id"] = REFUSED
    tree = {one.id: one for one in tree_of(run(ScriptedGraph(script))).entries}
    assert {"root", "in", "work", "secret", "deep"} == set(tree)
