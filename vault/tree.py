"""A persistent B+tree: nodes are boxes that never change, an update writes the path it touched.

Rule 1: a node is written before the node that points at it; the root is never a box of its own but
        lies inside the page and the snapshot, so that a descent costs one read less.
Rule 2: equal content is the same node (its id is keyed by content): what did not change is neither
        written again nor looked at when two trees are compared.
Rule 3: an update holds the changed nodes of one path per level in memory, not the tree.

Theory of operation: keys are tuples of text in code point order. A leaf holds keys and value lines
(JSON), an inner node a separator for each child with the child's number of values and its
Reference. A separator is not above any key of its child and above all keys before it; where a
folder starts it is the folder's id alone, so that a search for the folder goes straight there. The
leftmost separator is (). Leaves are at most `leaf_bytes`; with `atoms`, keys that share their first
part (one folder) stay in one leaf while they fit, so that the first page of a folder is one leaf.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from vault.entry import Reference, dumps
from vault.problems import VaultDamaged

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large nodes may grow; any shape can be read, tests make it small."""

    leaf_bytes: int = 64 * 1024
    children_max: int = 128


@dataclass(frozen=True, slots=True)
class Node:
    """A node in memory; `lines`: values of a leaf (level 0), or [count, *reference] of children."""

    level: int
    keys: list[Key]
    lines: list[bytes]

    @property
    def count(self) -> int:
        """Values below this node."""
        if self.level == 0:
            return len(self.keys)
        return sum(child_count(line) for line in self.lines)

    def to_bytes(self) -> bytes:
        head = dumps({"level": self.level, "keys": self.keys})
        return b"\n".join([head, *self.lines])

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises VaultDamaged."""
        try:
            first, *lines = data.split(b"\n")
            head = json.loads(first)
            keys = [tuple(key) for key in head["keys"]]
            if len(keys) != len(lines):
                raise VaultDamaged("A catalog node lacks values.")
            return cls(int(head["level"]), keys, lines)
        except (ValueError, KeyError, TypeError) as damage:
            raise VaultDamaged("A catalog node cannot be read.") from damage


EMPTY = Node(0, [], [])
Load = Callable[[Reference], Node]
Write = Callable[[bytes], Reference]


def child_count(line: bytes) -> int:
    """Values below a child, from its line in the parent."""
    return int(json.loads(line)[0])


def child_reference(line: bytes) -> Reference:
    """Where a child lies, from its line in the parent."""
    return Reference.from_json(json.loads(line)[1:])


@dataclass(frozen=True, slots=True)
class Tree:
    """A root and how to load the nodes below it."""

    root: Node
    load: Load

    @property
    def count(self) -> int:
        return self.root.count

    def get(self, key: Key) -> bytes | None:
        """The value line of a key."""
        leaf, _ = self.leaf_of(key)
        at = bisect_left(leaf.keys, key)
        return leaf.lines[at] if at < len(leaf.keys) and leaf.keys[at] == key else None

    def at(self, index: int) -> bytes | None:
        """The value line of the key of that rank; one path of nodes."""
        node = self.root
        while node.level > 0:
            for line in node.lines:
                count = child_count(line)
                if index < count:
                    node = self.load(child_reference(line))
                    break
                index -= count
            else:
                return None
        return node.lines[index] if 0 <= index < len(node.lines) else None

    def leaf_from(self, low: Key) -> tuple[Node, int, Key | None]:
        """Where keys >= `low` begin: leaf, index in it, and the separator of the next leaf."""
        leaf, beyond = self.leaf_of(low)
        at = bisect_left(leaf.keys, low)
        if at == len(leaf.keys) and beyond is not None:
            return self.leaf_from(beyond)
        return leaf, at, beyond

    def leaf_of(self, key: Key) -> tuple[Node, Key | None]:
        """The leaf in which a key lies if it is there, and the separator of the next leaf."""
        node, beyond = self.root, None
        while node.level > 0:
            at = max(bisect_right(node.keys, key) - 1, 0)
            beyond = node.keys[at + 1] if at + 1 < len(node.keys) else beyond
            node = self.load(child_reference(node.lines[at]))
        return node, beyond

    def scan(self, low: Key = (), high: Key | None = None) -> Iterator[tuple[Key, bytes]]:
        """Keys and value lines from `low` on, below `high`."""
        yield from self._scan(self.root, low, high)

    def _scan(self, node: Node, low: Key, high: Key | None) -> Iterator[tuple[Key, bytes]]:
        if node.level == 0:
            start = bisect_left(node.keys, low)
            end = len(node.keys) if high is None else bisect_left(node.keys, high)
            yield from zip(node.keys[start:end], node.lines[start:end], strict=True)
            return
        start = max(bisect_right(node.keys, low) - 1, 0)
        end = len(node.keys) if high is None else bisect_left(node.keys, high)
        for line in node.lines[start:end]:
            yield from self._scan(self.load(child_reference(line)), low, high)

    def rank(self, key: Key) -> int:
        """How many keys are smaller; one path of nodes."""
        node, rank = self.root, 0
        while node.level > 0:
            if not node.keys:
                return 0
            at = max(bisect_right(node.keys, key) - 1, 0)
            rank += sum(child_count(line) for line in node.lines[:at])
            node = self.load(child_reference(node.lines[at]))
        return rank + bisect_left(node.keys, key)


class Walk:
    """Look-ups in ascending order: the leaf of the one before is not looked for again."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._leaf: Node | None = None
        self._beyond: Key | None = None

    def get(self, key: Key) -> bytes | None:
        """The value line of a key."""
        leaf = self._leaf_of(key)
        at = bisect_left(leaf.keys, key)
        return leaf.lines[at] if at < len(leaf.keys) and leaf.keys[at] == key else None

    def keys(self, low: Key, high: Key) -> Iterator[Key]:
        """Keys from `low` on, below `high`."""
        while True:
            leaf = self._leaf_of(low)
            yield from leaf.keys[bisect_left(leaf.keys, low) : bisect_left(leaf.keys, high)]
            if self._beyond is None or self._beyond >= high:
                return
            low = self._beyond

    def _leaf_of(self, key: Key) -> Node:
        if self._leaf is None or (self._beyond is not None and key >= self._beyond):
            self._leaf, self._beyond = self._tree.leaf_of(key)
        return self._leaf


