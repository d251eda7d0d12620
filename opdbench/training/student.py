"""The student while it is trained: its parameters, its optimizer, and one optimizer step on a scored batch.

Shapes: ``N`` response tokens of the rollout batch, ``H`` hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from opdbench.method import Term
from opdbench.trainer import TrainSettings
from opdbench.training.batch import Batch
from opdbench.training.observed import Observed
from opdbench.training.roles import RoleModel, micro_batches
from opdbench.training.terms import walk
from opdbench.training.weights import Weighted, weigh


@dataclass(slots=True)
class StepReport:
    """What one optimizer step found: one value per term, the gradient norm, and values per token for the log."""

    values: list[float]
    observed: Observed
    grad_norm: float = 0.0

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(sum(self.values)) and math.isfinite(self.grad_norm)


@dataclass(slots=True)
class TrainedStudent:
    """Parameters and AdamW state of the student."""

    role: RoleModel
    settings: TrainSettings
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        """Make the optimizer over what is trained."""
        self.optimizer = torch.optim.AdamW(
            list(self.parameters().values()),
            lr=self.settings.learning_rate,
            betas=self.settings.betas,
            eps=self.settings.epsilon,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name, in a fixed order."""
        return {name: value for name, value in sorted(self.role.module.named_parameters()) if value.requires_grad}

    def step(
        self, batch: Batch, terms: Sequence[Term], members: Sequence[int], *, learning_rate: float, first_step: bool
    ) -> StepReport:
        """Take one optimizer step on some sequences of a batch; a step that is not finite changes nothing."""
        report = self._gradients(batch, terms, members, first_step=first_step)
        limit = self.settings.max_grad_norm or math.inf
        report.grad_norm = float(nn.utils.clip_grad_norm_(self.parameters().values(), limit))
        if report.is_finite:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self.optimizer.step()
        self.optimizer.zero_grad()
        return report

    def _gradients(
        self, batch: Batch, terms: Sequence[Term], members: Sequence[int], *, first_step: bool
    ) -> StepReport:
        in_step_N = torch.zeros_like(batch.packed.tokens_N, dtype=torch.bool)
        in_step_N[batch.rows(members)] = True
        weighted = [weigh(term, batch.layout, in_step_N) for term in terms]
        report = StepReport([0.0] * len(terms), Observed(len(batch.packed.tokens_N)))
        contexts = [batch.contexts[i] for i in members]
        for part in micro_batches(contexts, self.settings.micro_batch_tokens):
            self._micro_batch(batch, weighted, [members[i] for i in part], report, first_step=first_step)
        return report

    def _micro_batch(
        self,
        batch: Batch,
        weighted: Sequence[Weighted],
        members: Sequence[int],
        report: StepReport,
        *,
        first_step: bool,
    ) -> None:
        device = self.role.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.settings.dtype == "bfloat16"):
            hidden_nH = self.role.hidden([batch.contexts[i] for i in members])
        with torch.no_grad():
            found = walk(
                hidden_nH.detach().float() if self.settings.dtype == "bfloat16" else hidden_nH.detach(),
                self.role.head_VH,
                batch.rows(members),
                batch.layout,
                weighted,
                role_logits=batch.role_logits,
                first_step=first_step,
                grad_head_VH=self._head_gradient(),
                observed=report.observed,
            )
        hidden_nH.backward(found.grad_hidden_nH.to(hidden_nH.dtype))
        report.values = [a + b for a, b in zip(report.values, found.values, strict=True)]

    def _head_gradient(self) -> Tensor | None:
        """Return the part of the head's gradient that terms add to, None where the head is frozen."""
        base: Any = self.role.base
        weight: nn.Parameter = base.get_output_embeddings().weight
        if not weight.requires_grad:
            return None
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        return weight.grad[: self.role.num_shared]

    def state(self) -> dict[str, Tensor]:
        """Return parameters and optimizer moments by name."""
        tensors = {f"parameter/{name}": value.detach() for name, value in self.parameters().items()}
        for name, value in self.parameters().items():
            for key, moment in self.optimizer.state.get(value, {}).items():
                tensors[f"{key}/{name}"] = moment
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned, bit for bit."""
        for name, value in self.parameters().items():
            with torch.no_grad():
                value.copy_(tensors[f"parameter/{name}"])
            keys = ("step", "exp_avg", "exp_avg_sq")
            moments = {key: tensors[f"{key}/{name}"] for key in keys if f"{key}/{name}" in tensors}
            if moments:
                self.optimizer.state[value] = {
                    key: moment.clone() if key == "step" else moment.to(value.device, copy=True)
                    for key, moment in moments.items()
                }

    def copy(self) -> dict[str, Tensor]:
        """Return a copy of the parameters in main memory."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.parameters().items()}
