"""``board.toml`` as frozen, checked settings: what runs and what is tabulated, in one file."""

from opdbench.config.load import TEMPLATES, load_board, template, write_template
from opdbench.config.origin import Origin
from opdbench.config.settings import (
    SELF,
    BoardConfig,
    BudgetSettings,
    ComparisonSettings,
    DataSettings,
    Decoding,
    EvaluationSettings,
    RowConfig,
)

__all__ = [
    "SELF",
    "TEMPLATES",
    "BoardConfig",
    "BudgetSettings",
    "ComparisonSettings",
    "DataSettings",
    "Decoding",
    "EvaluationSettings",
    "Origin",
    "RowConfig",
    "load_board",
    "template",
    "write_template",
]
