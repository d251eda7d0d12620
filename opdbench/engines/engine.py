"""The contracts of engines: a message to a reply for evaluation, token ids to tokens for training.

The randomness of a sample is a function of its own seed, never of the batch that it happens to be drawn in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from opdbench.errors import EngineError
from opdbench.method import Sampling
from opdbench.records import FinishReason
from opdbench.trainer import LocatedModel


class DivergedError(EngineError):
    """A model's logits are not finite: training has broken it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A user message and the seed of the reply to it."""

    text: str
    seed: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered; ``num_tokens`` counts the token that ended it, ``text`` leaves it out.

    ``num_thinking_tokens`` are those up to the end of the thought; None where the engine does not count them.
    """

    text: str
    num_tokens: int
    finish_reason: FinishReason
    num_thinking_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A rendered prompt, the seed of its continuation, and a limit of its own below that of the call."""

    token_ids: tuple[int, ...]
    seed: int
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A continuation.

    Attributes:
        token_ids: What was sampled, the stop token included where one was.
        logps: Log-probability of each under the model's own distribution over the shared vocabulary: temperature 1,
            no top-k, no top-p, whatever the sampling was.
        finish_reason: ``stop`` after a stop token, ``length`` where the limit or the context ended it.
    """

    token_ids: tuple[int, ...]
    logps: tuple[float, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine runs; ``batch_size`` is the largest number of sequences decoded together."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 256


class Engine(Protocol):
    """Answers messages, for evaluation.

    Attributes:
        marks: What rows made with this engine are marked with; ``scripted`` forbids publication.
    """

    marks: tuple[str, ...]

    @property
    def id(self) -> str:
        """Name and version of the engine and what it computes with: a part of the eval key."""
        ...

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        """Answer messages, in their order.

        Raises:
            EngineError: ``sampling`` has no ``max_tokens``, or a prompt leaves no room in the context.
        """
        ...

    def close(self) -> None:
        """Release the model."""
        ...


class TokenEngine(Protocol):
    """Continues token ids, for training."""

    def generate(self, prompts: Sequence[TokenPrompt], sampling: Sampling) -> list[Tokens]:
        """Continue prompts, in their order.

        Raises:
            EngineError: ``sampling`` has no ``max_tokens``, or a prompt leaves no room in the context.
        """
        ...


class EngineClass(Protocol):
    """What the entry-point group ``opdbench.engines`` holds."""

    @classmethod
    def open(cls, model: LocatedModel, settings: EngineSettings) -> Self:
        """Load a model, ready to answer in its evaluation presentation.

        Raises:
            ModelError: the checkpoint cannot be loaded, or not safely.
        """
        ...
