"""The footnotes of a row: everything that qualifies its numbers, or says why it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from opdbench.board.evidence import Evidence, Question
from opdbench.board.spend import Spend
from opdbench.records import Result

_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\":]+[/\\])+")


def notes_of(evidence: Evidence, questions: Sequence[Question], spend: Spend | None) -> tuple[str, ...]:
    """Return the footnotes of a row, in a fixed order and each once."""
    notes = [
        *_failures(evidence),
        *_gaps(evidence, questions),
        *_spending(evidence, spend),
        *sorted({mark for run in evidence.results.values() for mark in run.marks}),
        *_departures(evidence),
    ]
    return tuple(dict.fromkeys(notes))


def _failures(evidence: Evidence) -> list[str]:
    bad = [run for _, run in sorted(evidence.results.items()) if run.status != "done"]
    return [f"seed {run.seed} {run.status}{_reason(run)}; its spend stays on the board" for run in bad]


def _reason(run: Result) -> str:
    """Quote the first line of an error, without the folders of the machine that it happened on."""
    first = (run.error or "").strip().partition("\n")[0]
    return f" ({_FOLDERS.sub('', first)})" if first else ""


def _gaps(evidence: Evidence, questions: Sequence[Question]) -> list[str]:
    missing = [seed for seed in evidence.seeds if seed not in evidence.results]
    notes = [f"no result yet for seed {', '.join(map(str, missing))}"] if missing else []
    for seed, run in sorted(evidence.results.items()):
        tasks = [question.task for question in questions if question.answered(run) is None]
        if run.status == "done" and tasks:
            notes.append(f"seed {seed} is incomplete on {', '.join(tasks)}")
    if missing or (evidence.results and len(evidence.finished(questions)) < len(evidence.seeds)):
        notes.append("not averaged and not ranked: part of the evidence is missing")
    return notes


def _spending(evidence: Evidence, spend: Spend | None) -> list[str]:
    if spend is None or not evidence.is_trained:
        return []
    notes = ["over budget"] if spend.is_over else []
    if spend.mean == 0 and all(run.status == "done" for run in evidence.results.values()):
        notes.append("training-free: spends nothing, exempt from the rule of equal budgets")
    if len(evidence.seeds) == 1:
        notes.append("1 training seed")
    return notes


def _departures(evidence: Evidence) -> list[str]:
    """Say what the row sets that the other rows do not."""
    row = evidence.row
    decoding = row.decoding.model_dump(exclude_none=True) if row.decoding else {}
    limit = {} if row.limit is None else {"limit": row.limit}
    named = (("config", row.config), ("training", row.train), ("decoding", decoding), ("budget", limit))
    return [f"own {name}: {_pairs(values)}" for name, values in named if values]


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in sorted(values.items()))
