"""The files of a checkpoint: whether they are safe to load, what identifies them, and the configuration they carry."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opdbench.errors import ModelError
from opdbench.records import content_key
from opdbench.trainer import LocatedModel

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
)
"""What is copied beside trained weights: tokenizer, template, and the ids that end a response."""

SCRIPT = "scripted.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONFIG_EXTRAS = ("max_position_embeddings", "rope_parameters", "rope_scaling", "rope_theta", "sliding_window")
_hashes: dict[tuple[str, int, int], str] = {}


def content_hash(directory: Path, revision: str = "") -> str:
    """Return what identifies a checkpoint: a hash over weights, configuration and tokenizer, by name and content.

    Raises:
        ModelError: a file cannot be read.
    """
    names = {path.name for pattern in ("*.safetensors", *PICKLES) for path in directory.glob(pattern)}
    names |= {name for name in ("config.json", SCRIPT, *TOKENIZER_FILES) if (directory / name).is_file()}
    return content_key([revision, [[name, _file_hash(directory / name)] for name in sorted(names)]], length=64)


def check_safe(model: LocatedModel) -> None:
    """Refuse a checkpoint that is incomplete or that could execute code when loaded.

    Raises:
        ModelError: weights or configuration are missing, weights are pickled and not allowed to be, or the
            configuration names code of its own.
    """
    directory, who = model.directory, f"model {model.name!r} in {model.directory}"
    if (directory / SCRIPT).is_file():
        return
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in read_json(directory / name, default={}):
            raise ModelError(
                f"{who}: {name} names Python code of its own (auto_map), which opdbench never runs; use a checkpoint "
                "of an architecture that transformers has, and remove auto_map from it"
            )
    if not (directory / "config.json").is_file():
        raise ModelError(f"{who} has no config.json; name the folder of a checkpoint that transformers saved")
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    if any(directory.glob("*.safetensors")) or (pickles and model.entry.allow_pickle):
        return
    if pickles:
        raise ModelError(
            f"{who} has its weights only in {pickles[0]}, and loading a pickle can execute code; convert it to "
            "safetensors, or set allow_pickle = true if you trust it"
        )
    raise ModelError(f"{who} has no weights (*.safetensors)")


def architecture(model: LocatedModel) -> dict[str, Any]:
    """Return ``config.json`` with the board's overrides applied.

    Raises:
        ModelError: there is none, or an override names a key that it does not have.
    """
    config = read_json(model.directory / "config.json")
    return _merge(config, model.entry.overrides, f"model {model.name!r}: overrides")


def read_json(path: Path, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a JSON object; a missing file is ``default`` where one is given.

    Raises:
        ModelError: the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is None:
            raise ModelError(f"{path} does not exist") from None
        return dict(default)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return content


def _merge(config: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Apply overrides, tables key by key. RoPE settings move to where the configuration keeps them."""
    merged = dict(config)
    for key, value in overrides.items():
        current = merged.get(key)
        if key == "rope_theta" and isinstance(rope := merged.get("rope_parameters"), dict):
            merged["rope_parameters"] = {**rope, "rope_theta": value}
        elif key not in merged and key not in _CONFIG_EXTRAS:
            near = difflib.get_close_matches(key, [*merged, *_CONFIG_EXTRAS], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(merged))}"
            raise ModelError(f"{where}: config.json has no key {key!r}{hint}")
        else:
            merged[key] = {**current, **value} if isinstance(current, dict) and isinstance(value, dict) else value
    return merged


def _file_hash(path: Path) -> str:
    """Return the sha256 of a file, remembered while its size and time stay the same."""
    try:
        state = path.stat()
        key = (str(path), state.st_size, state.st_mtime_ns)
        if key not in _hashes:
            with path.open("rb") as file:
                _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return _hashes[key]
