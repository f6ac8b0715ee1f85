"""The persistent tree against a dict: deep trees of tiny nodes, ranks, ranges, differences."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from vault.entry import Location, Place, Reference
from vault.tree import EMPTY, Key, Node, Shape, Tree, TreeWriter
from vault.tree_diff import differences

SHAPES = [Shape(120, 3), Shape(400, 4), Shape(2000, 16)]


class Boxes:
    """Nodes in a list; counts reads."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.reads = 0

    def write(self, data: bytes) -> Reference:
        self.nodes.append(data)
        number = len(self.nodes) - 1
        return Reference(b"%032d" % number, Place(Location("p", number, 0, 0)), 0, len(data))

    def load(self, reference: Reference) -> Node:
        self.reads += 1
        return Node.parse(self.nodes[reference.place.location.box])


def row(rng: random.Random, folders: int, items: int) -> Key:
    return (f"f{rng.randrange(folders)}", f"s{rng.randrange(50)}", f"i{rng.randrange(items)}")


def checked(node: Node, boxes: Boxes, low: Key, high: Key | None, shape: Shape) -> int:
    """Walks a tree: order, separators, counts, sizes of nodes. Answers the number of values."""
    assert node.keys == sorted(set(node.keys))
    if node.level == 0:
        assert all(low <= key and (high is None or key < high) for key in node.keys)
        return len(node.keys)
    assert len(node.keys) <= shape.children_max
    total = 0
    for at, line in enumerate(node.lines):
        child = boxes.load(Reference.from_json(json.loads(line)[1:]))
        assert child.level == node.level - 1
        end = node.keys[at + 1] if at + 1 < len(node.keys) else high
        count = checked(child, boxes, max(low, node.keys[at]), end, shape)
        assert count == json.loads(line)[0]
        total += count
    return total


@pytest.mark.parametrize("atoms", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(6))
def test_a_tree_is_the_dict_it_was_made_from(shape: Shape, seed: int, atoms: bool) -> None:
    rng = random.Random(seed)
    boxes = Boxes()
    model: dict[Key, bytes] = {}
    root = EMPTY
    versions: list[tuple[Node, dict[Key, bytes]]] = []
    for turn in range(25):
        changes: dict[Key, bytes | None] = {}
        for _ in range(rng.choice([1, 3, 60])):
            key = row(rng, 8, 30)
            keep = rng.random() < (0.8 if turn % 8 < 5 else 0.1)
            changes[key] = b'"%d"' % rng.randrange(9) if keep else None
        if rng.random() < 0.3:  # a folder goes as a whole
            folder = f"f{rng.randrange(8)}"
            changes |= {key: None for key in model if key[0] == folder}
        for key, line in changes.items():
            if line is None:
                model.pop(key, None)
            else:
                model[key] = line
        writer = TreeWriter(boxes.load, boxes.write, atoms, shape)
        root = writer.update(root, sorted(changes.items()))
        tree = Tree(root, boxes.load)
        assert dict(tree.scan()) == model
        assert [key for key, _ in tree.scan()] == sorted(model)
        assert checked(root, boxes, (), None, shape) == tree.count == len(model)
        for key in [row(rng, 8, 30) for _ in range(10)]:
            assert tree.get(key) == model.get(key)
            assert tree.rank(key) == sum(other < key for other in model)
            inside = [other for other in sorted(model) if key <= other < (*key[:1], "~")]
            assert [found for found, _ in tree.scan(key, (*key[:1], "~"))] == inside
        versions.append((root, dict(model)))
    for (old, before), (new, after) in [*pairwise(versions), (versions[0], versions[-1])]:
        found = {
            key: (was, now)
            for key, was, now in differences(Tree(old, boxes.load), Tree(new, boxes.load))
        }
        wanted = {
            key: (before.get(key), after.get(key))
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        }
        assert found == wanted


def built(count: int, boxes: Boxes, shape: Shape | None = None) -> Node:
    changes = [((f"f{n // 1000:04d}", f"{n:06d}", f"i{n}"), b'"value"' * 20) for n in range(count)]
    return TreeWriter(boxes.load, boxes.write, True, shape).update(EMPTY, changes)


def test_k_changes_write_about_k_paths_and_compare_as_cheaply() -> None:
    boxes = Boxes()
    old = built(50_000, boxes)
    total = len(boxes.nodes)
    assert total > 100
    rng = random.Random(1)
    picked = sorted(rng.sample(range(50_000), 10))
    changes = [((f"f{n // 1000:04d}", f"{n:06d}", f"i{n}"), b'"other"') for n in picked]
    new = TreeWriter(boxes.load, boxes.write, True).update(old, changes)
    assert len(boxes.nodes) - total <= 20  # a leaf, and the inner node above, per change
    boxes.reads = 0
    found = list(differences(Tree(old, boxes.load), Tree(new, boxes.load)))
    assert len(found) == 10
    assert boxes.reads <= 2 * 20


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    boxes = Boxes()
    root = built(5000, boxes)
    total = len(boxes.nodes)
    writer = TreeWriter(boxes.load, boxes.write, True)
    same = [(key, line) for key, line in Tree(root, boxes.load).scan()]
    assert writer.update(root, same) is root
    assert writer.update(root, [(("none", "", ""), None)]) is root
    assert len(boxes.nodes) == total


def test_removing_almost_everything_leaves_no_crumbs() -> None:
    boxes = Boxes()
    shape = Shape(2000, 8)
    root = built(3000, boxes, shape)
    keys = [key for key, _ in Tree(root, boxes.load).scan()]
    writer = TreeWriter(boxes.load, boxes.write, True, shape)
    for start in range(0, len(keys) - 3, 100):
        root = writer.update(root, [(key, None) for key in keys[start : start + 100]][:-1])
    assert checked(root, boxes, (), None, shape) == len(dict(Tree(root, boxes.load).scan()))
    assert root.level <= 2
