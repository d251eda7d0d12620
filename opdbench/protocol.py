"""The contract of an evaluation protocol: the settings under which a paper reports scores, each with where it is from.

A plug-in of kind ``protocols`` holds one. What a paper leaves open is chosen by the plug-in and marked so.
"""

from __future__ import annotations

import tomllib
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from opdbench.errors import ConfigError
from opdbench.graders.boxed import BoxedExpression, BoxedInteger
from opdbench.task import Task

Origin = Literal["paper", "code", "ours"]
"""The paper's text or the arithmetic of its printed numbers; its repository; stated in neither and chosen here."""

Value = TypeVar("Value")


class Stated(BaseModel, Generic[Value]):
    """The value of one setting and where it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Value
    source: Origin


class TaskProtocol(BaseModel):
    """Settings of single tasks, where they differ; None keeps the protocol's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Stated[str] | None = None
    """User message with ``{prompt}``."""
    system_prompt: Stated[str] | None = None
    """Text of the system message; "" sends none."""
    thinking: Stated[bool] | None = None
    """Passed to the chat template as ``enable_thinking``."""
    temperature: Stated[float] | None = None
    top_p: Stated[float] | None = None
    top_k: Stated[int] | None = None
    """0 means off."""
    max_tokens: Stated[int] | None = None
    k: Stated[int] | None = None
    """Samples per problem."""


SETTINGS = tuple(TaskProtocol.model_fields)
SHARED = ("system_prompt", "thinking")
"""What holds for all tasks: it belongs to how the model is shown prompts."""


class EvaluationProtocol(BaseModel):
    """A named set of evaluation settings; every setting is stated, none is left to a default.

    ``prompt`` holds for tasks whose answer is a boxed number or expression. Other tasks keep the message that they
    come with, unless ``per_task`` states one. Of a task that the paper does not report, every value is ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    reference: str
    """Where the paper is."""
    tasks: tuple[str, ...] = ()
    """What the paper reports; none named means that its values hold for all."""
    prompt: Stated[str]
    system_prompt: Stated[str]
    thinking: Stated[bool]
    temperature: Stated[float]
    top_p: Stated[float]
    top_k: Stated[int]
    max_tokens: Stated[int]
    k: Stated[int]
    per_task: dict[str, TaskProtocol] = Field(default_factory=dict[str, TaskProtocol])
    notes: tuple[str, ...] = ()
    """What still differs from the paper when all of it is followed, one sentence each."""

    @field_validator("per_task")
    @classmethod
    def _refuse_shared(cls, per_task: dict[str, TaskProtocol]) -> dict[str, TaskProtocol]:
        for name in SHARED:
            for task in (id for id, own in per_task.items() if getattr(own, name) is not None):
                raise ValueError(f"{name} of {task} cannot be its own: it holds for all tasks, state it above them")
        return per_task

    def stated(self, name: str, task: str) -> Stated[Any]:
        """Return one setting of a task: the task's own, else the protocol's, which is ours where the paper lacks it."""
        own = getattr(self.per_task.get(task), name, None)
        if own is not None:
            return own
        common = getattr(self, name)
        is_reported = not self.tasks or task in self.tasks or name in SHARED
        return common if is_reported else Stated[Any](value=common.value, source="ours")

    def message(self, task: Task) -> Stated[str]:
        """Return the user message of a task: its own one is ours where the protocol says nothing about its kind."""
        own = self.per_task.get(task.id)
        if isinstance(task.grader, BoxedInteger | BoxedExpression) or (own is not None and own.prompt is not None):
            return self.stated("prompt", task.id)
        return Stated[str](value=task.templates["plain"], source="ours")


def read_protocols(text: str) -> dict[str, EvaluationProtocol]:
    """Return the protocols of a TOML text: one table each, ``setting = { value, source }`` inside it.

    Raises:
        ConfigError: the text is no TOML, or a protocol lacks a setting or states what is none.
    """
    try:
        return {id: EvaluationProtocol.model_validate({**data, "id": id}) for id, data in tomllib.loads(text).items()}
    except (tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        raise ConfigError(f"this text of evaluation protocols cannot be read: {error}") from error
