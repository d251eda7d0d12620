"""Files of a GitHub repository at a commit or of a release, each with a pinned sha256, in a cache of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from opdbench.data.cache import cache_root, write_whole
from opdbench.errors import DataError

Kind = Literal["github", "release"]
"""Whether files are part of a commit, or attached to a release; a tag can be moved, and the sha256 tells."""
ADDRESSES: Mapping[Kind, str] = {
    "github": "https://raw.githubusercontent.com/{repo}/{revision}/{name}",
    "release": "https://github.com/{repo}/releases/download/{revision}/{name}",
}
TIMEOUT_SECONDS = 60


def cache_folder(repo: str, revision: str) -> Path:
    """Return where the files of a commit or a release are kept."""
    return cache_root() / "data" / repo.replace("/", "--") / revision


def cached_files(repo: str, revision: str, files: Sequence[str]) -> list[Path]:
    """Return all files, or none where one of them is not in the cache."""
    paths = [cache_folder(repo, revision) / name for name in files]
    return paths if all(path.is_file() for path in paths) else []


def download_files(
    repo: str, revision: str, files: Sequence[str], sha256: Mapping[str, str], kind: Kind = "github"
) -> list[Path]:
    """Download files into the cache; a file is there as a whole or not at all.

    Raises:
        DataError: a file has another hash than was pinned.
        OSError: GitHub was not reached.
    """
    folder = cache_folder(repo, revision)
    for name in files:
        data = _read(ADDRESSES[kind].format(repo=repo, revision=revision, name=name))
        if (found := hashlib.sha256(data).hexdigest()) != sha256[name]:
            raise DataError(f"{repo}/{name}: sha256 {sha256[name]} expected at {revision}, got {found}")
        write_whole(folder / name, data)
    return [folder / name for name in files]


def _read(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310
        return reply.read()
