"""``init``, ``run``, ``publish``: a board, its run directory, and its published files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from opdbench.config import BoardConfig, load_board, write_template
from opdbench.errors import DataError
from opdbench.plan import make_plan

if TYPE_CHECKING:
    from opdbench.board import Agreement, Table
    from opdbench.records import Result
    from opdbench.runner import Event, RunReport, Stop

RUNS = Path("runs")
"""Where run directories are, unless told otherwise."""


def ignore(event: Event) -> None:
    """Report nothing."""


def never() -> bool:
    """Do not stop."""
    return False


def init(directory: Path, template: str = "lab") -> Path:
    """Write a board to start from and return its file; nothing is overwritten.

    Raises:
        ConfigError: there is a board already, or no such template.
    """
    return write_template(directory, template)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run came to."""

    board: BoardConfig
    report: RunReport
    results: tuple[Result, ...]

    def table(self) -> Table:
        """Return the table of all finished cells."""
        from opdbench.board import build_table

        return build_table(self.board, self.results)

    def place(self, key: str) -> str:
        """Return ``ROW/SEED`` of a cell."""
        return next((f"{cell.row}/{cell.seed}" for cell in make_plan(self.board).cells if cell.key == key), key)


def run(
    board: Path | str,
    *,
    runs: Path = RUNS,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    fail_fast: bool = False,
    track: Sequence[str] = (),
    on_event: Callable[[Event], None] = ignore,
    stop: Stop | None = None,
) -> Run:
    """Compute the cells of a board that are missing; a second call goes on where the first was stopped.

    Raises:
        OPDBenchError: the board cannot be run as it stands.
    """
    from opdbench.runner import board_results, run_board

    config = load_board(board, overrides)
    report = run_board(
        config,
        runs,
        only=only,
        seeds=seeds,
        jobs=jobs,
        fail_fast=fail_fast,
        overrides=overrides,
        track=track,
        on_event=on_event,
        stop=stop,
    )
    return Run(config, report, tuple(board_results(config, runs)))


@dataclass(frozen=True, slots=True)
class Published:
    """What ``publish`` did.

    Attributes:
        files: Generated files that were missing or differed; they are written now, unless only checked.
        added: Results that were copied beside the board.
        stale: Results that answer another question than the board asks now.
    """

    files: tuple[Path, ...]
    added: tuple[Path, ...] = ()
    stale: tuple[str, ...] = ()


def publish(board: Path | str, *, mode: Literal["write", "check", "add"] = "write", runs: Path = RUNS) -> Published:
    """Write the generated files of a board from its committed results.

    Args:
        board: The board's file or directory.
        mode: ``check`` writes nothing; ``add`` first copies the results of finished cells from ``runs``.
        runs: Where run directories are.

    Raises:
        DataError: a result cannot be read, may not be published, or there is none to add.
    """
    from opdbench.board import add, publish

    config = load_board(board)
    folder = config.directory / "results"
    if mode != "add":
        return Published(tuple(publish(config, folder, check=mode == "check")))
    keys = {(cell.row, cell.seed): cell.key for cell in make_plan(config).cells}
    added = add(config, _finished(config, runs), folder, keys)
    return Published(tuple(publish(config, folder)), added.written, added.stale)


def compare(board: Path | str, *, runs: Path = RUNS) -> list[Agreement]:
    """Compare the finished cells of a run with the committed results, by row and task.

    Raises:
        DataError: nothing is committed, or nothing is finished.
    """
    from opdbench.board import compare_results, load_results

    config = load_board(board)
    committed = load_results(config.directory / "results")
    if not committed:
        raise DataError(f"{config.directory / 'results'} holds no results to compare with; `publish --add` copies some")
    return compare_results(committed, _finished(config, runs))


def _finished(board: BoardConfig, runs: Path) -> list[Result]:
    from opdbench.runner import board_results

    results = board_results(board, runs)
    if not results:
        raise DataError(f"{runs / board.name} holds no finished cell of this board; `opdbench run` computes them")
    return results
