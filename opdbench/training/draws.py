"""Draws what a method trains on: one function per kind of trajectory. The loop knows none of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from opdbench.engines.engine import Tokens
from opdbench.errors import ConfigError
from opdbench.method import Dataset, Group, Mixed, Refined, Student, TeacherPrefix, TeacherSamples, Trajectory
from opdbench.records import derive_seed
from opdbench.training.teacher_draws import initial_drafts, refine, teacher_prefixes, teacher_rollouts
from opdbench.training.trajectories import Ask, Draw, Rollout, Slot, unknown


def draw_rollouts(draw: Draw, trajectory: Trajectory, slots: Sequence[Slot]) -> list[Rollout]:
    """Draw a batch; it may be empty where a method filters its texts."""
    return _DRAWS[type(trajectory)](draw, trajectory, slots)


def _student(draw: Draw, trajectory: Student, slots: Sequence[Slot]) -> list[Rollout]:
    return _by_student(draw, trajectory, [(slot, 0) for slot in slots])


def _by_student(draw: Draw, trajectory: Student, pairs: Sequence[tuple[Slot, int]]) -> list[Rollout]:
    is_current = trajectory.author == "current"
    player = draw.cast.current if is_current else draw.cast.initial
    assert player is not None
    seeds = [derive_seed(draw.seed, "rollout", trajectory.author, slot.index, number) for slot, number in pairs]
    answers = draw.sample(player, draw.asks(player, [slot for slot, _ in pairs], seeds), trajectory.sampling)
    return [
        Rollout(
            slot,
            number,
            answer.token_ids,
            answer.logps if is_current else unknown(len(answer.token_ids)),
            truncated=answer.finish_reason == "length",
        )
        for (slot, number), answer in zip(pairs, answers, strict=True)
    ]


def _group(draw: Draw, trajectory: Group, slots: Sequence[Slot]) -> list[Rollout]:
    online = trajectory.size - trajectory.num_offline
    pairs = [(slot, number) for slot in slots for number in range(online)]
    rollouts = _by_student(draw, Student(trajectory.sampling), pairs)
    for number in range(trajectory.num_offline):
        rollouts += teacher_rollouts(draw, trajectory.teacher_sampling, slots, online + number)
    return sorted(rollouts, key=lambda rollout: (rollout.slot.index, rollout.sample))


def _teacher_prefix(draw: Draw, trajectory: TeacherPrefix, slots: Sequence[Slot]) -> list[Rollout]:
    """Let the student go on from the teacher's prefixes; what they already end is taken as it is."""
    player, prefixes = draw.cast.current, teacher_prefixes(draw, trajectory, slots)
    seeds = [derive_seed(draw.seed, "rollout", "current", slot.index, 0) for slot in slots]
    asks = [
        Ask(ask.prompt_ids, ask.seed, prefix.token_ids, draw.max_tokens - len(prefix.token_ids))
        for ask, prefix in zip(draw.asks(player, slots, seeds), prefixes, strict=True)
    ]
    is_open = [prefix.finish_reason == "length" and len(prefix.token_ids) < draw.max_tokens for prefix in prefixes]
    answers = iter(draw.sample(player, list(itertools.compress(asks, is_open)), trajectory.sampling))
    return [
        _continued(slot, prefix, next(answers) if more else Tokens((), (), prefix.finish_reason))
        for slot, prefix, more in zip(slots, prefixes, is_open, strict=True)
    ]


def _continued(slot: Slot, prefix: Tokens, answer: Tokens) -> Rollout:
    num_teacher = len(prefix.token_ids)
    return Rollout(
        slot,
        0,
        (*prefix.token_ids, *answer.token_ids),
        (*unknown(num_teacher), *answer.logps),
        num_teacher=num_teacher,
        truncated=answer.finish_reason == "length",
    )


def _refined(draw: Draw, trajectory: Refined, slots: Sequence[Slot]) -> list[Rollout]:
    author = trajectory.draft.author
    drafts = (initial_drafts if author == "initial" else _student)(draw, trajectory.draft, slots)
    return refine(draw, trajectory, drafts)


def _teacher_samples(draw: Draw, trajectory: TeacherSamples, slots: Sequence[Slot]) -> list[Rollout]:
    return teacher_rollouts(draw, trajectory.sampling, slots, 0)


def _dataset(draw: Draw, trajectory: Dataset, slots: Sequence[Slot]) -> list[Rollout]:
    """Take the data's reference solutions, ended by the student's first stop token."""
    chat = draw.cast.student.chat
    rollouts: list[Rollout] = []
    for slot in slots:
        reference = slot.problem.problem.reference
        if reference is None:
            raise ConfigError(f"{slot.problem.task.id}/{slot.problem.problem.id} has no reference solution to train on")
        ids = tuple(chat.response_ids(reference)[: draw.max_tokens])
        rollouts.append(Rollout(slot, 0, ids, unknown(len(ids)), num_teacher=len(ids), offline=True))
    return rollouts


def _mixed(draw: Draw, trajectory: Mixed, slots: Sequence[Slot]) -> list[Rollout]:
    is_first = derive_seed(draw.seed, "mixed", draw.step) / 2**63 < trajectory.probability
    return draw_rollouts(draw, trajectory.first if is_first else trajectory.second, slots)


_DRAWS: dict[type, Callable[[Draw, Any, Sequence[Slot]], list[Rollout]]] = {
    Student: _student,
    Group: _group,
    TeacherPrefix: _teacher_prefix,
    Refined: _refined,
    TeacherSamples: _teacher_samples,
    Dataset: _dataset,
    Mixed: _mixed,
}
