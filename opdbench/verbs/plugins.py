"""``list`` and ``validate``: what is installed, whether it loads, and whether gold answers pass their own graders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opdbench import registry
from opdbench.errors import MissingDataError, OPDBenchError, PluginError
from opdbench.graders.gold import Doubt
from opdbench.protocol import SETTINGS, EvaluationProtocol
from opdbench.records import POOLS, Grade, Pool, Problem, Sample
from opdbench.registry import Kind, Plugin
from opdbench.task import Task

BATCH = 256


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a protocol; ``task`` is "" where it holds for all."""

    task: str
    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One plug-in; ``status`` is ``ok`` or ``broken: ...``; of a protocol, ``settings`` says what it states."""

    id: str
    title: str
    distribution: str
    version: str
    status: str
    settings: tuple[Setting, ...] = ()

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
    title, status, settings = "", "ok", tuple[Setting, ...]()
    try:
        loaded = plugin.load()
        title, settings = _title(loaded), _settings(loaded)
    except PluginError as error:
        status = f"broken: {error.__cause__!r}"
    except SystemExit as error:  # a module that exits when imported must not end the listing
        status = f"broken: {error!r}"
    return Listed(plugin.id, title, plugin.distribution, plugin.version, status, settings)


def _settings(loaded: Any) -> tuple[Setting, ...]:
    if not isinstance(loaded, EvaluationProtocol):
        return ()
    stated = [("", loaded), *loaded.per_task.items()]
    found = [(task, name, getattr(part, name)) for task, part in stated for name in SETTINGS]
    return tuple(Setting(task, name, item.value, item.source) for task, name, item in found if item is not None)


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
    """What one task came to.

    Attributes:
        task: Its id.
        version: Its version, None where it does not load.
        revision: Revision of its data.
        num_problems: Problems that were read.
        refusals: Gold answers that fail, or that no right answer could match, and empty answers that pass.
        error: Why it could not be checked to the end.
        doubts: Gold answers that are malformed and that the grader repairs, and empty statements, one sentence each.
        is_absent: Whether its data are not on this machine, which is no fault of the task.
        num_golds: Gold answers that were graded: none where many answers follow a prompt, as IFBench's do.
        num_right: How many of them are correct.
    """

    task: str
    version: int | None
    revision: str
    num_problems: int
    refusals: tuple[Refusal, ...]
    error: str | None = None
    doubts: tuple[str, ...] = ()
    is_absent: bool = False
    num_golds: int = 0
    num_right: int = 0

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
    found = Validated(plugin.id, None, "", 0, ())
    try:
        task: Task = plugin.load()
        found = replace(found, version=task.version, revision=task.source.revision)
        if task.id != plugin.id:
            return replace(found, error=f"the task calls itself {task.id!r}")
        for pool in POOLS:
            if pool in task.num_problems:
                found = _with_pool(found, task, pool)
    except MissingDataError as error:
        return replace(found, error=str(error), is_absent=True)
    except OPDBenchError as error:
        return replace(found, error=str(error))
    except Exception as error:  # someone else's code; it must not end the check of all others
        return replace(found, error=f"{type(error).__name__}: {error}")
    return found


def _with_pool(found: Validated, task: Task, pool: Pool) -> Validated:
    problems = task.load(pool)
    doubts = list(_doubts(task, pool, problems))
    hopeless = [Refusal(place, "wrong", item.why) for place, item in doubts if item.is_hopeless]
    golds, empty = _gold_grades(task, problems), _grades(task, [(problem, "") for problem in problems])
    refusals = [_refusal(pool, grade) for grade in golds if grade.verdict != "correct"]
    refusals += [_refusal(pool, grade, "an empty answer, by ") for grade in empty if grade.verdict == "correct"]
    return replace(
        found,
        num_problems=found.num_problems + len(problems),
        refusals=(*found.refusals, *refusals, *hopeless),
        doubts=(*found.doubts, *(f"{place}: {item.why}" for place, item in doubts if not item.is_hopeless)),
        num_golds=found.num_golds + len(golds),
        num_right=found.num_right + sum(grade.verdict == "correct" for grade in golds),
    )


def _refusal(pool: Pool, grade: Grade, why: str = "") -> Refusal:
    return Refusal(f"{pool}/{grade.problem_id}", grade.verdict, f"{why}{grade.reason}")


def _doubts(task: Task, pool: Pool, problems: Sequence[Problem]) -> Iterator[tuple[str, Doubt]]:
    """Yield empty statements, and what the grader sees wrong in the writing of gold answers, where it looks."""
    look: Callable[[Problem], Doubt | None] | None = getattr(task.grader, "doubt", None)
    for problem in problems:
        if not problem.prompt.strip():
            yield f"{pool}/{problem.id}", Doubt("the statement is empty: no model can know what is asked", False)
        if look is not None and (found := look(problem)) is not None:
            yield f"{pool}/{problem.id}", found


def _gold_grades(task: Task, problems: Sequence[Problem]) -> list[Grade]:
    """Grade the gold answer of each problem that states one."""
    states_gold = getattr(task.grader, "states_gold", True)
    stated = [item for item in problems if states_gold or item.reference is not None]
    return _grades(task, [(item, task.grader.gold(item)) for item in stated])


def _grades(task: Task, answers: Sequence[tuple[Problem, str]]) -> list[Grade]:
    samples = [(item, Sample(task.id, item.id, 0, 0, text, 1, "stop")) for item, text in answers]
    parts = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    return [grade for part in parts for grade in task.grader.grade(part)]
