"""SharePoint's rules of names, what it does to Office files, and how a drive says no."""

import io
import zipfile
from typing import Literal

from simulator.filebytes import Content, LiteralBytes, pieces
from simulator.web import GraphError

Behavior = Literal["fail", "replace", "rename"]
BEHAVIORS: tuple[Behavior, ...] = ("fail", "replace", "rename")
NAME_MAX = 255
PATH_MAX = 400
FORBIDDEN = '"*:<>?/\\|'
RESERVED = {"con", "prn", "aux", "nul", ".lock", "desktop.ini", "_vti_"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)
}
OFFICE = (".docx", ".xlsx", ".pptx")
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_MIME = {
    "pdf": "application/pdf",
    "docx": f"{_OPEN_XML}.wordprocessingml.document",
    "xlsx": f"{_OPEN_XML}.spreadsheetml.sheet",
    "jpg": "image/jpeg",
    "txt": "text/plain",
    "mp4": "video/mp4",
    "one": "application/msonenote",
}


def mime_of(name: str) -> str:
    """What the service takes a file for, by its name."""
    return _MIME.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def check_name(name: str) -> None:
    """SharePoint's rules of names; raises invalidRequest."""
    bad = (
        not name
        or len(name) > NAME_MAX
        or any(letter in FORBIDDEN or ord(letter) < 32 for letter in name)
        or name != name.strip(" ")
        or name.endswith(".")
        or name.lower() in RESERVED
        or name.startswith("~$")
        or "_vti_" in name.lower()
    )
    if bad:
        raise invalid("The provided name cannot contain the given characters or is reserved.")


def promoted(content: Content, item_id: str) -> Content:
    """What SharePoint makes of an Office file: it writes properties into it."""
    data = b"".join(pieces(content))
    mark = f"<promoted><item>{item_id}</item></promoted>".encode("ascii")
    if not data.startswith(b"PK\x03\x04"):
        return LiteralBytes(data + mark)
    buffer = io.BytesIO(data)
    try:
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr(zipfile.ZipInfo(f"customXml/item{len(archive.namelist())}.xml"), mark)
    except zipfile.BadZipFile:
        return LiteralBytes(data + mark)
    return LiteralBytes(buffer.getvalue())


def not_found() -> GraphError:
    return GraphError(404, "itemNotFound", "The resource could not be found.")


def invalid(message: str) -> GraphError:
    return GraphError(400, "invalidRequest", message)


def conflict() -> GraphError:
    return GraphError(409, "nameAlreadyExists", "The specified item name already exists.")
