"""``fetch``: bring the data of tasks to this machine, so that later runs need no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from opdbench import registry
from opdbench.data import UNPINNED, HubData
from opdbench.errors import DataError, OPDBenchError
from opdbench.task import Task


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one task's data; ``error`` says why it is not here."""

    task: str
    revision: str
    num_problems: int
    directory: str
    error: str | None = None


def fetch(tasks: Sequence[str], *, on_start: Callable[[str], None] = lambda _: None) -> Iterator[Fetched]:
    """Fetch the data of some tasks and read it once, so that its schema and its counts are checked.

    Data that is here already is not fetched again; a task that fails does not stop the others.

    Raises:
        PluginError: a task is not installed.
        DataError: no task is named.
    """
    if not tasks:
        raise DataError("name the tasks to fetch, or --all; `opdbench list tasks` shows them")
    plugins = [registry.find("tasks", id) for id in tasks]
    for plugin in plugins:
        on_start(plugin.id)
        yield _fetched(plugin.load())


def downloadable() -> list[str]:
    """Return the ids of the installed tasks that have data to fetch; what has no pinned commit is never downloaded."""
    tasks: Iterator[Task] = (plugin.load() for plugin in registry.available("tasks").values())
    return [task.id for task in tasks if isinstance(task.source, HubData) and task.source.revision != UNPINNED]


def _fetched(task: Task) -> Fetched:
    source = task.source
    directory = ""
    try:
        if isinstance(source, HubData):
            directory = str(source.fetch())
        count = sum(len(task.load(pool)) for pool in task.num_problems)
    except OPDBenchError as error:
        return Fetched(task.id, source.revision, 0, directory, str(error))
    return Fetched(task.id, source.revision, count, directory)
