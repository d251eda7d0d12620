"""Synthetic results for board tests: a small board, and runs whose counts come from a seeded generator."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from opdbench.config import BoardConfig
from opdbench.records import SCHEMA, CheckpointResult, Result, Score

TASKS = {"alpha": 12, "beta": 20}
K, CHECKPOINT_K = 8, 4
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
LIMIT = 6.0e11
SKILL = {"student": 0.35, "teacher": 0.9, "opd": 0.62, "fkl": 0.60, "sft": 0.36}
SEEDS = (0, 1, 2)


def make_board(**changes: Any) -> BoardConfig:
    """A board with a student, a teacher and three trained rows; ``changes`` replace top-level fields."""
    trained = [
        {"id": name, "title": title, "method": name, "student": "student", "teacher": "teacher"}
        for name, title in (("opd", "OPD"), ("fkl", "FKL"), ("sft", "SFT"))
    ]
    data: dict[str, Any] = {
        "schema": 1,
        "name": "small",
        "title": "Small board",
        "description": "Two tasks, three methods.",
        "protocol": "small/1",
        "seeds": list(SEEDS),
        "budget": {"axis": "flops", "limit": LIMIT, "mode": "equal", "fractions": list(FRACTIONS)},
        "models": {"student": {"path": "models/student"}, "teacher": {"path": "models/teacher"}},
        "data": {"train": list(TASKS)},
        "train": {"learning_rate": 3e-4, "prompts_per_step": 64, "max_prompt_tokens": 64, "max_tokens": 64},
        "evaluation": {
            "tasks": list(TASKS),
            "pool": "test",
            "k": K,
            "checkpoint_k": CHECKPOINT_K,
            "pass_k": [K],
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "max_tokens": 64,
            "batch_size": 512,
            "engine": "hf",
            "dtype": "float32",
        },
        "comparison": {"baseline": "student"},
        "rows": [
            {"id": "student", "title": "Student", "model": "student"},
            {"id": "teacher", "title": "Teacher", "model": "teacher"},
            *trained,
        ],
    }
    return BoardConfig.model_validate(data | changes)


def make_results(rows: tuple[str, ...] = tuple(SKILL), seeds: tuple[int, ...] = SEEDS) -> list[Result]:
    """One done run per row and seed; models as they are have seed 0 only."""
    untrained = {"student", "teacher"}
    return [make_result(row, seed) for row in rows for seed in (seeds[:1] if row in untrained else seeds)]


def make_result(row: str, seed: int, **changes: Any) -> Result:
    """One run; ``changes`` replace fields of the Result."""
    trained = row not in ("student", "teacher")
    fractions = FRACTIONS if trained else (1.0,)
    result = Result(
        schema=SCHEMA,
        board="small",
        row=row,
        seed=seed,
        key=f"{row}{seed}".ljust(16, "0"),
        status="done",
        cell={"row": row},
        provenance={"versions": {"opdbench": "0.1.0", "torch": "2.13.0"}, "cpu": "x86-64", "host": "secret-host"},
        budget={"axis": "flops", "limit": LIMIT, "mode": "equal"},
        ledger=make_ledger(seed) if trained else {"evaluation": _charge(generated_tokens=5000, flops=10**9)},
        training={"steps": 40, "rollouts": 2560, "unique_prompts": 2560} if trained else {},
        checkpoints=tuple(make_checkpoint(row, seed, fraction) for fraction in fractions),
        timing={"device_seconds": {"update": 12.5 + seed}, "wall_seconds": 20.0},
    )
    return replace(result, **changes)


def make_ledger(seed: int) -> dict[str, dict[str, int]]:
    """A ledger that spends a little less than the limit."""
    return {
        "student_rollout": _charge(generated_tokens=90_000, flops=2 * 10**11),
        "teacher_scoring": _charge(scored_tokens=90_000, flops=10**11),
        "update": _charge(
            trained_tokens=90_000, optimizer_steps=40, flops=int(LIMIT) - 3 * 10**11 - 10**9 * (seed + 1)
        ),
        "evaluation": _charge(generated_tokens=8_000, flops=10**10),
    }


def _charge(**counts: int) -> dict[str, int]:
    names = ("generated_tokens", "scored_tokens", "trained_tokens", "optimizer_steps", "flops")
    return {name: counts.get(name, 0) for name in names}


def make_checkpoint(row: str, seed: int, fraction: float, tasks: tuple[str, ...] = tuple(TASKS)) -> CheckpointResult:
    """A checkpoint whose skill grows along the budget; problems are easy or hard for every row alike."""
    k = K if fraction == 1.0 else CHECKPOINT_K
    counts = {task: _counts(row, seed, task, fraction, k) for task in tasks}
    return CheckpointResult(
        fraction=fraction,
        spend=LIMIT * fraction,
        step=round(40 * fraction),
        checkpoint_hash=f"{row}-{seed}-{fraction}",
        eval_key={task: f"eval-{task}" for task in TASKS},
        scores=tuple(_score(task, counts[task], k) for task in tasks),
        correct=counts,
        samples=dict.fromkeys(tasks, k),
        mean_tokens={task: 30.0 + index for index, task in enumerate(tasks)},
        prompt_hash="prompt",
        graders=dict.fromkeys(tasks, "integer/1"),
    )


def _counts(row: str, seed: int, task: str, fraction: float, k: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for number in range(TASKS[task]):
        ease = random.Random(f"{task} {number}").uniform(-0.25, 0.25)
        draw = random.Random(f"{row} {seed} {task} {number} {fraction}")
        skill = SKILL["student"] + (SKILL[row] - SKILL["student"]) * fraction if row in SKILL else 0.5
        counts[f"{task}-{number}"] = sum(draw.random() < skill + ease for _ in range(k))
    return counts


def _score(task: str, counts: dict[str, int], k: int) -> Score:
    value = sum(counts.values()) / (len(counts) * k)
    return Score(task, 1, f"avg@{k}", value, None, None, None, len(counts), len(counts) * k, 3, 2, 0)
