"""The records that travel between stages, and their JSON form.

All are frozen. What the disk holds carries ``SCHEMA``; a reader refuses a schema that it does not know. Numbers
that depend on time live under keys that start with ``time_`` or inside ``timing``, so that two runs can be
compared byte for byte without them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

Pool = Literal["train", "validation", "test"]
POOLS: tuple[Pool, ...] = ("train", "validation", "test")

Verdict = Literal["correct", "wrong", "truncated", "ungraded"]
FinishReason = Literal["stop", "length"]


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN. Keys of cells are hashes of it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(value: object, length: int = 16) -> str:
    """Return the first ``length`` hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part: the only source of randomness in a run."""
    return int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:8], "big") >> 1


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as a dictionary of plain JSON values."""
    return dataclasses.asdict(record)


@dataclass(frozen=True, slots=True)
class Problem:
    """One benchmark item.

    ``target`` is what the grader compares with: a string for mathematics and choice, a mapping of entry point and
    tests for code. ``reference`` is a worked solution, where the data has one. ``decoding`` overrides sampling
    settings for this row alone.
    """

    id: str
    prompt: str
    target: Any
    domain: str = ""
    reference: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion drawn for evaluation; ``index`` counts the samples of one problem from 0.

    ``num_thinking_tokens`` are those of ``num_tokens`` up to the end of the thought; None where nobody counted.
    """

    task: str
    problem_id: str
    index: int
    seed: int
    text: str
    num_tokens: int
    finish_reason: FinishReason
    num_thinking_tokens: int | None = None

    @property
    def key(self) -> str:
        """What identifies the sample inside one evaluation."""
        return f"{self.task}/{self.problem_id}/{self.index}"


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one sample.

    ``reason`` names the rule that decided (``int``, ``math-verify``, ``tests``, ``no_answer``, ``limit``, ...),
    ``answer`` is what was extracted and ``grader`` the id of the grader with its version and libraries.
    """

    task: str
    problem_id: str
    index: int
    verdict: Verdict
    reason: str
    answer: str | None
    grader: str

    @property
    def key(self) -> str:
        """What identifies the graded sample inside one evaluation."""
        return f"{self.task}/{self.problem_id}/{self.index}"


@dataclass(frozen=True, slots=True)
class Score:
    """An estimate over one task, with its interval over problems.

    ``value``, ``se``, ``low`` and ``high`` are None where the estimate is undefined (fewer samples than k, or a
    sample that could not be graded).
    """

    task: str
    task_version: int
    metric: str
    value: float | None
    se: float | None
    low: float | None
    high: float | None
    num_problems: int
    num_samples: int
    num_truncated: int
    num_no_answer: int
    num_ungraded: int


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """What one checkpoint of a cell reached.

    ``fraction`` is the part of the budget that the checkpoint may have used; ``spend`` what it did use, on the
    budget's axis. ``correct`` maps task to problem id to the number of correct samples out of ``samples[task]``.
    """

    fraction: float
    spend: float
    step: int
    checkpoint_hash: str
    eval_key: Mapping[str, str]
    scores: tuple[Score, ...]
    correct: Mapping[str, Mapping[str, int]]
    samples: Mapping[str, int]
    mean_tokens: Mapping[str, float]
    prompt_hash: str
    graders: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything a board needs to know of one cell; one JSON file.

    ``ledger`` maps phase to its tokens, FLOPs and counts; ``timing`` holds every figure that depends on the clock.
    ``status`` is ``done``, ``diverged`` or ``failed``; marks such as ``scripted`` or ``self-reported ledger``
    forbid or qualify publication.
    """

    schema: int
    board: str
    row: str
    seed: int
    key: str
    status: Literal["done", "diverged", "failed"]
    cell: Mapping[str, Any]
    provenance: Mapping[str, Any]
    budget: Mapping[str, Any]
    ledger: Mapping[str, Mapping[str, float]]
    training: Mapping[str, float]
    checkpoints: tuple[CheckpointResult, ...]
    timing: Mapping[str, Any] = field(default_factory=dict[str, Any])
    marks: tuple[str, ...] = ()
    error: str | None = None


def result_from_json(data: Mapping[str, Any]) -> Result:
    """Rebuild a Result from its JSON form.

    Raises:
        ValueError: the schema is not one that this version reads.
    """
    if data.get("schema") != SCHEMA:
        raise ValueError(f"result schema {data.get('schema')!r} is not {SCHEMA}")
    fields: dict[str, Any] = {**data, "marks": tuple(data["marks"])}
    fields["checkpoints"] = tuple(_checkpoint_from_json(item) for item in data["checkpoints"])
    return Result(**fields)


def _checkpoint_from_json(data: Mapping[str, Any]) -> CheckpointResult:
    fields: dict[str, Any] = {**data, "scores": tuple(Score(**score) for score in data["scores"])}
    return CheckpointResult(**fields)
