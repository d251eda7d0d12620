"""Finds the problem that a completion made elsewhere answers, by its id or by the prompt that was shown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from opdbench.records import Problem
from opdbench.verbs.sample_files import Completion

ANCHOR = 32
"""Last characters of a prompt by which it is looked up: every place of a long prompt is tried once."""


class Finder:
    """Finds the problem that a completion answers."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._by_id = {problem.id: problem for problem in problems}
        self._ends: dict[str, list[tuple[str, Problem]]] = defaultdict(list)
        for problem in problems:
            if prompt := _plain(problem.prompt):
                self._ends[prompt[-ANCHOR:]].append((prompt, problem))
        self._widths = sorted({len(end) for end in self._ends})
        self._seen: dict[str, Problem | None] = {}

    def find(self, item: Completion) -> Problem | None:
        """Return the problem; a prompt, where the file has one, must hold the problem's own."""
        shown = _plain(item.prompt)
        for id in item.ids:
            problem = self._by_id.get(id)
            if problem and (not shown or _plain(problem.prompt) in shown):
                return problem
        if not shown:
            return None
        if shown not in self._seen:
            self._seen[shown] = self._last(shown)
        return self._seen[shown]

    def _last(self, shown: str) -> Problem | None:
        """Return the problem whose prompt ends last, the longest of several: worked examples stand before it."""
        for end in range(len(shown), 0, -1):
            anchors = (shown[max(end - width, 0) : end] for width in self._widths)
            near = [pair for anchor in anchors for pair in self._ends.get(anchor, ())]
            if found := [pair for pair in near if shown.endswith(pair[0], 0, end)]:
                return max(found, key=lambda pair: len(pair[0]))[1]
        return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
