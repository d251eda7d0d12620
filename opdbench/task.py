"""The contract of a task: data at a pinned revision, a prompt, a grader.

A task file is about 30 lines (``tasks/opdbench_tasks``). Decoding settings belong to the board, metrics to
``stats``: a task says only what is asked and what counts as right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from opdbench.errors import ROW_ERRORS, DataError, told
from opdbench.graders.grader import Grader
from opdbench.records import Pool, Problem, canonical_json

PLAIN: Mapping[str, str] = {"plain": "{prompt}"}


def no_other_names(problem: Problem, place: int) -> Sequence[str]:
    """Return no other names."""
    del problem, place
    return ()


class Source(Protocol):
    """Where rows come from. ``revision`` pins them: the same revision gives the same rows, in the same order."""

    @property
    def revision(self) -> str:
        """A commit, or the version of a generator."""
        ...

    def rows(self, pool: Pool) -> Iterable[Mapping[str, Any]]:
        """Return the rows of one pool; no network call when offline."""
        ...


@dataclass(frozen=True, slots=True)
class Generated:
    """Rows made by a function of the pool; ``version`` is raised whenever the function changes a row."""

    make: Callable[[Pool], Iterable[Mapping[str, Any]]]
    version: int

    @property
    def revision(self) -> str:
        """The version of the generator."""
        return f"generated-{self.version}"

    def rows(self, pool: Pool) -> Iterable[Mapping[str, Any]]:
        """Return the rows that the function makes for the pool."""
        return self.make(pool)


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark, or a set of training problems, with everything that a score of it depends on.

    Attributes:
        id: The name boards use; equal to the entry point's name.
        title: The name people read.
        source: Where the rows come from, pinned.
        problem: Turns one row into a Problem.
        grader: Decides what is right.
        num_problems: Pool to the exact number of its problems; a pool that is not named does not exist.
        k: Default number of samples per problem.
        version: Raised whenever prompt, data or grader change a score.
        licence: Licence of the data.
        released: ISO date of the benchmark's release, for contamination windows.
        reference: Where the data comes from, for people.
        templates: Named user messages with ``{prompt}``, ``{draft}`` and ``{reference}``; ``plain`` is what
            evaluation and the student see, a method may show another one to another role.
        is_private_text: Whether the terms of the data forbid to publish its text (GPQA): what is written for others
            then holds ids and verdicts, and neither prompt nor target nor completion.
        other_names: What else files made elsewhere may call a problem, given its place in the pool from 0: the data's
            own spelling of the id, or that place where the data have no ids.
    """

    id: str
    title: str
    source: Source
    problem: Callable[[Mapping[str, Any]], Problem]
    grader: Grader
    num_problems: Mapping[Pool, int]
    k: int
    version: int
    licence: str
    released: str
    reference: str
    templates: Mapping[str, str] = field(default_factory=lambda: dict(PLAIN))
    is_private_text: bool = False
    other_names: Callable[[Problem, int], Sequence[str]] = no_other_names

    def load(self, pool: Pool) -> list[Problem]:
        """Return all problems of a pool.

        Raises:
            DataError: the pool does not exist, has another size than was pinned, repeats a problem id, or has a row
                that makes no problem.
        """
        if pool not in self.num_problems:
            raise DataError(f"{self.id}: has no {pool} pool; it has {', '.join(self.num_problems)}")
        problems = [self._problem(row) for row in self.source.rows(pool)]
        expected = self.num_problems[pool]
        where = f"{self.id} ({pool} pool at {self.source.revision})"
        if len(problems) != expected:
            raise DataError(f"{where}: {expected} problems expected, got {len(problems)}")
        if len({problem.id for problem in problems}) != expected:
            raise DataError(f"{where}: problem ids are not unique")
        return problems

    def _problem(self, row: Mapping[str, Any]) -> Problem:
        try:
            return self.problem(row)
        except ROW_ERRORS as error:
            place = getattr(row, "place", None)
            if place is None:  # it was made, not read, so the fault is not the data's
                raise
            raise DataError(f"{place}: {told(error)}") from error

    def with_message(self, text: str | None) -> Task:
        """Return the task under another user message, as it is for None: a changed message is a changed question."""
        return self if text is None else replace(self, templates={**self.templates, "plain": text})

    def message(self, problem: Problem, template: str = "plain", draft: str = "") -> str:
        """Return the user message of a problem under a named template.

        Raises:
            DataError: the template is unknown, or needs a reference solution that the problem lacks.
        """
        if template not in self.templates:
            raise DataError(f"{self.id}: no template {template!r}; it has {', '.join(self.templates)}")
        text = self.templates[template]
        if "{reference}" in text and problem.reference is None:
            raise DataError(f"{self.id}/{problem.id}: template {template!r} needs a reference solution")
        values = {"prompt": problem.prompt, "draft": draft, "reference": problem.reference or ""}
        return re.sub(r"\{(prompt|draft|reference)\}", lambda found: values[found[1]], text)

    @property
    def prompt_hash(self) -> str:
        """Identify the templates: a changed prompt is a changed question."""
        return hashlib.sha256(canonical_json(dict(self.templates)).encode()).hexdigest()[:12]
