"""Makes the standard library readable for programs that run as nobody.

An interpreter that lives under a private home folder (``/root``) can be started by root, and its programs then cannot
import anything more. Its library is linked, or else copied, into the sandbox's own folder.
"""

from __future__ import annotations

import os
import shutil
import stat
import sysconfig
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "turtledemo", "ensurepip", "config-*")


def library_paths(root: Path) -> list[str]:
    """Return the import path for programs, empty where the interpreter's own is readable for everybody.

    Raises:
        OSError: the library can be neither linked nor copied into ``root``.
    """
    library = Path(sysconfig.get_path("stdlib")).resolve()
    if os.getuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (library, *library.parents)):
        return []
    shared = root / "library"
    if not shared.exists():
        shutil.copytree(library, shared, ignore=_LEFT_OUT, copy_function=_link_or_copy, symlinks=True)
    return [str(shared), str(shared / "lib-dynload")]


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
