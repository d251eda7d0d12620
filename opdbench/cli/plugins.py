"""``opdbench list`` and ``opdbench validate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from opdbench.cli import options, text
from opdbench.registry import Kind

if TYPE_CHECKING:
    from opdbench.verbs.plugins import Validated

LIST_EXAMPLES = options.examples("opdbench list methods", "opdbench list tasks --json")
VALIDATE_EXAMPLES = options.examples("opdbench validate", "opdbench validate lab_add lab_code")
MAX_REFUSALS = 10


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """List plug-ins with the distribution that provides each, and whether it loads."""
    from opdbench.verbs import plugins

    listed = plugins.list_plugins(kind)
    if as_json:
        text.out_json([asdict(item) for item in listed])
    else:
        rows = [(item.id, item.title, f"{item.distribution} {item.version}", item.status) for item in listed]
        text.out_table(("id", "title", "provided by", "status"), rows)


def validate(
    task: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of tasks; all, if none is named.", autocompletion=options.complete_task),
    ] = None,
    as_json: options.Json = False,
    unsafe_exec: options.UnsafeExec = False,
    data_dir: options.DataDir = None,
    quiet: options.Quiet = False,
) -> None:
    """Check tasks: pinned number of problems, every gold answer right under its own grader, no empty answer right."""
    from opdbench.verbs import plugins

    done: list[plugins.Validated] = []
    for item in plugins.validate(task or (), on_start=_ignore if quiet else _announce):
        done.append(item)
        if not as_json:
            _show(item)
    if as_json:
        text.out_json([{**asdict(item), "is_valid": item.is_valid} for item in done])
    raise typer.Exit(0 if all(item.is_valid for item in done) else 1)


def _announce(task: str) -> None:
    text.note(f"{task} ...")


def _ignore(task: str) -> None:
    """Say nothing."""


def _show(item: Validated) -> None:
    verdict = "ok" if item.is_valid else item.error or f"{len(item.refusals)} refused"
    text.out(text.line(f"{item.task}  version {item.version}  {item.num_problems} problems  {verdict}", 1000))
    for refusal in item.refusals[:MAX_REFUSALS]:
        text.out(text.line(f"  {refusal.problem}: {refusal.verdict} ({refusal.reason})"))
