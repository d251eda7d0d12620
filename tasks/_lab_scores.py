"""Scores of the lab models, and the README that states them. Used by ``build_lab.py`` and its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from _lab_training import Recipe, shown
from opdbench.api import Problem, Sample, Task
from opdbench_tasks.lab import ADD, CHOICE, CODE, RUN

TASKS = (ADD, RUN, CHOICE, CODE)
NUM_SAMPLES = 8
MAX_TOKENS = 64
BATCH = 400

Scores = dict[str, float]


@torch.no_grad()
def complete(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, messages: Sequence[str]) -> list[str]:
    """Return one completion per user message, drawn at temperature 1."""
    inputs = tokenizer(
        [shown(message) for message in messages], add_special_tokens=False, padding=True, return_tensors="pt"
    )
    output = cast("Any", model).generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=MAX_TOKENS,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
    )
    return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def correct(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, task: Task, problems: Sequence[Problem], seed: int = 0
) -> torch.Tensor:
    """Return the 0/1 table [problems, NUM_SAMPLES] of a task; a sample cut at MAX_TOKENS is graded as it is."""
    torch.manual_seed(seed)
    items = [(problem, index) for problem in problems for index in range(NUM_SAMPLES)]
    texts: list[str] = []
    for start in range(0, len(items), BATCH):
        messages = [task.message(problem) for problem, _ in items[start : start + BATCH]]
        texts += complete(model, tokenizer, messages)
    samples = [
        (problem, Sample(task.id, problem.id, index, seed, text, 0, "stop"))
        for (problem, index), text in zip(items, texts, strict=True)
    ]
    verdicts = [grade.verdict == "correct" for grade in task.grader.grade(samples)]
    return torch.tensor(verdicts, dtype=torch.float64).view(len(problems), NUM_SAMPLES)


def score(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase) -> dict[str, Scores]:
    """Return Avg@8 and Pass@8 of every task's test pool."""
    result: dict[str, Scores] = {}
    for task in TASKS:
        table = correct(model, tokenizer, task, task.load("test"))
        result[task.id] = {"avg": round(float(table.mean()), 3), "pass": round(float(table.amax(1).mean()), 3)}
    return result


def _row(name: str, recipe: Recipe, record: Mapping[str, Any], out: Path) -> str:
    scores: Mapping[str, Scores] = record["scores"]
    cells = [f"{scores[task.id]['avg']:.3f} / {scores[task.id]['pass']:.3f}" for task in TASKS]
    means = [sum(item[key] for item in scores.values()) / len(scores) for key in ("avg", "pass")]
    size = (out / name / "model.safetensors").stat().st_size
    values = [name, f"{size / 2e3:.0f} k", *cells, f"{means[0]:.3f} / {means[1]:.3f}", str(record["cpu_seconds"])]
    return "| " + " | ".join(values) + " |"


def _recipe_line(name: str, recipe: Recipe) -> str:
    shape = recipe.shape
    mix = ", ".join(f"{form} {share:g}" for form, share in recipe.mix.items())
    return (
        f"- `{name}`: {shape.layers} layers of {shape.hidden}, {shape.heads} heads of 32 on one key-value head, "
        f"inner {shape.inner}; {'from ' + recipe.base if recipe.base else 'from scratch'}, {recipe.steps} steps of "
        f"{recipe.batch} on {', '.join(recipe.kinds)}; {mix}; rate {recipe.peak:g}"
        f"{' falling to 0' if recipe.anneal else ', constant'}."
    )


def format_table(recipes: Mapping[str, Recipe], known: Mapping[str, Any], out: Path, seed: int) -> str:
    """Return the README of the checkpoints that were measured."""
    names = [name for name in recipes if name in known]
    titles = ["checkpoint", "parameters", *[task.id for task in TASKS], "mean", "CPU s"]
    return "\n".join(
        [
            "# Lab models",
            "",
            f"Made by `python tasks/build_lab.py --seed {seed}`, which also writes this file. Qwen3, fp16.",
            f"Scores are Avg@{NUM_SAMPLES} / Pass@{NUM_SAMPLES} on the test pools, temperature 1, "
            f"at most {MAX_TOKENS} tokens.",
            "",
            "| " + " | ".join(titles) + " |",
            "|" + "---|" * len(titles),
            *[_row(name, recipes[name], known[name], out) for name in names],
            "",
            "Recipes (forms of example: `FORMS` in `tasks/_lab_training.py`):",
            "",
            *[_recipe_line(name, recipes[name]) for name in names],
            "",
        ]
    )
