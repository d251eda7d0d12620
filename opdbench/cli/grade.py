"""``opdbench grade``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from opdbench.cli import options, text
from opdbench.cli.progress import display

EXAMPLES = options.examples(
    "opdbench grade runs/eval/student",
    "opdbench grade runs/lab/0123456789abcdef --task lab_code --json",
    "opdbench grade runs/eval/student --against lighteval     # changes nothing, shows where the two differ",
)
MAX_NAMED = 10


def grade(
    directory: Annotated[
        Path, typer.Argument(help="Of a cell (runs/BOARD/KEY) or of an evaluation.", show_default=False)
    ],
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Only this task; may be repeated.", autocompletion=options.complete_task),
    ] = None,
    against: Annotated[
        Literal["lighteval"] | None,
        typer.Option("--against", help="Only compare with this second grader; nothing is stored.", show_default=False),
    ] = None,
    as_json: options.Json = False,
    unsafe_exec: options.UnsafeExec = False,
    data_dir: options.DataDir = None,
    quiet: options.Quiet = False,
) -> None:
    """Grade stored samples again, by the graders installed now; no model is needed."""
    from opdbench.verbs import samples

    if against is not None:
        return _compare(directory, task or (), as_json)

    with display(quiet) as shown:
        regraded = samples.grade(directory, tasks=task or (), on_event=shown)
    changed = [asdict(change) for change in regraded.changed]
    if as_json:
        scores = [asdict(score) for score in regraded.scores]
        found = {"directory": str(directory), "samples": regraded.num_samples, "changed": changed, "scores": scores}
        text.out_json(found)
    elif changed:
        text.out_table(("sample", "old", "new"), [tuple(item.values()) for item in changed])
    text.note(f"{regraded.num_samples} samples graded, {len(changed)} verdicts changed")
    return None


def _compare(directory: Path, tasks: Sequence[str], as_json: bool) -> None:
    """Print how often the second grader differs, and on which samples."""
    from opdbench.verbs import interop

    found = interop.against_lighteval(directory, tasks)
    if as_json:
        return text.out_json([{**asdict(item), "rate": item.rate} for item in found])
    rows = [
        (item.task, item.num_samples, len(item.disagreements), text.percent(item.rate), item.ungraded, item.second)
        for item in found
    ]
    text.out_table(("task", "samples", "differ", "%", "ungraded", "second grader"), rows, ("samples", "differ", "%"))
    for item in found:
        for one in item.disagreements[:MAX_NAMED]:
            shown = "" if one.target is None else f"; answer {one.answer!r}, gold {one.target!r}"
            text.note(text.line(f"{one.key}: {one.ours} here, {one.theirs} there{shown}"))
    return None
