"""What a board says of a model: where it is, and how prompts are shown to it in each role."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Use = Literal["rollout", "scoring", "evaluation"]


class Presentation(BaseModel):
    """How a prompt becomes tokens. None means what the checkpoint itself says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system_prompt: str | None = None
    """Text of a system message put before the user's."""
    chat_template: str | None = None
    """A Jinja template that replaces the tokenizer's own."""
    thinking: bool | None = None
    """Passed to the chat template as ``enable_thinking``."""
    prefill: str = ""
    """Text that the assistant's answer is made to start with; it is part of the prompt."""
    stop: tuple[str, ...] = ()
    """Further tokens, by their text, that end a response; each must be one token."""


class ModelEntry(Presentation):
    """A student, teacher or reference: an entry of ``[models]`` in a board."""

    path: str
    """A directory (relative to the board), ``package:PKG/DIR``, a hub id, or ``cell:ROW`` for another row's output."""
    revision: str | None = None
    """Commit of a hub id; required for publication."""
    rollout: Presentation | None = None
    """Presentation while sampling for training, where it differs."""
    scoring: Presentation | None = None
    """Presentation while scoring, where it differs."""
    evaluation: Presentation | None = None
    """Presentation while evaluating, where it differs."""
    overrides: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Changes to config.json (RoPE theta, context length) that reach trainer, engines and saved checkpoints."""
    allow_pickle: bool = False
    """Accept weights that are not safetensors; loading them can execute code."""

    def presentation(self, use: Use) -> Presentation:
        """Return how prompts are shown in one use: the use's own fields over the entry's."""
        own: Presentation | None = getattr(self, use)
        fields = {name: getattr(self, name) for name in Presentation.model_fields}
        return Presentation(**(fields | (own.model_dump(exclude_unset=True) if own else {})))

    @property
    def cell(self) -> str | None:
        """The row or key after ``cell:``, None for other models."""
        return self.path.removeprefix("cell:") if self.path.startswith("cell:") else None
