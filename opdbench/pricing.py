"""What one prompt of a method can cost at most, from shapes and limits alone: no model, no torch.

``plan`` refuses boards by this bound and the loop cuts its last batch by it. What is charged is counted from real
lengths by ``training``; no charge exceeds the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opdbench.budget import Axis
from opdbench.flops import LowRank, Shape, generate_flops, score_flops, train_flops
from opdbench.method import (
    Argmax,
    Dataset,
    Entropy,
    Group,
    Logp,
    Method,
    Mixed,
    Need,
    Refined,
    RolloutLogp,
    Student,
    TeacherPrefix,
    TeacherSamples,
    Trajectory,
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """The architectures of a cell; ``teachers`` by domain, ``""`` being the default."""

    student: Shape
    teachers: Mapping[str, Shape]
    reference: Shape | None = None
    lora: LowRank | None = None


@dataclass(frozen=True, slots=True)
class Lengths:
    """Limits in tokens: the longest prompt of any role, without a draft that it quotes, and the longest response."""

    prompt: int
    response: int

    @property
    def quoting(self) -> Lengths:
        """The limits where the prompt quotes a whole response."""
        return Lengths(self.prompt + self.response, self.response)


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs, generated tokens and training sequences of one prompt."""

    flops: int = 0
    tokens: int = 0
    sequences: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Add field by field."""
        return Cost(self.flops + other.flops, self.tokens + other.tokens, self.sequences + other.sequences)

    def times(self, count: int) -> Cost:
        """Multiply every field."""
        return Cost(self.flops * count, self.tokens * count, self.sequences * count)

    def on(self, axis: Axis) -> float | None:
        """Return the cost on a budget's axis; None where no bound exists beforehand."""
        return {"flops": self.flops, "tokens": self.tokens}.get(axis)


def needs_pre_update_pass(needs: tuple[Need, ...]) -> bool:
    """Whether a student forward pass before the update is asked for.

    The sampler's log-probabilities of what it sampled are there without one; a correction between sampler and trainer
    needs both.
    """
    asked = (isinstance(need, Argmax | Entropy | Logp) and need.role == "student" for need in needs)
    return any(asked) or RolloutLogp() in needs


def prompt_bound(method: Method, progress: float, shapes: Shapes, lengths: Lengths) -> Cost:
    """Return the most that one prompt can cost: trajectory, scores, pre-update pass and update."""
    trajectory = method.trajectory(progress)
    drawn = _trajectory_bound(trajectory, shapes, lengths)
    needs = tuple(method.needs(progress))
    per_sequence = train_flops(shapes.student, lengths.prompt, lengths.response, shapes.lora)
    if needs_pre_update_pass(needs):
        per_sequence += score_flops(shapes.student, lengths.prompt, lengths.response)
    for role in method.roles(progress):
        is_quoting = isinstance(trajectory, Refined) and method.templates.get(role, "plain") != "plain"
        seen = lengths.quoting if is_quoting else lengths
        per_sequence += max(score_flops(shape, seen.prompt, seen.response) for shape in _shapes_of(role, shapes))
    return drawn + Cost(flops=per_sequence * drawn.sequences)


def step_bound(method: Method, progress: float, shapes: Shapes, lengths: Lengths, num_prompts: int) -> Cost:
    """Return the most that one rollout batch can cost."""
    return prompt_bound(method, progress, shapes, lengths).times(num_prompts)


def _shapes_of(role: str, shapes: Shapes) -> list[Shape]:
    if role == "reference":
        return [shapes.reference or shapes.student]
    return list(shapes.teachers.values()) or [shapes.student]


def _generation(shape_list: list[Shape], lengths: Lengths, sequences: int) -> Cost:
    flops = max(generate_flops(shape, lengths.prompt, lengths.response) for shape in shape_list)
    return Cost(flops, lengths.response, sequences)


def _both(student: Cost, teacher: Cost) -> Cost:
    """Return the cost of one sequence that two models write."""
    return Cost(student.flops + teacher.flops, student.tokens + teacher.tokens, 1)


def _trajectory_bound(trajectory: Trajectory, shapes: Shapes, lengths: Lengths) -> Cost:
    student = _generation([shapes.student], lengths, 1)
    if isinstance(trajectory, Student):
        return student
    if isinstance(trajectory, Dataset):
        return Cost(sequences=1)
    teachers = _shapes_of("teacher", shapes)
    if isinstance(trajectory, Refined):
        return _both(student, _generation(teachers, lengths.quoting, 1))
    if isinstance(trajectory, TeacherPrefix):
        longest = int(trajectory.fraction * lengths.response)
        # Cost is convex in where the student takes over, since a prefill attends to all pairs: an end is the dearest.
        taken_over = Lengths(lengths.prompt + longest, max(1, lengths.response - longest))
        student = max(student, _generation([shapes.student], taken_over, 1), key=lambda cost: cost.flops)
        student = Cost(student.flops, lengths.response, 1)
        return _both(student, _generation(teachers, Lengths(lengths.prompt, longest), 1) if longest else Cost())
    teacher = _generation(teachers, lengths, 1)
    if isinstance(trajectory, TeacherSamples):
        return teacher
    if isinstance(trajectory, Group):
        return student.times(trajectory.size - trajectory.num_offline) + teacher.times(trajectory.num_offline)
    assert isinstance(trajectory, Mixed)
    parts = [_trajectory_bound(part, shapes, lengths) for part in (trajectory.first, trajectory.second)]
    return Cost(*(max(getattr(part, name) for part in parts) for name in ("flops", "tokens", "sequences")))
