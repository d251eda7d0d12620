"""The layers between a program and the machine, from the outside in.

The outer ones hold for a whole fork server and come from its tier (``guard``); the inner ones are functions that are
called once in the program's own process and say whether they took hold: what a kernel or a container refuses is
reported, not hidden. To add an inner layer, write its function and list it here.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from typing import NamedTuple

from opdbench.sandbox import kernel, landlock
from opdbench.sandbox.protocol import Limits


class Ready(NamedTuple):
    """What a server has made for a program's layers before it forks: a fresh process pays for all that it changes.

    Attributes:
        bounds: Kinds of resource limits with their soft and hard values.
        ruleset: What Landlock allows the program; None where the kernel has no Landlock.
    """

    bounds: tuple[tuple[int, tuple[int, int]], ...]
    ruleset: landlock.Ruleset | None


Layer = Callable[[Ready], None]

NOBODY = 65534
UNSAFE = "unsafe"
TIERS: dict[str, tuple[str, ...]] = {
    "namespaces": ("namespaces", "files"),
    "bubblewrap": ("bubblewrap", "files"),
    UNSAFE: (UNSAFE,),
}
"""What each way to start a fork server gives to all its programs, strongest first."""


def bounds(limits: Limits) -> tuple[tuple[int, tuple[int, int]], ...]:
    """Return the bounds of memory, processor time, file size, processes and open files; no core dumps."""
    wanted = {
        resource.RLIMIT_AS: limits.memory_mb << 20,
        resource.RLIMIT_CPU: int(limits.seconds) + 2,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: limits.num_processes,
        resource.RLIMIT_NOFILE: limits.num_files,
        resource.RLIMIT_CORE: 0,
    }
    found: list[tuple[int, tuple[int, int]]] = []
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # A second between the two, so that the signal says that it was the time.
        last = bound + 1 if kind == resource.RLIMIT_CPU and bound == value else bound
        found.append((kind, (bound, last)))
    return tuple(found)


def drop_user(ready: Ready) -> None:
    """Become nobody; as root this comes first, because limits on processes and permissions bind only then."""
    del ready
    if os.getuid() != 0:
        raise OSError("the programs run as the user who started them")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def limit_resources(ready: Ready) -> None:
    """Bound what this process, and each that it starts, may use."""
    for kind, bound in ready.bounds:
        resource.setrlimit(kind, bound)


def drop_capabilities(ready: Ready) -> None:
    """Give up every capability, also those over the server's namespaces."""
    del ready
    kernel.drop_capabilities()


def refuse_new_privileges(ready: Ready) -> None:
    """Make set-user-id programs harmless."""
    del ready
    kernel.refuse_new_privileges()


def restrict_files(ready: Ready) -> None:
    """Leave the interpreter's files to read and the program's folder to use; no TCP, no signals to others."""
    if ready.ruleset is None:
        raise OSError("the server has no ruleset")
    ready.ruleset.restrict()


def inherit_filter(ready: Ready) -> None:
    """Check that the server's filter of system calls (``calls``) holds here; to install one costs time."""
    del ready
    if not kernel.has_filter():
        raise OSError("the server has no filter")


INNER: tuple[tuple[str, Layer], ...] = (
    ("user", drop_user),
    ("rlimits", limit_resources),
    ("capabilities", drop_capabilities),
    ("no-new-privileges", refuse_new_privileges),
    ("landlock", restrict_files),
    ("system-calls", inherit_filter),
)
NAMES = tuple(dict.fromkeys((*(name for names in TIERS.values() for name in names), *(name for name, _ in INNER))))


def apply(layers: Sequence[tuple[str, Layer]], ready: Ready) -> list[str]:
    """Apply layers in order and return the names of those that took hold."""
    held: list[str] = []
    for name, layer in layers:
        try:
            layer(ready)
        except (OSError, ValueError):
            continue
        held.append(name)
    return held


def absent(active: Sequence[str]) -> list[str]:
    """Return the layers that a machine lacks; other tiers than the active one and ``unsafe`` are no lack."""
    inner = [name for name, _ in INNER if name not in active]
    return inner if "files" in active else [*TIERS["namespaces"], *inner]
