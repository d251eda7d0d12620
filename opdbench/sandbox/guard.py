"""The first process of a fork server: it starts the server in the strongest way that this machine allows.

Three tiers, tried in this order: namespaces of our own; the same server inside bubblewrap, which may do what we may
not; and, only when the user has allowed it, a plain child. The server is process 1 of its process-id namespace in the
first two, so that the kernel kills every program when the server ends. The guard runs no program and holds no job: it
waits for the server, and the server is killed by the kernel when the guard ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import typing
from pathlib import Path

from opdbench.sandbox import kernel, library, reap, room
from opdbench.sandbox.layers import NOBODY, UNSAFE
from opdbench.sandbox.protocol import Plain, pack, write_all

FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
"""How every interpreter of the sandbox is started: without site packages, without writing, in UTF-8."""

_READY = b"ok"
_ALL = kernel.NEW_PIDS | kernel.NEW_MOUNTS | kernel.NEW_NETWORK | kernel.NEW_IPC
_PACKAGE = "/server"
_BUBBLEWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")


class Settings(typing.NamedTuple):
    """What a guard is told, and passes on: ``tier`` and ``pipes`` are set for a server that bubblewrap starts."""

    root: str
    package: str
    tiers: tuple[str, ...]
    allow_unsafe: bool
    tier: str = ""
    pipes: tuple[int, int] = (-1, -1)


class Started(typing.NamedTuple):
    """A server (0 in its own process), the child to wait for, and the pipe that lets the server go on."""

    pid: int
    child: int = -1
    release: int = -1


def stand(settings: Settings) -> str:
    """Start the server and wait for it; return the tier's name, in the server's process only."""
    if settings.tier:
        _report_ready(*settings.pipes)
        return settings.tier
    starts = {"namespaces": _start_apart, "bubblewrap": _start_in_bubblewrap, UNSAFE: _start_plain}
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
    write_all(1, pack({"refused": reasons}))
    os._exit(0)


def _wait(started: Started, reasons: list[str]) -> typing.NoReturn:
    """Name the server, let it go on, and end when it ends."""
    write_all(1, pack({"server": started.pid, "refused": reasons}))
    os.write(started.release, b"1")
    os.close(0)
    os.close(1)
    os.waitpid(started.child, 0)
    reap.kill_descendants(is_first=False)  # only a plain server leaves any
    os._exit(0)


def _report_ready(go: int, said: int) -> None:
    """Tell the guard that the server stands, and wait until it may go on; a guard that ended never lets it."""
    os.write(said, _READY)
    os.close(said)
    if not os.read(go, 1):
        os._exit(1)
    os.close(go)


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
    (go, release), (said, say) = os.pipe(), os.pipe()
    child = kernel.fork_into(flags)
    if child == 0:
        kernel.die_with_parent()
        os.close(release)
        os.close(said)
        _enter(root, go, say)
        return Started(0)
    os.close(go)
    os.close(say)
    try:
        if flags & kernel.NEW_USERS:
            kernel.write_user_map(child, _user_map())
        os.write(release, b"1")
        _expect_ready(said)
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


def _enter(root: str, go: int, say: int) -> None:
    """Enter the room and report it, in the server's process."""
    if not os.read(go, 1):
        os._exit(1)
    try:
        room.enter(root)
    except OSError as error:
        os.write(say, str(error).encode()[:1000])
        os._exit(1)
    _report_ready(go, say)


def _expect_ready(said: int) -> None:
    answer = b""
    while answer != _READY and (piece := os.read(said, 1000)):
        answer += piece
    if answer != _READY:
        raise OSError(answer.decode(errors="replace").strip() or "the server ended at once")


# Bubblewrap


