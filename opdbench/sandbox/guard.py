"""The first process of a fork server: it starts the server in the strongest way that this machine allows.

Three tiers, tried in this order: namespaces of our own; the same server inside bubblewrap, which may do what we may
not; and, only when the user has allowed it, a plain child. The server is process 1 of its process-id namespace in the
first two, so that the kernel kills every program when the server ends. The guard runs no program and holds no job: it
waits for the server, and the server is killed by the kernel when the guard ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import typing
from collections.abc import Callable
from pathlib import Path

from opdbench.sandbox import calls, kernel, library, reap, room
from opdbench.sandbox.bubblewrap import start_in_bubblewrap
from opdbench.sandbox.layers import NOBODY, UNSAFE
from opdbench.sandbox.protocol import pack, write_all
from opdbench.sandbox.starting import Settings, SilentError, Started, expect_ready, report_ready

STARTS = 3
"""How often a server is started that ends without a word, before a weaker way is taken."""
_ALL = kernel.NEW_PIDS | kernel.NEW_MOUNTS | kernel.NEW_NETWORK | kernel.NEW_IPC


def stand(settings: Settings) -> str:
    """Start the server and wait for it; return the tier's name, in the server's process only."""
    if settings.tier:
        _restrict_calls()
        report_ready(*settings.pipes)
        return settings.tier
    starts = {"namespaces": _start_apart, "bubblewrap": start_in_bubblewrap, UNSAFE: _start_plain}
    reasons: list[str] = []
    for tier in settings.tiers:
        try:
            started = starts[tier](settings)
        except OSError as error:
            reasons.append(f"{tier}: {error}")
            continue
        if started.pid == 0:
            return tier
        _wait(started, reasons)
        _end(settings.root)
    with contextlib.suppress(BrokenPipeError):
        write_all(1, pack({"refused": reasons}))
    return _end(settings.root)


def _wait(started: Started, reasons: list[str]) -> None:
    """Name the server, let it go on, and return when it has ended."""
    with contextlib.suppress(BrokenPipeError):  # the parent has ended: nobody lets the server go on, so it ends
        write_all(1, pack({"server": started.pid, "refused": reasons}))
        os.write(started.release, b"1")
    os.close(started.release)
    os.close(1)
    os.waitpid(started.child, 0)
    reap.kill_descendants(is_first=False)  # only a plain server leaves any


def _end(root: str) -> typing.NoReturn:
    """End; delete the sandbox's folder if the parent has ended, which otherwise ends its guards before it hangs up."""
    poll = select.poll()
    poll.register(0, 0)
    if poll.poll(0):
        room.remove(root)
    os._exit(0)


def _become_server(prepare: Callable[[], None], go: int, say: int, unused: tuple[int, ...]) -> Started:
    """Prepare the server's process; whatever fails there ends it, so that it never goes on as a second guard."""
    try:
        kernel.die_with_parent()
        for descriptor in unused:
            os.close(descriptor)
        prepare()
        _restrict_calls()
        report_ready(go, say)
    except BaseException as error:  # an interruption too: this fork must never go on as a second guard
        os.write(say, str(error).encode()[:1000])
        os._exit(1)
    return Started(0)


def _restrict_calls() -> None:
    """Install the filter of system calls where the kernel has filters; the layers say whether it did."""
    with contextlib.suppress(OSError):
        calls.restrict()


# Namespaces of our own


def _start_apart(settings: Settings) -> Started:
    """Fork the server into namespaces; a container's root may be refused users but granted the rest."""
    choices = [_ALL | kernel.NEW_USERS, *([_ALL] if os.getuid() == 0 else [])]
    for flags in choices[:-1]:
        try:
            return _fork_apart(flags, settings.root)
        except OSError:
            continue
    return _fork_apart(choices[-1], settings.root)


def _fork_apart(flags: int, root: str) -> Started:
    """Start a server in namespaces; one that somebody kills on its way is no reason for a weaker way."""
    for _ in range(STARTS - 1):
        with contextlib.suppress(SilentError):
            return _fork_apart_once(flags, root)
    return _fork_apart_once(flags, root)


def _fork_apart_once(flags: int, root: str) -> Started:
    (go, release), (said, say) = os.pipe(), os.pipe()
    child = kernel.fork_into(flags)
    if child == 0:
        return _become_server(lambda: _enter(root, go), go, say, unused=(release, said))
    os.close(go)
    os.close(say)
    try:
        if flags & kernel.NEW_USERS:
            kernel.write_user_map(child, _user_map())
        os.write(release, b"1")
        expect_ready(said)
    except OSError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(release)
        raise
    finally:
        os.close(said)
    return Started(child, child, release)


def _user_map() -> str:
    """Map root to itself and nobody to nobody; without privileges only one user can be mapped, as nobody."""
    user = os.getuid()
    return f"{NOBODY} {user} 1\n" if user else f"0 0 1\n{NOBODY} {NOBODY} 1\n"


def _enter(root: str, go: int) -> None:
    """Enter the room when the guard has mapped users."""
    if not os.read(go, 1):
        os._exit(1)
    room.enter(root)


# Without isolation


def _start_plain(settings: Settings) -> Started:
    """Fork the server as a plain child, if the user has allowed that."""
    if not settings.allow_unsafe:
        raise OSError("not allowed")
    kernel.adopt_orphans()
    (go, release), (said, say) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        root = Path(settings.root)
        return _become_server(lambda: library.use_readable_library(root), go, say, unused=(release, said))
    os.close(go)
    os.close(say)
    expect_ready(said)
    return Started(child, child, release)
