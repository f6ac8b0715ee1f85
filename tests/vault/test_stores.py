"""The store suite over memory, folder and Azurite, and what only a folder can do wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.store_suite import Suite
from vault.problems import StoreForbidden, StoreFull, StoreNotWritable, StoreProblem
from vault.store import CountingStore, Store
from vault.stores.folder import FolderStore
from vault.stores.memory import MemoryStore

try:
    from tests.azurite import azurite
except ImportError:

    @pytest.fixture
    def azurite() -> str:
        connection = os.environ.get("HOLDFAST_TEST_AZURITE", "")
        if not connection:
            pytest.skip("no Azurite here")
        return connection


class TestMemory(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestFolder(Suite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FolderStore(tmp_path / "vault")


class TestCounting(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return CountingStore(MemoryStore())


@pytest.mark.azurite
class TestAzureBlob(Suite):
    @pytest.fixture
    def store(self, azurite: str) -> Iterator[Store]:
        from vault.stores.azure_blob import AzureBlobStore

        store = AzureBlobStore.from_connection_string(azurite, f"t{os.urandom(6).hex()}")
        store.make_containers()
        store.make_containers()  # again is fine
        return store

    def test_a_missing_container_is_named(self, azurite: str) -> None:
        from vault.stores.azure_blob import AzureBlobStore

        store = AzureBlobStore.from_connection_string(azurite, "never-made")
        with pytest.raises(StoreProblem) as caught:
            store.put_new("p/ab/one", b"1")
        assert caught.value.details["azure_code"] == "ContainerNotFound"

    def test_a_wrong_key_is_forbidden(self, azurite: str) -> None:
        from vault.stores.azure_blob import AzureBlobStore

        parts = dict(part.split("=", 1) for part in azurite.rstrip(";").split(";"))
        parts["AccountKey"] = "AAAA" + parts["AccountKey"][4:]
        connection = ";".join(f"{key}={value}" for key, value in parts.items())
        store = AzureBlobStore.from_connection_string(connection, "any")
        with pytest.raises(StoreForbidden):
            store.put_new("p/ab/one", b"1")


def test_a_killed_write_leaves_no_file_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(descriptor: int) -> None:
        raise KeyboardInterrupt

    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        store.put_new("s/a", b"half")
    monkeypatch.undo()
    assert store.size("s/a") is None
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EACCES, StoreNotWritable),
        (errno.EROFS, StoreNotWritable),
        (errno.EIO, StoreProblem),
    ],
)
def test_a_disk_that_refuses_is_a_typed_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: type[StoreProblem]
) -> None:
    def refuses(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(problem) as caught:
        store.put_new("s/a", b"data")
    assert type(caught.value) is problem
    assert str(tmp_path) not in str(caught.value)
    assert not any((tmp_path / ".incoming").glob("*"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that refuses")
def test_a_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreNotWritable):
            FolderStore(tmp_path / "vault").put_new("s/a", b"data")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "vault").write_text("a file")
    with pytest.raises(StoreProblem):
        FolderStore(tmp_path / "vault").put_new("s/a", b"data")


def test_a_file_system_without_hard_links_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuses)
    with pytest.raises(StoreProblem, match="hard links"):
        FolderStore(tmp_path).put_new("s/a", b"data")


def test_counts_are_those_of_the_calls() -> None:
    store = CountingStore(MemoryStore())
    store.put_new("s/a", b"12345")
    store.read("s/a", 1, 2)
    list(store.list(""))
    assert (store.writes, store.reads, store.lists) == (1, 1, 1)
    assert (store.bytes_written, store.bytes_read) == (5, 2)
