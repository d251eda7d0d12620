"""The table for machines: results.json with every result behind it, and a flat CSV file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from opdbench.board import escape, figures
from opdbench.board.table import Table
from opdbench.records import Result, to_json

FORMAT = "opdbench-board/1"


def export_json(table: Table, results: Iterable[Result]) -> str:
    """Return the table and the results behind it; figures of the clock are in each result's ``timing``.

    Counts by problem stay in the files of the results, which lie beside this one.
    """
    ordered = sorted(results, key=lambda run: (run.row, run.seed))
    data = {
        "format": FORMAT,
        "generated": "by `opdbench publish`; do not edit",
        "table": _steady(to_json(table)),
        "results": [_summary(run) for run in ordered],
    }
    return json.dumps(_plain(data), indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def export_csv(table: Table) -> str:
    """Return one line per row of the board; scores are shares of 1, and an empty cell is a missing number."""
    records = list(table.records())
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    names = list(records[0]) if records else []
    writer.writerow([escape.csv_cell(name) for name in names])
    for record in records:
        writer.writerow([_cell(record[name]) for name in names])
    return sink.getvalue()


def _cell(value: object) -> object:
    return repr(figures.steady(value)) if isinstance(value, float) else escape.csv_cell(value)


def _summary(run: Result) -> dict[str, Any]:
    record = to_json(run)
    for checkpoint in record["checkpoints"]:
        del checkpoint["correct"]
    return record


def _steady(value: Any) -> Any:
    """Round what was computed here; results themselves are kept to the last digit."""
    if isinstance(value, float):
        return figures.steady(value)
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items()}  # pyright: ignore
    return [_steady(item) for item in value] if isinstance(value, list | tuple) else value  # pyright: ignore


def _plain(value: Any) -> Any:
    """Return JSON with text keys: a number as a key would sort as a number here and as text elsewhere."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore
    return value
