"""What Microsoft 365 holds and no service here protects, with the reason; said wherever somebody
asks what is protected.

A reason is about Graph as documented, or says plainly that the service has not been built. What one
service leaves out of its own is in its Service.not_captured, not here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Uncovered:
    """One kind of data. `reason` is one sentence for people."""

    name: str  # "onenote-pages"
    title: str  # "OneNote pages"
    reason: str


UNCOVERED: tuple[Uncovered, ...] = (
    Uncovered(
        "onenote-pages",
        "OneNote pages",
        "Since 31 March 2025 Microsoft refuses every application that asks for them; notebooks are "
        "protected as files of the OneDrive or library they lie in, and come back as files.",
    ),
    Uncovered(
        "planner-premium",
        "Premium plans (Project)",
        "They lie in Dataverse, and Graph has them in its beta version only.",
    ),
    Uncovered(
        "planner-rosters",
        "Plans outside of groups",
        "Plans of rosters, of Loop pages and of single people are listed by no call that an "
        "application may make in v1.0; plans of groups are protected by the service Planner.",
    ),
    Uncovered(
        "loop",
        "Loop workspaces",
        "They lie in SharePoint Embedded containers, which belong to Loop and open to no other "
        "application; Loop components in a OneDrive or library are protected as files.",
    ),
    Uncovered(
        "forms",
        "Microsoft Forms",
        "Graph has no interface for forms and their answers; answers that a form writes into a "
        "workbook are protected with that file.",
    ),
    Uncovered(
        "stream",
        "Stream",
        "Videos of Stream are files, and protected with the OneDrive or library they lie in; "
        "comments, chapters and view counts have no interface.",
    ),
    Uncovered(
        "whiteboard",
        "Whiteboard",
        "Whiteboards are files of a OneDrive and protected as such; Graph has no interface for "
        "those that still lie in Whiteboard's own storage.",
    ),
    Uncovered(
        "power-platform",
        "Power Apps, Power Automate, Power BI, Dataverse",
        "They are not part of Microsoft Graph; each has export tools of its own.",
    ),
    Uncovered(
        "viva-engage",
        "Viva Engage (Yammer)",
        "Its posts are not part of Microsoft Graph; files of a community are protected with the "
        "site of its group.",
    ),
    Uncovered(
        "bookings",
        "Bookings",
        "No service for it has been built; appointments that lie in the calendars of staff are "
        "protected with those calendars.",
    ),
    Uncovered(
        "shifts",
        "Shifts",
        "Graph gives schedules of teams to applications; no service for them has been built.",
    ),
    Uncovered(
        "teams-apps-and-tags",
        "Apps and tags of Teams",
        "Graph gives them to applications; no service for them has been built.",
    ),
    Uncovered(
        "public-folders",
        "Public folders",
        "Only Exchange Web Services reached them, which Microsoft switches off for good on 1 April "
        "2027; Graph does not have them.",
    ),
    Uncovered(
        "recoverable-items",
        "Purged and held mail",
        "Of what was deleted from a mailbox Graph shows what its owner can still recover; purges, "
        "earlier versions and holds stay out of reach.",
    ),
    Uncovered(
        "group-calendar",
        "Calendars of groups",
        "An application can read them by windows of dates only, and write nothing.",
    ),
    Uncovered(
        "list-views",
        "Views, workflows and comments of lists",
        "Graph has none of them; only SharePoint's own REST interface does, and it is not asked.",
    ),
    Uncovered(
        "copilot",
        "Conversations with Copilot",
        "Graph gives them to compliance tools; no service for them has been built.",
    ),
)
