"""The delta of a drive: rounds over the change log, pages of them, and tokens.

Rules: a round covers the log between two numbers and is a pure function of them, so a page
asked for twice is the same page; the token a round ends with stands for the moment it began;
the query options of the first request live in the token, its Prefer headers do not. Changed
permissions are marked where all of the documented conditions hold: the three preferences in this
very request, and an application that may change permissions.

Theory of operation: a token is JSON in base64 {g generation, s since, u upto, o offset, p page,
q options}. Entries are changes; of one item the last is the truth. A tenant with p_duplicate also
sends older states before, and some changes twice.
"""

import base64
import binascii
import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from simulator.drive_item import Change
from simulator.drive_json import delta_json, is_shared, permissions_json, selected
from simulator.drive_state import Drive
from simulator.quirks import Quirks
from simulator.web import Answer, GraphError, Json, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant

_PAGE_MAX = 1000
_ROUNDS_KEPT = 4
_EMPTY_IN_A_ROW_MAX = 2
_KEPT = ("$select", "$top", "$expand")
_SHARING = "deltashowsharingchanges"
_SHARING_NEEDS = ("deltashowremovedasdeleted", "deltatraversepermissiongaps")
_KNOWN_PREFERENCES = (*_SHARING_NEEDS, _SHARING, "hierarchicalsharing")
_RESET_MESSAGES = {
    "resyncChangesApplyDifferences": "Resync required. Replace any local items with the server's "
    "version (including deletes) if you're sure that the service was up to date with your local "
    "changes when you last sync'd. Upload any local changes that the server doesn't know about.",
    "resyncChangesUploadDifferences": "Resync required.",
}


@dataclass(frozen=True, slots=True)
class Token:
    """Where a reader stands."""

    generation: int
    since: int
    upto: int
    """-1 in a delta link: the round has not begun."""
    offset: int = 0
    page: int = 0
    empties: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        fields = [
            self.generation, self.since, self.upto, self.offset, self.page, self.empties,
            self.options,
        ]  # fmt: skip
        raw = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def delta(tenant: "Tenant", drive: Drive, request: Request) -> Answer:
    """One page of a drive's delta."""
    refused = drive.quirks.headers_refused
    if refused is not None and request.prefer(_SHARING) is not None:
        raise GraphError(*refused, "The preferences are not supported.")
    text = request.query.get("token", "")
    if text.lower() == "latest":
        fresh = Token(drive.generation, drive.seq, -1, options=_options(drive, request))
        links = {"@odata.deltaLink": _link(tenant, drive, request, fresh)}
        return Answer(200, {"value": [], **links}, {"x-cost": "1"})
    token = _token(tenant, drive, request, text)
    asked = _preferences(drive, request)
    if token.upto < 0:
        token = replace(token, upto=drive.seq)
    request.query = {**request.query, **dict(token.options)}
    entries = _planned(drive, token, tenant.quirks)
    part, after = _page(drive, token, entries, tenant.quirks)
    now = tenant.clock.now()
    value = [_entry(drive, change, asked, request, now) for change in part]
    name = "@odata.deltaLink" if after.upto < 0 else "@odata.nextLink"
    body: Json = {
        "@odata.context": f"{request.url_base}/$metadata#Collection(driveItem)",
        "value": value,
        name: _link(tenant, drive, request, after),
    }
    headers = {"x-cost": "1" if text else "2"}
    if "permissions" in request.query.get("$expand", ""):
        headers["x-cost"] = "5"
    if asked:
        headers["Preference-Applied"] = ",".join(asked)
    return Answer(200, body, headers)


def _options(drive: Drive, request: Request) -> tuple[tuple[str, str], ...]:
    """What the first request asked for and the following pages keep."""
    kept = [(name, value) for name, value in request.query.items() if name in _KEPT]
    excludes = request.headers.get("deltaexcludeparent", "").lower() == "true"
    if excludes and not drive.quirks.headers_ignored:
        kept.append(("excludeparent", "true"))
    return tuple(kept)


def _preferences(drive: Drive, request: Request) -> list[str]:
    """What of the request's preferences is honoured; each request says them anew."""
    if drive.quirks.headers_ignored:
        return []
    asked = [name for name in _KNOWN_PREFERENCES if request.prefer(name) is not None]
    roles = request.app.roles if request.app is not None else frozenset()
    whole = all(name in asked for name in _SHARING_NEEDS) and "Sites.FullControl.All" in roles
    return [name for name in asked if name != _SHARING or whole]


def _token(tenant: "Tenant", drive: Drive, request: Request, text: str) -> Token:
    if not text:
        return Token(drive.generation, 0, -1, options=_options(drive, request))
    moment = _timestamp(text)
    if moment is not None:
        since = sum(1 for change in drive.log if change.at <= moment)
        return Token(drive.generation, since, -1, options=_options(drive, request))
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        *numbers, options = json.loads(raw)
        generation, since, upto, offset, page, empties = (int(number) for number in numbers)
        kept = tuple((str(name), str(value)) for name, value in options)
        token = Token(generation, since, upto, offset, page, empties, kept)
    except (binascii.Error, ValueError, TypeError):
        raise GraphError(
            400, "invalidRequest", "The provided token is not valid.", inner_code="badArgument"
        ) from None
    if token.generation != drive.generation:
        fresh = Token(drive.generation, 0, -1, options=token.options)
        raise GraphError(
            410,
            "resyncRequired",
            _RESET_MESSAGES[drive.reset_code],
            {"Location": _link(tenant, drive, request, fresh)},
            inner_code=drive.reset_code,
        )
    return token


