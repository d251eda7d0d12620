"""Makes the standard library readable for programs that run as nobody, where no room of their own shows it to them.

An interpreter that lives under a private home folder (``/root``) can be started by root, and its programs then cannot
import anything more. Its library is linked, or else copied, into the sandbox's own folder.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

_LEFT_OUT = ("site-packages", "test", "tests", "idlelib", "turtledemo", "ensurepip", "config-*")


def use_readable_library(root: Path) -> None:
    """Let this process import from a library that everybody can read, below ``root`` where its own is private.

    Raises:
        OSError: the library can be neither linked nor copied into ``root``.
    """
    library = Path(os.__file__).resolve().parent
    if os.getuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (library, *library.parents)):
        return
    shared = _shared(library, root)
    sys.path[:] = [str(shared), str(shared / "lib-dynload")]
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        if hasattr(module, "__path__"):  # packages that are loaded look for their parts where they came from
            module.__path__ = [str(shared.joinpath(*module.__name__.split(".")))]


def _shared(library: Path, root: Path) -> Path:
    import shutil  # here alone, because what a server has loaded makes every program dearer

    shared = root / "library"
    if not shared.exists():
        making = Path(f"{shared}-{os.getpid()}")
        shutil.copytree(
            library, making, ignore=shutil.ignore_patterns(*_LEFT_OUT), copy_function=_link_or_copy, symlinks=True
        )
        making.rename(shared)
    return shared


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        Path(target).write_bytes(Path(source).read_bytes())
