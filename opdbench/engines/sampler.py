"""Draws one token per row from logits, by inverting the cumulative distribution at a uniform number.

Shapes: ``B`` rows, ``V`` ids, ``S`` segments of ``SEGMENT`` ids. The whole-vocabulary work is one exponential and one
sum; only the segment that the number falls into is accumulated, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from opdbench.method import Sampling

SEGMENT = 512
_BLOCK = 64
_ALMOST_ONE = 1 - 2.0**-52


class Uniforms:
    """Numbers in [0, 1) that depend on a row's seed and the position alone, made ``_BLOCK`` positions at a time."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._rows = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        self._block = np.empty((len(seeds), 0))

    def at(self, position: int) -> Tensor:
        """Return the numbers ``[B]`` (float64) of one position; positions are asked for in order."""
        column = position % _BLOCK
        if column == 0:
            self._block = np.stack([row.random(_BLOCK) for row in self._rows])
        return torch.from_numpy(self._block[:, column])

    def select(self, rows: Sequence[int]) -> None:
        """Keep some rows."""
        self._rows = [self._rows[row] for row in rows]
        self._block = self._block[list(rows)]


def draw(logits_BV: Tensor, uniform_B: Tensor | None, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Draw a token per row.

    Args:
        logits_BV: Logits over the shared ids, any float type.
        uniform_B: A number in [0, 1) per row; None only at temperature 0.
        sampling: Temperature (0 is greedy, the first of equals), then top-k, then top-p, each keeping ties.

    Returns:
        Ids ``[B]`` and their log-probabilities ``[B]`` (float32) at temperature 1 without truncation.
    """
    logits_BV = logits_BV.float()
    if sampling.temperature == 0:
        ids_B = logits_BV.argmax(dim=-1)
        return ids_B, _logp(logits_BV, ids_B)
    assert uniform_B is not None
    if sampling.is_exact:
        return _draw_exact(logits_BV, uniform_B)
    weights_BV = _truncate(logits_BV / sampling.temperature, sampling)
    ids_B, _ = _invert(weights_BV, uniform_B)
    return ids_B, _logp(logits_BV, ids_B)


def _draw_exact(logits_BV: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw from the model's own distribution; the log-probability costs nothing more."""
    if logits_BV.device.type == "cpu" and logits_BV.shape[-1] <= SEGMENT:
        ids_B, logps_B = _draw_few(logits_BV.numpy(), uniform_B.numpy())
        return torch.from_numpy(ids_B), torch.from_numpy(logps_B)
    top_B1 = logits_BV.amax(dim=-1, keepdim=True)
    ids_B, total_B = _invert((logits_BV - top_B1).exp_(), uniform_B)
    chosen_B = logits_BV.gather(1, ids_B[:, None]) - top_B1
    return ids_B, chosen_B[:, 0] - total_B.log().float()


def _draw_few(logits_BV: np.ndarray, uniform_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do the same for few ids in numpy, whose calls cost a fraction of torch's."""
    shifted_BV = logits_BV - logits_BV.max(axis=-1, keepdims=True)
    cumulative_BV = np.exp(shifted_BV).cumsum(axis=-1, dtype=np.float64)
    total_B = cumulative_BV[:, -1]
    target_B = np.clip(np.minimum(uniform_B * total_B, total_B * _ALMOST_ONE), 0, None)
    ids_B = np.minimum((cumulative_BV <= target_B[:, None]).sum(axis=-1), logits_BV.shape[-1] - 1)
    chosen_B = shifted_BV[np.arange(len(ids_B)), ids_B]
    return ids_B, (chosen_B - np.log(total_B)).astype(np.float32)


def _logp(logits_BV: Tensor, ids_B: Tensor) -> Tensor:
    return logits_BV.log_softmax(dim=-1).gather(1, ids_B[:, None])[:, 0]


def _truncate(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """Return unnormalised probabilities, zero outside top-k and top-p."""
    num_ids = logits_BV.shape[-1]
    k = min(sampling.top_k, num_ids) if sampling.top_k else num_ids
    weights_BV = (logits_BV - logits_BV.amax(dim=-1, keepdim=True)).exp_()
    if k == num_ids and sampling.top_p >= 1:
        return weights_BV
    sorted_BK = weights_BV.topk(k, dim=-1).values if k < num_ids else weights_BV.sort(dim=-1, descending=True).values
    if sampling.top_p < 1:
        cumulative_BK = sorted_BK.double().cumsum(dim=-1)
        inside_BK = cumulative_BK - sorted_BK < sampling.top_p * cumulative_BK[:, -1:]
        least_B1 = sorted_BK.gather(1, inside_BK.sum(dim=-1, keepdim=True).clamp_(min=1) - 1)
    else:
        least_B1 = sorted_BK[:, -1:]
    return weights_BV.masked_fill_(weights_BV < least_B1, 0.0)


def _invert(weights_BV: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the id per row at which the cumulative weight passes the uniform part of the total, and the total."""
    num_rows, num_ids = weights_BV.shape
    if num_ids <= SEGMENT:
        cumulative_BV = weights_BV.cumsum(dim=-1, dtype=torch.float64)
        total_B = cumulative_BV[:, -1]
        return _search(cumulative_BV, uniform_B * total_B), total_B
    parts_BSV = torch.nn.functional.pad(weights_BV, (0, -num_ids % SEGMENT)).view(num_rows, -1, SEGMENT)
    sums_BS = parts_BSV.sum(dim=-1)
    cumulative_BS = sums_BS.cumsum(dim=-1, dtype=torch.float64)
    total_B = cumulative_BS[:, -1]
    target_B = uniform_B * total_B
    segment_B = _search(cumulative_BS, target_B)
    rows_B = torch.arange(num_rows, device=weights_BV.device)
    before_B = cumulative_BS[rows_B, segment_B] - sums_BS[rows_B, segment_B]
    inner_B = _search(parts_BSV[rows_B, segment_B].cumsum(dim=-1, dtype=torch.float64), target_B - before_B)
    return segment_B * SEGMENT + inner_B, total_B


def _search(cumulative_BV: Tensor, target_B: Tensor) -> Tensor:
    """Return the first index whose cumulative weight exceeds the target.

    The target is kept within [0, total), so that rounding never picks an index of weight zero.
    """
    total_B = cumulative_BV[:, -1]
    inside_B = torch.minimum(target_B, total_B * _ALMOST_ONE).clamp_(min=0)
    index_B = torch.searchsorted(cumulative_BV, inside_B[:, None], right=True)[:, 0]
    return index_B.clamp_(max=cumulative_BV.shape[-1] - 1)
