"""``opdbench eval --from-samples``, and the tables of scores that it shares with ``opdbench eval``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from opdbench.cli import text
from opdbench.records import Grade, Pool, Score

if TYPE_CHECKING:
    from opdbench.graders.beside import Beside

MAX_NAMED = 20


def show_file(
    path: Path, tasks: Sequence[str], pool: Pool, k: int | None, pass_k: Sequence[int], as_json: bool
) -> None:
    """Grade a file of completions and print what came out.

    The exit code is 1 where a sample could not be graded, or no line names a problem of its task.
    """
    from opdbench.verbs import from_samples

    found = from_samples.score_file(path, tasks, pool=pool, k=k, pass_k=pass_k)
    if as_json:
        text.out_json(found.to_json())
    else:
        out_scores(found.scores)
        out_beside(found.beside)
    if found.left_out:
        others = ", ".join(f"{task} ({count})" for task, count in found.left_out.items())
        text.note(f"{sum(found.left_out.values())} samples are left out, --tasks does not name their tasks: {others}")
    _name(found.unknown, found.num_unknown, "name no problem of their task")
    _name(found.missing, found.num_missing, "are missing, so the scores of their tasks are undefined")
    _name(found.repeated, len(found.repeated), "are there twice; the first counts")
    _end(found.grades)


def _end(grades: Sequence[Grade]) -> None:
    """End with code 1 where the file says nothing, or something that cannot be graded."""
    known = [grade for grade in grades if grade.reason != "unknown_problem"]
    if not known:
        text.note("no line of the file names a problem of its task; were they made from another version of the data?")
        raise typer.Exit(1)
    if lacking := Counter(grade.reason for grade in known if grade.verdict == "ungraded"):
        why = ", ".join(f"{reason} ({count})" for reason, count in lacking.most_common(MAX_NAMED))
        text.note(f"{lacking.total()} samples could not be graded, so the scores of their tasks are undefined: {why}")
        raise typer.Exit(1)


def _name(items: Sequence[str], count: int, what: str) -> None:
    """Say how many samples are amiss, and name the first."""
    if count:
        more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
        text.note(f"{count} samples {what}: {', '.join(items[:MAX_NAMED])}{more}")


def out_scores(scores: Sequence[Score]) -> None:
    """Write the table of scores."""
    header = ("task", "metric", "score", "95 % interval", "problems", "samples", "truncated", "no answer")
    rows = [
        (
            score.task,
            score.metric,
            text.percent(score.value),
            f"{text.percent(score.low)}–{text.percent(score.high)}",
            score.num_problems,
            score.num_problems * score.num_samples,
            score.num_truncated,
            score.num_no_answer,
        )
        for score in scores
    ]
    text.out_table(header, rows, ("score", "problems", "samples", "truncated", "no answer"))


def out_beside(found: Mapping[str, Beside]) -> None:
    """Write what stands beside the headline: shares in percent, lengths as means."""
    header = ("task", "strict", "second rule", "lenient", "no answer", "truncated", "ungraded")
    header = (*header, "multi-box", "thinking chars", "answer chars", "thinking tokens", "answer tokens")
    rows = [
        (
            task,
            *map(text.percent, (item.strict, item.second, item.lenient, item.no_answer)),
            *map(text.percent, (item.truncated, item.ungraded, item.multi_box)),
            *map(text.amount, (item.thinking_chars, item.answer_chars, item.thinking_tokens, item.answer_tokens)),
        )
        for task, item in found.items()
    ]
    text.out_table(header, rows, header[1:])
