"""The layers between a program and the machine, from the outside in.

Each layer is a function that is called once in the program's own process and says whether it took hold: what a kernel
or a container refuses is reported, not hidden. ``OUTER`` runs before the last fork (a new process-id namespace holds
only children), ``INNER`` in the program's own process. To add a layer, write its function and list it here.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Sequence

from opdbench.sandbox.protocol import Limits

Layer = Callable[[Limits], bool]

NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
_CAPABILITY_VERSION_3 = 0x20080522

_SYS_CLONE = 220 if os.uname().machine == "aarch64" else 56

_libc = ctypes.CDLL(None, use_errno=True)
_held_libc = ctypes.PyDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return _libc.prctl(option, value, 0, 0, 0) == 0


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent dies, so that none escapes."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def refuse_tracing() -> bool:
    """Keep processes of the same user from reading or changing this process."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> bool:
    """Let the kernel kill this process when its parent ends."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_user(limits: Limits) -> bool:
    """Become nobody; as root this comes first, because limits on processes and permissions bind only then."""
    del limits
    if os.getuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False
    return True


def leave_namespaces(limits: Limits) -> bool:
    """Enter empty network, IPC and process-id namespaces inside a user namespace of its own."""
    del limits
    return _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWPID) == 0


def fork_apart() -> int:
    """Fork a child that is the first process of new namespaces; it and all others there end together.

    Root needs no user namespace for it and must not use one, because the child still has to become nobody.

    Raises:
        OSError: the kernel or the container refuses.
    """
    flags = _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWPID | (_CLONE_NEWUSER if os.getuid() != 0 else 0)
    ctypes.pythonapi.PyOS_BeforeFork()
    # Through PyDLL, which keeps the interpreter's lock: the child has no other thread that could return it.
    pid = _held_libc.syscall(_SYS_CLONE, ctypes.c_ulong(flags | signal.SIGCHLD), 0, 0, 0, 0)
    error = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def can_fork_apart() -> bool:
    """Say whether ``fork_apart`` works here; only tried where the number of its system call is known."""
    if os.uname().machine not in ("x86_64", "aarch64"):
        return False
    try:
        child = fork_apart()
    except OSError:
        return False
    if child == 0:
        os._exit(0 if os.getpid() == 1 else 1)
    return os.waitpid(child, 0)[1] == 0


def limit_resources(limits: Limits) -> bool:
    """Bound memory, processor time, file size, processes, open files; no core dumps."""
    seconds = int(limits.wall_seconds) + 2
    wanted = {
        resource.RLIMIT_AS: limits.memory_mb << 20,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: limits.num_processes,
        resource.RLIMIT_NOFILE: limits.num_files,
        resource.RLIMIT_CORE: 0,
    }
    try:
        for kind, value in wanted.items():
            hard = resource.getrlimit(kind)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (bound, bound))
    except (OSError, ValueError):
        return False
    return True


def drop_capabilities(limits: Limits) -> bool:
    """Give up every capability, also those over the new user namespace."""
    del limits
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    return _libc.capset(header, (ctypes.c_uint32 * 6)()) == 0


def no_new_privileges(limits: Limits) -> bool:
    """Make set-user-id programs harmless."""
    del limits
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1)


USER: tuple[tuple[str, Layer], ...] = (("user", drop_user),)
NAMESPACES: tuple[tuple[str, Layer], ...] = (("namespaces", leave_namespaces),)
OUTER = (*USER, *NAMESPACES)
INNER: tuple[tuple[str, Layer], ...] = (
    ("rlimits", limit_resources),
    ("capabilities", drop_capabilities),
    ("no-new-privileges", no_new_privileges),
)
NAMES = tuple(name for name, _ in (*OUTER, *INNER))


def apply(layers: Sequence[tuple[str, Layer]], limits: Limits) -> list[str]:
    """Apply layers in order and return the names of those that took hold."""
    return [name for name, layer in layers if layer(limits)]
