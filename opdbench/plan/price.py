"""Refuses, before anything runs, a budget that one step of a row would not fit into."""

from __future__ import annotations

from collections.abc import Mapping

from opdbench.budget import MAX_STEP_FRACTION, Budget
from opdbench.config import SELF, BoardConfig, RowConfig
from opdbench.config.lines import Location
from opdbench.errors import BudgetError, ConfigError
from opdbench.flops import Shape
from opdbench.method import Method
from opdbench.outline import PROGRESS
from opdbench.plan.models import Models
from opdbench.pricing import Lengths, Shapes, step_bound
from opdbench.trainer import TrainSettings


def shapes_of(row: RowConfig, models: Models, settings: TrainSettings) -> Shapes:
    """Return the architectures of a row.

    Raises:
        ConfigError: one is not known.
    """
    student = models.shape(row.student_name)

    def shape(name: str) -> Shape:
        return student if name == SELF else models.shape(name)

    teachers: Mapping[str, Shape] = {domain: shape(name) for domain, name in row.teacher_names.items()}
    return Shapes(student, teachers, shape(row.reference) if row.reference else None, settings.lora)


def price(
    board: BoardConfig, row: RowConfig, at: Location, method: Method, settings: TrainSettings, models: Models
) -> float | None:
    """Return the most that one step of a row can cost on the budget's axis; None on ``gpu_hours``.

    Raises:
        BudgetError: a step does not fit, or is more than 1 % of an equal budget.
        ConfigError: the architecture of a model is not known.
    """
    budget = board.budget_of(row)
    if budget.axis == "gpu_hours":
        return None
    if budget.axis == "steps":
        # A remainder of optimizer steps is all that an equal budget can lose here, so 1 % is not asked for.
        bound = float(settings.updates_per_batch)
        _refuse(board, at, budget, bound, budget.limit, settings)
        return bound
    shapes, lengths = shapes_of(row, models, settings), Lengths(settings.max_prompt_tokens, settings.max_tokens)
    costs = [step_bound(method, progress, shapes, lengths, settings.prompts_per_step) for progress in PROGRESS]
    bound = float(max(cost.on(budget.axis) or 0 for cost in costs))
    share = MAX_STEP_FRACTION if budget.mode == "equal" else 1.0
    _refuse(board, at, budget, bound, share * budget.limit, settings)
    return bound


def known_vocabulary(row: RowConfig, models: Models, settings: TrainSettings) -> int | None:
    """Return the largest number of shared ids that a row's models can have; None where shapes are not known."""
    try:
        shapes = shapes_of(row, models, settings)
    except ConfigError:
        return None
    return min(shape.vocab_size for shape in (shapes.student, *shapes.teachers.values()))


def _refuse(
    board: BoardConfig, at: Location, budget: Budget, bound: float, allowed: float, settings: TrainSettings
) -> None:
    if bound <= allowed:
        return
    needed, prompts = budget.limit * bound / allowed, int(settings.prompts_per_step * allowed / bound)
    fewer = f"prompts_per_step to {prompts} or less" if prompts else "max_tokens"
    cheaper = "updates_per_batch" if budget.axis == "steps" else fewer
    raise BudgetError(
        f"{board.origin.where(at)}: one step can cost {bound:.4g} {budget.axis}, and at most {allowed:.4g} is allowed "
        f"({allowed / budget.limit:.0%} of the limit of {budget.limit:.4g}); "
        f"raise the limit to {needed:.4g} or more, or lower {cheaper}"
    )
