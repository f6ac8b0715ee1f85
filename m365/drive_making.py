"""A file that takes more than one request: built under a name that follows from the restore, until
it is complete; then it takes its own name, or that of the file it replaces.

Rule 1: whoever sees the file under its name sees all of it: bytes, dates, versions, sharing.
Rule 2: what is there is never lost. The old file goes to the recycle bin only after the new one is
        complete and compared; then the new one gets the name. What does not compare is taken away
        again, and the old file stays.
Rule 3: a repeated step finds the unfinished file by its name and goes on with it: editions it has
        are not uploaded again. What cannot be told apart is built anew.
Rule 4: a name that somebody took meanwhile stays theirs: the new file is kept beside, and says so.

Theory of operation
Requests in order: look for the unfinished file; upload its editions; compare; share; (replacing:)
DELETE the old file; PATCH name and dates. A death between any two of them leaves either the old
file untouched, or the new one complete under its unfinished name, which the next attempt renames.
docs/decisions/replace-swaps.md has the reasons.

Facts this file rests on: learn.microsoft.com/graph/api/driveitem-delete,
/api/driveitem-createuploadsession (its note on sensitivity labels); no call of v1.0 takes anything
out of the recycle bin of OneDrive for Business or SharePoint (/api/driveitem-restore).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_
from typing import Any

from base.item import StoredItem, Trouble
from m365.drive_history import is_at, is_rewritten, written
from m365.drive_sharing import DriveSharing
from m365.drive_tree import DriveTree, is_by_application, is_folder
from m365.drive_upload import Edition, Place, Sent, Uploads, quick_xor_of
from m365.graph.errors import Clash, Forbidden, GraphProblem, MaybeDone, TransientFailure
from m365.service import Folder, Unfinished, Written

MISMATCH = "content-mismatch"
REWRITTEN = "rewritten-by-service"
NAME_TAKEN = "name-taken"  # kept beside what has the name
NAME_NOT_SET = "name-not-set"  # complete, and still called unfinished
FEWER_VERSIONS = "versions-not-kept"  # by the settings of the library, or of the file
_LOOKS_MAX = 3  # after answers that were lost
_BEGUN_ANEW_MAX = 2  # histories of one file, over all steps
_ASKED = {"$select": "id,name,size,file,folder,package,fileSystemInfo"}


class _Unrecognized(Exception):
    """What a step finds of an unfinished history is never what an earlier one wrote."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What becomes of one item. `replaces`: the id of the file whose place it takes."""

    item: StoredItem
    editions: Sequence[Edition]
    into: Folder
    name: str
    beside: str  # the name where that one is taken
    unfinished: str
    replaces: str = ""
    new_name: bool = False


