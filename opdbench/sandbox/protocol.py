"""What travels between the parent, the fork server and a program: frames of JSON, and Python values as JSON.

Only data is ever rebuilt from what a program sends, so that a forged message is no more than another answer. The fork
server loads this file without site packages: standard library only.
"""

from __future__ import annotations

import json
import os
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

HEADER = struct.Struct(">I")
MAX_FRAME = 256 << 20
MAX_EQUAL_HASHES = 64
"""Items of one set or dictionary that may share a hash: with a million integers that do, the reader needs days."""
_HEX_BITS = 8000  # Python refuses to write longer integers in decimal

Plain = Any

FUNCTION, SCRIPT = "function", "script"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use, all its calls together; every process of it gets the memory limit.

    ``seconds`` are those of ``clock``, on the machine that limits are stated for.
    """

    seconds: float = 2.0
    memory_mb: int = 512
    output_bytes: int = 8 << 20
    file_bytes: int = 16 << 20
    num_processes: int = 32
    num_files: int = 64

    def to_json(self) -> dict[str, Any]:
        """Return the limits as a dictionary."""
        return asdict(self)


class Job(NamedTuple):
    """A program; ``body`` is for its own process and is not read by the fork server.

    Attributes:
        kind: ``FUNCTION``, whose body is JSON; or ``SCRIPT``, whose body is its file, then its standard input.
        body: All bytes.
        source_size: How many of them are the file.
    """

    kind: str
    body: bytes
    source_size: int = 0


def encode(value: Any) -> Plain:
    """Return a Python value as JSON that keeps its type.

    Scalars must be of exactly the built-in type; of containers, subclasses are read by the built-in type's own
    methods, so that nothing of the value's class runs.

    Raises:
        TypeError: the value holds an object of another type.
        RecursionError: it is nested too deeply, or holds itself.
    """
    kind = type(value)
    if kind is int and value.bit_length() > _HEX_BITS:
        return {"int": hex(value)}
    if value is None or kind in (bool, int, float, str):
        return value
    if issubclass(kind, list):
        return [encode(item) for item in list.__iter__(value)]
    if issubclass(kind, tuple):
        return {"tuple": [encode(item) for item in tuple.__iter__(value)]}
    if issubclass(kind, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in dict.items(value)]}
    if kind in (set, frozenset):
        return {kind.__name__: [encode(item) for item in value]}
    if kind is bytes:
        return {"bytes": value.hex()}
    raise TypeError(f"a value of type {kind.__name__} cannot be an answer")


def decode(plain: Plain) -> Any:
    """Return the Python value of a JSON form; the inverse of ``encode`` up to subclasses.

    Raises:
        ValueError, TypeError, RecursionError: it is not such a form.
    """
    if isinstance(plain, list):
        return [decode(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, inner),) = plain.items()
    if tag == "int":
        return int(inner, 16)
    if tag == "tuple":
        return tuple(decode(item) for item in inner)
    if tag == "dict":
        keys = _with_few_collisions([decode(key) for key, _ in inner])
        return dict(zip(keys, (decode(item) for _, item in inner), strict=True))
    if tag in ("set", "frozenset"):
        return (set if tag == "set" else frozenset)(_with_few_collisions([decode(item) for item in inner]))
    if tag == "bytes":
        return bytes.fromhex(inner)
    raise ValueError(f"unknown tag {tag!r}")


def _with_few_collisions(items: list[Any]) -> list[Any]:
    """Return items that may go into a set.

    Raises:
        ValueError: more than ``MAX_EQUAL_HASHES`` of them share a hash.
        TypeError: one has none.
    """
    if len(items) > MAX_EQUAL_HASHES and max(Counter(map(hash, items)).values()) > MAX_EQUAL_HASHES:
        raise ValueError("too many items with one hash")
    return items


def pack(message: Plain) -> bytes:
    """Return a frame: four bytes of length, then JSON."""
    body = json.dumps(message).encode()
    return HEADER.pack(len(body)) + body


def unpack(frame: bytes) -> Plain:
    """Return the message of one complete frame.

    Raises:
        ValueError: the frame is cut, has trailing bytes or is no JSON.
        RecursionError: it is nested too deeply.
    """
    if len(frame) < HEADER.size or len(frame) != HEADER.size + HEADER.unpack_from(frame)[0]:
        raise ValueError("incomplete frame")
    return json.loads(frame[HEADER.size :])


def function_job(code: str, entry_point: str, calls: Sequence[Sequence[Any]]) -> Job:
    """Return the job of calling a program's function.

    Raises:
        TypeError, RecursionError: an argument is not of a built-in type, or nested too deeply.
    """
    return Job(FUNCTION, json.dumps([code, entry_point, [encode(list(call)) for call in calls]]).encode())


def pack_job(job: Job, limits: Limits) -> bytes:
    """Return a frame, and behind it the job's body."""
    head = {"kind": job.kind, "limits": limits.to_json(), "size": len(job.body), "source_size": job.source_size}
    return pack(head) + job.body


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all bytes to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_message(descriptor: int) -> Plain | None:
    """Return the next message of a blocking descriptor, or None at its end.

    Raises:
        ValueError: the stream ends inside a message, or announces one that is too large.
    """
    header = _read_exactly(descriptor, HEADER.size)
    if not header:
        return None
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME:
        raise ValueError("frame too large")
    return json.loads(_read_exactly(descriptor, length))


def _read_exactly(descriptor: int, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        piece = os.read(descriptor, min(1 << 20, size - len(pieces)))
        if not piece:
            if pieces:
                raise ValueError("the stream ends inside a frame")
            return b""
        pieces += piece
    return bytes(pieces)
