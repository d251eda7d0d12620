"""The processes of one program: how the first is forked, and how all of them end.

They live in a process-id namespace where the kernel grants one. Process 1 of it, the *keeper*, does nothing but end
and collect what a program leaves behind: one signal reaches every process of the namespace and of those inside it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import typing

from opdbench.sandbox import kernel, reap
from opdbench.sandbox.program import MAX_DESCRIPTORS

END_SECONDS = 5.0
_NUMBER = struct.Struct("i")


class Family(typing.Protocol):
    """How a server forks and ends the processes of its programs, one program at a time."""

    def fork(self) -> int:
        """Fork the first process of a program; return as ``os.fork`` does."""
        ...

    def is_single(self, number: int) -> bool:
        """Say whether a program is known to have started no process and no thread beside its first.

        Args:
            number: The first process's id as it sees it itself.
        """
        ...

    def end(self) -> None:
        """End and collect all processes of a program; its first one is ended and collected before."""
        ...


def start_family(*, is_first: bool) -> Family:
    """Return the strongest family that the kernel grants; ``is_first`` says that this is process 1 of a namespace."""
    for flags in (kernel.NEW_PIDS, *([kernel.NEW_PIDS | kernel.NEW_USERS] if os.getuid() else [])):
        with contextlib.suppress(OSError):
            kernel.unshare(flags)  # for the processes that are forked from now on
            return _Kept()
    return _Loose(is_first)


class _Loose:
    """Programs beside the server, or below it."""

    def __init__(self, is_first: bool) -> None:
        self._is_first, self._namespaces = is_first, _grantable(kernel.NEW_IPC)

    def fork(self) -> int:
        return kernel.fork_into(self._namespaces) if self._namespaces else os.fork()

    def is_single(self, number: int) -> bool:
        del number
        return False

    def end(self) -> None:
        reap.kill_descendants(is_first=self._is_first)


class _Kept(_Loose):
    """Programs in a namespace with a keeper. The server is outside: it has no number there."""

    def __init__(self) -> None:
        (asked, self._ask), (self._answer, answer) = os.pipe(), os.pipe()
        if os.fork() == 0:
            _keep(asked, answer)
        os.close(asked)
        os.close(answer)
        super().__init__(is_first=False)
        self._num_counted = 0

    def fork(self) -> int:
        self._num_counted = 0
        return super().fork()

    def is_single(self, number: int) -> bool:
        """Numbers are given in sequence: the next one tells whether the program has taken any."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, _NUMBER.pack(os.getpid()))
            os._exit(0)
        os.close(writer)
        (found,) = _NUMBER.unpack(os.read(reader, _NUMBER.size))
        os.close(reader)
        os.waitpid(child, 0)
        self._num_counted += 1
        return found == number + self._num_counted

    def end(self) -> None:
        """Without its keeper, which somebody may have killed, a server ends; the parent starts another one."""
        try:
            os.write(self._ask, b"1")
            has_ended = select.select([self._answer], [], [], END_SECONDS)[0] and os.read(self._answer, 1)
        except BrokenPipeError:
            has_ended = b""
        if not has_ended:
            os._exit(3)


def _grantable(namespaces: int) -> int:
    """Return namespaces that a program can have of its own, 0 if the kernel does not grant them."""
    try:
        child = kernel.fork_into(namespaces)
    except OSError:
        return 0
    if child == 0:
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise ChildProcessError("what looked for namespaces was killed: whether there are any is not known")
    return namespaces


def _keep(asked: int, answer: int) -> typing.NoReturn:
    """End and collect everything in the namespace whenever the server asks for it, until the server ends."""
    kernel.die_with_parent()
    for first, end in ((0, asked), (asked + 1, answer), (answer + 1, MAX_DESCRIPTORS)):
        os.closerange(first, end)
    while os.read(asked, 1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        os.write(answer, b"1")
    os._exit(0)
