"""A worker process: reads ``{"run": key}`` lines, runs those cells one after the other, writes events.

``python -m opdbench.runner.worker BOARD RUNS [OVERRIDE ...]``. Standard output is the protocol and nothing else: what
libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opdbench.config import load_board
from opdbench.errors import OPDBenchError
from opdbench.plan import make_plan
from opdbench.runner.cell import CellRun, Event
from opdbench.store import RunStore

if TYPE_CHECKING:
    from types import FrameType

PR_SET_PDEATHSIG = 1


class _Stop:
    """Becomes true at the first SIGTERM; Ctrl-C is the parent's business."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


def _die_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, so that a killed run leaves nobody writing (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Serve until standard input closes."""
    _die_with_parent()
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    board_path, runs_path, *overrides = arguments
    board = load_board(Path(board_path), overrides)
    cells = {cell.key: cell for cell in make_plan(board).cells}
    runs, stop = RunStore(Path(runs_path)), _Stop()

    def send(event: Event) -> None:
        protocol.write(json.dumps(event) + "\n")

    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        cell = cells[message["run"]]
        store = runs.cell(cell.key)
        try:
            with store.lock():
                send({"event": "started", "cell": cell.key, "row": cell.row, "seed": cell.seed})
                CellRun(cell, board, runs, store, send, stop).run()
        except OPDBenchError as error:
            failed = {"event": "failed", "cell": cell.key, "row": cell.row, "seed": cell.seed}
            send({**failed, "error": str(error), "traceback": None})
        if stop():
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
