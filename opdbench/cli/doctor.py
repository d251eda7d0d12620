"""``opdbench doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from opdbench.cli import options, text

EXAMPLES = options.examples("opdbench doctor", "opdbench doctor --json | jq .problems")


def doctor(runs: options.Runs = Path("runs"), as_json: options.Json = False) -> None:
    """Say what this machine offers and what would keep a run from working. Nothing is downloaded."""
    from opdbench.verbs.doctor import doctor

    found = doctor(runs)
    if as_json:
        text.out_json(found.to_json())
    else:
        text.out_table(("what", "found"), [(name, _words(value)) for name, value in _rows(found.to_json())])
        for problem in found.problems:
            text.out(text.line(f"problem: {problem}", 1000))
    text.note(f"{len(found.problems)} problems" if found.problems else "nothing would keep a run from working")
    raise typer.Exit(1 if found.problems else 0)


def _rows(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Flatten one level; problems come after the table."""
    rows: list[tuple[str, Any]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            rows += [(f"{name} {inner}", item) for inner, item in value.items() if inner != "problem"]  # pyright: ignore
        elif name != "problems":
            rows.append((name, value))
    return rows


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return _words(value.get("ok", list(value)))  # pyright: ignore
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"  # pyright: ignore
    return (
        "—" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    )
