"""The packed tokens that terms are evaluated on, and the final weight of each.

Shapes: ``N`` response tokens of the rollout batch, ``B`` sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from opdbench.method import Term


@dataclass(frozen=True, slots=True)
class Layout:
    """The packed response tokens of a rollout batch.

    Attributes:
        tokens_N: Sampled token ids.
        sequence_N: Which sequence each token belongs to.
        old_logp_N: The student's log-probabilities before the update.
        rollout_logp_N: The engine's log-probabilities, NaN for tokens that it did not sample.
    """

    tokens_N: Tensor
    sequence_N: Tensor
    old_logp_N: Tensor
    rollout_logp_N: Tensor


@dataclass(frozen=True, slots=True)
class Weighted:
    """A term with the final weight of each token, normaliser included, for one optimizer step."""

    term: Term
    weight_N: Tensor


def weigh(term: Term, layout: Layout, member_N: Tensor) -> Weighted:
    """Fix a term's token weights for the optimizer step over the tokens marked in ``member_N`` (bool).

    Denominators count all tokens or sequences of the step, over all its micro-batches.
    """
    dtype = layout.old_logp_N.dtype
    kept_N = member_N if term.where is None else member_N & term.where
    length_B = torch.bincount(layout.sequence_N[member_N]).to(dtype)
    num_sequences = int((length_B > 0).sum())
    if term.normaliser == "token_mean":
        weight_N = kept_N.to(dtype) / max(int(member_N.sum()), 1)
    elif term.normaliser == "kept_mean":
        weight_N = kept_N.to(dtype) / max(int(kept_N.sum()), 1)
    elif term.normaliser == "seq_mean":
        padded_B = torch.nn.functional.pad(length_B, (0, int(layout.sequence_N.max()) + 1 - len(length_B)))
        weight_N = kept_N.to(dtype) / (padded_B.clamp(min=1)[layout.sequence_N] * max(num_sequences, 1))
    else:
        weight_N = kept_N.to(dtype) / (term.normaliser * max(num_sequences, 1))
    return Weighted(term, torch.where(kept_N, weight_N * term.weight, 0.0))
