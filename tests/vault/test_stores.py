"""The store suite over memory, folder and Azurite, and what only a folder can do wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.vault.store_suite import Suite
from vault.problems import StoreForbidden, StoreFull, StoreNotWritable, StoreProblem
from vault.store import CountingStore, Store
from vault.stores.folder import FolderStore
from vault.stores.memory import MemoryStore

if TYPE_CHECKING:
    from vault.stores.azure_blob import AzureBlobStore

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

    @pytest.fixture
    def twin(self, store: Store, tmp_path: Path) -> Store:
        return FolderStore(tmp_path / "vault")


class TestCounting(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return CountingStore(MemoryStore())


@pytest.mark.azurite
class TestAzureBlob(Suite):
    @pytest.fixture
    def store(self, place: None, azurite: str) -> Store:
        store = self._opened(azurite)
        store.make_containers()
        store.make_containers()  # again is fine
        return store

    @pytest.fixture
    def twin(self, store: Store, azurite: str) -> Store:
        return self._opened(azurite)

    @pytest.fixture(autouse=True)
    def place(self) -> None:
        self.prefix = f"t{os.urandom(6).hex()}"

    def _opened(self, azurite: str) -> AzureBlobStore:
        from vault.stores.azure_blob import AzureBlobStore

        return AzureBlobStore.from_connection_string(azurite, self.prefix)

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


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_write_that_breaks_off_leaves_nothing_half(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = FolderStore(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(StoreProblem):
            store.put_new("p/ab/large", bytes(1024 * 1024))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.size("p/ab/large") is None
    assert not any((tmp_path / ".incoming").iterdir())
    assert store.put_new("p/ab/large", bytes(1024 * 1024))


def test_what_a_killed_process_left_goes_after_a_day_and_nothing_younger_does(
    tmp_path: Path,
) -> None:
    FolderStore(tmp_path).put_new("s/a", b"1")
    left, young = tmp_path / ".incoming" / "left", tmp_path / ".incoming" / "young"
    for file in (left, young):
        file.write_bytes(b"half of a pack")
    age_s = 25 * 3600
    os.utime(left, (left.stat().st_mtime - age_s,) * 2)
    FolderStore(tmp_path).put_new("s/b", b"2")
    assert not left.exists()
    assert young.exists()
    assert [row.name for row in FolderStore(tmp_path).list("")] == ["s/a", "s/b"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
def test_a_name_that_was_taken_or_removed_is_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    store.put_new("s/a", b"1")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}"))
    )
    assert not store.put_new("s/a", b"2")
    store.delete("s/a")
    assert synced == [str(tmp_path / "s")] * 2
