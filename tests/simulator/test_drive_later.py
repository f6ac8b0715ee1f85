"""A drive whose items are made when they are asked for: the same through every door."""

from simulator.drive_later import LaterDrive
from simulator.filebytes import LiteralBytes
from tests.simulator.drive_client import NOW, OWNER, Client

COUNT = 1_203  # three folders, the last of them not full


def later() -> Client:
    client = Client()
    client.drive = LaterDrive(client.drive.id, OWNER, NOW, COUNT)
    client.tenant.drives[client.drive.id] = client.drive
    return client


def whole_round(client, path="/root/delta"):
    found, answer = [], client.get(path)
    while True:
        found += answer["value"]
        link = answer.get("@odata.nextLink")
        if link is None:
            return found, answer["@odata.deltaLink"].partition(client.drive.id)[2]
        answer = client.get(link.partition(client.drive.id)[2])


def test_the_delta_brings_every_item_once_below_a_folder_it_brought():
    client = later()
    found, _ = whole_round(client)
    ids = [one["id"] for one in found]
    assert len(ids) == len(set(ids)) == COUNT + 1  # with the root
    seen = set()
    for one in found:
        assert "root" in one or one["parentReference"]["id"] in seen
        seen.add(one["id"])
    folders = [one["folder"]["childCount"] for one in found if "folder" in one]
    assert folders == [3, 500, 500, 200]


def test_an_item_is_the_same_by_its_id_and_in_its_folder():
    client = later()
    found, _ = whole_round(client)
    last = found[-1]
    alone = client.get(f"/items/{last['id']}")
    assert [alone[name] for name in ("name", "size", "eTag")] == [last["name"], 0, last["eTag"]]
    below = client.drive.children(client.drive.get(last["parentReference"]["id"]))
    assert below[-1].id == last["id"]


def test_a_quiet_round_is_empty_and_what_is_written_since_is_one_entry():
    client = later()
    _, link = whole_round(client)
    quiet, link = whole_round(client, link)
    assert quiet == []
    drive = client.drive
    drive.put_file(drive.root, "New.txt", LiteralBytes(b"new"), "fail", OWNER, NOW)
    news, _ = whole_round(client, link)
    assert [one["name"] for one in news] == ["New.txt"]
