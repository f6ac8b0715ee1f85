"""The fake drive over TLS: what only a real connection can show."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from simulator import Clock, Running, contoso, serve
from simulator.drive import downloads, truth
from simulator.drive_upload import RANGE_UNIT, uploads
from simulator.serving import listen
from tests.simulator.drive_client import NOW


class Wire:
    """A plain HTTP client with a token of the restore app."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.tenant = running.tenant
        self.pool = urllib3.PoolManager(ca_certs=str(running.ca), retries=False)
        app = self.tenant.restore_app
        fields = {
            "grant_type": "client_credentials", "client_id": app.app_id,
            "client_secret": next(iter(app.secrets)),
            "scope": f"{running.url}/.default",
        }  # fmt: skip
        url = f"{running.url}/{self.tenant.id}/oauth2/v2.0/token"
        answer = self.pool.request("POST", url, fields=fields, encode_multipart=False)
        self.token = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def graph(self, method: str, url: str, body: Any = None) -> urllib3.BaseHTTPResponse:
        url = url if url.startswith("https") else f"{self.running.url}/v1.0{url}"
        return self.pool.request(
            method, url, headers=self.token | {"Content-Type": "application/json"},
            body=json.dumps(body) if body is not None else None, redirect=False,
        )  # fmt: skip

    def bare(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self.pool.request(method, url, redirect=False, **options)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with serve(contoso.build("tiny", clock=Clock(NOW))) as running:
        yield Wire(running)


@pytest.fixture
def first_drive(wire) -> Any:
    return next(iter(wire.tenant.drives.values()))


def test_a_stranger_can_walk_a_user_to_every_byte_of_the_drive(wire):
    user = next(user for user in wire.tenant.users.values() if user.drive_id)
    drive_id = wire.graph("GET", f"/users/{user.id}/drive").json()["id"]
    url, held = f"/drives/{drive_id}/root/delta?$top=10", {}
    while url:
        page = wire.graph("GET", url).json()
        held.update({item["id"]: item for item in page["value"]})
        url = page.get("@odata.nextLink", "")
    entries = truth(wire.tenant.drives[drive_id])
    assert held.keys() - {entry["id"] for entry in entries} == {
        wire.tenant.drives[drive_id].root.id
    }
    for entry in entries:
        if entry["kind"] == "file" and entry["readable"]:
            got = wire.bare("GET", held[entry["id"]]["@microsoft.graph.downloadUrl"])
            assert (got.status, len(got.data)) == (200, entry["size"])


def test_content_redirects_to_the_other_loopback_name(wire, first_drive):
    item = first_drive.by_path(["one byte.txt"])
    answer = wire.graph("GET", f"/drives/{first_drive.id}/items/{item.id}/content")
    location = answer.headers["Location"]
    assert answer.status == 302
    assert location.startswith(f"https://127.0.0.1:{wire.running.port}/")
    assert wire.bare("GET", location).data == b"x"
    assert wire.bare("GET", location, headers=wire.token).status == 401


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "100% & 'done'; #1! {a} [b] ~c^ `d` @e=f+g,.txt",
        "📊 Zahlen 👩‍👩‍👧‍👦 Q3.txt",
    ],
)
def test_hostile_names_survive_paths(wire, first_drive, name):
    path = "/".join(quote(part, safe="") for part in ("Names & more; 'quoted' #1", name))
    found = wire.graph("GET", f"/drives/{first_drive.id}/root:/{path}:").json()
    assert found["name"] == name


def test_accepted_connections_do_not_wait_for_acknowledgements():
    listening = listen(0)
    assert {each.proto for each in listening} == {socket.IPPROTO_TCP}
    for each in listening:
        each.close()


def test_a_cut_download_is_seen_as_cut_and_resumes(wire, first_drive):
    item = first_drive.by_path(["Pictures", "holiday.mp4"])
    url = wire.graph("GET", f"/drives/{first_drive.id}/items/{item.id}").json()[
        "@microsoft.graph.downloadUrl"
    ]
    downloads(wire.tenant).cuts.append(1_500_000)
    answer = wire.bare("GET", url, preload_content=False)
    got = bytearray()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        _read_into(got, answer)
    rest = wire.bare("GET", url, headers={"Range": f"bytes={len(got)}-", "Accept": "*/*"})
    assert rest.status == 206
    assert bytes(got) + rest.data == item.content.read(0, item.size)


def _read_into(got: bytearray, answer: urllib3.BaseHTTPResponse) -> None:
    while piece := answer.read(65_536):
        got += piece


def test_a_broken_range_tells_where_to_go_on(wire, first_drive):
    url = f"/drives/{first_drive.id}/root:/sent.bin:/createUploadSession"
    upload = wire.graph("POST", url, {"item": {}}).json()["uploadUrl"]
    data = bytes(range(256)) * (2 * RANGE_UNIT // 256)

    def put(first: int) -> urllib3.BaseHTTPResponse:
        said = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return wire.bare("PUT", upload, body=data[first:], headers={"Content-Range": said})

    uploads(wire.tenant).faults.append("broken")
    with pytest.raises(urllib3.exceptions.ProtocolError):
        put(0)
    (missing,) = wire.bare("GET", upload).json()["nextExpectedRanges"]
    made = put(int(missing.rstrip("-")))
    assert made.status == 201
    assert first_drive.get(made.json()["id"]).content.read(0, len(data)) == data


def test_delta_costs_are_charged_and_not_shown(wire, first_drive):
    answer = wire.graph("GET", f"/drives/{first_drive.id}/root/delta")
    assert answer.status == 200
    assert "x-cost" not in answer.headers


def test_the_backup_app_cannot_write(wire, first_drive):
    app = wire.tenant.backup_app
    fields = {
        "grant_type": "client_credentials", "client_id": app.app_id,
        "client_secret": next(iter(app.secrets)), "scope": f"{wire.running.url}/.default",
    }  # fmt: skip
    url = f"{wire.running.url}/{wire.tenant.id}/oauth2/v2.0/token"
    token = wire.pool.request("POST", url, fields=fields, encode_multipart=False).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    where = f"{wire.running.url}/v1.0/drives/{first_drive.id}/root:/x.txt:/content"
    assert wire.bare("PUT", where, body=b"x", headers=headers).status == 403
