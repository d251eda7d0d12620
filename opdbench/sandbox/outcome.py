"""What a program's run came to; whatever a program sends is read as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from opdbench.sandbox.protocol import Plain, decode, unpack
from opdbench.sandbox.server import Reply

Status = Literal["done", "limit", "crash", "memory", "overflow", "invalid_output", "no_entry_point"]
_STATUSES: dict[str, Status] = {
    "limit": "limit",
    "crash": "crash",
    "invalid_output": "invalid_output",
    "no_entry_point": "no_entry_point",
}
MAX_VALUES = 4_000_000
"""Values in one message, about: however short, each costs its reader microseconds and up to 500 bytes."""
_SCRIPT_STATUSES: dict[str, Status] = {"done": "done", "limit": "limit", "crash": "crash", "overflow": "overflow"}


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call gave: a value of built-in types, or the reason why there is none."""

    status: Status
    value: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        status: ``done``, or why not: ``limit`` (time), ``memory``, ``overflow`` (output), ``crash``, ...
        results: Of ``run_function``: one element per call if ``status`` is ``done``, else none.
        exit_code: Of ``run_program``: Python's exit code, negative for a signal; None if the program was ended.
        stdout: Of ``run_program``: the bytes that were written, up to the limit.
        stderr: Of ``run_program``: the last bytes of the errors, for people.
        seconds: What counted against the time limit (``clock``), on the machine that limits are stated for.
    """

    status: Status
    results: tuple[CallResult, ...] = ()
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = field(default=0.0, compare=False)


def read_calls(reply: Reply, num_calls: int) -> Outcome:
    """Read a function's message; anything but one well-formed result per call is an invalid output."""
    if reply.how != "done":
        return Outcome("invalid_output" if reply.how == "overflow" else _STATUSES[reply.how])
    if reply.sent.count(b",") > MAX_VALUES:
        return Outcome("invalid_output")
    try:
        message = unpack(reply.sent)
        if "failed" in message:
            return Outcome(_STATUSES[message["failed"]])
        results = tuple(_read_result(item) for item in message["results"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return Outcome("invalid_output")
    return Outcome("done", results, seconds=reply.seconds) if len(results) == num_calls else Outcome("invalid_output")


def _read_result(item: Plain) -> CallResult:
    kind, inner = item
    return CallResult("done", decode(inner)) if kind == "value" else CallResult(_STATUSES[inner])


def read_program(reply: Reply) -> Outcome:
    """Read how a program ended; that memory was the reason is told by its last error, and a reason only."""
    status = _SCRIPT_STATUSES[reply.how]
    if reply.exit_code == 1 and _last_line(reply.errors).startswith(b"MemoryError"):
        status = "memory"
    return Outcome(status, (), reply.exit_code, reply.sent, reply.errors, reply.seconds)


def _last_line(errors: bytes) -> bytes:
    return errors.rstrip().rpartition(b"\n")[2]
