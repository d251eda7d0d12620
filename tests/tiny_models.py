"""Tiny random checkpoints for tests: byte-level tokenizers in the style of Qwen, and models of each architecture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from opdbench.model import ModelEntry
from opdbench.trainer import LocatedModel

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}no_think\n{% endif %}"
)
MERGES = (("a", "b"), ("c", "d"), ("ab", "cd"), ("e", "r"))
QWEN25 = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN3 = (*QWEN25, "<think>", "</think>")
_CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "qwen3_moe": Qwen3MoeConfig,
}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}


def save_tokenizer(
    directory: Path,
    added: Sequence[str] = QWEN3,
    *,
    eos: str | None = "<|im_end|>",
    pad: str | None = "<|endoftext|>",
    merges: Sequence[tuple[str, str]] = MERGES,
    template: str | None = TEMPLATE,
) -> None:
    """Save a byte-level BPE tokenizer: 256 bytes, one token per merge, then the added tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: id for id, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    for token in added:
        tokenizer.add_tokens([AddedToken(token, special=token.startswith("<|"), normalized=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, pad_token=pad)
    fast.chat_template = template
    fast.save_pretrained(directory)


def save_model(directory: Path, kind: str = "qwen3", *, vocab_size: int = 272, seed: int = 0, **config: Any) -> Any:
    """Save a random model whose distributions are far from uniform, and return it."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        "eos_token_id": None,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    sizes |= _MOE if kind == "qwen3_moe" else {}
    model = AutoModelForCausalLM.from_config(_CONFIGS[kind](**(sizes | config)))
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(25.0)
    model.save_pretrained(directory)
    return model.eval()


def save_checkpoint(directory: Path, kind: str = "qwen3", **config: Any) -> LocatedModel:
    """Save a model with its tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(directory)
    save_model(directory, kind, **config)
    return located(directory)


def located(directory: Path, name: str = "tiny", **entry: Any) -> LocatedModel:
    """Return a located model without hashing it."""
    return LocatedModel(name, ModelEntry(path=str(directory), **entry), directory, "")


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))