class TreeWriter:
    """Applies sorted changes to a tree; the new root stays in memory."""

    def __init__(self, load: Load, write: Write, atoms: bool, shape: Shape | None = None) -> None:
        self._shape = shape or Shape()
        self._load = load
        self._write = write
        self._atoms = atoms
        self.written = 0  # nodes

    def update(self, root: Node, changes: list[tuple[Key, bytes | None]]) -> Node:
        """The root after `changes` (sorted by key, each key once; None removes)."""
        if not changes:
            return root
        nodes = self._rebuilt(root, changes, ())
        if nodes is None:
            return root
        while len(nodes) > 1:
            children = [self._stored(child) for child in _separated((), nodes)]
            nodes = self._partition(_parent_of(children, nodes[0].level + 1))
        return self._shallow(nodes[0]) if nodes else EMPTY

    def _rebuilt(
        self, node: Node, changes: list[tuple[Key, bytes | None]], low: Key
    ) -> list[Node] | None:
        """The nodes that take this one's place, not written yet; None when nothing changed.

        `low`: the separator it stands under; its own first one may be older and higher.
        """
        if node.level == 0:
            merged = _merged(node, changes)
            return None if merged is None else self._partition(merged)
        children: list[_Child] = []
        changed = False
        start = 0
        for at, key in enumerate(node.keys):
            last = at + 1 == len(node.keys)
            end = len(changes) if last else bisect_left(changes, (node.keys[at + 1],), lo=start)
            mine, start = changes[start:end], end
            line = node.lines[at]
            key = key if at else low
            new = self._rebuilt(self._load(child_reference(line)), mine, key) if mine else None
            if new is None:
                children.append(_Child(key, line, None))
            else:
                changed = True
                children += _separated(key, new)
        if not changed:
            return None
        self._join_small(children)
        stored = [self._stored(child) for child in children]
        return self._partition(_parent_of(stored, node.level))

    def _join_small(self, children: list[_Child]) -> None:
        """Small new nodes take in a neighbour, so that removals do not leave crumbs."""
        at = 0
        while at < len(children) and len(children) > 1:
            node = children[at].node
            if node is None or not _is_small(node, self._shape):
                at += 1
                continue
            first = at - 1 if at else 0
            left, right = (self._loaded(child) for child in children[first : first + 2])
            joined = Node(node.level, left.keys + right.keys, left.lines + right.lines)
            if node.level > 0:  # what they stand under now
                joined.keys[0] = children[first].key
                joined.keys[len(left.keys)] = children[first + 1].key
            parts = _separated(children[first].key, self._partition(joined))
            children[first : first + 2] = parts
            at = first + len(parts)

    def _loaded(self, child: _Child) -> Node:
        return child.node or self._load(child_reference(child.line))

    def _stored(self, child: _Child) -> _Child:
        """The child with its node written."""
        if child.node is None:
            return child
        self.written += 1
        reference = self._write(child.node.to_bytes())
        return _Child(child.key, dumps([child.node.count, *reference.to_json()]), None)

    def _shallow(self, node: Node) -> Node:
        """A root with a single child gives way to the child."""
        while node.level > 0 and len(node.keys) == 1:
            node = self._load(child_reference(node.lines[0]))
        return node

    def _partition(self, node: Node) -> list[Node]:
        """Cuts a node that grew too large; nothing for an empty one."""
        if not node.keys:
            return []
        if node.level > 0:
            weights = [1] * len(node.keys)
            return _cut(node, _even(weights, self._shape.children_max))
        weights = [_weight(key, line) for key, line in zip(node.keys, node.lines, strict=True)]
        if sum(weights) <= self._shape.leaf_bytes:
            return [node]
        if not self._atoms:
            return _cut(node, _even(weights, self._shape.leaf_bytes))
        return _cut(node, _by_atoms(node.keys, weights, self._shape.leaf_bytes))


