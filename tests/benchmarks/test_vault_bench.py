"""The vault benchmark's own parts: its corpus, its file tree in and out of a vault, its figures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from base.clock import SystemClock
from benchmarks._corpus import Corpus, Scale
from benchmarks._tree import back_up, restore
from benchmarks.vault import BOUNDS, Samples, figures_of, same_tree
from vault import CountingStore, PassphraseSlot, Repository
from vault.stores.memory import MemoryStore

TINY = Scale(
    mail_bytes=2_000_000,
    unshared_bytes=100_000,
    graph=20,
    files_bytes=1_500_000,
    sources=6,
    big_bytes=1_200_000,
    small=60,
    stream_bytes=0,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    Corpus(root, TINY).make()
    return root


@pytest.fixture
def tree(corpus, tmp_path):
    return Path(shutil.copytree(corpus / "whole", tmp_path / "tree"))


@pytest.fixture
def store():
    return CountingStore(MemoryStore())


@pytest.fixture
def repo(store):
    slots = [PassphraseSlot("one", n=2**4), PassphraseSlot("two", n=2**4)]
    return Repository.create(store, slots, SystemClock())


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_corpus_depends_on_its_seed_alone(corpus, tmp_path):
    Corpus(tmp_path, TINY).make()
    assert files(tmp_path) == files(corpus)


def test_every_kind_of_file_is_there(corpus):
    parts = {path.name for path in (corpus / "whole").iterdir()}
    assert {"graph", "files", "src", "big"} < parts
    assert len(files(corpus / "mail")) > 0
    assert files(corpus / "mail").items() < files(corpus / "whole").items()
    names = {path.suffix for path in (corpus / "whole" / "files").rglob("*.*")}
    assert len(names) >= 3
    sizes = [path.stat().st_size for path in (corpus / "small").rglob("*") if path.is_file()]
    assert len(sizes) == TINY.small
    assert max(sizes) <= 20_500


def test_how_much_of_the_mail_repeats_is_reported(tmp_path):
    made = Corpus(tmp_path, TINY)
    made.mail()
    found = made.reuse.report()
    assert found["messages"] < found["copies"] == len(files(tmp_path / "mail"))
    assert 0 < found["attachment_bytes_once"] <= found["attachment_bytes"]


def test_a_tree_comes_back_byte_for_byte_with_modes_and_times(repo, tree, tmp_path):
    os.chmod(tree / "big" / "v1.db", 0o640)
    os.utime(tree / "big" / "v2.db", ns=(1, 1_700_000_000_123_456_789))
    done = back_up(repo, tree)
    assert done.read_bytes == sum(map(len, files(tree).values()))
    restore(repo, tmp_path / "out")
    assert same_tree(tree, tmp_path / "out")


def test_without_a_change_nothing_is_read_or_written(repo, store, tree):
    back_up(repo, tree)
    store.reset()
    done = back_up(repo, tree)
    assert (done.changed, done.read_bytes, store.writes) == (0, 0, 0)


def test_what_changed_is_read_and_what_is_gone_goes(repo, tree, tmp_path):
    back_up(repo, tree)
    (tree / "big" / "v1.db").write_bytes(b"another")
    shutil.rmtree(tree / "src" / "v1")
    done = back_up(repo, tree)
    assert done.read_bytes == len(b"another")
    restore(repo, tmp_path / "out")
    assert files(tmp_path / "out") == files(tree)


@pytest.mark.parametrize("spoil", ["bytes", "mode", "time", "missing"])
def test_a_tree_that_differs_is_not_the_same(corpus, tree, spoil):
    assert same_tree(corpus / "whole", tree)
    path = tree / "big" / "v1.db"
    status = path.stat()
    if spoil == "bytes":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif spoil == "mode":
        os.chmod(path, 0o600)
    elif spoil == "time":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    assert not same_tree(corpus / "whole", tree)


def test_figures_are_ratios_of_medians_and_unknown_without_the_other_program():
    samples = Samples()
    for ours, theirs in ((1.0, 10.0), (2.0, 4.0), (9.0, 2.0)):
        samples.note("holdfast", "whole", wall_s=ours, rss_mb=100 * ours)
        samples.note("restic", "whole", wall_s=theirs, rss_mb=1.0)
    figures = figures_of(samples)
    assert figures["wall_ratio_restic"] == 0.5
    assert figures["wall_ratio_borg"] is None
    assert figures["peak_rss_mb"] == 900
    assert {bound.figure for bound in BOUNDS} <= figures.keys()
    assert {"storage_ops_per_gb", "index_bytes_per_million_items"} <= figures.keys()
