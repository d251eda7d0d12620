"""Values per token that a walk computes anyway, kept for the log. Nothing here changes a gradient or a value.

Shapes: ``N`` response tokens of the rollout batch, ``n`` positions of a chunk, ``V`` vocabulary.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from opdbench.method import Divergence
from opdbench.training.divergences import Look


@dataclass(slots=True)
class Observed:
    """Per-token values ``[N]`` by name, NaN where nothing was seen; they stay on the device until they are logged."""

    num_tokens: int
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def put(self, name: str, rows_n: Tensor, value_n: Tensor) -> None:
        """Keep the values of some tokens."""
        if name not in self.values:
            self.values[name] = torch.full((self.num_tokens,), torch.nan, device=rows_n.device)
        self.values[name][rows_n] = value_n.to(self.values[name].dtype)

    def divergence(
        self, term: Divergence, number: int, rows_n: Tensor, tokens_N: Tensor, *, first_step: bool
    ) -> Look | None:
        """Return what looks at T inside a divergence, at the first optimizer step of a batch."""
        if not first_step:
            return None
        return functools.partial(self._look, term, number, rows_n, tokens_N[rows_n])

    def _look(
        self, term: Divergence, number: int, rows_n: Tensor, tokens_n: Tensor, t_nV: Tensor, outside_n: Tensor | None
    ) -> None:
        if outside_n is not None:
            self.put(f"excluded_mass/{term.label or number}", rows_n, outside_n)
        if term.temperature == 1.0:
            self.put(f"entropy/{term.role}", rows_n, entropy(t_nV.exp(), t_nV))
            self.put(f"logp/{term.role}", rows_n, t_nV.gather(-1, tokens_n[:, None])[:, 0])


def entropy(p_nV: Tensor, logp_nV: Tensor) -> Tensor:
    """Return entropies ``[n]`` in nats."""
    return -torch.linalg.vecdot(p_nV, logp_nV)
