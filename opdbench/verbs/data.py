"""``fetch``: bring the data of tasks to this machine, so that later runs need no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from opdbench import registry
from opdbench.data import UNPINNED, HubData
from opdbench.errors import BrokenPluginError, DataError, OPDBenchError
from opdbench.registry import Plugin
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
        yield _fetched(plugin)


def downloadable() -> list[str]:
    """Return the ids of the installed tasks that have data to fetch; what has no pinned commit is never downloaded.

    A task that does not load is among them, so that fetching says why.
    """
    return [id for id, plugin in registry.available("tasks").items() if _has_data(plugin)]


def _has_data(plugin: Plugin) -> bool:
    try:
        source = plugin.load().source
    except BrokenPluginError:
        return True
    return isinstance(source, HubData) and source.revision != UNPINNED


def _fetched(plugin: Plugin) -> Fetched:
    revision = directory = ""
    try:
        task: Task = plugin.load()
        revision = task.source.revision
        if isinstance(task.source, HubData):
            directory = str(task.source.fetch())
        count = sum(len(task.load(pool)) for pool in task.num_problems)
    except OPDBenchError as error:
        return Fetched(plugin.id, revision, 0, directory, str(error))
    return Fetched(plugin.id, revision, count, directory)
