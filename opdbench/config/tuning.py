"""``[tuning]``: what every trained row may try before its scores are compared, and what it is tried on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from opdbench.config.explain import suggestion
from opdbench.records import canonical_json

if TYPE_CHECKING:
    from opdbench.config.settings import BoardConfig


class TuningSettings(BaseModel):
    """One search for all trained rows: the same learning rates, the same number of trials, the validation pool."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rates: tuple[float, ...] = Field(min_length=3)
    """What every row tries first, ascending."""
    trials: int = Field(default=5, ge=3)
    """Trials of every row, its learning rates included."""
    seed: int = 1000
    """Training seed of every trial; never one of the board's own."""
    k: int = Field(default=2, ge=1)
    """Samples per validation problem."""
    constants: dict[str, dict[str, tuple[Any, ...]]] = Field(default_factory=dict[str, dict[str, tuple[Any, ...]]])
    """By row: values of its method's constants to try instead of the row's own, one constant at a time."""


def check_tuning(board: BoardConfig) -> None:
    """Refuse a search that is not the same for all rows, or that the board's own runs would be part of.

    Raises:
        ConfigError: the message names file, line and key.
    """
    if (tuning := board.tuning) is None:
        return
    rates, origin = tuning.learning_rates, board.origin
    if rates[0] <= 0 or any(high <= low for low, high in pairwise(rates)):
        raise origin.error(("tuning", "learning_rates"), f"{list(rates)} must increase and lie above 0")
    if tuning.seed in board.seeds:
        message = f"{tuning.seed} is one of the board's seeds; a search needs one of its own"
        raise origin.error(("tuning", "seed"), message)
    if tuning.trials < len(rates):
        message = f"{tuning.trials} trials are fewer than {len(rates)} learning rates; raise trials"
        raise origin.error(("tuning", "trials"), message)
    for row in tuning.constants:
        _check_constants(board, tuning, row)


def _check_constants(board: BoardConfig, tuning: TuningSettings, row: str) -> None:
    at, ids = ("tuning", "constants", row), [item.id for item in board.rows if item.method]
    if row not in ids:
        hint = suggestion(row, ids)
        raise board.origin.error(at, f"no row {row!r} that trains by a method. {hint}")
    for name, values in tuning.constants[row].items():
        try:
            texts = [canonical_json(value) for value in values]
        except (TypeError, ValueError) as error:
            raise board.origin.error((*at, name), f"only what JSON can say: {error}") from None
        if len(set(texts)) < len(texts) or not texts:
            raise board.origin.error((*at, name), f"{list(values)} must name values, each once")
    count, left = sum(map(len, tuning.constants[row].values())), tuning.trials - len(tuning.learning_rates)
    if count > left:
        message = f"{count} values are more than the {left} trials that the learning rates leave; raise tuning.trials"
        raise board.origin.error(at, message)
