"""Real gold answers written in other ways are right, and changed ones wrong; the data are never committed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmark_tasks import named

from opdbench.graders.boxed import BoxedExpression
from opdbench.records import Problem, Sample

REAL = os.environ.get("OPDBENCH_DATA", "")
FILES = {
    "hmmt25_feb": "gopd_hmmt25_feb",
    "hmmt25_nov": "gopd_hmmt25_nov",
    "math500": "math500",
    "minerva": "minerva",
    "olympiadbench_675": "olympiadbench",
}
SAME: dict[str, Callable[[str], str]] = {
    "other fractions": lambda gold: re.sub(r"\\[dt]?frac", r"\\dfrac", gold),
    "dollars": lambda gold: gold if "$" in gold else f"${gold}$",
    "a period": lambda gold: f"{gold}.",
    "a style": lambda gold: rf"\displaystyle {gold}",
    "braces": lambda gold: f"{{{gold}}}",
    "bold": lambda gold: rf"\boldsymbol{{{gold}}}",
    "bold letters": lambda gold: rf"\mathbf{{{gold}}}",
    "colour": lambda gold: rf"\textcolor{{red}}{{{gold}}}",
    "spaces": lambda gold: re.sub(r"([+=,])", r" \1 ", gold),
    "a lead-in": lambda gold: rf"\text{{Answer: }}{gold}",
}
SINGLE: dict[str, Callable[[str], str]] = {"a name": "Q = {}".format, "a zero": "{}+0".format}
OTHER: dict[str, Callable[[str], str]] = {
    "one more value": "{}, 17".format,
    "a hedge": r"{} \text{{ or }} 17".format,
}
OTHER_SINGLE: dict[str, Callable[[str], str]] = {
    "minus": "-({})".format,
    "one more": "{}+1".format,
    "twice": "2({})".format,
}
PLAIN = re.compile(r"[^,;<>=\[{|]*")
"""One value: no list, relation, interval or set, once the arguments of commands are left out."""


def is_single(gold: str) -> bool:
    bare = re.sub(r"\\[A-Za-z]+|[{}]", "", gold)
    words = (r"\text", r"\pm", r"\le", r"\ge", r"\in", r"\begin", r"\cup", r"\%", r"\mbox", "np.", "_")
    return PLAIN.fullmatch(bare) is not None and not any(word in gold for word in words)


def rewritten(gold: str) -> Iterator[tuple[str, str, bool]]:
    """Yield ways to write a gold answer and changes of it, by name, with whether the result is right."""
    plain = gold.strip("$") if gold.count("$") == 2 else gold
    if "where" in plain or plain.endswith("."):
        return
    single = is_single(plain)
    for name, write in {**SAME, **(SINGLE if single else {})}.items():
        yield name, write(plain), True
    changes = OTHER_SINGLE if single and re.search("[1-9A-Za-z]", plain) else {}
    for name, write in {**OTHER, **changes}.items():
        yield name, write(plain), False


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="OPDBENCH_DATA is not set")
@pytest.mark.parametrize(("id", "file"), FILES.items())
def test_rewritten_golds(id: str, file: str, local: Path) -> None:
    shutil.copy(Path(REAL) / f"{file}.jsonl", local / f"{id}.jsonl")
    problems = named(id).load("test")
    rows = [(item.target, *row) for item in problems for row in rewritten(item.target)]
    items = [
        (Problem(str(n), "", gold), Sample(id, str(n), 0, 0, rf"\boxed{{{answer}}}", 1, "stop"))
        for n, (gold, _, answer, _) in enumerate(rows)
    ]
    grades = BoxedExpression().grade(items)
    missed = [row for row, grade in zip(rows, grades, strict=True) if (grade.verdict == "correct") != row[3]]
    assert missed == []
    assert len(rows) > 10 * len(problems)
