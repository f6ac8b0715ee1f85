"""Why something is not protected, or only partly: a sentence for every code people may meet.

Rule 1: a sentence is made from a code, never written by hand for one organization, and holds no
        name, address or content.
Rule 2: a code without a sentence here is a problem's: then its class says what it means and what to
        do. Nothing is ever shown as a bare code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from base.errors import Problem
from base.item import Cause

NOT_YET = "no-restore-point-yet"
NOT_PLANNED = "not-planned-yet"
NOT_IN_POLICY = "not-in-policy"
BELOW = "something-of-it"  # of an owner: what belongs to it is not, or only partly, protected
MANY = "too-many-to-tell-apart"
RUN_FAILED = "newest-run-failed"
NOT_REACHED = "newest-run-did-not-reach-it"
WAITING = "parts-to-follow"
WITHOUT_PARTS = "policy-leaves-parts-out"

# There is nothing that could be protected.
ABSENT = frozenset(
    ("no-licence", "not-provisioned", "no-mailbox", "no-drive", "no-archive", "guest")
)

# By the codes that rows of resources carry, which plan, census and steps give them.
REASONS: Mapping[str, str] = {
    "no-licence": "There is none: its owner has no licence.",
    "not-provisioned": "There is none yet: its owner has a licence and never used it.",
    "no-mailbox": "There is no mailbox.",
    "no-drive": "There is none.",
    "no-archive": "There is no in-place archive.",
    "guest": "A guest of another organization has nothing here.",
    "locked": "It is archived, locked or on hold, and Microsoft 365 does not open it.",
    "archived": "It is archived, and Microsoft 365 opens it only when it is active again.",
    "forbidden": "Microsoft 365 keeps it from this application.",
    "refused-by-tenant": "This tenant lets no application read it; it is asked again every week.",
    "mailbox-export-not-offered": "This tenant does not offer the interface that reads it.",
    "permission-missing": "The backup application has not been granted what is needed:",
    "not-selected": "The policy leaves it out.",
    "left-the-directory": "It or its owner was deleted: no more is copied, restore points stay.",
    "replaced": "Its owner has another one now: nothing new is copied; restore points stay.",
    "resource-gone": "It is not there any more, or lost its licence; restore points stay.",
    "service-not-available": "No service of Holdfast copies it.",
    "another-tenant": "Another organization shares it: only there it can be backed up.",
    "channels-not-told": "Some may be missing, because nothing lists all of them without",
    "sites-not-told": "Some may be missing, because nobody can tell which there are without",
    NOT_YET: "No run has brought a restore point yet.",
    NOT_PLANNED: "No run has looked at it yet; the next one does.",
    NOT_IN_POLICY: "The policy does not name",
    MANY: "So much of it could not be copied that what lies in this one is not told apart.",
    NOT_REACHED: "The newest run ended before it came to it; what has changed since is missing.",
    RUN_FAILED: "The newest run did not get through; what has changed since is missing.",
    WAITING: "Parts of items are still to follow in the coming runs.",
    WITHOUT_PARTS: "The policy protects fast: some parts of items are never copied.",
}

CAUSES: Mapping[str, str] = {
    Cause.MALWARE: "Microsoft 365 takes the content for malware and does not hand it out",
    Cause.CORRUPT: "damaged in Microsoft 365, which cannot open it itself",
    Cause.LOCKED: "locked, archived or on hold",
    Cause.NOT_DOWNLOADABLE: "Microsoft 365 does not hand out the content of such a file",
    Cause.NO_CONTENT: "Microsoft 365 lists it and has no content for it",
    Cause.TOO_LARGE: "over a limit of Microsoft 365",
    Cause.NOT_SUPPORTED: "Graph gives it to no application, or it lies elsewhere",
    Cause.FORBIDDEN: "Microsoft 365 keeps it from this application",
    Cause.DERIVED: "Microsoft 365 makes it from other items by itself",
    "attachments-incomplete": "Microsoft 365 lists fewer attachments than the message has",
    "content-mismatch": "what came is not what Microsoft 365 says it is",
    "graph-refused": "Microsoft 365 refused the request",
    "graph-timeout": "Microsoft 365 did not answer in time",
    "graph-unstable": "Microsoft 365 gave no whole answer",
    "item-gone": "Microsoft 365 lists it and does not find it",
    "needs-sharepoint-certificate": "only SharePoint's own interface has it, with a certificate "
    "that this organization has not granted",
    "sharepoint-refused": "SharePoint itself does not let this application's certificate in",
}

# One and several of each kind of thing.
THINGS: Mapping[str, tuple[str, str]] = {
    "user": ("person", "people"),
    "group": ("group", "groups"),
    "site": ("site", "sites"),
    "mailbox": ("mailbox", "mailboxes"),
    "archive": ("in-place archive", "in-place archives"),
    "onedrive": ("OneDrive", "OneDrives"),
    "chats": ("chats", "chats"),
    "group-mailbox": ("group mailbox", "group mailboxes"),
    "team": ("team", "teams"),
    "channel": ("channel", "channels"),
    "plans": ("plans", "plans"),
    "plan": ("plan", "plans"),
    "library": ("library", "libraries"),
    "lists": ("lists", "lists"),
    "list": ("list", "lists"),
    "pages": ("pages", "pages"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why; `count`: of items or parts, 0 where it is not about some of many."""

    code: str
    sentence: str
    count: int = 0


