"""Expected values of evalplus problems: what the canonical solution answers, computed once in the sandbox.

They are kept as JSON under a hash of everything they depend on, in a folder that only its owner can read, so that a
program in the sandbox that runs as somebody else cannot. A value of more than ``inside.LARGE`` elements and characters
is kept as its digest: Mbpp/255 alone would take 781 MB. A digest has no tolerance, and tells ``1`` from ``1.0``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opdbench.data.cache import cache_root, write_whole
from opdbench.errors import GradingError
from opdbench.graders import running
from opdbench.graders.inside import LARGE
from opdbench.sandbox.protocol import Limits, decode, encode

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Expected:
    """Answers of the canonical solution to the calls of one run, as pairs of kind and value, and what time it used."""

    answers: tuple[tuple[str, Any], ...]
    seconds: float


class ReferenceFailedError(Exception):
    """The canonical solution does not answer one of its own tests; the text is the reason."""


def expected_of(source: str, calls: Sequence[Sequence[Any]], limits: Limits) -> Expected:
    """Return what a program answers to some calls, from the cache or by running it.

    Args:
        source: A program made by ``running.program``.
        calls: Arguments of each call.
        limits: What the program may use; they do not decide what it answers.

    Raises:
        ReferenceFailedError: it does not answer all calls within its limits.
        GradingError: the sandbox does not start, or the cache holds something else.
    """
    path = _path(source, calls)
    if not path.exists():
        write_whole(path, json.dumps(_computed(source, calls, limits)).encode())
    return _read(path, len(calls))


def _path(source: str, calls: Sequence[Sequence[Any]]) -> Path:
    """Return where the answers are kept; the folder is made for its owner alone."""
    folder = cache_root() / "expected"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    known = [SCHEMA, LARGE, list(sys.version_info[:2]), source, [encode(list(call)) for call in calls]]
    return folder / f"{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]}.json"


def _computed(source: str, calls: Sequence[Sequence[Any]], limits: Limits) -> Mapping[str, Any]:
    answers = running.run_calls(source, calls, limits)
    for answer in answers:
        if answer.status != "done":
            raise ReferenceFailedError(answer.status)
    seconds = max((answer.seconds for answer in answers), default=0.0)
    return {"answers": encode([answer.value for answer in answers]), "seconds": seconds}


def _read(path: Path, num_calls: int) -> Expected:
    try:
        known = json.loads(path.read_bytes())
        answers = tuple((str(kind), value) for kind, value in decode(known["answers"]))
        seconds = float(known["seconds"])
    except (ValueError, TypeError, KeyError) as error:
        raise GradingError(
            f"{path}: holds no expected values ({error}); delete it, and they are computed anew"
        ) from error
    if len(answers) != num_calls:
        raise GradingError(f"{path}: holds {len(answers)} expected values, not {num_calls}; delete it")
    return Expected(answers, seconds)
