"""One decoding step of small Llama-like models on a CPU, with fused weights and a tenth of transformers' Python.

A step of a tiny model costs transformers some 4 ms, nearly all of it interpreter time; here it is less than half of
that. Only what is certain to be the same computation is taken over: dense Llama, Qwen2 and Qwen3 with plain rotary
positions and attention to the whole past. Everything else, and every model too large to gain, stays with transformers.

Shapes: ``B`` rows, ``T`` tokens seen so far, ``H`` hidden size, ``Q`` query and ``K`` key heads of size ``D``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from opdbench.engines.kv_cache import attends_to_all

_MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3"})
_MAX_HIDDEN = 512


def is_lean(module: Any) -> bool:
    """Whether ``LeanStep`` computes what the module does, and gains by it."""
    config = module.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in _MODEL_TYPES
        and type(module).__name__.endswith("ForCausalLM")
        and module.device.type == "cpu"
        and config.hidden_size <= _MAX_HIDDEN
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and rope.get("rope_type") == "default"
        and attends_to_all(config)
        and not any(hasattr(part, "lora_A") for part in module.modules())
    )


class _Layer:
    """The weights of one layer, transposed: queries, keys and values in one matrix, gate and up in another."""

    def __init__(self, layer: Any, num_heads: int, num_key_heads: int) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = _transposed(*(part.weight for part in inputs))
        self.qkv_bias = None if inputs[0].bias is None else torch.cat([part.bias for part in inputs])
        self.out, self.out_bias = _transposed(attention.o_proj.weight), attention.o_proj.bias
        self.gate_up = _transposed(mlp.gate_proj.weight, mlp.up_proj.weight)
        self.down = _transposed(mlp.down_proj.weight)
        self.before, self.after = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self.head_norm = None
        if hasattr(attention, "q_norm"):
            norms = [attention.q_norm.weight] * num_heads + [attention.k_norm.weight] * num_key_heads
            self.head_norm = torch.stack(norms)


class LeanStep:
    """The step of one module; weights are read when it is made, so it is made anew for every call of an engine."""

    def __init__(self, module: Any) -> None:
        config, body = module.config, module.model
        self.num_heads, self.num_key_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.num_heads
        self.eps = config.rms_norm_eps
        self.layers = [_Layer(layer, self.num_heads, self.num_key_heads) for layer in body.layers]
        self.embedding, self.norm, self.head = body.embed_tokens.weight, body.norm.weight, module.lm_head.weight
        self.inverse_D = body.rotary_emb.inv_freq.float().repeat(2)

    def __call__(self, ids_B: Tensor, positions_B: Tensor, mask_B11T: Tensor, cache: Any) -> Tensor:
        """Append one token per row to the cache and return the logits ``[B, V]`` that follow it."""
        hidden_BH = self.embedding[ids_B]
        angle_B1D = positions_B[:, None, None].float() * self.inverse_D
        cos_B1D, sin_B1D = angle_B1D.cos().to(hidden_BH.dtype), angle_B1D.sin().to(hidden_BH.dtype)
        for number, layer in enumerate(self.layers):
            normed_BH = F.rms_norm(hidden_BH, hidden_BH.shape[-1:], layer.before, self.eps)
            mixed_BH = self._attend(layer, normed_BH, cos_B1D, sin_B1D, mask_B11T, cache.layers[number])
            hidden_BH = torch.addmm(hidden_BH, mixed_BH, layer.out)
            if layer.out_bias is not None:
                hidden_BH += layer.out_bias
            normed_BH = F.rms_norm(hidden_BH, hidden_BH.shape[-1:], layer.after, self.eps)
            gate, up = (normed_BH @ layer.gate_up).chunk(2, dim=-1)
            hidden_BH = torch.addmm(hidden_BH, F.silu(gate).mul_(up), layer.down)
        return F.linear(F.rms_norm(hidden_BH, hidden_BH.shape[-1:], self.norm, self.eps), self.head)

    def _attend(
        self, layer: _Layer, normed_BH: Tensor, cos_B1D: Tensor, sin_B1D: Tensor, mask_B11T: Tensor, past: Any
    ) -> Tensor:
        num_rows, rotated = len(normed_BH), self.num_heads + self.num_key_heads
        joint = normed_BH @ layer.qkv if layer.qkv_bias is None else torch.addmm(layer.qkv_bias, normed_BH, layer.qkv)
        heads = joint.view(num_rows, -1, self.head_dim)
        turned, value_BKD = heads[:, :rotated], heads[:, rotated:]
        if layer.head_norm is not None:
            turned = F.rms_norm(turned, turned.shape[-1:], None, self.eps) * layer.head_norm
        first, second = turned.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1).mul_(sin_B1D).addcmul_(turned, cos_B1D)
        query_BQ1D, key_BK1D = turned[:, : self.num_heads, None], turned[:, self.num_heads :, None]
        keys, values = past.update(key_BK1D, value_BKD[:, :, None])
        grouped = self.num_heads != self.num_key_heads
        mixed = F.scaled_dot_product_attention(query_BQ1D, keys, values, attn_mask=mask_B11T, enable_gqa=grouped)
        return mixed.reshape(num_rows, -1)


def _transposed(*weights: Tensor) -> Tensor:
    return torch.cat(weights).T.contiguous()
