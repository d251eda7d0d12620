"""Turns a forked process into an interpreter that runs a program as ``python FILE`` does.

The program becomes ``__main__`` with real standard streams on descriptors 0, 1 and 2, and the interpreter itself ends
it: threads are joined, exit functions run, uncaught errors are printed and the exit code is Python's own. Known
differences: ``random`` is seeded with 0, ``sys.flags`` shows a start without site packages, and one frame more is on
the stack.
"""

from __future__ import annotations

import _signal  # pyright: ignore
import _sitebuiltins
import builtins
import fcntl
import io
import os
import random
import sys
import types
import typing

from opdbench.sandbox.ending import Ending, keep_for_ever
from opdbench.sandbox.program import close_from
from opdbench.sandbox.protocol import write_all

NAME = "main.py"
_STREAMS = (("stdin", "r", "surrogateescape"), ("stdout", "w", "surrogateescape"), ("stderr", "w", "backslashreplace"))


class Script(typing.NamedTuple):
    """What is left to compile and execute, with the namespace of its ``__main__``."""

    source: bytes
    path: str
    ending: Ending
    namespace: dict[str, typing.Any]


def input_file(text: bytes | memoryview) -> int:
    """Return a descriptor that reads a program's standard input; nothing can be written to it.

    A file and not a pipe: nobody has to feed it while the program's output is read.
    """
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    write_all(descriptor, text)
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def redirect(streams: tuple[int, int, int]) -> None:
    """Make three descriptors the standard streams and close all others."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    close_from(3)


class Stage:
    """What programs find when they start, made by the server; its descriptors 0, 1 and 2 are open on other files after.

    A process that has just been forked pays for every page that it changes, so little is left for it to do.
    """

    def __init__(self) -> None:
        own = [name for name in sys.modules if name.partition(".")[0] == "opdbench"]
        keep_for_ever([sys.modules.pop(name) for name in own])
        _open_streams()
        # The built-in names that come from ``site``, which is not loaded here.
        self._quitters = [_sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)") for name in ("exit", "quit")]
        self._ending = Ending()

    def prepare(self, source: bytes, folder: str) -> Script:
        """Make this process look freshly started on the program's file in ``folder``."""
        path = f"{folder}/{NAME}"
        # Not by the module ``signal``, which makes enumerations of what this returns.
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)  # pyright: ignore
        random.seed(0)
        sys.argv[:] = [path]
        sys.orig_argv[:] = [sys.executable, path]
        sys.path.insert(0, folder)
        for quitter in self._quitters:
            setattr(builtins, quitter.name, quitter)
        return Script(source, path, self._ending, _new_main(path))


def _open_streams() -> None:
    """Open text streams as the interpreter does: standard output in blocks, standard error by lines.

    They look at their descriptors once, which are therefore of the kinds that a program's will be.
    """
    given, (reader, writer) = input_file(b""), os.pipe()
    for number, descriptor in enumerate((given, writer, writer)):
        os.dup2(descriptor, number)
    for descriptor in (given, reader, writer):
        os.close(descriptor)
    for number, (name, mode, errors) in enumerate(_STREAMS):
        raw = io.FileIO(number, mode, closefd=False)
        raw.name = f"<{name}>"
        size = os.fstat(number).st_blksize
        buffer = io.BufferedReader(raw, size) if mode == "r" else io.BufferedWriter(raw, size)
        stream = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=name == "stderr")
        vars(stream)["mode"] = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _new_main(path: str) -> dict[str, typing.Any]:
    module = types.ModuleType("__main__")
    names = {"__file__": path, "__builtins__": builtins, "__annotations__": {}, "__cached__": None}
    module.__dict__.update(names)
    sys.modules["__main__"] = module
    return module.__dict__
