"""Files of a GitHub repository at a commit: fetched one by one, each with a pinned sha256, into a cache of our own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from opdbench.errors import DataError

RAW = "https://raw.githubusercontent.com"
TIMEOUT_SECONDS = 60


def cache_folder(repo: str, revision: str) -> Path:
    """Return where the files of a commit are kept; ``XDG_CACHE_HOME`` is honoured."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "opdbench" / "data" / repo.replace("/", "--") / revision


def cached_files(repo: str, revision: str, files: Sequence[str]) -> list[Path]:
    """Return all files, or none where one of them is not in the cache."""
    paths = [cache_folder(repo, revision) / name for name in files]
    return paths if all(path.is_file() for path in paths) else []


def download_files(repo: str, revision: str, files: Sequence[str], sha256: Mapping[str, str]) -> list[Path]:
    """Download files into the cache; a file is there as a whole or not at all.

    Raises:
        DataError: a file has another hash than was pinned.
        OSError: GitHub was not reached.
    """
    folder = cache_folder(repo, revision)
    for name in files:
        data = _read(f"{RAW}/{repo}/{revision}/{name}")
        if (found := hashlib.sha256(data).hexdigest()) != sha256[name]:
            raise DataError(f"{repo}/{name}: sha256 {sha256[name]} expected at {revision}, got {found}")
        _write(folder / name, data)
    return [folder / name for name in files]


def _read(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310
        return reply.read()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    shutil.move(file.name, path)
