"""The system calls that Python 3.11 has no function for. Every failure is an ``OSError`` that names the call.

Numbers and constants are those of the kernel's headers (``clone(2)``, ``mount(2)``, ``mount_setattr(2)``,
``pivot_root(2)``, ``prctl(2)``, ``capset(2)``); system calls added since Linux 5.1 have one number on all processors.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

NEW_MOUNTS, NEW_IPC, NEW_USERS, NEW_PIDS, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE = 0x1, 0x2, 0x4, 0x1000, 0x4000, 0x40000

_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_PR_GET_SECCOMP, _FILTERED = 21, 2
_CAPABILITY_VERSION_3 = 0x20080522
_MOUNT_SETATTR = 442
_MACHINE = os.uname().machine
_CLONE = {"x86_64": 56, "aarch64": 220}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)
_held_libc = ctypes.PyDLL(None, use_errno=True)
_system_call, _held_system_call = _libc.syscall, _held_libc.syscall
_before_fork, _after_fork_in_parent = ctypes.pythonapi.PyOS_BeforeFork, ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


def _check(name: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def system_call(name: str, number: int | None, *arguments: object) -> int:
    """Make a system call by its number.

    Raises:
        OSError: the kernel or the container refuses, or the number is unknown on this processor.
    """
    if number is None:
        raise OSError(f"{name}: its number is unknown on {_MACHINE}")
    return _check(name, _system_call(ctypes.c_long(number), *arguments))


class Ready:
    """A system call whose arguments are made already, for a process that has just been forked.

    Such a process pays for every page that it changes, and to make arguments changes many.
    """

    __slots__ = ("_arguments", "_function", "_name")

    def __init__(self, name: str, function: Callable[..., int], *arguments: object) -> None:
        self._name, self._function, self._arguments = name, function, arguments

    def __call__(self) -> int:
        """Make the call and return its result.

        Raises:
            OSError: the kernel or the container refuses.
        """
        return _check(self._name, self._function(*self._arguments))


def ready_system_call(name: str, number: int, *arguments: object) -> Ready:
    """Return a system call to be made later; ``arguments`` are values of ``ctypes``."""
    return Ready(name, _system_call, ctypes.c_long(number), *arguments)


def fork_into(namespaces: int) -> int:
    """Fork a child that starts in new namespaces, as process 1 if they hold process ids; return as ``os.fork`` does.

    Raises:
        OSError: the kernel or the container refuses.
    """
    number = _CLONE.get(_MACHINE)
    if number is None:
        raise OSError(f"clone: its number is unknown on {_MACHINE}")
    arguments = (ctypes.c_long(number), ctypes.c_ulong(namespaces | signal.SIGCHLD), None, None, None, None)
    _before_fork()
    # Through PyDLL, which keeps the interpreter's lock: the child has no other thread that could return it.
    pid = _held_system_call(*arguments)
    if pid == 0:
        _after_fork_in_child()
        return 0
    error = ctypes.get_errno()
    _after_fork_in_parent()
    if pid < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return pid


def unshare(namespaces: int) -> None:
    """Move this process, or of process ids those that it forks from now on, into new namespaces.

    Raises:
        OSError: the kernel or the container refuses.
    """
    _check("unshare", _libc.unshare(ctypes.c_int(namespaces)))


def processor_clock(pid: int) -> int:
    """Return the clock of the processor time that a process and its threads have used, for ``time.clock_gettime``.

    Raises:
        OSError: there is no such process.
    """
    clock = ctypes.c_int32()
    if error := _libc.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock)):
        raise OSError(error, f"clock_getcpuclockid: {os.strerror(error)}")
    return clock.value


def write_user_map(pid: int, lines: str) -> None:
    """Map users and groups of the user namespace that process ``pid`` was forked into.

    Raises:
        OSError: the kernel refuses.
    """
    process = Path(f"/proc/{pid}")
    if os.getuid() != 0:
        (process / "setgroups").write_text("deny")
    (process / "gid_map").write_text(lines)
    (process / "uid_map").write_text(lines)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount, bind, or change how mounts spread.

    Raises:
        OSError: the kernel or the container refuses.
    """
    encoded = kind.encode() if kind else None
    arguments = (source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), options.encode())
    _check(f"mount on {target}", _libc.mount(*arguments))


def unmount(target: str) -> None:
    """Take a mount out of sight at once; it ends when nothing uses it any more.

    Raises:
        OSError: it is no mount, or the kernel refuses.
    """
    _check(f"umount of {target}", _libc.umount2(target.encode(), _DETACH))


def make_read_only(target: str) -> None:
    """Make a mount and all mounts below it read-only and without set-user-id.

    Raises:
        OSError: the kernel is older than 5.12 or refuses.
    """
    wanted = _MountAttributes(set=READ_ONLY | NO_SUID)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    path = ctypes.c_char_p(target.encode())
    system_call("mount_setattr", _MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, ctypes.byref(wanted), size)


def change_root(folder: str) -> None:
    """Make a mounted folder the root of the mount namespace, and take all else out of it.

    Raises:
        OSError: the kernel or the container refuses.
    """
    os.chdir(folder)
    here = ctypes.c_char_p(b".")
    system_call("pivot_root", _PIVOT_ROOT.get(_MACHINE), here, here)
    unmount(".")
    os.chdir("/")


def _prctl(name: str, option: int, value: int) -> Ready:
    return Ready(name, _libc.prctl, ctypes.c_int(option), *(ctypes.c_ulong(part) for part in (value, 0, 0, 0)))


_DIE_WITH_PARENT = _prctl("prctl death signal", _PR_SET_PDEATHSIG, signal.SIGKILL)
_REFUSE_NEW_PRIVILEGES = _prctl("prctl no new privileges", _PR_SET_NO_NEW_PRIVS, 1)
_FILTER_MODE = _prctl("prctl filter", _PR_GET_SECCOMP, 0)
_DROP_CAPABILITIES = Ready(
    "capset", _libc.capset, (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies, so that none escapes."""
    _prctl("prctl subreaper", _PR_SET_CHILD_SUBREAPER, 1)()


def refuse_tracing() -> None:
    """Keep processes of the same user from reading or changing this process."""
    _prctl("prctl dumpable", _PR_SET_DUMPABLE, 0)()


def die_with_parent() -> None:
    """Let the kernel kill this process when the process that forked it ends; a change of user withdraws this."""
    _DIE_WITH_PARENT()


def refuse_new_privileges() -> None:
    """Make set-user-id programs harmless for this process and all that it starts."""
    _REFUSE_NEW_PRIVILEGES()


def has_filter() -> bool:
    """Say whether a filter decides which system calls this process may make.

    Raises:
        OSError: the kernel has no filters.
    """
    return _FILTER_MODE() == _FILTERED


def drop_capabilities() -> None:
    """Give up every capability, also those over this process's own namespaces."""
    _DROP_CAPABILITIES()
