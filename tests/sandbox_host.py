"""What attacks on the sandbox aim at: secrets, sockets and processes of a machine that must not notice them.

No third-party package is imported, so that another user's interpreter can run the same checks.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
AS_NOBODY = {
    "user": 65534,
    "group": 65534,
    "extra_groups": [],
    "cwd": "/",
    "env": {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
}
GOLD = "the gold answer is 6"


@dataclass(frozen=True)
class Host:
    """Targets outside the sandbox, all of which exist and answer."""

    gold: str
    tcp: int
    tcp6: int
    udp: int
    unix: str
    abstract: str
    pid: int


@contextlib.contextmanager
def targets():
    """Give attacks something to reach: a world-readable file, listening sockets, and this process."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gold")))
        folder.chmod(0o777)
        gold, unix = folder / "gold.json", folder / "socket"
        gold.write_text(GOLD)
        gold.chmod(0o666)
        abstract = f"opdbench-test-{os.getpid()}"
        listeners = {
            "tcp": _listen(stack, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": _listen(stack, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "tcp6": _listen(stack, socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        }
        _listen(stack, socket.AF_UNIX, socket.SOCK_STREAM, str(unix))
        unix.chmod(0o777)
        _listen(stack, socket.AF_UNIX, socket.SOCK_STREAM, f"\0{abstract}")
        yield Host(str(gold), unix=str(unix), abstract=abstract, pid=os.getpid(), **listeners)
        assert gold.read_text() == GOLD
        assert sorted(path.name for path in folder.iterdir()) == ["gold.json", "socket"]


def _listen(stack, family, kind, address):
    try:
        listener = stack.enter_context(socket.socket(family, kind))
        listener.bind(address)
    except OSError:
        assert family == socket.AF_INET6  # a machine without it: port 1 then, where nobody listens
        return 1
    if kind == socket.SOCK_STREAM:
        listener.listen()
    return listener.getsockname()[1] if family != socket.AF_UNIX else 0


def parent_state():
    """Return what a program could have changed in the process that runs the sandbox."""
    names = ("SIGTERM", "SIGALRM", "SIGUSR1", "SIGHUP")
    handlers = [signal.getsignal(getattr(signal, name)) for name in names]
    return dict(os.environ), str(Path.cwd()), len(list(Path("/proc/self/fd").iterdir())), handlers, os.getpriority(0, 0)


def is_alive(pid):
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid):
    """Return the ids of all processes below one, zombies included."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def of_programs(server):
    """Return the ids of all processes below a fork server but for the keeper of its programs' namespace."""
    return [pid for pid in descendants(server) if not _is_keeper(pid, server)]


def _is_keeper(pid, server):
    """Say whether a process is a server's child and number 1 of a namespace that the server is not in."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    values = {name: value.split() for name, value in (line.split(":", 1) for line in lines)}
    return values["PPid"] == [str(server)] and values["NSpid"][-1:] == ["1"]


def interpreter_for_everybody():
    """Return an interpreter that another user can start, or None; only root may ask."""
    for path in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        test = [path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            done = subprocess.run(test, check=False, **AS_NOBODY)
        except OSError:
            continue
        if done.returncode == 0:
            return path
    return None
