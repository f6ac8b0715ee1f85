"""What the demo shows: chapters as they happen, and a closing report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

Watch = Callable[[dict[str, Any]], None]
_OVER = ("done", "unchanged", "failed", "gone", "cancelled")
_DIFFERENCES_SHOWN = 20


class Display:
    """The terminal; plain lines where it is none."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.print(
            Panel.fit(
                "[bold]Holdfast[/] protects a simulated Microsoft 365 organization on this machine."
            )
        )

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A step without a measure of its progress."""
        with self._bar() as bar:
            task = bar.add_task(title, total=1, detail="")
            yield
            bar.update(task, completed=1)

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A step of known length."""
        with self._bar() as bar:
            task = bar.add_task(title, total=total, detail="")
            yield lambda: bar.advance(task)

    @contextmanager
    def run(self, title: str) -> Iterator[Watch]:
        """A run of the app, watched through its API."""
        with self._bar() as bar:
            task = bar.add_task(title, total=None, detail="")

            def watch(run: dict[str, Any]) -> None:
                states = run["detail"].get("resources", {})
                planned = run["detail"].get("planned") or None
                ended = sum(states.get(state, 0) for state in _OVER)
                items = sum(run["counts"].get(k, 0) for k in ("items", "created", "skipped"))
                bar.update(task, total=planned, completed=ended, detail=f"{items} items")
                if run["ended"]:
                    bar.update(task, total=1, completed=1, detail=f"{items} items, {run['state']}")

            yield watch

    def report(self, result: Mapping[str, Any]) -> None:
        """The closing report."""
        console = self._console
        console.print()
        console.print(self._protection(result))
        console.print(self._coverage(result))
        console.print(self._comparisons(result))
        for reason, count in result["left_out"].items():
            console.print(f"  [dim]{count} not compared: {reason}[/]")
        for difference in result["differences"][:_DIFFERENCES_SHOWN]:
            console.print(f"  [red]{difference}[/]", markup=True)
        verdict = (
            f"[bold green]Everything equals the tenant's truth:[/] {result['items_compared']:,} "
            f"comparisons, no difference, {result['seconds']} s."
            if result["ok"]
            else f"[bold red]{len(result['differences'])} differences[/] in "
            f"{result['items_compared']:,} comparisons."
        )
        console.print(Panel.fit(verdict))

    def failed(self, failure: Exception, data: Path) -> None:
        """Says what went wrong and what the app logged last."""
        self._console.print(f"[bold red]The demo stopped:[/] {failure}")
        log = data / "server.log"
        if log.exists():
            self._console.print("\n".join(log.read_text().splitlines()[-5:]), markup=False)

    def kept(self, data: Path) -> None:
        """Where everything lies."""
        self._console.print(f"Kept: {data}", markup=False)

    def _bar(self) -> Progress:
        return Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[detail]}[/]"),
            TimeElapsedColumn(),
            console=self._console,
        )

    def _protection(self, result: Mapping[str, Any]) -> Table:
        table = Table(title="Protected", title_justify="left", title_style="bold")
        for name in ("Backup", "Items", "Requests", "Requests/item", "Blob writes", "Stored"):
            table.add_column(name, justify="left" if name == "Backup" else "right")
        for name, counts in result["runs"].items():
            items, requests = counts.get("items", 0), counts.get("requests", 0)
            table.add_row(
                name,
                f"{items:,}",
                f"{requests:,}",
                f"{requests / items:.2f}" if items else "-",
                str(counts.get("blob_writes", 0)),
                _size(counts.get("stored_bytes", 0)),
            )
        raw, new, stored = (result[key] for key in ("raw_bytes", "new_bytes", "stored_bytes"))
        if new and stored:
            table.caption = (
                f"First backup: {_size(raw)} read, {_size(new)} after deduplication "
                f"({raw / new:.2f} to 1),\n{_size(stored)} after compression "
                f"({new / stored:.2f} to 1)"
            )
        return table

    def _coverage(self, result: Mapping[str, Any]) -> Table:
        table = Table(title="Coverage statement", title_justify="left", title_style="bold")
        states = {"protected": "Protected", "partly": "Partly", "not": "Not"}
        table.add_column("Kind")
        for title in (*states.values(), "Of these not there"):
            table.add_column(title, justify="right")
        for kind, totals in result["coverage"].items():
            table.add_row(kind, *(str(totals[state] or "") for state in (*states, "absent")))
        return table

    def _comparisons(self, result: Mapping[str, Any]) -> Table:
        table = Table(title="Compared with the truth", title_justify="left", title_style="bold")
        table.add_column("What")
        table.add_column("Comparisons", justify="right")
        for what, count in result["comparisons"].items():
            table.add_row(what, f"{count:,}")
        return table


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"
