"""Bytes of programs, outside the heap: a server keeps what it passes on in pages that it gives back with the program.

The next program is a copy of the server. Whatever lay in the server's heap, freed or not, that program could read: the
code and the answers of the one before, which may be the canonical solution.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Generator

from opdbench.sandbox.protocol import HEADER, write_all

_OWN = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Pages:
    """At most ``max_bytes`` bytes, of which ``size`` are filled; a context manager that gives them back at its end."""

    def __init__(self, max_bytes: int) -> None:
        self._map = mmap.mmap(-1, max(max_bytes, 1), flags=_OWN)
        self.size = 0

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Let the kernel have the pages; nothing of them is left in this process."""
        self._map.close()

    @contextlib.contextmanager
    def view(self, start: int = 0, end: int | None = None) -> Generator[memoryview]:
        """Lend a part of what is filled; it must not be copied in a server."""
        with memoryview(self._map) as whole, whole[start : self.size if end is None else end] as part:
            yield part

    def fill(self, descriptor: int, max_bytes: int) -> int:
        """Read once from a descriptor, behind what is filled, and return the number of bytes."""
        with self.view(self.size, self.size + max_bytes) as part:
            num_read = os.readv(descriptor, [part])
        self.size += num_read
        return num_read

    def forget(self) -> None:
        """Count as empty."""
        self.size = 0

    def keep_last(self, num_bytes: int) -> None:
        """Forget all but the last bytes."""
        if self.size > num_bytes:
            self._map.move(0, self.size - num_bytes, num_bytes)
            self.size = num_bytes

    def send(self, descriptor: int) -> None:
        """Write a frame of what is filled."""
        write_all(descriptor, HEADER.pack(self.size))
        with self.view() as part:
            write_all(descriptor, part)


def receive(descriptor: int, size: int) -> Pages:
    """Read as many bytes from a blocking descriptor.

    Raises:
        ValueError: it ends before.
    """
    pages = Pages(size)
    while pages.size < size:
        if not pages.fill(descriptor, size - pages.size):
            raise ValueError("the stream ends inside a job")
    return pages
