"""Progress on standard error: bars on a terminal, plain lines elsewhere, only failures when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opdbench.cli import text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0
"""At most one progress line per cell in this time, where there is no terminal."""

_ENDS = ("done", "failed", "interrupted")


class Remaining:
    """Estimates what is left of each cell's stage from how far it came since it was first seen."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[float, float]] = {}

    def __call__(self, name: str, event: Mapping[str, Any]) -> str:
        """Return ``, about 3 min left``, or nothing as long as nothing can be said."""
        now, fraction = time.monotonic(), float(event.get("fraction", 0.0))
        seen_at, start = self._first.setdefault((name, str(event.get("stage", ""))), (now, fraction))
        if not start < fraction < 1.0:
            return ""
        return f", about {_duration((now - seen_at) / (fraction - start) * (1.0 - fraction))} left"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class Display:
    """Takes events; the base shows failures only."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        if event["event"] == "failed":
            self.say(_sentence(event, self.name(event)))
            if event.get("traceback"):
                self.say(str(event["traceback"]).rstrip())

    def name(self, event: Mapping[str, Any]) -> str:
        """Return ``ROW/SEED``; the death of a worker names only the cell."""
        cell = str(event.get("cell", ""))
        if "row" in event:
            self._names[cell] = f"{event['row']}/{event.get('seed', 0)}"
        return self._names.get(cell, cell)

    def say(self, message: str) -> None:
        """Show a line."""
        text.note(message)

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainLines(Display):
    """One line per change of state, and now and then one on how far a cell is."""

    def __init__(self) -> None:
        super().__init__()
        self._shown_at: dict[str, float] = {}
        self._remaining = Remaining()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        kind, name = event["event"], self.name(event)
        if kind in ("plan", "started", "done", "interrupted"):
            self.say(_sentence(event, name))
        elif kind == "progress":
            self._tell(name, event)
        super().__call__(event)

    def _tell(self, name: str, event: Mapping[str, Any]) -> None:
        left = self._remaining(name, event)
        if time.monotonic() - self._shown_at.get(name, float("-inf")) >= PLAIN_SECONDS:
            self._shown_at[name] = time.monotonic()
            self.say(f"{_sentence(event, name)}{left}")


class Bars(Display):
    """A bar for the whole plan, where there is one, and one for each running cell."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        self._progress: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._overall: TaskID | None = None
        self._remaining = Remaining()
        self._progress.start()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        kind, name = event["event"], self.name(event)
        if kind == "plan":
            self._overall = self._progress.add_task("all", total=event["cells"], completed=event["done"], detail="")
        elif kind in ("started", "progress"):
            self._move(name, event)
        elif kind in _ENDS:
            self._end(name, event)
        super().__call__(event)

    def _move(self, name: str, event: Mapping[str, Any]) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(text.line(name, 30), total=1.0, detail="")
        detail = text.line(f"{event.get('stage', '')} {event.get('detail', '')}", 70) + self._remaining(name, event)
        self._progress.update(self._tasks[name], completed=event.get("fraction", 0.0), detail=detail)

    def _end(self, name: str, event: Mapping[str, Any]) -> None:
        if (task := self._tasks.pop(name, None)) is not None:
            self._progress.remove_task(task)
        if event["event"] == "done":
            self.say(_sentence(event, name))
            if self._overall is not None:
                self._progress.advance(self._overall)

    def say(self, message: str) -> None:
        """Show a line above the bars."""
        self._progress.console.print(text.visible(message), markup=False, highlight=False)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()


@contextmanager
def display(quiet: bool) -> Generator[Display]:
    """Choose how progress is shown, and clear it away at the end."""
    shown = Display() if quiet else Bars() if sys.stderr.isatty() else PlainLines()
    try:
        yield shown
    finally:
        shown.close()


def _sentence(event: Mapping[str, Any], name: str) -> str:
    kind = event["event"]
    if kind == "plan":
        return f"{event['cells']} cells, {event['done']} of them done already"
    if kind == "progress":
        percent = f"{100 * event.get('fraction', 0.0):.0f} %"
        return f"{name}: {event.get('stage', '')} {percent} {event.get('detail', '')}".rstrip()
    if kind == "done":
        score, seconds = event.get("score"), event.get("seconds")
        parts = ["" if score is None else f"score {text.percent(score)}", "" if seconds is None else f"{seconds:.0f} s"]
        return ", ".join([f"{name}: done", *filter(None, parts)])
    return f"{name}: {kind}" + (f": {event['error']}" if event.get("error") else "")