@dataclass(frozen=True, slots=True)
class _Child:
    """A child of an inner node: its line there, or a new node that is not written yet."""

    key: Key
    line: bytes
    node: Node | None


def _parent_of(children: list[_Child], level: int) -> Node:
    return Node(level, [child.key for child in children], [child.line for child in children])


def _separated(first: Key, nodes: list[Node]) -> list[_Child]:
    """Neighbouring new nodes with their separators; the first keeps the one that was there."""
    children = []
    for at, node in enumerate(nodes):
        key = first
        if at:
            key = node.keys[0]
            if node.level == 0 and nodes[at - 1].keys[-1][0] != key[0]:
                key = key[:1]
        children.append(_Child(key, b"", node))
    return children


def _merged(leaf: Node, changes: list[tuple[Key, bytes | None]]) -> Node | None:
    """The leaf after changes; None when it stays as it is."""
    values: dict[Key, bytes] = dict(zip(leaf.keys, leaf.lines, strict=True))
    changed = False
    for key, line in changes:
        if line is None:
            changed |= values.pop(key, None) is not None
        elif values.get(key) != line:
            values[key] = line
            changed = True
    if not changed:
        return None
    keys = sorted(values)
    return Node(0, keys, [values[key] for key in keys])


def _weight(key: Key, line: bytes) -> int:
    return len(line) + sum(map(len, key)) + 16


def _is_small(node: Node, shape: Shape) -> bool:
    if node.level > 0:
        return len(node.keys) < shape.children_max // 4
    weights = (_weight(key, line) for key, line in zip(node.keys, node.lines, strict=True))
    return sum(weights) < shape.leaf_bytes // 4


def _even(weights: list[int], limit: int) -> list[int]:
    """Lengths of runs of about equal weight, each within the limit unless one item is not."""
    total = sum(weights)
    if total <= limit:
        return [len(weights)]
    target = total / -(-total * 4 // (limit * 3))  # three quarters full
    runs, length, weight = [], 0, 0
    for one in weights:
        if length and weight + one / 2 > target:
            runs.append(length)
            length, weight = 0, 0
        length += 1
        weight += one
    return [*runs, length]


def _by_atoms(keys: list[Key], weights: list[int], limit: int) -> list[int]:
    """Lengths of runs that keep a folder together while it fits, and start large folders afresh."""
    runs: list[int] = []
    length = weight = start = 0
    for _, members in groupby(keys, key=lambda key: key[0]):
        size = len(list(members))
        atom = weights[start : start + size]
        start += size
        total = sum(atom)
        if length and weight + total > limit:
            runs.append(length)
            length = weight = 0
        if total > limit:
            runs += _even(atom, limit)
            continue
        length += size
        weight += total
    return [*runs, length] if length else runs


def _cut(node: Node, runs: list[int]) -> list[Node]:
    nodes, start = [], 0
    for length in runs:
        end = start + length
        nodes.append(Node(node.level, node.keys[start:end], node.lines[start:end]))
        start = end
    return nodes
