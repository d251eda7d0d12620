"""A lean interpreter that forks one process per program; started by ``runner`` with an empty environment.

It has imported the standard modules that programs use and nothing else, so that a fork costs a millisecond and a
memory limit means the program's own memory. It knows no expected value. It reads one job per message from standard
input and answers with two: how the program ended, and the bytes that it sent.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import time
import typing
from pathlib import Path

from opdbench.sandbox import layers
from opdbench.sandbox.program import answer_calls, silence
from opdbench.sandbox.protocol import HEADER, Limits, Plain, pack, read_message, write_all

REAP_SECONDS = 5.0
# What programs import most, loaded once. Each module makes every fork dearer; subprocess alone adds 0.4 ms.
PRELOADED = (
    "bisect collections copy datetime decimal fractions functools heapq itertools math operator re string typing"
)


class Ended(typing.NamedTuple):
    """How a program ended (``done``, ``limit``, ``overflow``, ``crash``) and the bytes that it sent."""

    how: str
    sent: bytes


def main(root: str) -> None:
    """Serve until standard input ends; ``root`` is the folder for the programs' own folders."""
    os.environ.clear()
    for name in PRELOADED.split():
        importlib.import_module(name)
    gc.freeze()
    gc.disable()
    layers.refuse_tracing()
    layers.adopt_orphans()
    apart = layers.can_fork_apart()
    jobs, replies = os.dup(0), os.dup(1)
    write_all(replies, pack({"layers": _probe(apart)}))
    try:
        while (job := read_message(jobs)) is not None:
            ended = _run(job, Path(root), apart)
            write_all(replies, pack({"how": ended.how}) + HEADER.pack(len(ended.sent)) + ended.sent)
    finally:
        _remove(Path(root))  # a parent that lives kills its servers: only a dead one leaves them at the end of input


def _probe(apart: bool) -> list[str]:
    """Return the names of the layers that take hold on this machine."""
    reader, writer = os.pipe()
    child = layers.fork_apart() if apart else os.fork()
    if child == 0:
        active = layers.apply(layers.USER, Limits())
        active += ["namespaces"] if apart else layers.apply(layers.NAMESPACES, Limits())
        active += layers.apply(layers.INNER, Limits())
        os.write(writer, " ".join(active).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    names = os.read(reader, 1000).decode().split()
    os.close(reader)
    return names


def _run(job: dict[str, Plain], root: Path, apart: bool) -> Ended:
    """Run one program to its end and leave nothing of it behind."""
    limits = Limits(**job["limits"])
    folder = root / str(time.monotonic_ns())
    folder.mkdir(0o700)
    if os.getuid() == 0:
        os.chown(folder, layers.NOBODY, layers.NOBODY)
    reader, writer = os.pipe()
    server = os.getpid()
    child = layers.fork_apart() if apart else os.fork()
    if child == 0 and apart:
        _become_first(job, limits, folder, writer)
    if child == 0:
        _become_program(job, limits, folder, writer, server)
    os.close(writer)
    try:
        return _collect(child, reader, limits)
    finally:
        os.close(reader)
        if apart:
            os.kill(child, signal.SIGKILL)  # the kernel ends and collects all of its namespace before it is a zombie
            os.waitpid(child, 0)
        else:
            _kill_descendants()
        _remove(folder)


def _become_first(job: dict[str, Plain], limits: Limits, folder: Path, writer: int) -> typing.NoReturn:
    """Go through the layers into the program, as the first process of its namespaces."""
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = silence(writer)
        layers.apply((*layers.USER, *layers.INNER), limits)
        # After the layers, because a change of user withdraws the request.
        layers.die_with_parent()
        server = select.poll()
        server.register(descriptor, select.POLLERR)
        if server.poll(0):
            os._exit(1)  # nobody reads: the server ended before the request
        gc.enable()
        answer_calls(job["code"], job["entry_point"], job["calls"], descriptor)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _become_program(job: dict[str, Plain], limits: Limits, folder: Path, writer: int, server: int) -> typing.NoReturn:
    """Go through the layers into the program; this process never returns into the server."""
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = silence(writer)
        layers.apply(layers.OUTER, limits)
        # After the layers, because a change of user withdraws the request.
        layers.die_with_parent()
        if os.getppid() != server:
            os._exit(1)  # the server ended before the request
        alive, held = os.pipe()
        # The first process of a process-id namespace takes all others with it when it ends.
        if program := os.fork():
            os.close(descriptor)
            status = os.waitpid(program, 0)[1]
            os._exit(0 if status == 0 else 1)
        os.close(held)
        layers.apply(layers.INNER, limits)
        layers.die_with_parent()
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
        os.close(alive)
        gc.enable()
        answer_calls(job["code"], job["entry_point"], job["calls"], descriptor)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _collect(child: int, reader: int, limits: Limits) -> Ended:
    """Read the program's message until it is complete, the program ends, or a limit is reached."""
    deadline = time.monotonic() + limits.wall_seconds
    handle = os.pidfd_open(child)
    sent = bytearray()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(handle, select.POLLIN)
    try:
        while True:
            left = deadline - time.monotonic()
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, left) * 1000)} if left > 0 else set[int]()
            if not ready:
                return Ended("limit", b"")
            piece = os.read(reader, 1 << 16) if reader in ready else b""
            sent += piece
            if len(sent) > limits.output_bytes:
                return Ended("overflow", b"")
            if len(sent) >= HEADER.size and len(sent) >= HEADER.size + HEADER.unpack_from(sent)[0]:
                return Ended("done", bytes(sent[: HEADER.size + HEADER.unpack_from(sent)[0]]))
            if not piece and handle in ready:
                return Ended("crash", b"")
            if not piece:
                poll.unregister(reader)  # the program closed its end and still runs
    finally:
        os.close(handle)


def _kill_descendants() -> None:
    """Kill and collect every process below this one; those that left their group were handed to us when orphaned."""
    deadline = time.monotonic() + REAP_SECONDS
    while True:
        for child in _children():
            for kill in (os.killpg, os.kill):
                try:
                    kill(child, signal.SIGKILL)
                except OSError:
                    continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > deadline:
            os._exit(3)  # the parent starts another server
        time.sleep(0.0002)


def _children() -> list[int]:
    """Return the process ids of this process's children."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return [pid for pid in _processes() if _parent(pid) == os.getpid()]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    """Delete a folder that a program may have made deep, large or unreadable; most are empty."""
    try:
        folder.rmdir()
    except OSError:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            silent = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
            pid = os.posix_spawn(f"/bin/{command[0]}", [*command, str(folder)], {}, file_actions=silent)
            os.waitpid(pid, 0)
