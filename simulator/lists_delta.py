"""The delta of a list's items: rounds over its log, pages of them, and tokens.

Rules: a round covers the log between two numbers; the options of the first request live in the
token; deleted rows come with the facet of drive items; a lost token answers 410 with the Location
to start from and one of the two resync codes.

https://learn.microsoft.com/graph/api/listitem-delta
"""

import base64
import binascii
import json
import random
from dataclasses import dataclass, replace
from urllib.parse import quote

from simulator.lists_json import item_json
from simulator.lists_state import ListChange, SiteList, quirks_of
from simulator.quirks import Quirks
from simulator.tenant import Tenant
from simulator.web import Answer, GraphError, Json, Request

_PAGE_MAX = 5_000
_EMPTY_IN_A_ROW_MAX = 2
_KEPT = ("$select", "$top", "$expand")


@dataclass(frozen=True, slots=True)
class _Token:
    generation: int
    since: int
    upto: int
    """-1 in a delta link: the round has not begun."""
    offset: int = 0
    empties: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        fields = [
            self.generation, self.since, self.upto, self.offset, self.empties, self.options,
        ]  # fmt: skip
        raw = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def delta(tenant: Tenant, site_id: str, of: SiteList, request: Request) -> Answer:
    """One page of the changes of a list's rows."""
    text = request.query.get("token", "")
    options = tuple((name, request.query[name]) for name in _KEPT if name in request.query)
    if text.lower() == "latest":
        fresh = _Token(of.generation, len(of.log), -1, options=options)
        link = _link(tenant, site_id, of, request, fresh)
        return Answer(200, {"value": [], "@odata.deltaLink": link}, {"x-cost": "1"})
    token = _token(tenant, site_id, of, request, text, options)
    if token.upto < 0:
        token = replace(token, upto=len(of.log))
    request.query = {**request.query, **dict(token.options)}
    if quirks_of(tenant).delta_fields == "ignored":
        request.query.pop("$expand", None)
    part, after = _page(tenant, of, token)
    name = "@odata.deltaLink" if after.upto < 0 else "@odata.nextLink"
    body: Json = {
        "@odata.context": f"{request.url_base}/$metadata#Collection(listItem)",
        "value": [_entry(tenant, site_id, of, change, request) for change in part],
        name: _link(tenant, site_id, of, request, after),
    }
    return Answer(200, body, {"x-cost": "1" if text else "2"})


def _token(
    tenant: Tenant, site_id: str, of: SiteList, request: Request, text: str,
    options: tuple[tuple[str, str], ...],
) -> _Token:  # fmt: skip
    if not text:
        return _Token(of.generation, 0, -1, options=options)
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        *numbers, kept = json.loads(raw)
        generation, since, upto, offset, empties = (int(number) for number in numbers)
        pairs = tuple((str(name), str(value)) for name, value in kept)
        token = _Token(generation, since, upto, offset, empties, pairs)
    except (binascii.Error, ValueError, TypeError):
        raise GraphError(400, "invalidRequest", "The provided token is not valid.") from None
    if token.generation != of.generation:
        fresh = _Token(of.generation, 0, -1, options=token.options)
        location = _link(tenant, site_id, of, request, fresh)
        raise GraphError(
            410, "resyncRequired", "Resync required.", {"Location": location},
            inner_code=of.reset_code,
        )  # fmt: skip
    return token


def _entries(of: SiteList, token: _Token, quirks: Quirks) -> list[ListChange]:
    """All changes a round reports, in order; of one row the last is the truth."""
    part = of.log[token.since : token.upto]
    last = {change.item.id: change for change in part}
    finals = [change for change in part if last[change.item.id] is change]
    if token.since == 0 and not quirks.removed_in_first_round:
        finals = [change for change in finals if not change.item.deleted]
    dice = random.Random(f"{of.id}:{token.since}:{token.upto}")
    if not quirks.p_duplicate:
        return finals
    dice.shuffle(finals)
    shown = {change.item.id for change in finals}
    older = [
        change for change in part
        if change.item.id in shown and last[change.item.id] is not change
        and dice.random() < quirks.p_duplicate
    ]  # fmt: skip
    return older + finals + [change for change in finals if dice.random() < quirks.p_duplicate]


def _page(tenant: Tenant, of: SiteList, token: _Token) -> tuple[list[ListChange], _Token]:
    quirks, entries = tenant.quirks, _entries(of, token, tenant.quirks)
    dice = random.Random(f"{of.id}:{token.text()}")
    top = dict(token.options).get("$top", "")
    size = min(int(top) if top.isdigit() and int(top) else quirks_of(tenant).page_size, _PAGE_MAX)
    if token.empties < _EMPTY_IN_A_ROW_MAX and dice.random() < quirks.p_empty_page:
        return [], replace(token, empties=token.empties + 1)
    if size > 1 and dice.random() < quirks.p_short_page:
        size = dice.randint(1, size - 1)
    end = min(token.offset + size, len(entries))
    part = entries[token.offset : end]
    if end < len(entries) or (part and dice.random() < quirks.p_empty_page):
        return part, replace(token, offset=end, empties=0)
    return part, _Token(token.generation, token.upto, -1, options=token.options)


def _entry(
    tenant: Tenant, site_id: str, of: SiteList, change: ListChange, request: Request
) -> Json:
    item = change.item
    if not item.deleted:
        full = item_json(tenant, site_id, of, item, request)
        return _selected(full, request.query.get("$select"))
    gone: Json = {"id": str(item.id), "deleted": {"state": "deleted"}}
    if quirks_of(tenant).deleted_parents:
        gone["parentReference"] = {"siteId": site_id}
        gone["contentType"] = {"id": "0x01", "name": item.content_type}
    return gone


def _selected(full: Json, select: str | None) -> Json:
    if not select:
        return full
    names = {name.strip().lower() for name in select.split(",")} | {"id", "fields"}
    return {name: value for name, value in full.items() if name.lower() in names}


def _link(tenant: Tenant, site_id: str, of: SiteList, request: Request, token: _Token) -> str:
    text = token.text()
    base = f"{request.url_base}/sites/{quote(site_id, safe=',')}/lists/{of.id}/items"
    if not tenant.quirks.odd_link_spellings:
        return f"{base}/delta?token={text}"
    spellings = (
        f"{base}/delta?token={text}", f"{base}/delta(token='{text}')",
        f"{base}/microsoft.graph.delta(token='{text}')", f"{base}/delta()?token={text}",
    )  # fmt: skip
    return spellings[(token.offset + token.since) % len(spellings)]
