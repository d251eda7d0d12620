"""The layers between a program and the machine, from the outside in.

The outer ones hold for a whole fork server and come from its tier (``guard``); the inner ones are functions that are
called once in the program's own process and say whether they took hold: what a kernel or a container refuses is
reported, not hidden. To add an inner layer, write its function and list it here.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from opdbench.sandbox import kernel, landlock, room
from opdbench.sandbox.protocol import Limits

Layer = Callable[[Limits], None]

NOBODY = 65534
UNSAFE = "unsafe"
TIERS: dict[str, tuple[str, ...]] = {
    "namespaces": ("namespaces", "files"),
    "bubblewrap": ("bubblewrap", "files"),
    UNSAFE: (UNSAFE,),
}
"""What each way to start a fork server gives to all its programs, strongest first."""


def drop_user(limits: Limits) -> None:
    """Become nobody; as root this comes first, because limits on processes and permissions bind only then."""
    del limits
    if os.getuid() != 0:
        raise OSError("the programs run as the user who started them")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def limit_resources(limits: Limits) -> None:
    """Bound memory, processor time, file size, processes, open files; no core dumps."""
    wanted = {
        resource.RLIMIT_AS: limits.memory_mb << 20,
        resource.RLIMIT_CPU: int(limits.wall_seconds) + 2,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: limits.num_processes,
        resource.RLIMIT_NOFILE: limits.num_files,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def drop_capabilities(limits: Limits) -> None:
    """Give up every capability, also those over the server's namespaces."""
    del limits
    kernel.drop_capabilities()


def refuse_new_privileges(limits: Limits) -> None:
    """Make set-user-id programs harmless."""
    del limits
    kernel.refuse_new_privileges()


def restrict_files(limits: Limits) -> None:
    """Leave the interpreter's files to read and the present folder to use; no TCP, no signals to others."""
    del limits
    landlock.restrict(room.allowed(str(Path.cwd())))


INNER: tuple[tuple[str, Layer], ...] = (
    ("user", drop_user),
    ("rlimits", limit_resources),
    ("capabilities", drop_capabilities),
    ("no-new-privileges", refuse_new_privileges),
    ("landlock", restrict_files),
)
NAMES = tuple(dict.fromkeys((*(name for names in TIERS.values() for name in names), *(name for name, _ in INNER))))


def apply(layers: Sequence[tuple[str, Layer]], limits: Limits) -> list[str]:
    """Apply layers in order and return the names of those that took hold."""
    held: list[str] = []
    for name, layer in layers:
        try:
            layer(limits)
        except (OSError, ValueError):
            continue
        held.append(name)
    return held


def absent(active: Sequence[str]) -> list[str]:
    """Return the layers that a machine lacks; other tiers than the active one and ``unsafe`` are no lack."""
    inner = [name for name, _ in INNER if name not in active]
    return inner if "files" in active else [*TIERS["namespaces"], *inner]


def program_namespaces() -> int | None:
    """Return the namespaces that every program can have of its own; None where the kernel grants none.

    Never users for root: its programs could not become nobody there.
    """
    own = kernel.NEW_PIDS | kernel.NEW_IPC
    for flags in (own, own | kernel.NEW_USERS) if os.getuid() else (own,):
        try:
            child = kernel.fork_into(flags)
        except OSError:
            continue
        if child == 0:
            os._exit(0 if os.getpid() == 1 else 1)
        if os.waitpid(child, 0)[1] == 0:
            return flags
    return None
