"""``opdbench show``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opdbench.cli import options, text

if TYPE_CHECKING:
    from opdbench.verbs.samples import Shown

EXAMPLES = options.examples(
    "opdbench show runs/eval/student --wrong",
    "opdbench show runs/lab/0123456789abcdef --task lab_add --problem test-7 --limit 0",
)


def show(
    directory: Annotated[
        Path, typer.Argument(help="Of a cell (runs/BOARD/KEY) or of an evaluation.", show_default=False)
    ],
    problem: Annotated[str | None, typer.Option("--problem", metavar="ID", help="Only this problem.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Only this task.", autocompletion=options.complete_task)
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only samples that are not correct.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many samples; 0 for all.")] = 10,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
) -> None:
    """Print stored samples with their grades. What a model wrote is shown escaped."""
    from opdbench.verbs import samples

    found: Iterable[Shown] = samples.show(directory, problem=problem, task=task, wrong=wrong)
    chosen = list(islice(found, limit or None))
    if as_json:
        text.out_json([item.to_json() for item in chosen])
    else:
        for item in chosen:
            text.out(_block(item))
    text.note(f"{len(chosen)} samples" + (f" (--limit {limit})" if limit and len(chosen) == limit else ""))


def _block(item: Shown) -> str:
    sample, grade, problem = item.sample, item.grade, item.problem
    head = [f"── {sample.task}/{sample.problem_id}/{sample.index}", "not graded"]
    if grade is not None:
        head = [head[0], f"{grade.verdict} ({grade.reason})", f"answer {grade.answer!r}"]
    head += [f"target {item.target!r}", f"{sample.num_tokens} tokens, {sample.finish_reason}"]
    parts = [text.line(" · ".join(head), 500), _indented(problem.prompt, "> "), _indented(sample.text, "  ")]
    return "\n".join([*parts, ""])


def _indented(content: str, mark: str) -> str:
    return "\n".join(f"{mark}{part}".rstrip() for part in text.visible(content).split("\n"))
