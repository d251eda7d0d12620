"""A cache of keys and values that grows in place: transformers' own copies everything at every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

_SPARE = 64


class _Buffer:
    """A tensor ``[B, heads, T, head_dim]`` as a view of a buffer with spare room along ``T``."""

    def __init__(self, content: Tensor) -> None:
        self._hold(content, _SPARE)

    def append(self, more: Tensor) -> Tensor:
        """Write ``more`` behind what is there, and return all of it."""
        past, length = self.content.shape[-2], self.content.shape[-2] + more.shape[-2]
        if length > self._buffer.shape[-2]:
            self._hold(self.content, max(_SPARE, past // 2) + more.shape[-2])
        self._buffer[:, :, past:length] = more
        self.content = self._buffer[:, :, :length]
        return self.content

    def _hold(self, content: Tensor, spare: int) -> None:
        num_rows, num_heads, length, head_dim = content.shape
        self._buffer = content.new_empty(num_rows, num_heads, length + spare, head_dim)
        self.content = self._buffer[:, :, :length]
        self.content.copy_(content)


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, written in place."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append, and return all keys and values."""
        if self.is_initialized:
            keys, values = self._key_buffer.append(key_states), self._value_buffer.append(value_states)
        else:
            self.lazy_initialization(key_states, value_states)
            keys, values = self._hold(key_states, value_states)
        self.keys, self.values = keys, values
        return keys, values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows of the batch."""
        self.keys, self.values = self._hold(self._key_buffer.content[indices], self._value_buffer.content[indices])

    def _hold(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self._key_buffer, self._value_buffer = _Buffer(keys), _Buffer(values)
        return self._key_buffer.content, self._value_buffer.content


def attends_to_all(config: Any) -> bool:
    """Whether every layer of a model attends to the whole past, so that one mask serves all of them."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and getattr(config, "sliding_window", None) is None


def new_cache(config: Any) -> Cache:
    """Return an empty cache: growing in place where all layers attend to everything, else transformers' own."""
    return Cache(layer_class_to_replicate=GrowingLayer) if attends_to_all(config) else DynamicCache(config=config)


class PastMask:
    """Which positions each row attends to: its prompt without padding, and all that was generated since."""

    def __init__(self, prompt_mask_BP: Tensor, *, is_simple: bool) -> None:
        self._mask_BT, self._is_simple = prompt_mask_BP.bool() if is_simple else prompt_mask_BP, is_simple

    def at(self, length: int) -> Tensor:
        """Return the mask over the first ``length`` positions: ``[B, 1, 1, T]``, or ``[B, T]`` for mixed layers."""
        if length > self._mask_BT.shape[1]:
            spare = _SPARE + length // 2
            self._mask_BT = torch.nn.functional.pad(
                self._mask_BT, (0, length - self._mask_BT.shape[1] + spare), value=1
            )
        mask_BT = self._mask_BT[:, :length]
        return mask_BT[:, None, None] if self._is_simple else mask_BT

    def select(self, rows: Tensor) -> None:
        """Keep some rows of the batch."""
        self._mask_BT = self._mask_BT[rows]
