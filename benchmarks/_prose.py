"""Prose and names for generated content: English by a chain of word pairs.

The pairs are those of the help texts that come with Python (pydoc's topics), so words follow one
another as they do in writing, and a text compresses about as well as a real one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from pydoc_data.topics import topics
from random import Random

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*[.,;:]?")
_PEOPLE = (
    "Ada", "Ben", "Clara", "David", "Elena", "Farid", "Grace", "Henrik", "Ines", "Jonas", "Keiko",
    "Liam", "Maria", "Nils", "Olga", "Pedro", "Quinn", "Rosa", "Samuel", "Tessa", "Ulrich", "Vera",
    "William", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
_FAMILIES = (
    "Almeida", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Hoffmann", "Ivanova",
    "Jansen", "Kovacs", "Lindgren", "Moreau", "Novak", "Olsen", "Petrov", "Rossi", "Schmidt",
    "Tanaka", "Weber",
)  # fmt: skip


class Prose:
    """An endless text; the same for the same dice (and the same Python)."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        words = [word for text in topics.values() for word in _WORD.findall(text)]
        follow: dict[str, list[str]] = defaultdict(list)
        for word, after in pairwise(words):
            follow[word].append(after)
        follow[words[-1]].append(words[0])
        self._follow = dict(follow)
        self._at = words[0]

    def words(self, count: int) -> str:
        """That many words."""
        roll, follow, word = self._dice.random, self._follow, self._at
        said = []
        for _ in range(count):
            after = follow[word]
            word = after[int(roll() * len(after))]
            said.append(word)
        self._at = word
        return " ".join(said)

    def title(self) -> str:
        """A few words, as a subject or a file's name."""
        return re.sub(r"[^A-Za-z ]", "", self.words(self._dice.randint(2, 7))).capitalize()

    def paragraphs(self, words: int) -> list[str]:
        """About that many words, in paragraphs."""
        made = []
        while words > 0:
            count = min(words, self._dice.randint(25, 90))
            made.append(self.words(count))
            words -= count
        return made

    def person(self) -> str:
        """A first name and a family name."""
        return f"{self._dice.choice(_PEOPLE)} {self._dice.choice(_FAMILIES)}"
