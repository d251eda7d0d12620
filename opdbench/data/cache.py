"""The folder where data of our own are kept, and files that are there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of our caches; ``XDG_CACHE_HOME`` is honoured."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opdbench"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file at once: whoever reads it finds the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    shutil.move(file.name, path)
