"""Makes the standard library readable for programs that run as nobody, where no room of their own shows it to them.

An interpreter that lives under a private home folder (``/root``) can be started by root, and its programs then cannot
import anything more. Its library is linked, or else copied, into the sandbox's own folder.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "turtledemo", "ensurepip", "config-*")


def use_readable_library(root: Path) -> None:
    """Let this process import from a library that everybody can read, below ``root`` where its own is private.

    Raises:
        OSError: the library can be neither linked nor copied into ``root``.
    """
    library = Path(sysconfig.get_path("stdlib")).resolve()
    if os.getuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (library, *library.parents)):
        return
    shared = _shared(library, root)
    sys.path[:] = [str(shared), str(shared / "lib-dynload")]
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        if hasattr(module, "__path__"):  # packages that are loaded look for their parts where they came from
            module.__path__ = [str(shared.joinpath(*module.__name__.split(".")))]


def _shared(library: Path, root: Path) -> Path:
    shared = root / "library"
    if not shared.exists():
        making = Path(f"{shared}-{os.getpid()}")
        shutil.copytree(library, making, ignore=_LEFT_OUT, copy_function=_link_or_copy, symlinks=True)
        making.rename(shared)
    return shared


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