def _timestamp(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(unquote(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _planned(drive: Drive, token: Token, quirks: Quirks) -> list[Change]:
    """The entries of a round; the last few rounds are remembered."""
    key = f"{token.since} {token.upto} {token.options} {quirks} {drive.quirks}"
    if key not in drive.rounds:
        while len(drive.rounds) >= _ROUNDS_KEPT:
            del drive.rounds[next(iter(drive.rounds))]
        drive.rounds[key] = _entries(drive, token, quirks)
    return drive.rounds[key]


def _entries(drive: Drive, token: Token, quirks: Quirks) -> list[Change]:
    """All changes a round reports, in order."""
    if drive.made_later:
        return drive.log[token.since : token.upto]
    part = drive.log[token.since : token.upto]
    last = {change.item_id: change for change in part}
    finals = [change for change in part if last[change.item_id] is change]
    if token.since == 0 and not quirks.removed_in_first_round:
        finals = [change for change in finals if not change.deleted]
    if not drive.quirks.deletes_list_children:
        finals = [change for change in finals if change.cause_id is None]
    dice = random.Random(f"{drive.id}:{token.since}:{token.upto}")
    shared = {change.item_id for change in part if change.sharing}
    finals = [replace(one, sharing=one.item_id in shared) for one in finals]
    finals = _deleted_shuffled(finals, dice)
    if token.since == 0:
        finals.sort(key=lambda change: change.item_id != drive.root.id)
    else:
        finals = _ancestors(drive, finals, token) + finals
    if drive.quirks.children_first:
        finals.reverse()
    if not quirks.p_duplicate:
        return finals
    shown = {change.item_id for change in finals}
    older = [
        change for change in part
        if change.item_id in shown and last[change.item_id] is not change
        and dice.random() < quirks.p_duplicate
    ]  # fmt: skip
    again = [change for change in finals if dice.random() < quirks.p_duplicate]
    return older + finals + again


def _ancestors(drive: Drive, finals: list[Change], token: Token) -> list[Change]:
    """Unchanged folders above what changed; left out with deltaExcludeParent."""
    if dict(token.options).get("excludeparent"):
        return []
    known = {change.item_id for change in finals}
    states = {change.item_id: change for change in drive.log[: token.upto]}
    found: list[Change] = []
    for change in finals:
        above = change.parent_id
        while above is not None and above not in known:
            known.add(above)
            if not states[above].deleted:
                found.append(states[above])
            above = states[above].parent_id
    return found[::-1]


def _deleted_shuffled(finals: list[Change], dice: random.Random) -> list[Change]:
    """A deleted folder's children come in any order, some before it and some after."""
    deleted = [change for change in finals if change.deleted]
    dice.shuffle(deleted)
    queue = iter(deleted)
    return [next(queue) if change.deleted else change for change in finals]


def _page(
    drive: Drive, token: Token, entries: list[Change], quirks: Quirks
) -> tuple[list[Change], Token]:
    """The changes of this page and the token after it."""
    dice = random.Random(f"{drive.id}:{token.text()}")
    top = dict(token.options).get("$top", "")
    size = min(int(top) if top.isdigit() and int(top) else drive.quirks.page_size, _PAGE_MAX)
    following = replace(token, page=token.page + 1)
    if token.empties < _EMPTY_IN_A_ROW_MAX and dice.random() < quirks.p_empty_page:
        return [], replace(following, empties=token.empties + 1)
    if size > 1 and dice.random() < quirks.p_short_page:
        size = dice.randint(1, size - 1)
    end = min(token.offset + size, len(entries))
    part = entries[token.offset : end]
    if end < len(entries) or (part and dice.random() < quirks.p_empty_page):
        return part, replace(following, offset=end, empties=0)
    return part, Token(token.generation, token.upto, -1, options=token.options)


def _entry(drive: Drive, change: Change, asked: list[str], request: Request, now: datetime) -> Json:
    full = delta_json(drive, change, request, now)
    if change.deleted:
        return full
    item = drive.items[change.item_id]
    if "hierarchicalsharing" in asked and not is_shared(drive, item, inherited=False):
        full.pop("shared", None)
    if change.sharing and _SHARING in asked:
        full["@microsoft.graph.sharedChanged"] = "True"
    if "permissions" in request.query.get("$expand", ""):
        full["permissions"] = permissions_json(drive, item)
    kept = selected(full, request.query.get("$select"))
    for name in ("id", "deleted", "@microsoft.graph.sharedChanged"):
        if name in full:
            kept[name] = full[name]
    return kept


def _link(tenant: "Tenant", drive: Drive, request: Request, token: Token) -> str:
    text = token.text()
    base = f"{request.url_base}/drives/{quote(drive.id, safe='!')}"
    if not tenant.quirks.odd_link_spellings:
        return f"{base}/root/delta?token={text}"
    spellings = (
        f"{base}/root/delta?token={text}",
        f"{base}/root/delta(token='{text}')",
        f"{base}/items/root/delta()?token={text}",
        f"{base}/root/microsoft.graph.delta(token='{text}')",
    )
    return spellings[(token.page + token.since) % len(spellings)]
