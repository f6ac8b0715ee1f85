"""What a site tells its readers: pages of every sort, and how they change in a month."""

import random
import uuid
from collections import Counter

from simulator.pages import canvas_json, page_json
from simulator.pages_state import Page, SitePages, add_page, holders
from simulator.tenant import Tenant
from simulator.web import Json

_IMAGE = "d1d91016-032f-456d-98a4-721247c305e8"
_LINKS = "c70391ea-0b10-4ee9-b2b4-006d3fcad0cd"
EVENTS = "20745d7d-8581-4a6c-bf26-68279bc123fc"
"""A kind of web part that Graph hands out and does not accept."""
_TOPICS = ("Home", "Berths and cranes", "Tides – 潮汐", "How we ship 🚢", "Safety & first aid")
_WORDS = ("<p>The <b>harbour</b> opens at 6.</p>", "<h2>Étape 2</h2><p>Kräne &amp; Tore</p>",
          "<p>Ask <a href=\"https://contoso.sharepoint.com/sites/x\">the desk</a>.</p>",
          "<script>alert(1)</script><p onclick=\"x()\">read me</p>")  # fmt: skip


def fill_sites(tenant: Tenant, count: int) -> None:
    """Pages of every site that is no person's; the first site has the odd ones."""
    sites = [one for one, site in tenant.sites.items() if not site.get("isPersonalSite")]
    for number, site_id in enumerate(sites):
        dice = random.Random(f"{tenant.seed} pages {number}")
        fill_pages(tenant, site_id, dice, count, special=number == 0)


def fill_pages(
    tenant: Tenant, site_id: str, dice: random.Random, count: int, *, special: bool
) -> None:
    """`count` ordinary pages; special: one of every oddity beside them."""
    for number in range(count):
        title = _TOPICS[number % len(_TOPICS)]
        name = f"{title.split(' ')[0]}{number or ''}.aspx"
        made = _page(tenant, site_id, dice, name, title)
        if number == 0:
            made.facts["pageLayout"] = "home"
        if number % 3 != 2:
            made.publish(made.modified)
    if not special:
        return
    news = _page(tenant, site_id, dice, "We-have-a-new-crane.aspx", "We have a new crane 🏗️")
    news.facts |= {"promotionKind": "newsPost", "description": "It lifts 40 t."}
    news.publish(news.modified)
    odd = _page(tenant, site_id, dice, "Web-parts.aspx", "Web parts of every sort")
    assert odd.canvas is not None
    column = odd.canvas["horizontalSections"][0]["columns"][0]
    column["webparts"] += [_standard(dice, EVENTS, "Events"), _other(dice)]
    odd.canvas["verticalSection"] = {"emphasis": "soft", "webparts": [_text(dice)]}
    odd.spelling = "#oneDrive."
    odd.publish(odd.modified)
    plain = _page(tenant, site_id, dice, "No canvas.aspx", "Only a title")
    plain.canvas = None
    _page(tenant, site_id, dice, "Silent.aspx", "Says nothing of its changes").silent = True


def pages_month(tenant: Tenant, dice: random.Random, done: Counter[str]) -> None:
    """A month of all sites: pages edited and published, news, a title, a page deleted."""
    for site_id, here in tenant.room.get("site pages", {}).items():
        if site_id in tenant.sites and here.pages:
            _month(tenant, site_id, here, dice, done)


def pages_truth(tenant: Tenant) -> Json:
    """By site: its pages as Graph shows them, with their canvas."""
    return {
        site_id: [
            page_json(tenant, site_id, page)
            | {"canvas": canvas_json(page) if page.canvas is not None else None}
            | {"readable": not page.broken}
            for page in here.pages.values()
        ]
        for site_id, here in tenant.room.get("site pages", {}).items()
        if site_id in tenant.sites
    }


def _month(
    tenant: Tenant, site_id: str, here: SitePages, dice: random.Random, done: Counter[str]
) -> None:
    now = tenant.clock.stamp()
    whole = [page for page in here.pages.values() if page.canvas and not page.broken]
    if whole:
        page = dice.choice(whole)
        assert page.canvas is not None
        holders(page.canvas)[0]["webparts"].append(_text(dice))
        page.edit(now)
        done["pages edited"] += 1
        if dice.random() < 0.7:
            page.publish(now)
    silent = [page for page in here.pages.values() if page.silent and page.canvas]
    for page in silent:
        assert page.canvas is not None
        holders(page.canvas)[0]["webparts"].append(_text(dice))
        page.edit(now)
    if len(here.pages) > 4:
        ordinary = [page for page in whole if not page.silent]
        gone = dice.choice(ordinary or whole)
        del here.pages[gone.id]
        done["pages deleted"] += 1
    name = f"News-{tenant.room['months']}-{len(here.pages)}.aspx"
    if here.named(name) is None:
        made = _page(tenant, site_id, dice, name, "News of the month")
        made.facts["promotionKind"] = "newsPost"
        made.publish(now)
        done["pages made"] += 1


def _page(tenant: Tenant, site_id: str, dice: random.Random, name: str, title: str) -> Page:
    people = list(tenant.users.values())
    who = str(dice.choice(people).properties["displayName"]) if people else "Adele Vance"
    area = {
        "enableGradientEffect": True, "layout": "imageAndTitle", "showAuthor": True,
        "showPublishedDate": False, "showTextBlockAboveTitle": False, "textAboveTitle": "",
        "textAlignment": "left",
    }  # fmt: skip
    facts = {"name": name, "title": title, "titleArea": area}
    parts = [_text(dice) for _ in range(dice.randint(1, 3))]
    if dice.random() < 0.6:
        parts.append(_standard(dice, dice.choice((_IMAGE, _LINKS)), "Image"))
    wide = {"id": "1", "width": 8, "webparts": parts}
    narrow = {"id": "2", "width": 4, "webparts": [_text(dice)]}
    section = {"layout": "oneThirdRightColumn", "id": "1", "emphasis": "none",
               "columns": [wide, narrow]}  # fmt: skip
    canvas = {"horizontalSections": [section]}
    by = {"user": {"displayName": who, "email": f"{who.split(' ')[0].lower()}@{tenant.domain}"}}
    return add_page(tenant, site_id, facts, canvas, by)


def _text(dice: random.Random) -> Json:
    return {"id": _guid(dice), "innerHtml": dice.choice(_WORDS)}


def _standard(dice: random.Random, kind: str, title: str) -> Json:
    links = [{"key": "baseUrl", "value": "https://contoso.sharepoint.com/sites/x"}]
    return {
        "@odata.type": "#microsoft.graph.standardWebPart", "id": _guid(dice), "webPartType": kind,
        "data": {
            "dataVersion": "1.9", "title": title, "description": "",
            "serverProcessedContent": {"links": links},
        },
    }  # fmt: skip


def _other(dice: random.Random) -> Json:
    return {"@odata.type": "#microsoft.graph.webPartOfTomorrow", "id": _guid(dice)}


def _guid(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))
