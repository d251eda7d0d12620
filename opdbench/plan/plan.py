"""The plan itself: all cells of a board in the order in which they can run, and how far each has come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from opdbench.config import BoardConfig
from opdbench.config.explain import suggestion
from opdbench.errors import ConfigError
from opdbench.plan.cell import Cell
from opdbench.records import canonical_json

CellState = Literal["done", "partial", "missing", "stale"]


class CellView(Protocol):
    """What a plan reads of one cell's directory."""

    def read_json(self, name: str) -> Any:
        """Return the content of ``NAME.json``, None if there is none."""
        ...


class StoreView(Protocol):
    """What a plan reads of a run directory; ``store.RunStore`` is one."""

    def cell_keys(self) -> Sequence[str]:
        """Return the keys of all cells that have a directory."""
        ...

    def cell(self, key: str) -> CellView:
        """Return one cell's directory, whether it exists or not."""
        ...


@dataclass(frozen=True)
class Plan:
    """All cells of a board; each comes after those whose output it needs."""

    board: BoardConfig
    cells: tuple[Cell, ...]

    def cell(self, row: str, seed: int) -> Cell:
        """Return one cell.

        Raises:
            ConfigError: there is none.
        """
        for cell in self.cells:
            if (cell.row, cell.seed) == (row, seed):
                return cell
        places = [f"{cell.row}/{cell.seed}" for cell in self.cells]
        raise ConfigError(f"no cell {row}/{seed} in board {self.board.name}. {suggestion(f'{row}/{seed}', places)}")

    def select(self, only: Collection[str]) -> Plan:
        """Return the cells of some rows (``ROW`` or ``ROW/SEED``) and what they need.

        Raises:
            ConfigError: a name means no cell.
        """
        names = {name for cell in self.cells for name in (cell.row, f"{cell.row}/{cell.seed}")}
        for name in only:
            if name not in names:
                raise ConfigError(f"no row {name!r} in board {self.board.name}. {suggestion(name, names)}")
        wanted = {cell.key for cell in self.cells if cell.row in only or f"{cell.row}/{cell.seed}" in only}
        for cell in reversed(self.cells):
            wanted |= set(cell.upstream) if cell.key in wanted else set()
        return Plan(self.board, tuple(cell for cell in self.cells if cell.key in wanted))

    def status(self, store: StoreView) -> dict[tuple[str, int], CellState]:
        """Return how far each cell has come, by row and seed.

        ``done``: trained, and evaluated as the board asks. ``partial``: begun, failed, or evaluated otherwise.
        ``stale``: only another question of the same row and seed was begun. ``missing``: nothing was.
        """
        found = {key: store.cell(key).read_json("cell") or {} for key in store.cell_keys()}
        current = {cell.key for cell in self.cells}
        begun = {(data.get("row"), data.get("seed")) for key, data in found.items() if key not in current}
        return {(cell.row, cell.seed): _state(cell, store, found, begun) for cell in self.cells}

    def to_json(self) -> list[dict[str, Any]]:
        """Return all cells as plain JSON values."""
        return [cell.to_json() for cell in self.cells]


def _state(
    cell: Cell, store: StoreView, found: Mapping[str, Any], begun: Collection[tuple[object, object]]
) -> CellState:
    if cell.key not in found:
        return "stale" if (cell.row, cell.seed) in begun else "missing"
    result = store.cell(cell.key).read_json("result")
    if result is None or result.get("status") == "failed":
        return "partial"
    answered = result.get("cell", {}).get("evaluation")
    return "done" if canonical_json(answered) == canonical_json(cell.evaluation_question()) else "partial"