class Making:
    """Builds files in one drive."""

    def __init__(self, tree: DriveTree, uploads: Uploads, sharing: DriveSharing | None) -> None:
        self._tree = tree
        self._uploads = uploads
        self._sharing = sharing

    def make(self, wish: Wish) -> Written:
        """Raises what ends a step, and GraphProblem where the item cannot be written; then nothing
        of it is left, unless the file it replaces is gone.
        """
        found = self._tree.named(wish.into, wish.unfinished)
        if found is None and not wish.replaces:
            done = self._tree.named(wish.into, wish.name)
            if done is not None and is_ours(self._tree, wish, done):  # the name is given last
                return Written(str(done["id"]), "copied" if wish.new_name else "created")
        try:
            made, troubles = self._complete(wish, found)
        except (TransientFailure, MaybeDone):
            raise
        except _Unrecognized:
            self._take_away(wish)
            return self._without_history(wish, "unrecognized")
        except GraphProblem as problem:
            self._take_away(wish)
            if not isinstance(problem, Forbidden) or len(wish.editions) == 1:
                raise
            return self._without_history(wish, problem.graph_code or problem.code)
        if wish.replaces:
            if any(trouble.cause == MISMATCH for trouble in troubles) and self._take_away(wish):
                return Written("", "failed", tuple(troubles))
            self._put_aside(wish)
        return self._named(wish, made, troubles)

    def _without_history(self, wish: Wish, why: str) -> Written:
        """The newest content alone: an application may not give a file with a sensitivity label
        new content, and so no second version; and what the drive changes so much that a step does
        not recognize its own work would be built anew for ever.
        """
        newest = with_(wish.editions[-1], number=0)
        written = self.make(with_(wish, editions=(newest,)))
        lost = Trouble(wish.item.id, "version", FEWER_VERSIONS, retry=False, detail=why)
        return with_(written, troubles=(*written.troubles, lost))

    def _complete(
        self, wish: Wish, found: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], list[Trouble]]:
        """The unfinished file with all that belongs to it."""
        made, sent = self._built(wish, found)
        troubles = differences(self._tree, wish.item, wish.editions[-1], made, sent)
        if len(wish.editions) > 1:
            kept = self._tree.count_versions(str(made["id"]))
            if kept < len(wish.editions):
                troubles.append(Trouble(wish.item.id, "version", FEWER_VERSIONS, retry=False))
        if self._sharing is not None:
            troubles += self._sharing.share(wish.item, self._tree.item(str(made["id"])))
        return made, troubles

    def _built(self, wish: Wish, found: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], str]:
        """The file at its newest edition, and the hash of what was sent of that ("" if not now)."""
        done = self._done(wish, found)
        if found is not None and done is None:
            self._begin_anew(wish)
            self._tree.remove(str(found["id"]))
            found = None
        sent = Sent(dict(found or {}))
        for edition in wish.editions[done or 0 :]:
            if edition.number > (done or 0):
                self._pause()
            sent = self._edition(wish, edition, str(sent.made.get("id") or ""))
        return sent.made, sent.quick_xor

    def _edition(self, wish: Wish, edition: Edition, item_id: str) -> Sent:
        """One more edition; a lost answer is looked for before it is sent again."""
        place = Place(self._tree.item(item_id)) if item_id else self._place(wish)
        for look in range(1, _LOOKS_MAX + 1):
            try:
                sent = self._uploads.send(place, edition)
                if edition is not wish.editions[-1]:  # that one is dated with its name
                    sent.made = dict(self._tree.dated(sent.made, edition.times))
                return sent
            except (MaybeDone, Clash):
                found = self._tree.named(wish.into, wish.unfinished)
                done = self._done(wish, found)
                if found is not None and done == edition.number + 1:
                    return Sent(dict(found))
                if look == _LOOKS_MAX or done != edition.number:
                    raise
        raise AssertionError("the last look returns or raises")

    def _begin_anew(self, wish: Wish) -> None:
        """Counts how often steps of this batch did. Raises _Unrecognized when it is too often."""
        step = self._uploads.step
        if step is None:
            return
        key = f"begun anew {self._place(wish).path}"
        times = len(step.kept(key))
        if times == _BEGUN_ANEW_MAX:
            raise _Unrecognized
        step.keep(key, times, "")

    def _pause(self) -> None:
        """Between two editions: the next step finds what is there and goes on."""
        step = self._uploads.step
        if step is not None and step.is_over():
            raise Unfinished("The step is over; the history goes on in the next one.")

    def _done(self, wish: Wish, found: Mapping[str, Any] | None) -> int | None:
        """How many editions the unfinished file has; None: nobody can tell."""
        if found is None:
            return 0
        if len(wish.editions) == 1:
            return 1  # it is there as a whole or not at all
        fits = [one for one in wish.editions if is_at(one, wish.item.name, found)]
        versions = self._tree.count_versions(str(found["id"])) if len(fits) > 1 else 0
        return written(wish.editions, wish.item.name, found, versions)

    def _place(self, wish: Wish) -> Place:
        return Place.in_folder(self._tree.item(wish.into.id), wish.unfinished)

    def _put_aside(self, wish: Wish) -> None:
        """The old file goes to the recycle bin; gone already is fine."""
        try:
            self._tree.remove(wish.replaces)
        except (TransientFailure, MaybeDone):
            raise
        except GraphProblem:  # somebody edits it, say: it stays, and ours goes
            self._take_away(wish)
            raise

    def _named(self, wish: Wish, made: Mapping[str, Any], troubles: list[Trouble]) -> Written:
        item_id, times = str(made["id"]), wish.editions[-1].times
        outcome = "replaced" if wish.replaces else "copied" if wish.new_name else "created"
        try:
            self._tree.rename(item_id, wish.name, times)
        except Clash:
            self._tree.rename(item_id, wish.beside, times)
            outcome = "copied"
            troubles.append(Trouble(wish.item.id, "item", NAME_TAKEN, retry=False))
        except (TransientFailure, MaybeDone):
            raise
        except GraphProblem as problem:
            if not wish.replaces:
                self._take_away(wish)
                raise
            # The old file is gone: ours stays, under the name it has.
            code = problem.graph_code or problem.code
            troubles.append(Trouble(wish.item.id, "item", NAME_NOT_SET, retry=False, detail=code))
        return Written(item_id, outcome, tuple(troubles))

    def _take_away(self, wish: Wish) -> bool:
        """Ours goes; False where an earlier attempt took the old file away: then it stays."""
        if wish.replaces and not self._tree.is_there(wish.replaces):
            return False
        found = self._tree.named(wish.into, wish.unfinished)
        if found is not None:
            self._tree.remove(str(found["id"]))
        return True


def is_ours(tree: DriveTree, wish: Wish, found: Mapping[str, Any]) -> bool:
    """Whether the file that has the name is the one a killed attempt has finished."""
    if is_folder(found):
        return False
    if wish.new_name:
        return True  # the name follows from the marker
    edition = wish.editions[-1]
    if found.get("name") != wish.name or not is_at(edition, wish.item.name, found):
        return False
    if not edition.times and not is_by_application(found):
        return False
    unlike = differences(tree, wish.item, edition, found, "")
    return all(trouble.cause != MISMATCH for trouble in unlike)


def differences(
    tree: DriveTree, item: StoredItem, edition: Edition, made: Mapping[str, Any], sent: str
) -> list[Trouble]:
    """What differs between what was stored and what the drive says it has."""
    if made.get("size") is None or not quick_xor_of(made):
        made = {**made, **tree.get(str(made["id"]), _ASKED)}
    arrived, expected = quick_xor_of(made), sent or edition.quick_xor
    same_size = made.get("size") == edition.part.size
    # Metadata of a library may count in a size; the hash is of the bytes and their number.
    if arrived == expected if arrived and expected else same_size:
        return []
    if is_rewritten(item.name):
        return [Trouble(item.id, "content", REWRITTEN, retry=False)]
    return [Trouble(item.id, "content", MISMATCH, retry=True)]
