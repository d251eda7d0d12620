"""Resolves what ``eval`` is told and what a protocol states into the settings of every task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from opdbench import registry
from opdbench.config import EvaluationSettings, Origin
from opdbench.config.explain import explain
from opdbench.errors import ConfigError
from opdbench.model import Presentation
from opdbench.protocol import SETTINGS, SHARED, EvaluationProtocol
from opdbench.task import Task

MAX_TOKENS = 4096
"""Longest completion, unless told otherwise."""
BATCH_SIZE = 32
"""Samples of one engine call, unless told otherwise: what a kill can lose."""
DECODING = ("temperature", "top_p", "top_k", "max_tokens")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model, resolved.

    Attributes:
        settings: What holds for all tasks, and the decoding of single ones.
        presentation: System message and thinking, where somebody states them.
        num_samples: Samples per problem, by task, where they are not the task's own number.
        messages: User messages, by task, where they are not the task's own.
        protocol: The protocol that was named, with every value in force, where it is from, and what was given
            explicitly and differs (``deviations``); None without one.
    """

    settings: EvaluationSettings
    presentation: Presentation | None = None
    num_samples: Mapping[str, int] = field(default_factory=dict[str, int])
    messages: Mapping[str, str] = field(default_factory=dict[str, str])
    protocol: Mapping[str, Any] | None = None


def ask(tasks: Sequence[str], given: Mapping[str, Any], protocol: str | None = None) -> Asked:
    """Resolve settings; what is given explicitly comes before what a protocol states.

    Args:
        tasks: Ids of tasks.
        given: Fields of ``EvaluationSettings`` but ``per_task``, ``thinking`` and ``system_prompt``; None is not given.
        protocol: Id of a protocol.

    Raises:
        PluginError: a task, the protocol or the engine is not installed.
        ConfigError: a setting is impossible.
    """
    for id in tasks:
        registry.find("tasks", id)
    explicit = {name: value for name, value in given.items() if value is not None}
    found: EvaluationProtocol | None = None if protocol is None else registry.load("protocols", protocol)
    shown = {name: explicit.pop(name) for name in SHARED if name in explicit}
    if found is None:
        asked = Asked(_settings(tasks, explicit), _presentation(shown))
    else:
        asked = _under(found, tasks, explicit, shown)
    registry.find("engines", asked.settings.engine)
    return asked


def _presentation(shown: Mapping[str, Any]) -> Presentation | None:
    """Return how prompts are shown, None where nobody says; an empty system message is none."""
    if not shown:
        return None
    return Presentation(system_prompt=shown.get("system_prompt") or None, thinking=shown.get("thinking"))


def _settings(tasks: Sequence[str], values: Mapping[str, Any]) -> EvaluationSettings:
    defaults = {"max_tokens": MAX_TOKENS, "batch_size": BATCH_SIZE}
    try:
        return EvaluationSettings.model_validate({"tasks": tuple(tasks), **defaults, **values})
    except ValidationError as error:
        raise explain(error, EvaluationSettings, Origin()) from None


def _under(
    protocol: EvaluationProtocol, tasks: Sequence[str], explicit: Mapping[str, Any], shown: Mapping[str, Any]
) -> Asked:
    if "per_task" in explicit:
        raise ConfigError(f"per_task: protocol {protocol.id} says what holds for single tasks; evaluate them apart")
    loaded: dict[str, Task] = {id: registry.load("tasks", id) for id in tasks}
    common = {name: getattr(protocol, name).value for name in DECODING}
    per_task = {
        id: {name: protocol.stated(name, id).value for name in DECODING if name not in explicit} for id in tasks
    }
    settings = _settings(tasks, {**common, **explicit, "per_task": per_task})
    messages = {id: protocol.message(task).value for id, task in loaded.items()}
    in_force = {**{name: getattr(protocol, name).value for name in SHARED}, **shown}
    return Asked(
        settings,
        _presentation(in_force),
        {} if "k" in explicit else {id: protocol.stated("k", id).value for id in tasks},
        {id: text for id, text in messages.items() if text != loaded[id].templates["plain"]},
        _record(protocol, loaded, {**explicit, **shown}),
    )


def _record(protocol: EvaluationProtocol, tasks: Mapping[str, Task], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in force by task; the origin of what was given explicitly is ``given``."""

    def one(name: str, task: Task) -> dict[str, Any]:
        if name in given:
            return {"value": given[name], "source": "given"}
        return (protocol.message(task) if name == "prompt" else protocol.stated(name, task.id)).model_dump()

    per_task = {id: {name: one(name, task) for name in SETTINGS} for id, task in tasks.items()}
    common = {"id": protocol.id, "title": protocol.title, "notes": list(protocol.notes)}
    return {**common, "tasks": per_task, "deviations": _deviations(protocol, tasks, given)}


def _deviations(protocol: EvaluationProtocol, tasks: Iterable[str], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = [(name, id, protocol.stated(name, id).value) for name in SETTINGS if name in given for id in tasks]
    return [
        {"setting": name, "task": id, "stated": stated, "given": given[name]}
        for name, id, stated in pairs
        if stated != given[name]
    ]
