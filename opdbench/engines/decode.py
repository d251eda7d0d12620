"""The decode loop of the in-process engine: one batch from prompts to tokens.

Shapes: ``B`` rows still decoded, ``P`` longest prompt, ``T`` tokens seen so far, ``V`` shared ids. Prompts are padded
on the left. Finished rows are decoded on until enough have gathered to be worth compacting the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from opdbench.engines.engine import DivergedError, TokenPrompt, Tokens
from opdbench.engines.kv_cache import PastMask, attends_to_all, new_cache
from opdbench.engines.lean import LeanCache, LeanStep, is_lean
from opdbench.engines.sampler import Uniforms, draw
from opdbench.errors import EngineError
from opdbench.method import Sampling

_COMPACT_BELOW = 0.85


class Decoder:
    """Decodes batches with one module; holds what all batches share."""

    def __init__(
        self, module: Any, vocab_size: int, stop_ids: Sequence[int], own_ids: Sequence[int] | None = None
    ) -> None:
        """See ``HFEngine``; stop ids are the module's own.

        Raises:
            EngineError: the head is narrower than the shared ids, or none of the stop ids is shared.
        """
        self.module, self.vocab_size, self.device = module, vocab_size, module.device
        self.own_ids_V = None if own_ids is None else torch.tensor(list(own_ids)[:vocab_size], device=self.device)
        width = int(module.get_output_embeddings().weight.shape[0])
        if vocab_size > width:
            raise EngineError(f"the model's head has {width} rows, fewer than the {vocab_size} ids to sample from")
        self.is_stop_V = np.isin(np.arange(vocab_size) if own_ids is None else own_ids[:vocab_size], stop_ids)
        if not self.is_stop_V.any():
            raise EngineError(f"none of the stop ids {sorted(stop_ids)} is among the {vocab_size} ids to sample from")
        self.lean = LeanStep(module) if is_lean(module) else None

    def decode(self, prompts: Sequence[TokenPrompt], sampling: Sampling) -> list[Tokens]:
        """Continue prompts together, in their order.

        Raises:
            EngineError: a prompt leaves no room in the context.
            DivergedError: logits are not finite.
        """
        limits_B = self._limits(prompts, sampling)
        batch = _Batch(self, prompts, limits_B, sampling)
        logits_BV = batch.prefill()
        while batch.take(logits_BV):
            logits_BV = batch.forward()
        return batch.collected()

    def _limits(self, prompts: Sequence[TokenPrompt], sampling: Sampling) -> np.ndarray:
        """Return how many tokens each row may have: the limit, or what the context leaves."""
        assert sampling.max_tokens is not None
        context = getattr(self.module.config, "max_position_embeddings", None)
        lengths_B = np.array([len(prompt.token_ids) for prompt in prompts])
        if lengths_B.min() == 0:
            raise EngineError("a prompt has no tokens")
        own_limits = [sampling.max_tokens if prompt.max_tokens is None else prompt.max_tokens for prompt in prompts]
        limits_B = np.minimum(sampling.max_tokens, own_limits)
        if context is None:
            return limits_B
        if lengths_B.max() >= context:
            raise EngineError(
                f"a prompt of {lengths_B.max()} tokens leaves no room in a context of {context}; shorten it, or raise "
                "max_position_embeddings in the model's overrides"
            )
        return np.minimum(limits_B, context - lengths_B)

    def logits(self, **inputs: Any) -> Tensor:
        """Run the module and return the last position's logits over the shared ids ``[B, V]``."""
        return self._shared(self.module(use_cache=True, logits_to_keep=1, **inputs).logits[:, -1])

    def next_logits(self, own_B: Tensor, positions_B: Tensor, mask: Tensor, cache: Any) -> Tensor:
        """Append one token per row to the cache and return the logits ``[B, V]`` after it."""
        if self.lean is not None:
            return self._shared(self.lean(own_B, positions_B, mask, cache))
        return self.logits(
            input_ids=own_B[:, None], attention_mask=mask, position_ids=positions_B[:, None], past_key_values=cache
        )

    def _shared(self, logits_BV: Tensor) -> Tensor:
        return logits_BV[:, : self.vocab_size] if self.own_ids_V is None else logits_BV[:, self.own_ids_V]


