"""The sizes of a decoder, read from its configuration, and the adapters that may be trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from opdbench.errors import ModelError

ARCHITECTURES = ("llama", "qwen2", "qwen3", "qwen3_moe")

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


class LowRank(Protocol):
    """What counting needs to know of low-rank adapters."""

    @property
    def rank(self) -> int:
        """Inner width of each adapter."""
        ...

    @property
    def target_modules(self) -> Sequence[str]:
        """Names of the projections that carry an adapter."""
        ...


@dataclass(frozen=True, slots=True)
class LoRA:
    """Low-rank adapters on every projection of the given names; all other weights are frozen."""

    rank: int
    target_modules: tuple[str, ...] = (*ATTENTION, *MLP)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder that its cost follows from.

    ``sparse_layers`` are the indices of mixture-of-experts layers; ``head_width`` is the number of logits per
    position: the vocabulary, or less where student and teacher share only a part of it.
    """

    architecture: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate: int
    vocab_size: int
    head_width: int
    tied: bool
    attention_bias: bool = False
    sparse_layers: tuple[int, ...] = ()
    num_experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any], shared_vocab: int | None = None) -> Shape:
        """Read a Hugging Face ``config.json``.

        Args:
            config: Its content.
            shared_vocab: Number of ids that the head is cut to, where it is.

        Raises:
            ModelError: the architecture is not supported, a size is missing, or the head would be widened.
        """
        kind = str(config.get("model_type"))
        if kind not in ARCHITECTURES:
            raise ModelError(f"no FLOPs formula for architecture {kind!r}; supported: {', '.join(ARCHITECTURES)}")
        try:
            return _shape(cls, kind, config, shared_vocab)
        except KeyError as error:
            raise ModelError(f"config.json of a {kind} model lacks {error}") from None

    @property
    def num_parameters(self) -> int:
        """Number of weights, tied ones once; the head counts whole, even where fewer logits are used."""
        layers = sum(self._layer_parameters(index) for index in range(self.num_layers))
        return self.vocab_size * self.hidden * (1 if self.tied else 2) + layers + self.hidden

    def _layer_parameters(self, index: int) -> int:
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        biases = 0
        if self.attention_bias:
            biases = q + 2 * kv + (0 if self.architecture == "qwen2" else self.hidden)
        norms = 2 * self.hidden + (2 * self.head_dim if self.architecture.startswith("qwen3") else 0)
        mlp = 3 * self.hidden * self.intermediate
        if index in self.sparse_layers:
            mlp = self.num_experts * self.hidden * (1 + 3 * self.expert_intermediate)
        return 2 * self.hidden * (q + kv) + mlp + norms + biases


def _shape(make: type[Shape], kind: str, config: Mapping[str, Any], shared_vocab: int | None) -> Shape:
    """Build the shape of a supported architecture, with its library's defaults for optional fields."""
    vocab_size, hidden, num_heads = config["vocab_size"], config["hidden_size"], config["num_attention_heads"]
    if shared_vocab is not None and not 0 < shared_vocab <= vocab_size:
        raise ModelError(f"a head of {vocab_size} logits cannot be cut to {shared_vocab}")
    moe = kind == "qwen3_moe"
    sparse = tuple(_sparse_layers(config)) if moe else ()
    return make(
        architecture=kind,
        hidden=hidden,
        num_layers=config["num_hidden_layers"],
        num_heads=num_heads,
        num_kv_heads=config.get("num_key_value_heads") or num_heads,
        head_dim=config.get("head_dim") or hidden // num_heads,
        intermediate=config["intermediate_size"],
        vocab_size=vocab_size,
        head_width=vocab_size if shared_vocab is None else shared_vocab,
        tied=bool(config.get("tie_word_embeddings", False)),
        attention_bias=kind == "qwen2" or bool(config.get("attention_bias", False)),
        sparse_layers=sparse,
        num_experts=config["num_experts"] if moe else 0,
        experts_per_token=config["num_experts_per_tok"] if moe else 0,
        expert_intermediate=config["moe_intermediate_size"] if moe else 0,
    )


def _sparse_layers(config: Mapping[str, Any]) -> Iterator[int]:
    """Yield the layers with experts: every ``decoder_sparse_step``-th one that is not named as dense."""
    every, dense = config.get("decoder_sparse_step", 1), config.get("mlp_only_layers") or ()
    if config["num_experts"] > 0:
        yield from (i for i in range(config["num_hidden_layers"]) if i not in dense and (i + 1) % every == 0)


def projection_widths(shape: Shape) -> dict[str, tuple[int, int]]:
    """Return the input and output width of every projection of a dense layer."""
    q, kv, hidden, wide = (
        shape.num_heads * shape.head_dim,
        shape.num_kv_heads * shape.head_dim,
        shape.hidden,
        shape.intermediate,
    )
    return {
        "q_proj": (hidden, q),
        "k_proj": (hidden, kv),
        "v_proj": (hidden, kv),
        "o_proj": (q, hidden),
        "gate_proj": (hidden, wide),
        "up_proj": (hidden, wide),
        "down_proj": (wide, hidden),
    }
