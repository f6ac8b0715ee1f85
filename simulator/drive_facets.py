"""What the service says of a drive item beside its own: of media, on request, and its label.

Rules: what is read out of pictures and films follows from their bytes; publication, sharepointIds
and webDavUrl come only where $select names them; a retention label is asked for by itself.

https://learn.microsoft.com/graph/api/resources/driveitem
https://learn.microsoft.com/graph/api/driveitem-getretentionlabel
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from simulator.drive_item import Item
from simulator.drive_names import not_found
from simulator.drive_state import Drive
from simulator.filebytes import Content
from simulator.web import Answer, Json, Request

if TYPE_CHECKING:
    from simulator.tenant import Tenant

_PICTURES = (".jpg", ".jpeg", ".png")
_PHOTOS = (".jpg", ".jpeg")
_FILMS = (".mp4", ".mov")


def media_facets(name: str, content: Content) -> Json:
    """image, photo, location and video of a file, where it is one."""
    lower, size = name.lower(), content.size
    facets: Json = {}
    if lower.endswith(_PICTURES):
        facets["image"] = {"height": 480 + size % 960, "width": 640 + size % 1280}
    if lower.endswith(_PHOTOS):
        taken = f"2025-07-{1 + size % 28:02d}T10:00:00Z"
        facets["photo"] = {"cameraMake": "Contoso", "iso": 100, "takenDateTime": taken}
        facets["location"] = {"altitude": 26.0, "latitude": 53.5, "longitude": 9.0 + size % 9 / 10}
    if lower.endswith(_FILMS):
        facets["video"] = {"duration": 10 * size, "height": 1080, "width": 1920}
    return facets


def requested_facets(drive: Drive, item: Item, select: str) -> Json:
    """What is not given by default."""
    address = urlsplit(drive.web_url)
    path = "/".join(drive.path(item))
    facets = {
        "publication": {"level": item.level, "versionId": f"{item.version}.0"},
        "sharepointIds": {
            "listItemUniqueId": item.guid,
            "siteUrl": f"{address.scheme}://{address.netloc}",
        },
        "webDavUrl": f"{drive.web_url}/{path}",
    }
    named = {name.strip().lower() for name in select.split(",")}
    return {name: value for name, value in facets.items() if name.lower() in named}


def get_label(tenant: "Tenant", request: Request, drive: Drive, item: Item) -> Answer:
    """GET …/retentionLabel."""
    if item.label is None:
        raise not_found()
    return Answer(200, item.label)
