"""Compares two trees by walking both, stepping over every subtree they share."""

from __future__ import annotations

from collections.abc import Iterator

from vault.tree import Key, Node, Tree, child_reference


def differences(old: Tree, new: Tree) -> Iterator[tuple[Key, bytes | None, bytes | None]]:
    """(key, old line, new line) wherever two trees differ, in key order; skips equal subtrees."""
    left, right = _Cursor(old), _Cursor(new)
    while not (left.done and right.done):
        if left.skip_equal(right):
            continue
        if left.must_open(right):
            left.open()
        elif right.must_open(left):
            right.open()
        elif right.done or (not left.done and left.key < right.key):
            key, line = left.take()
            yield key, line, None
        elif left.done or right.key < left.key:
            key, line = right.take()
            yield key, None, line
        else:
            (key, before), (_, after) = left.take(), right.take()
            if before != after:
                yield key, before, after


class _Cursor:
    """A walk that can stop at a whole subtree; the next thing is on top of the stack."""

    def __init__(self, tree: Tree) -> None:
        self._load = tree.load
        self._stack: list[tuple[int, Key, bytes]] = []  # level, first key, line
        self._push(tree.root)

    @property
    def done(self) -> bool:
        return not self._stack

    @property
    def key(self) -> Key:
        return self._stack[-1][1]

    @property
    def level(self) -> int:
        """0 for a value, else one more than the level of the subtree's node."""
        return self._stack[-1][0]

    def skip_equal(self, other: _Cursor) -> bool:
        """Steps over the same thing on both sides."""
        if self.done or other.done or self.level != other.level:
            return False
        mine, theirs = self._stack[-1], other._stack[-1]
        if mine[2] != theirs[2] or (self.level == 0 and mine[1] != theirs[1]):
            return False
        self._stack.pop()
        other._stack.pop()
        return True

    def must_open(self, other: _Cursor) -> bool:
        """Whether the subtree on top has to be looked into before anything can be said."""
        if self.done or self.level == 0:
            return False
        if other.done:
            return True
        if other.level == 0:
            return self.key <= other.key
        return (self.level, other.key) >= (other.level, self.key)

    def open(self) -> None:
        _, _, line = self._stack.pop()
        self._push(self._load(child_reference(line)))

    def take(self) -> tuple[Key, bytes]:
        _, key, line = self._stack.pop()
        return key, line

    def _push(self, node: Node) -> None:
        rows = zip(node.keys, node.lines, strict=True)
        self._stack.extend(reversed([(node.level, key, line) for key, line in rows]))
