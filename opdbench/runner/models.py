"""From planned models to files on this machine, the outputs of other cells included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opdbench.checkpoints import content_hash, locate
from opdbench.config import SELF
from opdbench.errors import ModelError
from opdbench.plan import Cell, PlannedModel
from opdbench.store import RunStore
from opdbench.trainer import LocatedModel

CHECKPOINTS = "checkpoints"
"""The file of a cell that says where its checkpoints are."""


class Locator:
    """Finds the models of cells; ``base`` is the board's directory."""

    def __init__(self, base: Path, runs: RunStore) -> None:
        self._base, self._runs = base, runs

    def model(self, planned: PlannedModel, cell: Cell) -> LocatedModel:
        """Return one model of a cell.

        Raises:
            ModelError: its files are missing or unsafe, or the cell that makes it has not run.
        """
        if planned.name == SELF:
            return self.model(cell.student, cell)
        if planned.upstream is None:
            return locate(planned.name, planned.entry, self._base)
        directory = self._output(planned)
        return LocatedModel(planned.name, planned.entry, directory, content_hash(directory))

    def _output(self, planned: PlannedModel) -> Path:
        store = self._runs.cell(planned.upstream or "")
        listed: list[dict[str, Any]] = store.read_json(CHECKPOINTS) or []
        if not listed:
            raise ModelError(
                f"model {planned.name!r}: cell {planned.upstream} has no checkpoint in {store.directory}; run its "
                "board first, with the same --runs directory"
            )
        return store.directory / listed[-1]["directory"]
