"""The words of a board that stand above its table, and what a result says of where it was made."""

from __future__ import annotations

from collections.abc import Mapping

from opdbench.board import figures
from opdbench.config import BoardConfig, Decoding
from opdbench.records import Result

UNITS = {"gpu_hours": "GPU-hours", "flops": "FLOPs", "tokens": "generated tokens", "steps": "optimizer steps"}

# An allow-list: a result may hold more, and host names, paths or dates must never reach a published page.
VERSIONS = ("opdbench", "commit", "python", "torch", "transformers", "vllm", "cpu", "device", "dtype", "threads")


def settings_of(board: BoardConfig) -> dict[str, str]:
    """Return what holds for every row, name to text."""
    evaluation = board.evaluation
    sampling = f"temperature {figures.number(evaluation.temperature)}, top-p {figures.number(evaluation.top_p)}, "
    sampling += f"top-k {evaluation.top_k or 'off'}, at most {figures.number(evaluation.max_tokens)} tokens"
    own = [f"{task}: {_decoding(changes)}" for task, changes in sorted(evaluation.per_task.items())]
    return {
        "Protocol": board.protocol,
        "Budget": f"{figures.on_axis(board.budget.limit, board.budget.axis)} {UNITS[board.budget.axis]} per run",
        "Training seeds": ", ".join(str(seed) for seed in board.seeds),
        "Training prompts": ", ".join(board.data.train) or "none",
        "Evaluation": f"{evaluation.pool} pool; {sampling}; engine {evaluation.engine}, {evaluation.dtype}",
        **({"Decoding of single tasks": "; ".join(own)} if own else {}),
        "Baseline": board.comparison.baseline,
    }


def _decoding(changes: Decoding) -> str:
    values = changes.model_dump(exclude_none=True)
    return ", ".join(f"{name} {figures.number(value)}" for name, value in sorted(values.items()))


def versions_of(result: Result) -> dict[str, str]:
    """Return the versions that shaped a result's numbers, without anything that names a person or a machine."""
    given = result.provenance.get("versions", {})
    nested: Mapping[str, object] = given if isinstance(given, Mapping) else {}
    known = {**result.provenance, **nested}
    return {name: str(known[name]) for name in VERSIONS if isinstance(known.get(name), str | int)}
