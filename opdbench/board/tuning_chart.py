"""Score against learning rate: one line per row, on a logarithmic axis; untrained students lie as level lines."""

from __future__ import annotations

import math

from opdbench.board import charts
from opdbench.board.charts import Curves, Line, Scale, Tick
from opdbench.board.table import Table
from opdbench.board.tuning import RowTuning, Tuning

_RIGHT = charts.WIDTH - charts.CURVE_RIGHT
_BOTTOM = charts.CURVE_HEIGHT - charts.CURVE_BOTTOM
_MARGIN = 0.1
"""Powers of ten that the axis goes on beyond the outermost learning rates."""


def rate_curves(table: Table, tuning: Tuning) -> Curves | None:
    """Lay out the validation scores over the learning rates tried; None when no row has two of them."""
    rows = {row.title: tuning.rows[row.id] for row in table.rows if row.id in tuning.rows}
    rows = {title: row for title, row in rows.items() if len(row.rates()) > 1}
    if not rows:
        return None
    students = {name: found.score for name, found in tuning.students.items() if found.score is not None}
    scores = [trial.score or 0.0 for row in rows.values() for trial in row.rates()]
    low, high, step = charts.nice(min([*scores, *students.values()]), max([*scores, *students.values()]))
    ys = Scale(low, high, _BOTTOM, charts.CURVE_TOP)
    rates = [math.log10(trial.learning_rate) for row in rows.values() for trial in row.rates()]
    xs = Scale(min(rates) - _MARGIN, max(rates) + _MARGIN, charts.CURVE_LEFT, _RIGHT)
    lines = [_level(f"{name}, untrained", ys.at(score)) for name, score in sorted(students.items())]
    lines += [_line(title, row, index, xs, ys) for index, (title, row) in enumerate(rows.items())]
    ticks = [Tick(xs.at(math.log10(rate)), f"{rate:g}") for rate in tuning.space.learning_rates]
    return Curves(
        charts.WIDTH,
        charts.CURVE_HEIGHT,
        charts.CURVE_LEFT,
        _RIGHT,
        _BOTTOM,
        ticks,
        ys.ticks(step),
        charts.spaced(lines, _BOTTOM),
    )


def _line(title: str, row: RowTuning, index: int, xs: Scale, ys: Scale) -> Line:
    """Draw one row; a run that diverged is a hollow point."""
    trials = sorted(row.rates(), key=lambda trial: trial.learning_rate)
    places = [(xs.at(math.log10(trial.learning_rate)), ys.at(trial.score or 0.0)) for trial in trials]
    pairs = list(zip(places, trials, strict=True))
    solid = [place for place, trial in pairs if trial.status == "done"]
    hollow = [place for place, trial in pairs if trial.status != "done"]
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in places)
    kind = f"hue{index % charts.NUM_HUES} set{index // charts.NUM_HUES}"
    return Line(title, path, solid, hollow, places[-1][1], places[-1], kind)


def _level(title: str, y: float) -> Line:
    return Line(title, f"M{charts.CURVE_LEFT} {y:g} L{_RIGHT} {y:g}", (), (), y, (_RIGHT, y), "level")
