"""The parent's side of one fork server: starts it, gives it programs, and ends it when it does not answer."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from opdbench.errors import GradingError
from opdbench.sandbox.clock import PATIENCE
from opdbench.sandbox.protocol import HEADER, Job, Limits, pack_job, read_message
from opdbench.sandbox.starting import ENVIRONMENT, FLAGS, Settings, boot

STARTS = 20
"""How often a server is started that ends on its way, or comes with other layers than those before it."""
START_SECONDS = 60.0
GRACE_SECONDS = 10.0
END_SECONDS = 10.0
ALLOW_UNSAFE = "OPDBENCH_UNSAFE_EXEC"

_REFUSED = """\
programs of models are not run here, because nothing would keep them from this machine's files, network and processes:
{reasons}
Do one of these: allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces > 0);
install bubblewrap; in Docker, start the container with --security-opt seccomp=unconfined --cap-add SYS_ADMIN, or grade
elsewhere with `opdbench grade`. On a machine with nothing to lose, --unsafe-exec (or {variable}=1) runs them under
resource limits only, and marks every result "unsafe-exec". docs/sandbox.md says more."""


def is_unsafe_allowed() -> bool:
    """Say whether the user has allowed to run programs without isolation."""
    return os.environ.get(ALLOW_UNSAFE, "") not in ("", "0")


@dataclass(frozen=True, slots=True)
class Reply:
    """How a program ended, as the fork server saw it.

    ``done``, ``limit``, ``overflow``, ``crash``; ``killed``, where something outside may have done that, or its server
    ended with it; ``lost``, where it never began.
    ``seconds`` is the time that counts against the limit; ``sent`` the message of a function or what a program printed;
    ``errors`` the end of standard error.
    """

    how: str
    exit_code: int | None = None
    seconds: float = 0.0
    sent: bytes = b""
    errors: bytes = b""


class EndedError(GradingError):
    """A fork server ended while it started: somebody killed it, or its interpreter does not run."""


class Server:
    """One fork server; it runs one program at a time."""

    def __init__(self, root: Path, tiers: Sequence[str]) -> None:
        settings = Settings(str(root), str(Path(__file__).resolve().parents[2]), tuple(tiers), is_unsafe_allowed())
        self._handle: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, *FLAGS, "-c", boot(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        try:
            self._start(time.monotonic() + START_SECONDS)
        except TimeoutError as error:
            self.close()
            raise GradingError("the sandbox does not start: its interpreter does not answer") from error
        except (OSError, ValueError, KeyError) as error:
            self.close()
            raise EndedError("the sandbox does not start: its interpreter ended") from error
        except GradingError:
            self.close()
            raise

    def _start(self, deadline: float) -> None:
        """Read what the guard and then the server say of themselves."""
        guard = self._read(deadline)
        self.refused: tuple[str, ...] = tuple(guard["refused"])
        if "server" not in guard:
            reasons = "\n".join(f"  {reason}" for reason in self.refused)
            raise GradingError(_REFUSED.format(reasons=reasons, variable=ALLOW_UNSAFE))
        self.pid: int = guard["server"]
        self._handle = os.pidfd_open(self.pid)
        facts = self._read(deadline)
        self.layers: tuple[str, ...] = tuple(facts["layers"])
        self.loop_seconds: float = facts["loop_seconds"]
        self.has_ended = False

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout

    def run(self, job: Job, limits: Limits) -> Reply:
        """Return how a program ended and what it sent; ``has_ended`` says if the server ends with it.

        Raises:
            OSError, ValueError, TimeoutError: the server itself died or hangs.
        """
        assert self._process.stdin
        self._process.stdin.write(pack_job(job, limits))
        self._process.stdin.flush()
        header = self._read(time.monotonic() + PATIENCE * limits.seconds + GRACE_SECONDS)
        self.has_ended = bool(header["is_last"])
        frames = [_read_frame(self._output.fileno()) for _ in range(header["num_frames"])]
        return Reply(header["how"], header["exit_code"], header["seconds"], *frames)

    def _read(self, deadline: float) -> dict[str, Any]:
        if not select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("the fork server does not answer")
        message = read_message(self._output.fileno())
        if message is None:
            raise ValueError("the fork server ended")
        return message

    def kill(self) -> None:
        """End the server and every process of the program that it runs; none is left when this returns.

        A thread that waits for an answer hears of it. The guard collects the server, which the kernel lets it do only
        after it has ended the whole process-id namespace.
        """
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        else:
            self._process.kill()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the server and close its pipes, which no other thread may be using."""
        self.kill()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


def start_like(root: Path, tiers: Sequence[str], known: tuple[str, ...] | None) -> Server:
    """Start a server with the layers of those before it; one that is killed on its way is started again.

    Raises:
        GradingError: none starts, or none with the layers that are known.
    """
    failure = GradingError("")
    for _ in range(STARTS):
        try:
            server = Server(root, tiers)
        except GradingError as error:
            failure = error
            if known is None and not isinstance(error, EndedError):
                raise
            continue
        if known in (None, server.layers):
            return server
        server.close()
        failure = GradingError(
            f"a server of the sandbox has other layers than before, {server.layers}; doctor says why"
        )
    raise failure


def _read_frame(descriptor: int) -> bytes:
    """Return the next frame's bytes, unread."""
    header = _read_exactly(descriptor, HEADER.size)
    return _read_exactly(descriptor, HEADER.unpack(header)[0])


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, min(1 << 20, size - len(data)))
        if not piece:
            raise ValueError("the fork server ended")
        data += piece
    return bytes(data)
