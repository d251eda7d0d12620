"""What training keeps on disk: the step log, the state to go on from, and the checkpoints.

A state is written whole and swapped in by one rename; the log is cut back to the state on resume. Nothing here
depends on when it was written, so a killed run ends with the same bytes as one that was left alone.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from opdbench.budget import Ledger, StepRecord, redone_seconds
from opdbench.checkpoints import TOKENIZER_FILES
from opdbench.store import RecordLog, recover_directory, replace_directory
from opdbench.training.student import TrainedStudent
from opdbench.training.texts import KeptTexts

if TYPE_CHECKING:
    from opdbench.training.loop import Counters

LOG_EVERY_SECONDS = 1.0


class TrainingFiles:
    """The files of one training run, below one directory."""

    def __init__(self, directory: Path, tokenizer_from: Path) -> None:
        self.directory, self._tokenizer_from = directory, tokenizer_from
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in [*directory.glob("state-*"), *directory.glob("checkpoints/*-*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        self._log = RecordLog(directory / "steps.jsonl")
        self.texts = KeptTexts.open(directory / "texts.jsonl")
        self._unwritten: list[dict[str, Any]] = []
        self._written_at = time.monotonic()

    def resume(self, student: TrainedStudent, ledger: Ledger) -> dict[str, Any]:
        """Restore the last state and return its counters, nothing where training starts anew.

        Logged steps after the state are charged as redone. A state that is damaged, or whose log lost a step, is
        dropped: what cannot be checked is computed again.
        """
        saved = self._saved()
        if saved is None:
            recover_directory(self.directory / "state")
            shutil.rmtree(self.directory / "state", ignore_errors=True)
            self._drop_steps_after(0, ledger)
            self.texts.cut(0)
            return {}
        student.load_state(load_file(self.directory / "state" / "state.safetensors"))
        ledger.restore(saved["ledger"])
        self._drop_steps_after(saved["num_records"], ledger)
        self.texts.cut(saved["num_texts"])
        return saved["counters"]

    def _saved(self) -> dict[str, Any] | None:
        state = self.directory / "state"
        recover_directory(state)
        try:
            saved = json.loads((state / "state.json").read_text())
            weights = hashlib.sha256((state / "state.safetensors").read_bytes()).hexdigest()
        except (OSError, ValueError):
            return None
        are_logged = saved["num_records"] <= len(self._log) and saved["num_texts"] <= len(self.texts)
        return saved if saved.get("sha256") == weights and are_logged else None

    def _drop_steps_after(self, count: int, ledger: Ledger) -> None:
        dropped = [StepRecord.from_json(record["spend"]) for record in self._log.truncate_to(count)]
        if dropped:
            ledger.charge_off_budget("redone", device_seconds=redone_seconds(dropped))

    def log_step(self, record: StepRecord, metrics: Mapping[str, float]) -> None:
        """Log one line: spend by phase and metrics. Lines reach the disk together, about once a second."""
        number = len(self._log) + len(self._unwritten)
        plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._unwritten.append({"key": str(number), "spend": record.to_json(), "metrics": plain})
        if time.monotonic() - self._written_at >= LOG_EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        self._log.append(self._unwritten)
        self._unwritten, self._written_at = [], time.monotonic()

    def save_state(self, student: TrainedStudent, ledger: Ledger, counters: Counters) -> None:
        """Write everything that going on needs, and swap it in."""
        self.flush()
        temporary = Path(tempfile.mkdtemp(prefix="state-", dir=self.directory))
        save_file(
            {name: value.contiguous() for name, value in student.state().items()}, temporary / "state.safetensors"
        )
        saved = {
            "sha256": hashlib.sha256((temporary / "state.safetensors").read_bytes()).hexdigest(),
            "ledger": ledger.to_json(),
            "counters": dataclasses.asdict(counters),
            "num_records": len(self._log),
            "num_texts": self.texts.save(),
        }
        (temporary / "state.json").write_text(json.dumps(saved))
        replace_directory(temporary, self.directory / "state")

    def checkpoint_directory(self, fraction: float) -> Path:
        """Return where the checkpoint at a part of the budget is."""
        return self.directory / "checkpoints" / f"{round(fraction * 1000):04d}"

    def write_checkpoint(self, fraction: float, student: TrainedStudent, parameters: dict[str, Tensor] | None) -> None:
        """Save the student, or an earlier copy of its parameters, as a checkpoint that any engine loads.

        Adapters are merged. Tokenizer files are the student's own; config.json carries the board's overrides.
        """
        final = self.checkpoint_directory(fraction)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{final.name}-", dir=final.parent))
        now = student.copy()
        _put(student, parameters or now)
        _merged(student.role.module).save_pretrained(temporary)
        _put(student, now)
        for name in TOKENIZER_FILES:
            if (self._tokenizer_from / name).exists():
                shutil.copyfile(self._tokenizer_from / name, temporary / name)
        replace_directory(temporary, final)


@torch.no_grad()
def _put(student: TrainedStudent, parameters: Mapping[str, Tensor]) -> None:
    for name, value in student.parameters().items():
        value.copy_(parameters[name])


def _merged(module: Any) -> Any:
    """Return the module with adapters merged into a copy; merging in place and back would not be exact."""
    return copy.deepcopy(module).merge_and_unload() if hasattr(module, "merge_and_unload") else module
