"""``opdbench fetch``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from opdbench.cli import options, text

EXAMPLES = options.examples(
    "opdbench fetch aime24 math500",
    "opdbench fetch --all",
    "HF_HUB_OFFLINE=1 opdbench eval MODEL --tasks aime24     # later, without a network",
)


def fetch(
    task: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of tasks.", autocompletion=options.complete_task, show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every installed task that has data to fetch.")] = False,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    quiet: options.Quiet = False,
) -> None:
    """Download the data of tasks at their pinned commits and check it, so that later runs need no network."""
    from opdbench.verbs import data

    done: list[data.Fetched] = []
    for item in data.fetch(data.downloadable() if every else task or (), on_start=_ignore if quiet else _announce):
        done.append(item)
        if not as_json:
            state = f"{item.num_problems} problems  {item.directory}" if item.error is None else item.error
            text.out(text.line(f"{item.task}  {state}", 1000))
    if as_json:
        text.out_json([asdict(item) for item in done])
    raise typer.Exit(0 if all(item.error is None for item in done) else 1)


def _announce(task: str) -> None:
    text.note(f"{task} ...")


def _ignore(task: str) -> None:
    """Say nothing."""
