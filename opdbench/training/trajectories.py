"""Draws what a method trains on. One function per kind of trajectory; the loop knows none of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opdbench.budget import Ledger
from opdbench.engines.engine import TokenPrompt, Tokens
from opdbench.errors import ConfigError
from opdbench.flops import generate_flops
from opdbench.method import Dataset, Group, Mixed, Sampling, Student, TeacherSamples, Trajectory
from opdbench.records import derive_seed
from opdbench.trainer import TrainingProblem
from opdbench.training.cast import Cast, Player


@dataclass(frozen=True, slots=True)
class Slot:
    """A prompt of the stream: its place, the pass over the data, and the problem. The same for every row of a seed."""

    index: int
    epoch: int
    problem: TrainingProblem


@dataclass(frozen=True, slots=True)
class Rollout:
    """One training sequence.

    Attributes:
        slot: Its prompt; rollouts of one slot form a group.
        sample: Number within the slot.
        response_ids: Response tokens, the end-of-sequence token included where it was sampled.
        logps: The current student's log-probability of each, NaN where somebody else wrote the token.
        num_teacher: How many leading tokens the teacher wrote.
        offline: Whether the whole sequence is off-policy.
        draft: What a refine template quotes.
        truncated: Whether the response ran into its limit.
    """

    slot: Slot
    sample: int
    response_ids: tuple[int, ...]
    logps: tuple[float, ...]
    num_teacher: int = 0
    offline: bool = False
    draft: str = ""
    truncated: bool = False


@dataclass(slots=True)
class Draw:
    """Everything that drawing needs: who samples, what it costs, and the seed of this cell."""

    cast: Cast
    ledger: Ledger
    seed: int
    step: int
    max_tokens: int
    teacher_cache: dict[str, Tokens]

    def rollouts(self, trajectory: Trajectory, slots: Sequence[Slot]) -> list[Rollout]:
        """Draw a batch.

        Raises:
            ConfigError: the trajectory is one that this version does not draw.
        """
        draw = _DRAWS.get(type(trajectory))
        if draw is None:
            raise ConfigError(f"trajectory {type(trajectory).__name__} cannot be drawn by this version of opdbench")
        return draw(self, trajectory, slots)

    def sample(
        self, player: Player, slots: Sequence[Slot], seeds: Sequence[int], sampling: Sampling, *, again: bool = False
    ) -> list[Tokens]:
        """Let one player answer the plain prompts of slots, and charge it; ``again`` marks what was paid before."""
        prompts = [self.cast.prompt_ids(player.role, slot.problem) for slot in slots]
        requests = [TokenPrompt(ids, seed) for ids, seed in zip(prompts, seeds, strict=True)]
        limit = self.max_tokens if sampling.max_tokens is None else min(sampling.max_tokens, self.max_tokens)
        resolved = Sampling(sampling.temperature, sampling.top_p, sampling.top_k, limit)
        with self.ledger.phase("redone" if again else player.phase) as meter:
            answers = player.engine.generate(requests, resolved)
            for ids, answer in zip(prompts, answers, strict=True):
                count = len(answer.token_ids)
                meter.add(generated_tokens=count, flops=generate_flops(player.role.shape, len(ids), count))
        return answers


def _student(draw: Draw, trajectory: Student, slots: Sequence[Slot]) -> list[Rollout]:
    return _by_student(draw, trajectory, [(slot, 0) for slot in slots])


def _by_student(draw: Draw, trajectory: Student, pairs: Sequence[tuple[Slot, int]]) -> list[Rollout]:
    is_current = trajectory.author == "current"
    player = draw.cast.current if is_current else draw.cast.initial
    assert player is not None
    seeds = [derive_seed(draw.seed, "rollout", trajectory.author, slot.index, number) for slot, number in pairs]
    answers = draw.sample(player, [slot for slot, _ in pairs], seeds, trajectory.sampling)
    return [
        Rollout(
            slot,
            number,
            answer.token_ids,
            answer.logps if is_current else _unknown(answer),
            truncated=answer.finish_reason == "length",
        )
        for (slot, number), answer in zip(pairs, answers, strict=True)
    ]


def _group(draw: Draw, trajectory: Group, slots: Sequence[Slot]) -> list[Rollout]:
    online = trajectory.size - trajectory.num_offline
    pairs = [(slot, number) for slot in slots for number in range(online)]
    rollouts = _by_student(draw, Student(trajectory.sampling), pairs)
    for number in range(trajectory.num_offline):
        rollouts += _by_teacher(draw, trajectory.teacher_sampling, slots, online + number)
    return sorted(rollouts, key=lambda rollout: (rollout.slot.index, rollout.sample))


def _teacher_samples(draw: Draw, trajectory: TeacherSamples, slots: Sequence[Slot]) -> list[Rollout]:
    return _by_teacher(draw, trajectory.sampling, slots, 0)


def _by_teacher(draw: Draw, sampling: Sampling, slots: Sequence[Slot], number: int) -> list[Rollout]:
    """Answer each problem once: a later pass over the data finds the same text and pays nothing."""
    missing: dict[tuple[str, bool], list[Slot]] = defaultdict(list)
    for slot in slots:
        if _cache_key(slot, number) not in draw.teacher_cache:
            missing[draw.cast.teacher_key(slot.problem), slot.epoch > 0].append(slot)
    for (_, again), group in missing.items():
        _fill_cache(draw, sampling, group, number, again=again)
    answers = [draw.teacher_cache[_cache_key(slot, number)] for slot in slots]
    return [
        Rollout(
            slot,
            number,
            answer.token_ids,
            _unknown(answer),
            num_teacher=len(answer.token_ids),
            offline=True,
            truncated=answer.finish_reason == "length",
        )
        for slot, answer in zip(slots, answers, strict=True)
    ]


def _fill_cache(draw: Draw, sampling: Sampling, slots: Sequence[Slot], number: int, *, again: bool) -> None:
    """Draw with seeds that belong to the problem: a resumed run, whose cache is empty, draws the same text again."""
    keys = [_cache_key(slot, number) for slot in slots]
    seeds = [derive_seed(draw.seed, "teacher", key) for key in keys]
    player = draw.cast.teacher_player(slots[0].problem)
    draw.teacher_cache.update(zip(keys, draw.sample(player, slots, seeds, sampling, again=again), strict=True))


def _cache_key(slot: Slot, number: int) -> str:
    return f"{slot.problem.task.id}/{slot.problem.problem.id}/{number}"


def _dataset(draw: Draw, trajectory: Dataset, slots: Sequence[Slot]) -> list[Rollout]:
    """Take the data's reference solutions, ended by the student's first stop token."""
    chat = draw.cast.student.chat
    rollouts: list[Rollout] = []
    for slot in slots:
        reference = slot.problem.problem.reference
        if reference is None:
            raise ConfigError(f"{slot.problem.task.id}/{slot.problem.problem.id} has no reference solution to train on")
        ids = tuple(chat.response_ids(reference)[: draw.max_tokens])
        rollouts.append(Rollout(slot, 0, ids, (math.nan,) * len(ids), num_teacher=len(ids), offline=True))
    return rollouts


def _mixed(draw: Draw, trajectory: Mixed, slots: Sequence[Slot]) -> list[Rollout]:
    is_first = derive_seed(draw.seed, "mixed", draw.step) / 2**63 < trajectory.probability
    return draw.rollouts(trajectory.first if is_first else trajectory.second, slots)


def _unknown(answer: Tokens) -> tuple[float, ...]:
    return (math.nan,) * len(answer.token_ids)


_DRAWS: dict[type, Callable[[Draw, Any, Sequence[Slot]], list[Rollout]]] = {
    Student: _student,
    Group: _group,
    TeacherSamples: _teacher_samples,
    Dataset: _dataset,
    Mixed: _mixed,
}
DRAWN: frozenset[type] = frozenset(_DRAWS)
