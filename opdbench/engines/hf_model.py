"""Loads causal language models through transformers: safetensors, no remote code, nothing left at random."""

from __future__ import annotations

from typing import Any

import torch

from opdbench.checkpoints import architecture, check_safe
from opdbench.errors import EngineError, ModelError
from opdbench.trainer import LocatedModel


def pick_device(device: str) -> str:
    """Resolve ``auto`` to the accelerator, where there is one.

    Raises:
        EngineError: ``cuda`` is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("device = 'cuda' was asked for, but torch finds no CUDA device; set device = 'auto' or 'cpu'")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def load_module(model: LocatedModel, *, dtype: torch.dtype | str = torch.float32, device: str = "auto") -> Any:
    """Load a causal language model in evaluation mode, with the board's overrides in its configuration.

    Args:
        model: The checkpoint.
        dtype: What to compute in, whatever the files hold.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ModelError: the checkpoint is unsafe or incomplete, or transformers does not know its architecture.
        EngineError: there is no such device.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    check_safe(model)
    logging.disable_progress_bar()
    resolved: Any = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model.directory,
            config=_config(model),
            dtype=resolved,
            use_safetensors=None if model.entry.allow_pickle else True,
            attn_implementation="sdpa",
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model {model.name!r} in {model.directory} does not load: {error}") from error
    module, info = loaded
    _check_complete(model, info)
    return module.to(pick_device(device)).eval()


def _config(model: LocatedModel) -> Any:
    """Build the configuration from config.json with overrides.

    Raises:
        ModelError: transformers has no such architecture, or the values contradict each other.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    content = architecture(model)
    kind = content.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ModelError(f"model {model.name!r}: transformers has no architecture {kind!r} (model_type in config.json)")
    try:
        return CONFIG_MAPPING[kind].from_dict(content)
    except (StrictDataclassError, TypeError, ValueError, KeyError) as error:
        raise ModelError(f"model {model.name!r}: config.json, with overrides, is not valid: {error}") from error


def _check_complete(model: LocatedModel, info: Any) -> None:
    """Refuse weights that transformers would otherwise fill with random numbers."""
    lost = sorted(str(name) for kind in ("missing_keys", "mismatched_keys") for name in info.get(kind, ()))
    if lost:
        raise ModelError(
            f"model {model.name!r} in {model.directory}: {len(lost)} weights are missing or have another shape than "
            f"config.json says, first {lost[0]}"
        )
