"""``opdbench publish``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from opdbench.cli import options, text

EXAMPLES = options.examples(
    "opdbench publish leaderboards/lab",
    "opdbench publish leaderboards/lab --add",
    "opdbench publish leaderboards/lab --compare",
    "opdbench publish leaderboards/lab --check",
)


def publish(
    board: options.Board,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a generated file is stale.")
    ] = False,
    add: Annotated[bool, typer.Option("--add", help="First copy the results of finished cells from --runs.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare finished cells with the committed results; write nothing.")
    ] = False,
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """Write the table of a board (README.md, report.html, results.json, results.csv) from its committed results."""
    if check + add + compare > 1:
        raise typer.BadParameter("--check, --add and --compare exclude each other")
    if compare:
        return _compare(board, runs, as_json)
    from opdbench.verbs import boards

    done = boards.publish(board, mode="check" if check else "add" if add else "write", runs=runs)
    files, added = [str(path) for path in done.files], [str(path) for path in done.added]
    if as_json:
        text.out_json({"stale" if check else "written": files, "added": added, "stale_results": list(done.stale)})
    else:
        for file in [*added, *files]:
            text.out(text.line(file))
    for stale in done.stale:
        text.note(f"stale: {stale}; run it again before publishing")
    if check:
        _end_check(files, board)
    return None


def _end_check(files: list[str], board: Path) -> None:
    if files:
        text.note(f"{len(files)} generated files are stale; run: opdbench publish {board}")
        raise typer.Exit(1)
    text.note("every generated file is what its results say")


def _compare(board: Path, runs: Path, as_json: bool) -> None:
    from opdbench.verbs import boards

    found = boards.compare(board, runs=runs)
    if as_json:
        text.out_json([asdict(item) for item in found])
    else:
        for item in found:
            text.out(item.line())
    differing = sum(item.verdict == "differs" for item in found)
    text.note(f"{len(found)} compared, {differing} differ beyond noise")
    raise typer.Exit(1 if differing else 0)