class _Batch:
    """The state of one batch. ``rows`` are the prompts still decoded, ``is_open`` those of them not finished."""

    def __init__(
        self, decoder: Decoder, prompts: Sequence[TokenPrompt], limits_B: np.ndarray, sampling: Sampling
    ) -> None:
        config = decoder.module.config
        self.decoder, self.sampling, self.prompts = decoder, sampling, prompts
        self.prompt_length = max(len(prompt.token_ids) for prompt in prompts)
        self.positions_B = torch.tensor([len(prompt.token_ids) for prompt in prompts], device=decoder.device)
        self.uniforms = None if sampling.temperature == 0 else Uniforms([prompt.seed for prompt in prompts])
        self.rows, self.limits_B = np.arange(len(prompts)), limits_B
        self.is_open_B = limits_B > 0
        self.lengths = np.zeros(len(prompts), dtype=int)
        self.steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.cache: Any = new_cache(config)
        self.is_simple = attends_to_all(config)

    def prefill(self) -> Tensor:
        """Run the prompts."""
        ids_BP, mask_BP = _left_padded(self.prompts, self.decoder.device)
        self.past = PastMask(mask_BP, is_simple=self.is_simple)
        positions_BP = (mask_BP.cumsum(dim=1) - 1).clamp_(min=0)
        logits_BV = self.decoder.logits(
            input_ids=ids_BP, attention_mask=mask_BP, position_ids=positions_BP, past_key_values=self.cache
        )
        if self.decoder.lean is not None:
            self.cache = LeanCache(self.cache)
        return logits_BV

    def take(self, logits_BV: Tensor) -> bool:
        """Draw one token per row, and return whether any row goes on.

        Raises:
            DivergedError: logits are not finite.
        """
        step = len(self.steps)
        uniform_B = None if self.uniforms is None else self.uniforms.at(step).to(self.decoder.device)
        self.last_B, logp_B = draw(logits_BV, uniform_B, self.sampling)
        ids_B, logps_B = self.last_B.cpu().numpy(), logp_B.cpu().numpy()
        if not np.isfinite(logps_B).all():
            raise DivergedError(f"the model's logits are not finite at token {step} of a response")
        self.steps.append((self.rows, ids_B, logps_B))
        self.lengths[self.rows[self.is_open_B]] = step + 1
        self.is_open_B = self.is_open_B & ~self.decoder.is_stop_V[ids_B] & (step + 1 < self.limits_B)
        num_open = int(self.is_open_B.sum())
        if 0 < num_open < _COMPACT_BELOW * len(self.rows):
            self._compact()
        return num_open > 0

    def forward(self) -> Tensor:
        """Run the tokens drawn last."""
        own_B = self.last_B if self.decoder.own_ids_V is None else self.decoder.own_ids_V[self.last_B]
        mask = self.past.at(self.prompt_length + len(self.steps))
        logits_BV = self.decoder.next_logits(own_B, self.positions_B, mask, self.cache)
        self.positions_B = self.positions_B + 1
        return logits_BV

    def _compact(self) -> None:
        """Drop finished rows from everything that is computed with."""
        kept = np.flatnonzero(self.is_open_B)
        index = torch.from_numpy(kept).to(self.decoder.device)
        self.cache.batch_select_indices(index)
        self.past.select(index)
        self.positions_B, self.last_B = self.positions_B[index], self.last_B[index]
        self.rows, self.limits_B, self.is_open_B = self.rows[kept], self.limits_B[kept], self.is_open_B[kept]
        if self.uniforms is not None:
            self.uniforms.select(kept.tolist())

    def collected(self) -> list[Tokens]:
        """Return what was drawn, up to each row's end."""
        ids = np.zeros((len(self.lengths), len(self.steps)), dtype=np.int64)
        logps = np.zeros(ids.shape, dtype=np.float32)
        for step, (rows, ids_B, logp_B) in enumerate(self.steps):
            ids[rows, step], logps[rows, step] = ids_B, logp_B
        return [self._tokens(ids[i, :n], logps[i, :n]) for i, n in enumerate(self.lengths)]

    def _tokens(self, ids: np.ndarray, logps: np.ndarray) -> Tokens:
        is_stopped = len(ids) > 0 and bool(self.decoder.is_stop_V[ids[-1]])
        return Tokens(tuple(ids.tolist()), tuple(logps.tolist()), "stop" if is_stopped else "length")


def _left_padded(prompts: Sequence[TokenPrompt], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask ``[B, P]``."""
    longest = max(len(prompt.token_ids) for prompt in prompts)
    ids_BP = np.zeros((len(prompts), longest), dtype=np.int64)
    mask_BP = np.zeros_like(ids_BP)
    for row, prompt in enumerate(prompts):
        ids_BP[row, longest - len(prompt.token_ids) :] = prompt.token_ids
        mask_BP[row, longest - len(prompt.token_ids) :] = 1
    return torch.from_numpy(ids_BP).to(device), torch.from_numpy(mask_BP).to(device)
