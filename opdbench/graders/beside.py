"""What stands beside the strict headline: a lenient score, rates of what went wrong, and lengths of both parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from opdbench.graders.extract import final_text, find_boxes, split_thought
from opdbench.graders.grader import Grader
from opdbench.records import Grade, Problem, Sample

NO_ANSWER = ("no_answer", "no_code")


@dataclass(frozen=True, slots=True)
class Beside:
    """Shares are of all samples; None means that there are none, or that the samples do not say.

    Attributes:
        num_samples: Samples graded.
        strict: Share that is correct.
        second: Share that is correct by the grader's second rule (``grader.second``), such as the semantics of a public
            runner; None for graders that have one rule.
        lenient: Share that is correct when the last box anywhere, else the last number, is taken for the answer of a
            completion without one; None for graders that have no such rule.
        no_answer: Share without an answer.
        truncated: Share whose completion or thought has no end, and no answer.
        multi_box: Share with more than one box after the thought.
        ungraded: Share that could not be graded.
        thinking_chars: Mean characters up to the end of the thought.
        answer_chars: Mean characters after it.
        thinking_tokens: Mean tokens of the model up to the end of the thought.
        answer_tokens: Mean tokens of the model after it.
    """

    num_samples: int
    strict: float | None
    second: float | None
    lenient: float | None
    no_answer: float | None
    truncated: float | None
    multi_box: float | None
    ungraded: float | None
    thinking_chars: float | None
    answer_chars: float | None
    thinking_tokens: float | None
    answer_tokens: float | None


def beside(grader: Grader, items: Sequence[tuple[Problem, Sample]], grades: Sequence[Grade]) -> Beside:
    """Return the figures of some samples with their grades, in the same order."""
    samples, counted = [sample for _, sample in items], [sample for _, sample in items if sample.num_tokens]
    parts = [split_thought(sample.text) for sample in samples]
    thinking = [sample.num_thinking_tokens for sample in counted]
    known = [count for count in thinking if count is not None]
    is_known = bool(counted) and len(known) == len(counted) == len(samples)
    return Beside(
        num_samples=len(samples),
        strict=_mean([grade.verdict == "correct" for grade in grades]),
        second=_second(grader, items),
        lenient=_lenient(grader, items, grades),
        no_answer=_mean([grade.reason in NO_ANSWER for grade in grades]),
        truncated=_mean([grade.verdict == "truncated" for grade in grades]),
        multi_box=_mean([find_boxes(final_text(sample.text) or "").count > 1 for sample in samples]),
        ungraded=_mean([grade.verdict == "ungraded" for grade in grades]),
        thinking_chars=_mean([len(thought) for thought, _ in parts]),
        answer_chars=_mean([len(answer) for _, answer in parts]),
        thinking_tokens=_mean(known) if is_known else None,
        answer_tokens=_mean([s.num_tokens - n for s, n in zip(counted, known, strict=True)]) if is_known else None,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _second(grader: Grader, items: Sequence[tuple[Problem, Sample]]) -> float | None:
    """Grade again by the second rule."""
    second: Grader | None = getattr(grader, "second", None)
    return None if second is None else _mean([grade.verdict == "correct" for grade in second.grade(items)])


def _lenient(grader: Grader, items: Sequence[tuple[Problem, Sample]], grades: Sequence[Grade]) -> float | None:
    """Grade again, leniently, what has no answer under the strict rule."""
    rule: Callable[[str], str] | None = getattr(grader, "lenient", None)
    if rule is None:
        return None
    without = [item for item, grade in zip(items, grades, strict=True) if grade.reason in NO_ANSWER]
    again = grader.grade([(problem, replace(sample, text=rule(sample.text))) for problem, sample in without])
    return _mean(
        [grade.verdict == "correct" for grade in grades if grade.reason not in NO_ANSWER]
        + [grade.verdict == "correct" for grade in again]
    )
