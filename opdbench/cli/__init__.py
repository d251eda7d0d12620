"""The command line: verbs, and no logic. What a verb needs is imported when it runs, so that ``--help`` is quick.

Exit codes: 0 done, 1 something failed, 2 the user can fix it (one message, no traceback), 75 stopped when asked to and
resumable, 130 ended at once. Anything else that is wrong is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from opdbench import __version__
from opdbench.cli import (
    boards,
    doctor,
    evaluate,
    export,
    fetch,
    grade,
    options,
    plugins,
    publish,
    run,
    show,
    text,
    tune,
)
from opdbench.errors import OPDBenchError

USER_CAN_FIX = 2

VERBS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("init", boards.init, boards.INIT_EXAMPLES),
    ("plan", boards.plan, boards.PLAN_EXAMPLES),
    ("run", run.run, run.EXAMPLES),
    ("fetch", fetch.fetch, fetch.EXAMPLES),
    ("eval", evaluate.evaluate, evaluate.EVAL_EXAMPLES),
    ("grade", grade.grade, grade.EXAMPLES),
    ("export", export.export, export.EXAMPLES),
    ("tune", tune.tune, tune.EXAMPLES),
    ("publish", publish.publish, publish.EXAMPLES),
    ("validate", plugins.validate, plugins.VALIDATE_EXAMPLES),
    ("list", plugins.list_, plugins.LIST_EXAMPLES),
    ("show", show.show, show.EXAMPLES),
    ("doctor", doctor.doctor, doctor.EXAMPLES),
)

app = typer.Typer(
    name="opdbench",
    help="The benchmark for on-policy distillation: equal budgets, pluggable methods, boards anyone can rebuild.",
    epilog=options.examples(
        "opdbench doctor",
        "opdbench init myboard",
        "opdbench run myboard",
        "opdbench eval MODEL --tasks lab_add,lab_run",
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, verb, examples in VERBS:
    app.command(name, epilog=examples)(verb)


def _print_version(asked: bool) -> None:
    if asked:
        text.out(f"opdbench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The benchmark for on-policy distillation: equal budgets, pluggable methods, boards anyone can rebuild."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Raises:
        SystemExit: always; the code says how it went.
    """
    text.prepare_streams()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="opdbench")
    except OPDBenchError as error:
        text.note(f"opdbench: {error}")
        sys.exit(USER_CAN_FIX)
