"""The one loop: trajectory, scores, terms, optimizer steps, until the budget is spent. It knows no method."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from opdbench.budget import Ledger, StepRecord
from opdbench.engines.engine import DivergedError
from opdbench.errors import ConfigError
from opdbench.flops import train_flops
from opdbench.method import Method, Term
from opdbench.pricing import Shapes
from opdbench.trainer import Checkpoint, Interrupted, Job, Trained, TrainSettings
from opdbench.training.batch import Batch
from opdbench.training.cast import Cast
from opdbench.training.checkpoint import TrainingFiles
from opdbench.training.draws import draw_rollouts
from opdbench.training.metrics import step_metrics
from opdbench.training.observer import Observer
from opdbench.training.room import Room
from opdbench.training.stream import PromptStream, learning_rate
from opdbench.training.student import StepReport, TrainedStudent
from opdbench.training.trajectories import Draw

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class Counters:
    """Where training stands; saved with the state."""

    step: int = 0
    prompts: int = 0
    rollouts: int = 0
    dropped: int = 0
    unpaid: int = 0
    optimizer_steps: int = 0
    diverged: bool = False
    finished: bool = False
    checkpoints: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])


class Loop:
    """Trains one cell."""

    def __init__(
        self,
        job: Job,
        method: Method,
        settings: TrainSettings,
        cast: Cast,
        student: TrainedStudent,
        shapes: Shapes,
        ledger: Ledger,
        files: TrainingFiles,
    ) -> None:
        self.job, self.method, self.settings = job, method, settings
        self.cast, self.student = cast, student
        self.shapes, self.ledger, self.files = shapes, ledger, files
        self.stream = PromptStream(job.problems, job.seed)
        self.counters = Counters(**files.resume(student, ledger))
        self._observer = Observer(settings, ledger)
        self._room = Room(method, settings, shapes, ledger)
        self._snapshot: dict[str, Tensor] | None = None
        self._saved_at = time.monotonic()

    def run(self) -> Trained:
        """Train until nothing more fits, and return the checkpoints.

        Raises:
            Interrupted: the job was asked to stop; the state is saved.
        """
        self.ledger.start_clock()
        while not self.counters.finished:
            if self.job.stop():
                self._save()
                raise Interrupted
            count = self._room.num_prompts()
            if count == 0 or self.counters.diverged:
                self._finish()
            else:
                self._one_batch(count)
        self.ledger.stop_clock()
        return self._trained()

    # One rollout batch

    def _one_batch(self, count: int) -> None:
        open_fractions = [f for f in self.job.fractions if str(f) not in self.counters.checkpoints]
        due = self.ledger.due(open_fractions, self._room.step_bound(count))
        self._snapshot = self.student.copy() if due else None
        before = self._position()
        record, metrics = self._train_on(count)
        with self.ledger.phase("checkpoint"):
            self.files.log_step(record, metrics)
        self._check_spend(record, count)
        for fraction in record.crossed(open_fractions):
            self._write_checkpoint(fraction, self._snapshot, before)
        self.job.report(self.counters.step, self.ledger.progress(), metrics)
        if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
            self._save()

    def _check_spend(self, record: StepRecord, count: int) -> None:
        """Refuse to go on for ever where a whole pass over the data costs nothing on the budget's axis.

        Raises:
            ConfigError: it does.
        """
        self.counters.unpaid = 0 if record.spend_after > record.spend_before else self.counters.unpaid + count
        if self.counters.unpaid >= len(self.job.problems):
            axis = self.ledger.budget.axis
            raise ConfigError(f"{self.counters.unpaid} prompts in a row cost no {axis}; this budget needs another axis")

    def _train_on(self, count: int) -> tuple[StepRecord, dict[str, float]]:
        self.ledger.begin_step()
        try:
            metrics = self._rollout_batch(count)
        except DivergedError as error:
            log.warning("step %d: %s", self.counters.step, error)
            self.counters.diverged, metrics = True, {}
        return self.ledger.end_step(), metrics

    def _rollout_batch(self, count: int) -> dict[str, float]:
        progress = self.ledger.progress()
        slots = self.stream.take(self.counters.prompts, count)
        trajectory = self.method.trajectory(progress)
        rollouts = draw_rollouts(self._draw(), trajectory, slots)
        if not rollouts:
            return self._nothing_kept(count, progress)
        self.counters.dropped = 0
        batch = Batch(
            rollouts,
            self.cast,
            self.method,
            self.ledger,
            progress=progress,
            seed=self.job.seed,
            step=self.counters.step,
            micro_batch_tokens=self.settings.micro_batch_tokens,
            max_tokens=self.settings.max_tokens,
        )
        terms = self.method.terms(batch.scores, progress)
        rewards, diagnostics = self._observer.look(batch, trajectory, self.counters.step)
        reports = self._update(batch, terms)
        self._count(count, len(rollouts), reports)
        with self.ledger.phase("diagnostics"):
            metrics = step_metrics(batch, terms, reports, rewards) | diagnostics
        return {"progress": progress, "learning_rate": learning_rate(self.settings, progress)} | metrics

    def _nothing_kept(self, count: int, progress: float) -> dict[str, float]:
        """Go on without an update where the method's filter dropped a whole batch, for one pass over the data.

        Raises:
            ConfigError: the filter dropped every problem.
        """
        self._count(count, 0, [])
        self.counters.dropped += count
        if self.counters.dropped >= len(self.job.problems):
            raise ConfigError(f"the method's filter kept no text of {self.counters.dropped} prompts in a row")
        return {"progress": progress, "rollouts": 0}

    def _draw(self) -> Draw:
        settings = self.settings
        return Draw(self.cast, self.ledger, self.job.seed, self.counters.step, settings.max_tokens, self.files.texts)

    def _update(self, batch: Batch, terms: Sequence[Term]) -> list[StepReport]:
        """Take the optimizer steps of a batch, each on its share of the sequences."""
        reports: list[StepReport] = []
        for number, members in enumerate(_shares(len(batch.rollouts), self.settings.updates_per_batch)):
            rate = learning_rate(self.settings, self.ledger.progress())
            with self.ledger.phase("update") as meter:
                report = self.student.step(batch, terms, members, learning_rate=rate, first_step=number == 0)
                contexts = [batch.contexts[i] for i in members]
                meter.add(
                    trained_tokens=sum(len(answer) for _, answer in contexts),
                    optimizer_steps=1,
                    flops=sum(self._train_flops(len(prompt), len(answer)) for prompt, answer in contexts),
                )
            reports.append(report)
            if not report.is_finite:
                break
        return reports

    def _train_flops(self, prompt_length: int, response_length: int) -> int:
        return train_flops(self.shapes.student, prompt_length, response_length, self.shapes.lora)

    def _count(self, prompts: int, rollouts: int, reports: Sequence[StepReport]) -> None:
        self.counters.step += 1
        self.counters.prompts += prompts
        self.counters.rollouts += rollouts
        self.counters.optimizer_steps += len(reports)
        self.counters.diverged = not all(report.is_finite for report in reports)

    # Checkpoints and state

    def _position(self) -> Checkpoint:
        return Checkpoint(0.0, self.counters.step, self.ledger.spend_at_last_step(), self.job.directory)

    def _write_checkpoint(self, fraction: float, parameters: dict[str, Tensor] | None, at: Checkpoint) -> None:
        with self.ledger.phase("checkpoint"):
            self.files.write_checkpoint(fraction, self.student, parameters)
        self.counters.checkpoints[str(fraction)] = {"step": at.step, "spend": at.spend}

    def _save(self) -> None:
        with self.ledger.phase("checkpoint"):
            self.files.save_state(self.student, self.ledger, self.counters)
        self._saved_at = time.monotonic()

    def _finish(self) -> None:
        """What was never crossed ends with the last state; so does a run that diverged."""
        for fraction in self.job.fractions:
            if str(fraction) not in self.counters.checkpoints:
                self._write_checkpoint(fraction, None, self._position())
        self.counters.finished = True
        self.ledger.stop_clock()
        if (record := self.ledger.close()) is not None:
            self.files.log_step(record, {})
        self.files.save_state(self.student, self.ledger, self.counters)

    def _trained(self) -> Trained:
        checkpoints = tuple(
            Checkpoint(fraction, int(at["step"]), at["spend"], self.files.checkpoint_directory(fraction))
            for fraction in self.job.fractions
            for at in [self.counters.checkpoints[str(fraction)]]
        )
        counters = self.counters
        summary = {
            "steps": counters.step,
            "optimizer_steps": counters.optimizer_steps,
            "prompts": counters.prompts,
            "unique_prompts": min(counters.prompts, len(self.job.problems)),
            "rollouts": counters.rollouts,
        }
        return Trained(checkpoints, "diverged" if counters.diverged else "done", summary)


def _shares(count: int, parts: int) -> list[list[int]]:
    """Split ``range(count)`` into consecutive, nearly equal, non-empty shares."""
    edges = [round(count * i / parts) for i in range(parts + 1)]
    return [list(range(low, high)) for low, high in itertools.pairwise(edges) if high > low]
