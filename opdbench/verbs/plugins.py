"""``list`` and ``validate``: what is installed, whether it loads, and whether gold answers pass their own graders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench import registry
from opdbench.errors import OPDBenchError, PluginError
from opdbench.records import POOLS, Grade, Pool, Problem, Sample
from opdbench.registry import Kind, Plugin
from opdbench.task import Task

BATCH = 256


@dataclass(frozen=True, slots=True)
class Listed:
    """One plug-in; ``status`` is ``ok`` or ``broken: ...``."""

    id: str
    title: str
    distribution: str
    version: str
    status: str

    @property
    def is_broken(self) -> bool:
        """Whether it fails to load."""
        return self.status != "ok"


def list_plugins(kind: Kind) -> list[Listed]:
    """Return all plug-ins of a kind, each loaded to see whether it does.

    Raises:
        PluginError: two distributions claim one id.
    """
    return [_listed(plugin) for plugin in registry.available(kind).values()]


def _listed(plugin: Plugin) -> Listed:
    title, status = "", "ok"
    try:
        title = _title(plugin.load())
    except PluginError as error:
        status = f"broken: {error.__cause__!r}"
    except SystemExit as error:  # a module that exits when imported must not end the listing
        status = f"broken: {error!r}"
    return Listed(plugin.id, title, plugin.distribution, plugin.version, status)


def _title(loaded: Any) -> str:
    title = getattr(loaded, "title", None)
    if isinstance(title, str) and title:
        return title
    return (inspect.getdoc(loaded) or "").partition("\n")[0].replace("``", "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gold answer that its own grader does not accept, or an empty answer that it does."""

    problem: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Validated:
    """What one task came to; ``error`` says why it could not be checked to the end."""

    task: str
    version: int | None
    revision: str
    num_problems: int
    refusals: tuple[Refusal, ...]
    error: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether everything was checked and accepted."""
        return self.error is None and not self.refusals


def validate(tasks: Sequence[str] = (), *, on_start: Callable[[str], None] = lambda _: None) -> Iterator[Validated]:
    """Grade every gold answer of some tasks, or of all, by its own grader; an empty answer must never be correct.

    Raises:
        PluginError: a task is not installed.
    """
    plugins = [registry.find("tasks", id) for id in tasks] or list(registry.available("tasks").values())
    for plugin in plugins:
        on_start(plugin.id)
        yield _validated(plugin)


def _validated(plugin: Plugin) -> Validated:
    version, revision, count = None, "", 0
    refusals: list[Refusal] = []
    try:
        task: Task = plugin.load()
        version, revision = task.version, task.source.revision
        if task.id != plugin.id:
            return Validated(plugin.id, version, revision, 0, (), f"the task calls itself {task.id!r}")
        for pool in POOLS:
            if pool not in task.num_problems:
                continue
            problems = task.load(pool)
            count += len(problems)
            refusals += _refusals(task, pool, problems)
    except OPDBenchError as error:
        return Validated(plugin.id, version, revision, count, tuple(refusals), str(error))
    except Exception as error:  # a task of someone else must not end the check of all others
        return Validated(plugin.id, version, revision, count, tuple(refusals), f"{type(error).__name__}: {error}")
    return Validated(plugin.id, version, revision, count, tuple(refusals))


def _refusals(task: Task, pool: Pool, problems: Sequence[Problem]) -> Iterator[Refusal]:
    for start in range(0, len(problems), BATCH):
        part = problems[start : start + BATCH]
        states_gold = getattr(task.grader, "states_gold", True)
        golds = [(item, task.grader.gold(item)) for item in part if states_gold or item.reference is not None]
        for grade in _grades(task, golds):
            if grade.verdict != "correct":
                yield Refusal(f"{pool}/{grade.problem_id}", grade.verdict, grade.reason)
        for grade in _grades(task, [(problem, "") for problem in part]):
            if grade.verdict == "correct":
                yield Refusal(f"{pool}/{grade.problem_id}", "correct", f"an empty answer, by {grade.reason}")


def _grades(task: Task, answers: Sequence[tuple[Problem, str]]) -> list[Grade]:
    return task.grader.grade([(item, Sample(task.id, item.id, 0, 0, text, 1, "stop")) for item, text in answers])