def _start_in_bubblewrap(settings: Settings) -> Started:
    """Start the server inside bubblewrap; only for users, since it can do no more than root can itself."""
    program = next((path for path in _BUBBLEWRAP if os.access(path, os.X_OK)), None)
    if program is None:
        raise OSError("bwrap is not installed")
    if os.getuid() == 0:
        raise OSError("not tried as root, which is refused the same")
    try:
        return _spawn_in_bubblewrap(settings, program, ["--size", str(room.BOX_BYTES)])
    except OSError:  # versions before 0.8 know no sizes
        return _spawn_in_bubblewrap(settings, program, [])


def _spawn_in_bubblewrap(settings: Settings, program: str, size: list[str]) -> Started:
    (go, release), (said, say), (info, inform) = os.pipe(), os.pipe(), os.pipe()
    command = [program, *_bubblewrap_options(settings, inform, size), *_interpreter(settings, go, say)]
    for passed in (go, say, inform):
        os.set_inheritable(passed, True)
    # What bubblewrap complains of is the reason that the user reads.
    errors = [(os.POSIX_SPAWN_DUP2, say, 2)]
    child = os.posix_spawn(program, command, {"PYTHONHASHSEED": "0"}, file_actions=errors)
    for passed in (go, say, inform):
        os.close(passed)
    try:
        _expect_ready(said)
        return Started(json.loads(os.read(info, 1 << 12))["child-pid"], child, release)
    except (OSError, ValueError, KeyError) as error:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(release)
        raise OSError(str(error)) from error


def _bubblewrap_options(settings: Settings, inform: int, size: list[str]) -> list[str]:
    options = ["--unshare-all", "--die-with-parent", "--as-pid-1", "--info-fd", str(inform), "--chdir", "/"]
    for path in room.visible_paths():
        if Path(path).is_symlink():
            options += ["--symlink", str(Path(path).readlink()), path]
        else:
            options += ["--ro-bind", path, path]
    for path in room.covered_paths():
        options += ["--tmpfs", path, "--remount-ro", path]
    own = f"{settings.package}/opdbench"
    for name in ("__init__.py", "sandbox"):
        options += ["--ro-bind", f"{own}/{name}", f"{_PACKAGE}/opdbench/{name}"]
    executable = os.path.realpath(sys.executable)
    devices = [part for path in room.DEVICES for part in ("--dev-bind", path, path)]
    links = [part for name in room.WRITABLE for part in ("--symlink", room.FOLDER, f"/{name}")]
    box = [*size, "--tmpfs", room.BOX, *links, "--remount-ro", "/"]
    return [*options, "--ro-bind", executable, executable, *devices, *box]


def _interpreter(settings: Settings, go: int, say: int) -> list[str]:
    inner = settings._replace(tier="bubblewrap", pipes=(go, say), package=_PACKAGE)
    return ["--", os.path.realpath(sys.executable), *FLAGS, "-c", boot(inner)]


# Without isolation


def _start_plain(settings: Settings) -> Started:
    """Fork the server as a plain child, if the user has allowed that."""
    if not settings.allow_unsafe:
        raise OSError("not allowed")
    kernel.adopt_orphans()
    (go, release), (said, say) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        os.close(release)
        library.use_readable_library(Path(settings.root))
        _report_ready(go, say)
        return Started(0)
    _expect_ready(said)
    return Started(child, child, release)


def boot(settings: Settings) -> str:
    """Return the program text that starts a guard or a server in a fresh interpreter.

    The package's folder is on the path for this one import only: programs see the standard library.
    """
    return _BOOT.format(package=settings.package, settings=tuple(settings))


_BOOT = """
import sys
sys.path.append({package!r})
from opdbench.sandbox.forkserver import main
sys.path.pop()
program = main({settings!r})
try:
    exec(compile(program.source, program.path, "exec", dont_inherit=True), program.namespace)
except BaseException as error:
    program.ending.note(error)
    raise
program.ending.note(None)
"""


def settings_from(values: tuple[Plain, ...]) -> Settings:
    """Return settings from the tuple that travels in the program text."""
    return Settings(*values)
