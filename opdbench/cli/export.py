"""``opdbench export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from opdbench.cli import options, text
from opdbench.records import Pool

EXAMPLES = options.examples(
    "opdbench export aime24 math500 --out for-lighteval",
    'lighteval accelerate "model_name=MODEL" "opd_aime24|0" --custom-tasks for-lighteval/opdbench_lighteval.py',
)


def export(
    task: Annotated[
        list[str], typer.Argument(help="Ids of tasks.", autocompletion=options.complete_task, show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the module and its data go.")] = Path(
        "lighteval"
    ),
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Samples per problem.", show_default="each task's own")
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest completion.")] = 32768,
    pool: Annotated[Pool, typer.Option("--pool", help="Which problems.")] = "test",
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
) -> None:
    """Write tasks as a custom-task module of lighteval, so that others can check scores with their own program."""
    from opdbench.verbs import interop

    done = interop.export(task, out, pool=pool, k=k, max_tokens=max_tokens)
    if as_json:
        text.out_json(asdict(done))
    else:
        for name in done.names:
            text.out(name)
    text.note(f"module: {done.module}")
    if done.private:
        text.note(f"do not publish the data of {', '.join(done.private)}: their terms forbid it")
