"""A filter of the few system calls that reach what no namespace holds; the server installs it once for all programs.

- Key rings belong to users and to sessions. A program finds the session's ring of whoever started the server, and reads
  or revokes its keys; what it puts into its user's ring stays for the next program.
- A socket of another family than those below may know no network namespace: ``AF_VSOCK`` leads to the machine's host.
- ``io_uring`` makes sockets without the system call that is looked at here.
- ``prlimit`` sets limits of other processes of the same user: those of the server that a user has started, which stay.

Sources: ``seccomp(2)``, ``include/uapi/linux/{audit,bpf_common,filter,seccomp}.h`` of the kernel, its tables of calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import typing
from collections.abc import Sequence

from opdbench.sandbox import kernel

_SET_FILTER = 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _INTERFACE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000
_FOREIGN = 1 << 30  # the calls of a second interface of x86_64 have numbers from here on
_FAMILIES = (1, 2, 10, 16)  # unix, internet 4 and 6, netlink: a network namespace holds them
_IO_URING = (425, 426, 427)
_SELF = 0


class _Machine(typing.NamedTuple):
    """The kernel's interface on a kind of processor: its code, and the numbers of calls.

    ``keys`` are ``add_key``, ``request_key`` and ``keyctl``.
    """

    interface: int
    seccomp: int
    socket: int
    prlimit: int
    keys: tuple[int, int, int]


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 41, 302, (248, 249, 250)),
    "aarch64": _Machine(0xC00000B7, 277, 198, 261, (217, 218, 219)),
}


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def restrict() -> None:
    """Install the filter in this process and all that it will start; none of them can take it off.

    Raises:
        OSError: the kernel has no such filters, or the processor's calls are unknown here.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        raise OSError(f"system calls of {os.uname().machine} are unknown")
    program = b"".join(_instructions(machine))
    kernel.refuse_new_privileges()  # without it only an administrator may
    wanted = _Filter(len(program) // 8, program)
    kernel.system_call("seccomp", machine.seccomp, ctypes.c_ulong(_SET_FILTER), ctypes.c_ulong(0), ctypes.byref(wanted))


def _instructions(machine: _Machine) -> list[bytes]:
    """Return the filter; refused calls and those of other interfaces are missing to a program."""
    missing = _end(_FAIL_WITH | errno.ENOSYS)
    return [
        *(_load(_INTERFACE), _step(_EQUAL, machine.interface, skip=1), missing),
        *(_load(_NUMBER), _step(_AT_LEAST, _FOREIGN, skip_else=1), missing),
        *(part for call in (*machine.keys, *_IO_URING) for part in (_step(_EQUAL, call, skip_else=1), missing)),
        *_only(machine.socket, _FAMILIES, errno.EAFNOSUPPORT),
        *_only(machine.prlimit, (_SELF,), errno.EPERM),
        _end(_ALLOW),
    ]


def _only(call: int, allowed: Sequence[int], error: int) -> list[bytes]:
    """Return the part that lets a call pass with some first arguments only; the call's number is loaded."""
    choices = [part for value in allowed for part in (_step(_EQUAL, value, skip_else=1), _end(_ALLOW))]
    inner = [_load(_FIRST_ARGUMENT), *choices, _end(_FAIL_WITH | error)]
    return [_step(_EQUAL, call, skip_else=len(inner)), *inner]


def _load(position: int) -> bytes:
    return _step(_LOAD, position)


def _step(code: int, value: int, skip: int = 0, skip_else: int = 0) -> bytes:
    return code.to_bytes(2, "little") + bytes((skip, skip_else)) + value.to_bytes(4, "little")


def _end(result: int) -> bytes:
    return _step(_RETURN, result)
