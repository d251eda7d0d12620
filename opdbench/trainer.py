"""The contract of a trainer: the adapter that turns a job and a budget into checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from opdbench.budget import Budget, Ledger
from opdbench.method import Method
from opdbench.model import ModelEntry
from opdbench.records import Problem
from opdbench.task import Task


class LoRA(BaseModel):
    """Low-rank adapters on the student; they are merged before evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class TrainSettings(BaseModel):
    """What belongs to the board and not to a method: one optimizer recipe, stated on every row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Decay of the learning rate to 0 over spend / limit."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Part of the budget over which the learning rate rises linearly."""
    prompts_per_step: int = Field(ge=1)
    """Prompts of a rollout batch; a method that draws groups takes K rollouts of each."""
    updates_per_batch: int = Field(1, ge=1)
    """Optimizer steps on each rollout batch."""
    max_prompt_tokens: int = Field(ge=1)
    """Longest prompt of any role, in tokens; a longer one is an error, since plans price by this bound."""
    max_tokens: int = Field(ge=1)
    """Longest response in training, in tokens."""
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    micro_batch_tokens: int = Field(16384, ge=1)
    """Padded tokens of one forward pass; changes memory, not results."""
    lora: LoRA | None = None
    """None trains all weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """With bfloat16 a rollout batch has one update: ratios of later ones would compare two number formats."""
    observe_reward_every: int = Field(1, ge=0)
    """Grade training rollouts every this many batches where no method asks for it, off the budget; 0 is never."""
    diagnose_every: int = Field(0, ge=0)
    """Take the diagnostics of docs/metrics.md every this many batches, off the budget; 0 is never."""

    @model_validator(mode="after")
    def _one_number_format(self) -> Self:
        if self.dtype == "bfloat16" and self.updates_per_batch > 1:
            raise ValueError("bfloat16 allows one update per batch: set updates_per_batch = 1, or dtype = 'float32'")
        return self

    OBSERVATION: ClassVar[frozenset[str]] = frozenset({"observe_reward_every", "diagnose_every"})
    """Settings that shape the log and nothing else."""

    def question(self) -> dict[str, Any]:
        """Return what shapes a checkpoint, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(self.OBSERVATION))


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A model entry whose files are on this machine; ``content_hash`` identifies weights, config and tokenizer."""

    name: str
    entry: ModelEntry
    directory: Path
    content_hash: str


@dataclass(frozen=True, slots=True)
class TrainingProblem:
    """A problem with the task that words and grades it."""

    task: Task
    problem: Problem


def _ignore(step: int, progress: float, metrics: Mapping[str, float]) -> None:
    """Report nothing."""


def _never() -> bool:
    """Do not stop."""
    return False


@dataclass(frozen=True, slots=True)
class Job:
    """One cell, ready to be trained on this machine.

    ``teachers`` maps a domain to its teacher; the key ``""`` is the default. ``directory`` is the trainer's own, kept
    between attempts: a killed trainer finds there what it needs to go on. ``stop`` is polled between steps; when it
    says true the trainer saves its state and raises ``Interrupted``.
    """

    key: str
    seed: int
    budget: Budget
    fractions: tuple[float, ...]
    method: Method | None
    student: LocatedModel
    teachers: Mapping[str, LocatedModel]
    reference: LocatedModel | None
    problems: Sequence[TrainingProblem]
    settings: TrainSettings | None
    config: Mapping[str, Any]
    directory: Path
    report: Callable[[int, float, Mapping[str, float]], None] = _ignore
    stop: Callable[[], bool] = _never


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved student: the last one whose spend is at most ``fraction`` of the budget."""

    fraction: float
    step: int
    spend: float
    directory: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """What training came to; ``summary`` holds counts for the row (steps, rollouts, unique prompts, tokens)."""

    checkpoints: tuple[Checkpoint, ...]
    status: Literal["done", "diverged"] = "done"
    summary: Mapping[str, float] = field(default_factory=dict[str, float])


class Interrupted(Exception):
    """Training stopped because it was asked to; its state is saved."""


class Trainer(Protocol):
    """Trains a student within a budget.

    Attributes:
        training_free: Whether no budget is spent (a row of the student itself, weight averaging).
        self_reported: Whether the ledger rests on what a foreign program says of itself; such rows are marked.
    """

    training_free: ClassVar[bool]
    self_reported: ClassVar[bool]

    def train(self, job: Job, ledger: Ledger) -> Trained:
        """Train, charge every phase to the ledger, and return the checkpoints in order of their fraction."""
        ...


class NoTrainer:
    """The empty trainer: the student as it is. Student and teacher rows are cells of it."""

    training_free: ClassVar[bool] = True
    self_reported: ClassVar[bool] = False

    def train(self, job: Job, ledger: Ledger) -> Trained:
        """Return the student's own checkpoint."""
        return Trained((Checkpoint(1.0, 0, 0.0, job.student.directory),))
