"""One decoding step of small Llama-like models on a CPU, in numpy, with fused weights.

A step of a tiny model costs transformers some 4 ms, nearly all of it interpreter time; here it is a third of that. Only
what is certain to be the same computation is taken over: dense Llama, Qwen2 and Qwen3 with plain rotary positions and
attention to the whole past. Everything else, and every model too large to gain, stays with transformers.

Shapes: ``B`` rows, ``T`` tokens seen so far, ``H`` hidden size, ``Q`` query and ``K`` key heads of size ``D``, ``G``
queries per key head.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opdbench.engines.kv_cache import attends_to_all

Array = NDArray[Any]  # float32

_MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3"})
_MAX_HIDDEN = 512
_SPARE = 64


def is_lean(module: Any) -> bool:
    """Whether ``LeanStep`` computes what the module does, and gains by it."""
    config = module.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in _MODEL_TYPES
        and type(module).__name__.endswith("ForCausalLM")
        and module.device.type == "cpu"
        and module.dtype == torch.float32
        and config.hidden_size <= _MAX_HIDDEN
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and rope.get("rope_type") == "default"
        and attends_to_all(config)
        and not any(hasattr(part, "lora_A") for part in module.modules())
    )


class LeanCache:
    """Keys and values of all layers, each ``[B, K, T, D]`` in a buffer with spare room along ``T``."""

    def __init__(self, cache: Any) -> None:
        """Take over what transformers filled."""
        self.length = int(cache.layers[0].keys.shape[-2])
        self._pairs = [(_spacious(layer.keys.numpy()), _spacious(layer.values.numpy())) for layer in cache.layers]

    def append(self, layer: int, keys_BKD: Array, values_BKD: Array) -> tuple[Array, Array]:
        """Write one position of a layer, and return all of it."""
        keys, values = self._pairs[layer]
        if self.length == keys.shape[2]:
            keys, values = self._pairs[layer] = _spacious(keys), _spacious(values)
        keys[:, :, self.length], values[:, :, self.length] = keys_BKD, values_BKD
        return keys[:, :, : self.length + 1], values[:, :, : self.length + 1]

    def batch_select_indices(self, rows: Tensor) -> None:
        """Keep some rows of the batch."""
        index = rows.numpy()
        self._pairs = [(keys[index], values[index]) for keys, values in self._pairs]


def _spacious(content: Array) -> Array:
    num_rows, num_heads, length, head_dim = content.shape
    buffer = np.empty((num_rows, num_heads, length + max(_SPARE, length // 2), head_dim), np.float32)
    buffer[:, :, :length] = content
    return buffer


class _Layer:
    """The weights of one layer, transposed, norms multiplied in, matrices with the same input joined."""

    def __init__(self, layer: Any, num_heads: int, num_key_heads: int) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        before, after = _array(layer.input_layernorm.weight), _array(layer.post_attention_layernorm.weight)
        self.qkv = _transposed(np.concatenate([_array(part.weight) for part in inputs]) * before)
        self.qkv_bias = None if inputs[0].bias is None else np.concatenate([_array(part.bias) for part in inputs])
        self.out = _transposed(_array(attention.o_proj.weight))
        self.out_bias = None if attention.o_proj.bias is None else _array(attention.o_proj.bias)
        self.gate_up = _transposed(np.concatenate([_array(p.weight) for p in (mlp.gate_proj, mlp.up_proj)]) * after)
        self.down = _transposed(_array(mlp.down_proj.weight))
        self.head_norm = None
        if hasattr(attention, "q_norm"):
            norms = [attention.q_norm.weight] * num_heads + [attention.k_norm.weight] * num_key_heads
            self.head_norm = np.stack([_array(weight) for weight in norms])


class LeanStep:
    """The step of one module; weights are read when it is made, so it is made anew for every call of an engine."""

    def __init__(self, module: Any) -> None:
        config, body = module.config, module.model
        self.num_heads, self.num_key_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.num_heads
        self.eps = np.float32(config.rms_norm_eps)
        self.layers = [_Layer(layer, self.num_heads, self.num_key_heads) for layer in body.layers]
        self.embedding = _array(body.embed_tokens.weight)
        self.head = _transposed(_array(module.lm_head.weight) * _array(body.norm.weight))
        self.inverse = _array(body.rotary_emb.inv_freq.float())

    def __call__(self, ids_B: Tensor, positions_B: Tensor, mask_B11T: Tensor, cache: LeanCache) -> Tensor:
        """Append one token per row to the cache and return the logits ``[B, V]`` that follow it."""
        hidden_BH = self.embedding[ids_B.numpy()]
        angle = positions_B.numpy()[:, None, None].astype(np.float32) * self.inverse
        turn, mask = (np.cos(angle), np.sin(angle)), mask_B11T.numpy()
        bias = None if mask.all() else np.where(mask, np.float32(0), np.float32(-np.inf))
        for number, layer in enumerate(self.layers):
            hidden_BH = hidden_BH + self._attend(layer, number, self._normed(hidden_BH), turn, bias, cache)
            gate_up = self._normed(hidden_BH) @ layer.gate_up
            gate, up = _halves(gate_up)
            hidden_BH = hidden_BH + (gate / (1 + np.exp(-gate)) * up) @ layer.down
        cache.length += 1
        return torch.from_numpy(self._normed(hidden_BH) @ self.head)

    def _normed(self, x: Array) -> Array:
        squares = np.einsum("...h,...h->...", x, x)[..., None]
        return x / np.sqrt(squares / np.float32(x.shape[-1]) + self.eps)

    def _attend(
        self, layer: _Layer, number: int, x_BH: Array, turn: tuple[Array, Array], bias: Array | None, cache: LeanCache
    ) -> Array:
        num_rows, rotated = len(x_BH), self.num_heads + self.num_key_heads
        joint = x_BH @ layer.qkv if layer.qkv_bias is None else x_BH @ layer.qkv + layer.qkv_bias
        heads = joint.reshape(num_rows, -1, self.head_dim)
        turned = heads[:, :rotated]
        if layer.head_norm is not None:
            turned = self._normed(turned) * layer.head_norm
        turned = _rotated(turned, *turn)
        keys, values = cache.append(number, turned[:, self.num_heads :], heads[:, rotated:])
        query = turned[:, : self.num_heads].reshape(num_rows, self.num_key_heads, -1, self.head_dim)
        scores = (query * np.float32(self.head_dim**-0.5)) @ keys.swapaxes(-1, -2)
        mixed = _softmax(scores if bias is None else scores + bias) @ values
        out = mixed.reshape(num_rows, -1) @ layer.out
        return out if layer.out_bias is None else out + layer.out_bias


def _rotated(x: Array, cos: Array, sin: Array) -> Array:
    first, second = _halves(x)
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)


def _halves(x: Array) -> tuple[Array, Array]:
    middle = x.shape[-1] // 2
    return x[..., :middle], x[..., middle:]


def _softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


def _array(weight: Tensor) -> Array:
    return weight.detach().numpy()


def _transposed(weight: Array) -> Array:
    return np.ascontiguousarray(weight.T)
