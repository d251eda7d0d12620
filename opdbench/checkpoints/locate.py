"""Finds the files of a model: a directory, a folder of an installed package, or a repository of the hub."""

from __future__ import annotations

import importlib
import os
import re
from importlib.resources import files
from pathlib import Path

from opdbench.checkpoints.files import PICKLES, TOKENIZER_FILES, check_safe, content_hash
from opdbench.errors import ModelError
from opdbench.model import ModelEntry
from opdbench.trainer import LocatedModel

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate(name: str, entry: ModelEntry, base: Path) -> LocatedModel:
    """Find the files of a model, fetching them from the hub where they are not on this machine.

    Args:
        name: What the board calls the model.
        entry: Its entry.
        base: Folder of the board; relative paths start there, else at the working directory.

    Raises:
        ModelError: there is no such checkpoint, it is incomplete, or it is not safe to load.
    """
    if entry.cell is not None:
        raise ModelError(f"model {name!r}: {entry.path} is the output of another row; train that row first")
    directory, revision = _directory(name, entry, base)
    model = LocatedModel(name, entry, directory, "")
    check_safe(model)
    return LocatedModel(name, entry, directory, content_hash(directory, revision))


def _directory(name: str, entry: ModelEntry, base: Path) -> tuple[Path, str]:
    """Return the directory of a model and, for the hub, its commit."""
    if entry.path.startswith("package:"):
        return _package_directory(name, entry.path.removeprefix("package:")), ""
    for candidate in (base / entry.path, Path(entry.path)):
        if candidate.is_dir():
            return candidate.resolve(), ""
    if _HUB_ID.fullmatch(entry.path):
        return _snapshot(name, entry)
    raise ModelError(
        f"model {name!r}: there is no directory {entry.path!r} below {base} or the working directory, and it is not "
        "a hub id (OWNER/NAME); correct path in [models]"
    )


def _package_directory(name: str, path: str) -> Path:
    package, _, folder = path.partition("/")
    try:
        directory = Path(str(files(importlib.import_module(package)).joinpath(folder)))
    except ImportError as error:
        raise ModelError(f"model {name!r}: package {package!r} is not installed: {error}") from error
    if not directory.is_dir():
        raise ModelError(f"model {name!r}: package {package!r} has no folder {folder!r}; reinstall it with its data")
    return directory


def _snapshot(name: str, entry: ModelEntry) -> tuple[Path, str]:
    """Return the local copy of a hub repository; a pinned commit that is there already needs no network."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    is_pinned = bool(_COMMIT.fullmatch(entry.revision or ""))
    attempts = [True] if offline else [True, False] if is_pinned else [False]
    problem = ""
    for local_only in attempts:
        try:
            directory = _download(entry, local_only=local_only)
            check_safe(LocatedModel(name, entry, directory, ""))
            return directory, directory.name
        except ModelError:
            if attempts[-1] is local_only:
                raise
        except Exception as error:  # the hub's client, its cache and its transport each have their own exceptions
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    at = f" at revision {entry.revision}" if entry.revision else ""
    get = f"hf download {entry.path}" + (f" --revision {entry.revision}" if entry.revision else "")
    why = "HF_HUB_OFFLINE is set and it is not in the local cache" if offline else problem
    raise ModelError(f"model {name!r}: cannot get {entry.path}{at} from the hub: {why}; run `{get}` where there is one")


def _download(entry: ModelEntry, *, local_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", *(name for name in TOKENIZER_FILES if not name.endswith(".json"))]
    patterns += PICKLES if entry.allow_pickle else ()
    return Path(
        snapshot_download(entry.path, revision=entry.revision, allow_patterns=patterns, local_files_only=local_only)
    )
