"""Models in their roles: hidden states at response positions, and the head that turns them into logits.

Shapes: ``n`` response tokens, ``H`` hidden size, ``V`` ids that student and role share, in the student's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from opdbench.engines.chat import Chat
from opdbench.flops import Shape

Context = tuple[Sequence[int], Sequence[int]]
"""Prompt ids and response ids of one sequence."""


@dataclass(frozen=True, slots=True)
class RoleModel:
    """One model of a cell.

    Attributes:
        module: The causal language model.
        chat: How it is shown prompts while scoring.
        shape: Its architecture, for FLOPs.
        num_shared: How many ids student and role share.
        ids_V: Its own id for each shared id; None where the two agree.
        is_bare: Whether the module is somebody else's with adapters, to be used as it was without them.
    """

    module: nn.Module
    chat: Chat
    shape: Shape
    num_shared: int
    ids_V: Tensor | None = None
    is_bare: bool = False

    def without_adapters(self) -> AbstractContextManager[None]:
        """Switch a shared module's adapters off for a while, where this role is played without them."""
        module: Any = self.module
        return module.disable_adapter() if self.is_bare else nullcontext()

    @property
    def base(self) -> Any:
        """The causal language model under an adapter, or the module itself."""
        return _base(self.module)

    @property
    def head_VH(self) -> Tensor:
        """The output head, cut to the shared ids in the student's order."""
        weight: Tensor = self.base.get_output_embeddings().weight
        return weight[: self.num_shared] if self.ids_V is None else weight[self.ids_V]

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.head_VH.device

    def own_ids(self, ids: Sequence[int]) -> Sequence[int]:
        """Translate shared (student) ids into this model's."""
        return ids if self.ids_V is None else [int(self.ids_V[id]) for id in ids]

    def hidden(self, contexts: Sequence[Context]) -> Tensor:
        """Return the hidden states ``[n, H]`` that predict the response tokens, sequence after sequence."""
        with self.without_adapters():
            return response_hidden(self.module, [(prompt, self.own_ids(response)) for prompt, response in contexts])

    @torch.no_grad()
    def score_hidden(self, contexts: Sequence[Context], micro_batch_tokens: int) -> Tensor:
        """Return the same without a graph, in micro-batches."""
        parts = [self.hidden([contexts[i] for i in part]) for part in micro_batches(contexts, micro_batch_tokens)]
        return torch.cat(parts)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hidden states of one model at the rows of the batch that it scores."""

    model: RoleModel
    rows_n: Tensor
    hidden_nH: Tensor


def seen_logits(kept: Sequence[Seen], rows_n: Tensor) -> Tensor:
    """Return logits ``[n, V]`` of some rows, each from the model that saw it."""
    out_nV: Tensor | None = None
    for seen in kept:
        place = torch.searchsorted(seen.rows_n, rows_n).clamp(max=len(seen.rows_n) - 1)
        mine = seen.rows_n[place] == rows_n
        if not bool(mine.any()):
            continue
        logits = (seen.hidden_nH[place[mine]] @ seen.model.head_VH.T).float()
        out_nV = logits.new_empty(len(rows_n), logits.shape[-1]) if out_nV is None else out_nV
        out_nV[mine] = logits
    assert out_nV is not None
    return out_nV


def micro_batches(contexts: Sequence[Context], max_tokens: int) -> Iterator[list[int]]:
    """Yield runs of consecutive sequences whose padded size stays within ``max_tokens`` (at least one each)."""
    part: list[int] = []
    longest = 0
    for i, (prompt, response) in enumerate(contexts):
        longest = max(longest, len(prompt) + len(response))
        if part and longest * (len(part) + 1) > max_tokens:
            yield part
            part, longest = [], len(prompt) + len(response)
        part.append(i)
    if part:
        yield part


def response_hidden(module: nn.Module, contexts: Sequence[Context]) -> Tensor:
    """Run the body over right-padded sequences and gather the positions that predict response tokens.

    Without a mask: attention is causal, so no position that is kept sees the padding on its right.
    """
    base = _base(module)
    lengths = [len(prompt) + len(response) for prompt, response in contexts]
    ids_BT = torch.zeros(len(contexts), max(lengths), dtype=torch.long)
    keep_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    for row, (prompt, response) in enumerate(contexts):
        ids_BT[row, : lengths[row]] = torch.tensor([*prompt, *response])
        keep_BT[row, len(prompt) - 1 : lengths[row] - 1] = True
    device = base.get_output_embeddings().weight.device
    output = base.get_decoder()(input_ids=ids_BT.to(device), use_cache=False)
    return output.last_hidden_state[keep_BT.to(device)]


def _base(module: nn.Module) -> Any:
    """Return the causal language model under an adapter, or the module itself."""
    wrapped: Any = module
    return wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
