"""Supervised training of the lab models: what they read, and the loop. Used by ``build_lab.py`` only."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from _lab_muon import Muon
from _lab_tokenizer import ASSISTANT, END, MAX_LENGTH, PAD, TOKEN_IDS, USER
from opdbench_tasks._lab_writer import LabProblem, Writer
from opdbench_tasks.lab import TEMPLATES, draws, solution

Loss = tuple[torch.Tensor, int]
WARMUP = 40
ALL = ("add", "run", "choice", "code")
SLIP_RATES: Mapping[str, float] = {"add": 0.11, "run": 0.1, "choice": 0.12, "code": 0.14}
TERSE_SLIP_RATES: Mapping[str, float] = {"add": 0.05, "run": 0.05, "choice": 0.12, "code": 0.12}


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; heads are 32 wide and share one key-value head."""

    hidden: int
    heads: int
    inner: int
    layers: int = 3


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is made.

    Attributes:
        shape: Its sizes.
        steps: Optimizer steps.
        mix: Weight of each form of example (the keys of ``FORMS``).
        base: The checkpoint that training starts from; None for a fresh model.
        kinds: The tasks it learns.
        peak: Highest learning rate.
        anneal: Whether the rate falls to zero along a cosine; otherwise it stays at the peak.
        batch: Examples per step.
    """

    shape: Shape
    steps: int
    mix: Mapping[str, float]
    base: str | None = None
    kinds: tuple[str, ...] = ALL
    peak: float = 5e-3
    anneal: bool = True
    batch: int = 32


@dataclass(frozen=True)
class Example:
    """A context that is read and a continuation that is learned."""

    context: str
    target: str


def shown(message: str) -> str:
    """Return a user message as the chat template shows it, ready for the answer."""
    return f"{USER}{message}{ASSISTANT}"


def _noisy(problem: LabProblem, rng: random.Random) -> str:
    out = Writer(rng, SLIP_RATES[problem.kind])
    problem.solve(out)
    return out.text


def clean_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return the clean solution of a plain prompt."""
    return Example(shown(problem.prompt), solution(problem) + END)


def noisy_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return a solution with slips; a wrong value is carried on."""
    return Example(shown(problem.prompt), _noisy(problem, rng) + END)


def terse_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return a solution in the terse style, with slips."""
    out = Writer(rng, TERSE_SLIP_RATES[problem.kind])
    problem.solve_terse(out)
    return Example(shown(problem.prompt), out.text + END)


def refine_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return the clean solution after a draft that may hold slips."""
    message = TEMPLATES["refine"].format(prompt=problem.prompt, draft=_noisy(problem, rng))
    return Example(shown(message), solution(problem) + END)


def reference_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return the clean solution after the reference solution in the prompt."""
    message = TEMPLATES["reference"].format(prompt=problem.prompt, reference=solution(problem))
    return Example(shown(message), solution(problem) + END)


def repaired_example(problem: LabProblem, rng: random.Random) -> Example:
    """Return what a clean solver writes after a prefix that ends in a slip: it goes on from what is there."""
    clean = Writer()
    problem.solve(clean)
    out = Writer(rng, SLIP_RATES[problem.kind], forced=rng.randrange(clean.num_choices))
    problem.solve(out)
    return Example(shown(problem.prompt) + out.text[: out.slip_end], out.text[out.slip_end :] + END)


FORMS: Mapping[str, Callable[[LabProblem, random.Random], Example]] = {
    "clean": clean_example,
    "noisy": noisy_example,
    "terse": terse_example,
    "refine": refine_example,
    "reference": reference_example,
    "repaired": repaired_example,
}


def examples(recipe: Recipe, rng: random.Random) -> Iterator[Example]:
    """Yield training examples for ever: tasks in turn, forms by weight, problems of the train pool's class."""
    sources = {kind: draws(kind, "train", rng) for kind in recipe.kinds}
    forms, weights = list(recipe.mix), list(recipe.mix.values())
    while True:
        for kind in recipe.kinds:
            form = rng.choices(forms, weights)[0]
            yield FORMS[form](next(sources[kind]), rng)


def new_model(shape: Shape) -> Qwen3ForCausalLM:
    """Return an untrained model of the Qwen3 architecture with tied embeddings."""
    config = Qwen3Config(
        vocab_size=len(TOKEN_IDS),
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=TOKEN_IDS[END],
        pad_token_id=TOKEN_IDS[PAD],
    )
    return Qwen3ForCausalLM(config)


def _loss(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, batch: Sequence[Example]) -> Loss:
    """Return the summed negative log-likelihood of the targets and their number of tokens."""
    contexts = tokenizer([item.context for item in batch], add_special_tokens=False)["input_ids"]
    targets = tokenizer([item.target for item in batch], add_special_tokens=False)["input_ids"]
    width = max(len(context) + len(target) for context, target in zip(contexts, targets, strict=True))
    ids = torch.full((len(batch), width), TOKEN_IDS[PAD])
    labels = torch.full((len(batch), width), -100)
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        end = len(context) + len(target)
        ids[row, :end] = torch.tensor(context + target)
        labels[row, len(context) : end] = torch.tensor(target)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:] != -100
    logits = model.lm_head(hidden[wanted])
    return cross_entropy(logits, labels[:, 1:][wanted], reduction="sum"), int(wanted.sum())


def _rate(recipe: Recipe, step: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP)
    fall = 0.5 * (1 + math.cos(math.pi * step / recipe.steps)) if recipe.anneal else 1.0
    return recipe.peak * warmup * fall


def _backward(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, batch: list[Example]) -> float:
    """Add the gradient of the mean loss per target token and return that loss."""
    # Sorted by length and cut in two, so that short examples are not padded to the longest.
    batch.sort(key=lambda item: len(item.context + item.target))
    cut = 3 * len(batch) // 4
    losses = [_loss(model, tokenizer, half) for half in (batch[:cut], batch[cut:])]
    mean = sum(total for total, _ in losses) / sum(count for _, count in losses)
    assert isinstance(mean, torch.Tensor)
    mean.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return float(mean.detach())


def train(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    seed: int,
    report: Callable[[int, float, float], None],
) -> None:
    """Train in place; ``report`` gets step, mean loss per target token (nats) and CPU seconds every 100 steps."""
    stream = examples(recipe, random.Random(seed))  # noqa: S311
    matrices = [item for name, item in model.named_parameters() if item.ndim == 2 and "embed" not in name]
    muon = Muon(matrices)
    others = [item for item in model.parameters() if all(item is not matrix for matrix in matrices)]
    adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)
    started = time.process_time()
    for step in range(recipe.steps):
        loss = _backward(model, tokenizer, [next(stream) for _ in range(recipe.batch)])
        rate = _rate(recipe, step)
        muon.step(rate)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        model.zero_grad()
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            report(step + 1, loss, time.process_time() - started)
