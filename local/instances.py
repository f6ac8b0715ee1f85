"""Where the local host keeps its stories: one SQLite file that survives kill -9 at any line.

Rule 1: one transaction per episode: what it consumed goes, what it decided comes, nothing between.
Rule 2: a step's answer and the end of its work item are one transaction; work that is begun but not
    answered is begun again after a crash.
Rule 3: numbers of messages and work are never used twice (AUTOINCREMENT), so that a late answer
    cannot hit another item; answers for an earlier generation of a story are dropped.
Rule 4: one process owns the file; a second one is refused.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from base.clock import Clock
from base.errors import Conflict
from base.stories import StoryExists, StoryState
from local import replay_events as events
from local.replay import Decision, Verdict
from local.replay_events import Event, Kind

_TABLES = """
CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY, story TEXT NOT NULL, generation INTEGER NOT NULL, state TEXT NOT NULL,
    input TEXT, output TEXT, custom TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    parent TEXT, parent_generation INTEGER, parent_task INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    instance TEXT NOT NULL, position INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (instance, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, generation INTEGER,
    due REAL NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_due ON messages (due);
CREATE INDEX IF NOT EXISTS messages_instance ON messages (instance);
CREATE TABLE IF NOT EXISTS work (
    id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, generation INTEGER NOT NULL,
    task INTEGER NOT NULL, step TEXT NOT NULL, input TEXT);
CREATE TABLE IF NOT EXISTS timers (name TEXT PRIMARY KEY, due REAL NOT NULL) WITHOUT ROWID;
"""


class HostRunning(Conflict):
    """Another process runs stories on this file."""

    code = "host-running"
    hint = "Stop the other server that uses the same data folder, or use another folder."


@dataclass(frozen=True, slots=True)
class Instance:
    """One story, as it was written down last. Input, output and custom status are JSON text."""

    id: str
    story: str
    generation: int
    state: StoryState
    input: str | None
    output: str | None
    custom: str | None
    created: datetime
    updated: datetime
    parent: str | None
    parent_generation: int | None
    parent_task: int | None


@dataclass(frozen=True, slots=True)
class Episode:
    """What one replay is about: the story, its past, and the messages that make it go on."""

    instance: Instance
    history: tuple[Event, ...]
    messages: tuple[int, ...]  # ids of everything consumed, also of what came too late
    fresh: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """One step to take."""

    id: int
    instance: str
    generation: int
    task: int
    step: str
    input: str | None


class Instances:
    """The file. All methods may be called from any thread."""

    def __init__(self, path: Path | str, clock: Clock) -> None:
        """Opens or makes the file; raises HostRunning when another process has it."""
        self._clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=1, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(f"BEGIN EXCLUSIVE; {_TABLES} COMMIT;")
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" not in str(error):
                raise
            raise HostRunning("Another process runs the stories of this folder.") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # --- Stories ---

    def create(self, instance: str, story: str, text: str | None) -> None:
        """Starts a story; a second time with the same input is fine, else StoryExists."""
        with self._transaction():
            known = self.find(instance)
            if known is None:
                self._insert(instance, story, text, None, 0)
            elif (known.story, known.input) != (story, text):
                raise StoryExists("That id belongs to another story.")

    def find(self, instance: str) -> Instance | None:
        """A story by its id."""
        row = self._one("SELECT * FROM instances WHERE id = ?", instance)
        if row is None:
            return None
        values = {name: row[name] for name in row.keys()}  # noqa: SIM118  (a Row iterates values)
        values["state"] = StoryState(values["state"])
        for name in ("created", "updated"):
            values[name] = datetime.fromtimestamp(values[name], UTC)
        return Instance(**values)

    def history(self, instance: str) -> tuple[Event, ...]:
        """The events of a story's present generation."""
        query = "SELECT event FROM history WHERE instance = ? ORDER BY position"
        return tuple(json.loads(row["event"]) for row in self._all(query, instance))

    def post(self, instance: str, event: Event) -> bool:
        """Sends a running story a message from outside; False when there is none."""
        with self._transaction():
            known = self.find(instance)
            if known is None or known.state is not StoryState.RUNNING:
                return False
            self._send(instance, None, event, self._now())
            return True

    def purge(self, instance: str) -> bool:
        """Forgets an ended story and the stories it started; False when there is none."""
        with self._transaction():
            known = self.find(instance)
            if known is None or known.state is StoryState.RUNNING:
                return False
            for child in self._all("SELECT id FROM instances WHERE parent = ?", instance):
                self.purge(child["id"])
            for table in ("history", "messages", "work"):
                self._db.execute(f"DELETE FROM {table} WHERE instance = ?", (instance,))  # noqa: S608
            self._db.execute("DELETE FROM instances WHERE id = ?", (instance,))
            return True

    def purge_ended_before(self, moment: datetime) -> int:
        """Forgets stories that ended long ago, and answers how many."""
        query = (
            "SELECT id FROM instances WHERE state != ? AND updated < ?"
            " AND (parent IS NULL OR parent NOT IN (SELECT id FROM instances))"
        )
        found = self._all(query, StoryState.RUNNING, moment.timestamp())
        return sum(self.purge(row["id"]) for row in found)

    # --- Episodes ---

    def due(self) -> list[str]:
        """Stories that have messages to take in now, the longest waiting first."""
        query = "SELECT instance FROM messages WHERE due <= ? GROUP BY instance ORDER BY MIN(id)"
        return [row["instance"] for row in self._all(query, self._now())]

    def next_due(self) -> float | None:
        """When the earliest message is due, in seconds since 1970."""
        row = self._one("SELECT MIN(due) AS due FROM messages")
        return row["due"] if row else None

    def episode(self, instance: str) -> Episode | None:
        """The next episode of a story; None when it has ended or all messages came too late."""
        with self._transaction():
            known = self.find(instance)
            query = "SELECT * FROM messages WHERE instance = ? AND due <= ? ORDER BY due, id"
            rows = self._all(query, instance, self._now())
            ids = tuple(row["id"] for row in rows)
            current = (None, known.generation) if known else ()
            fresh = [json.loads(row["event"]) for row in rows if row["generation"] in current]
            if known is None or known.state is not StoryState.RUNNING or not fresh:
                self._forget(ids)
                return None
            fresh.sort(key=lambda event: event["EventType"] != Kind.EXECUTION_STARTED)
            return Episode(known, self.history(instance), ids, tuple(fresh))

    def commit(self, episode: Episode, added: Sequence[Event], verdict: Verdict) -> None:
        """Writes down an episode: `added` is its part of the history, decisions not included."""
        instance = episode.instance
        with self._transaction():
            self._forget(episode.messages)
            if verdict.custom is not None:
                self._update(instance.id, custom=json.dumps(verdict.custom))
            if verdict.next_input is not None:
                self._begin_again(instance, verdict.next_input)
                return
            scheduled = [self._carry_out(instance, one) for one in verdict.decisions]
            over = events.episode_completed(self._clock.now())
            self._append(instance.id, len(episode.history), [*added, *scheduled, over])
            if verdict.ended:
                output = verdict.error if verdict.error is not None else verdict.output
                state = StoryState.COMPLETED if verdict.error is None else StoryState.FAILED
                self._end(instance, state, output)
            else:
                self._update(instance.id)

    def terminate(self, episode: Episode, added: Sequence[Event], reason: str) -> None:
        """Ends a story where it stands."""
        with self._transaction():
            self._forget(episode.messages)
            self._append(episode.instance.id, len(episode.history), added)
            self._end(episode.instance, StoryState.TERMINATED, reason)

    # --- Work ---

    def work(self, after: int = 0) -> list[Work]:
        """Steps to take, in the order they were decided, from behind number `after`."""
        rows = self._all("SELECT * FROM work WHERE id > ? ORDER BY id", after)
        return [Work(*row) for row in rows]

    def answer(self, work: Work, event: Event) -> None:
        """Ends a step; a second answer, or one for a story that is gone, changes nothing."""
        with self._transaction():
            done = self._db.execute("DELETE FROM work WHERE id = ?", (work.id,))
            if done.rowcount:
                self._send(work.instance, work.generation, event, self._now())

    # --- Timers ---

    def timer_due(self, name: str) -> float | None:
        """When a timer function is due, in seconds since 1970; None when it never ran here."""
        row = self._one("SELECT due FROM timers WHERE name = ?", name)
        return row["due"] if row else None

    def set_timer_due(self, name: str, due: float) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO timers VALUES (?, ?)", (name, due))

    # --- One row at a time; every caller below holds a transaction ---

    def _insert(
        self, instance: str, story: str, text: str | None, parent: Instance | None, task: int
    ) -> None:
        now = self._now()
        above = (parent.id, parent.generation, task) if parent else (None, None, None)
        self._db.execute(
            "INSERT INTO instances VALUES (?, ?, 1, ?, ?, NULL, NULL, ?, ?, ?, ?, ?)",
            (instance, story, StoryState.RUNNING, text, now, now, *above),
        )
        started = events.execution_started(self._clock.now(), story, text, instance)
        self._send(instance, 1, started, now)

    def _begin_again(self, instance: Instance, text: str) -> None:
        """A new generation: the same id with a new input and no past."""
        generation = instance.generation + 1
        self._db.execute("DELETE FROM history WHERE instance = ?", (instance.id,))
        self._db.execute(
            "UPDATE instances SET generation = ?, updated = ? WHERE id = ?",
            (generation, self._now(), instance.id),
        )
        started = events.execution_started(self._clock.now(), instance.story, text, instance.id)
        self._send(instance.id, generation, started, self._now())

    def _carry_out(self, instance: Instance, one: Decision) -> Event:
        """Makes a decision real and answers its event for the history."""
        now = self._clock.now()
        if one.kind is Kind.TASK_SCHEDULED:
            self._db.execute(
                "INSERT INTO work (instance, generation, task, step, input) VALUES (?, ?, ?, ?, ?)",
                (instance.id, instance.generation, one.id, one.name, one.text),
            )
            return events.task_scheduled(now, one.id, one.name)
        if one.kind is Kind.TIMER_CREATED:
            due = datetime.fromisoformat(one.fire_at)
            fired = events.timer_fired(due, one.id, one.fire_at)
            self._send(instance.id, instance.generation, fired, due.timestamp())
            return events.timer_created(now, one.id, one.fire_at)
        child = one.instance or f"{instance.id}:{instance.generation}:{one.id}"
        if self.find(child) is None:
            self._insert(child, one.name, one.text, instance, one.id)
        else:
            failed = events.story_failed(now, one.id, "That id belongs to another story.")
            self._send(instance.id, instance.generation, failed, self._now())
        return events.story_created(now, one.id, one.name, child)

    def _end(self, instance: Instance, state: StoryState, output: Any) -> None:
        now = self._clock.now()
        text = None if output is None else json.dumps(output)
        self._update(instance.id, state=state, output=text)
        if instance.parent is None or instance.parent_task is None:
            return
        if state is StoryState.COMPLETED:
            event = events.story_completed(now, instance.parent_task, text)
        else:
            event = events.story_failed(now, instance.parent_task, str(output))
        self._send(instance.parent, instance.parent_generation, event, self._now())

    def _append(self, instance: str, position: int, added: Sequence[Event]) -> None:
        rows = [(instance, position + n, json.dumps(event)) for n, event in enumerate(added)]
        self._db.executemany("INSERT INTO history VALUES (?, ?, ?)", rows)

    def _send(self, instance: str, generation: int | None, event: Event, due: float) -> None:
        self._db.execute(
            "INSERT INTO messages (instance, generation, due, event) VALUES (?, ?, ?, ?)",
            (instance, generation, due, json.dumps(event)),
        )

    def _update(self, instance: str, **values: str | None) -> None:
        columns = "".join(f", {name} = ?" for name in values)
        self._db.execute(
            f"UPDATE instances SET updated = ?{columns} WHERE id = ?",  # noqa: S608
            (self._now(), *values.values(), instance),
        )

    def _forget(self, messages: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM messages WHERE id = ?", [(one,) for one in messages])

    # --- The connection ---

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _one(self, query: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(query, values).fetchone()

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; inside another transaction it joins that one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