def plain(code: str, also: Iterable[str] = ()) -> Reason:
    """A reason that is not about single items; `also`: names that complete the sentence."""
    said = REASONS.get(code) or _of_problem(code)
    if said.endswith("."):
        return Reason(code, said)
    return Reason(code, f"{said} {', '.join(also) or 'a permission'}.")


def failed(code: str) -> Reason:
    """The newest run could not read it."""
    return Reason(RUN_FAILED, f"{REASONS[RUN_FAILED]} {_of_problem(code)} ({code})")


def waiting(count: int, roles: Iterable[str]) -> Reason:
    """Items whose parts of some roles follow later."""
    sentence = f"{_counted(count, 'item')}: {_roles(roles)} still to follow in the coming runs."
    return Reason(WAITING, sentence, count)


def without(roles: Iterable[str]) -> Reason:
    """Parts that the policy leaves out of all items."""
    return Reason(WITHOUT_PARTS, f"The policy protects fast, that is without {_roles(roles)}.")


def not_copied(cause: str, count: int, *, again: bool) -> Reason:
    """Items or parts in the ledger, by cause."""
    said = CAUSES.get(cause)
    if said is None:
        said = _of_problem(cause).rstrip(".")
    next_try = " It is tried again." if again else ""
    return Reason(cause, f"{_counted(count, 'part')} not copied: {said}.{next_try}", count)


def of_things(kind: str, state: str, count: int, of: int) -> Reason:
    """Of an owner: so many of its things of a kind are not, or only partly, protected."""
    one, several = THINGS.get(kind, (kind, kind))
    how = "not" if state == "not" else "only partly"
    verb = "are" if one == several or count > 1 else "is"
    whose = f"Its {one} {verb}" if of == 1 else f"{count:,} of its {of:,} {several} {verb}"
    return Reason(BELOW, f"{whose} {how} protected.", count)


def title(kind: str) -> str:
    """A kind of thing for people: "OneDrive"."""
    one = THINGS.get(kind, (kind, kind))[0]
    return one[:1].upper() + one[1:]


def general(code: str, sentence: str) -> str:
    """The sentence of a code without the numbers of one thing, of which it said `sentence`."""
    if code in CAUSES:
        return f"Not copied: {CAUSES[code]}."
    if code in (WAITING, RUN_FAILED):
        return REASONS[code]
    return sentence if code in REASONS else _of_problem(code)


def _roles(roles: Iterable[str]) -> str:
    return ", ".join("MIME" if role == "mime" else role for role in roles)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count:,} {word}s"


def _of_problem(code: str) -> str:
    """What the class of a problem says of itself."""
    kind = next((one for one in _below(Problem) if one.code == code), None)
    if kind is None:
        return f"The cause is “{code}”." if code else "The cause is not known."
    meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return f"{meaning} {kind.hint}"


def _below(kind: type[Problem]) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
