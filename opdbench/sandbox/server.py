"""The parent's side of one fork server: starts it, gives it programs, and ends it when it does not answer."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from opdbench.errors import GradingError
from opdbench.sandbox.library import library_paths
from opdbench.sandbox.protocol import HEADER, Plain, pack, read_message

START_SECONDS = 60.0
GRACE_SECONDS = 10.0
# The package's folder is on the path for this one import only: programs see the standard library.
_BOOT = """
import encodings
import sys
if {library!r}:
    sys.path[:] = {library!r}
    encodings.__path__ = [path + "/encodings" for path in sys.path]
sys.path.append({path!r})
from opdbench.sandbox.forkserver import main
sys.path.pop()
main({root!r})
"""


class Server:
    """One fork server; it runs one program at a time."""

    def __init__(self, root: Path) -> None:
        package = str(Path(__file__).resolve().parents[2])
        boot = _BOOT.format(path=package, root=str(root), library=library_paths(root))
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0"},  # the order of a set must not decide about a verdict
            cwd="/",
            start_new_session=True,
        )
        try:
            self._wait(time.monotonic() + START_SECONDS)
            self.layers: tuple[str, ...] = tuple((read_message(self._output.fileno()) or {})["layers"])
        except (OSError, ValueError, KeyError, TimeoutError) as error:
            self.close()
            raise GradingError("the sandbox does not start: its interpreter ended or did not answer") from error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout

    def run(self, job: Plain, wall_seconds: float) -> tuple[str, bytes]:
        """Return how a program ended and what it sent.

        Raises:
            OSError, ValueError, TimeoutError: the server itself died or hangs.
        """
        assert self._process.stdin
        self._process.stdin.write(pack(job))
        self._process.stdin.flush()
        self._wait(time.monotonic() + wall_seconds + GRACE_SECONDS)
        header = read_message(self._output.fileno())
        if header is None:
            raise ValueError("the fork server ended")
        return header["how"], _read_frame(self._output.fileno())

    def _wait(self, deadline: float) -> None:
        if not select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("the fork server does not answer")

    def kill(self) -> None:
        """End the server, and with it a program that it runs; a thread that waits for an answer hears of it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the server and close its pipes, which no other thread may be using."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


def _read_frame(descriptor: int) -> bytes:
    """Return the next frame with its header, unread."""
    data = bytearray()
    while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[0]:
        wanted = HEADER.size if len(data) < HEADER.size else HEADER.size + HEADER.unpack_from(data)[0]
        piece = os.read(descriptor, wanted - len(data))
        if not piece:
            raise ValueError("the fork server ended")
        data += piece
    return bytes(data[HEADER.size :])
