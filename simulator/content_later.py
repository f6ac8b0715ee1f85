"""Messages made while they are read, for mailboxes of fifty thousand.

Rules: a LaterProperties looks like the dict a mailbox expects and holds only what was changed
since delivery; everything else is written anew from the seed whenever somebody asks, and the
last two thousand letters are remembered, as their MIME is usually asked for next.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

from simulator.content import Letter, SeedMessage, stamp
from simulator.content_kinds import inline_image, plain_html, text_only
from simulator.mailbox import Mailbox

_KINDS = (plain_html, plain_html, plain_html, text_only)
_EAGER_EVERY = 50


class LaterProperties(dict[str, Any]):
    """A message's JSON, made by a function when read; the dict itself holds changes only."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], dict[str, Any]], known: dict[str, Any]) -> None:
        """known: what is asked for often; not empty, or json.dumps would see an empty dict."""
        super().__init__(known)
        self._make = make

    def _whole(self) -> dict[str, Any]:
        whole = dict(self._make())
        for name in dict.keys(self):
            whole[name] = dict.__getitem__(self, name)
        return whole

    def __getitem__(self, name: str) -> Any:
        return dict.__getitem__(self, name) if dict.__contains__(self, name) else self._make()[name]

    def get(self, name: str, default: Any = None) -> Any:
        if dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        return self._make().get(name, default)

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or name in self._make()

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def __or__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return self._whole() | other

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return other | self._whole()

    def keys(self) -> Any:
        return self._whole().keys()

    def values(self) -> Any:
        return self._whole().values()

    def items(self) -> Any:
        return self._whole().items()

    def copy(self) -> dict[str, Any]:
        return self._whole()


def deliver_later(
    mailbox: Mailbox, next_letter: Callable[[], Letter], count: int, folders: list[str], seed: str
) -> None:
    """Deliver `count` messages without making them; every fiftieth has a picture and is made."""

    @lru_cache(maxsize=2048)
    def written(index: int) -> SeedMessage:
        dice = random.Random(f"{seed} {index}")
        return dice.choice(_KINDS)(replace(letters[index], dice=dice))

    letters: list[Letter] = []
    for index in range(count):
        letter = next_letter()
        letters.append(letter)
        folder = folders[index % len(folders)] if index % 4 == 0 else "inbox"
        if index % _EAGER_EVERY == 0:
            mailbox.deliver(inline_image(letter), folder)
            continue
        received = stamp(letter.at + timedelta(seconds=2))
        properties = LaterProperties(
            partial(_properties, written, index),
            {"receivedDateTime": received, "hasAttachments": False, "isDraft": False},
        )
        mailbox.add_message(mailbox.folder(folder), properties, [], partial(_mime, written, index))


def _properties(written: Callable[[int], SeedMessage], index: int) -> dict[str, Any]:
    return written(index).properties


def _mime(written: Callable[[int], SeedMessage], index: int) -> bytes:
    return written(index).mime()
