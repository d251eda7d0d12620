"""``opdbench list`` and ``opdbench validate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opdbench.cli import options, text
from opdbench.data import UNPINNED
from opdbench.registry import Kind

if TYPE_CHECKING:
    from opdbench.verbs.plugins import Listed, Validated

LIST_EXAMPLES = options.examples("opdbench list methods", "opdbench list tasks --json", "opdbench list protocols")
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
        text.out_json([_listed_json(item) for item in listed])
    else:
        rows = [(item.id, item.title, f"{item.distribution} {item.version}", item.status) for item in listed]
        text.out_table(("id", "title", "provided by", "status"), rows)
        _show_settings(listed)


def _listed_json(item: Listed) -> dict[str, Any]:
    fields = asdict(item)
    settings = fields.pop("settings")
    return {**fields, "settings": settings} if settings else fields


def _show_settings(listed: Sequence[Listed]) -> None:
    """Print what protocols state; a mark says where each value is from."""
    rows = [
        (item.id, one.task or "all", one.name, one.source, repr(one.value)) for item in listed for one in item.settings
    ]
    if rows:
        text.out()
        text.out_table(("protocol", "task", "setting", "from", "value"), rows)
        text.note("from: paper (its text or printed numbers), code (its repository), ours (stated in neither)")


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
    text.note(_summary(done))
    # Data that nobody asked for by name may be elsewhere; what is asked for must be here.
    raise typer.Exit(0 if all(item.is_valid or (item.is_absent and not task) for item in done) else 1)


def _summary(done: Sequence[Validated]) -> str:
    absent = [item for item in done if item.is_absent]
    num_valid = sum(item.is_valid for item in done)
    said = f"{num_valid} valid, {len(done) - num_valid - len(absent)} not valid, {len(absent)} not here"
    pinned = [item.task for item in absent if item.revision != UNPINNED]
    local = [item.task for item in absent if item.revision == UNPINNED]
    parts = [f"run opdbench fetch {' '.join(pinned)}"] if pinned else []
    parts += [f"name --data-dir for {' '.join(local)}, whose commit is not pinned"] if local else []
    return f"{said}: {', and '.join(parts)}" if absent else said


def _announce(task: str) -> None:
    text.note(f"{task} ...")


def _ignore(task: str) -> None:
    """Say nothing."""


def _show(item: Validated) -> None:
    counted = f"{item.num_problems} problems, {_golds(item)}" if item.num_problems else "0 problems"
    text.out(text.line(f"{item.task}  version {item.version}  {counted}: {_verdict(item)}", 1000))
    for refusal in item.refusals[:MAX_REFUSALS]:
        text.out(text.line(f"  {refusal.problem}: {refusal.verdict} ({refusal.reason})"))
    for doubt in item.doubts:
        text.out(text.line(f"  {doubt}"))


def _golds(item: Validated) -> str:
    return f"{item.num_right} of {item.num_golds} gold answers right" if item.num_golds else "no gold answers"


def _verdict(item: Validated) -> str:
    if item.is_absent:
        return f"not here: {item.error}"
    if item.is_valid:
        return f"ok, with remarks: {len(item.doubts)}" if item.doubts else "ok"
    return item.error or f"{len(item.refusals)} refused"
