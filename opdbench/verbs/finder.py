"""Finds the problem that a completion made elsewhere answers: by its id, or by the prompt that was shown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from opdbench.records import Problem
from opdbench.task import no_other_names
from opdbench.verbs.sample_files import Completion

ANCHOR = 32
"""Last characters of a question by which it is looked up: every place of a long prompt is tried once."""


@dataclass(frozen=True, slots=True)
class _Stated:
    """A problem with its prompt on one line, and the prompt's parts: the question, and options with their letters."""

    problem: Problem
    prompt: str
    question: str
    options: tuple[tuple[str, str], ...]

    def is_in(self, shown: str) -> bool:
        """Say whether a prompt asks this, in our words or with its options in our order."""
        return self.prompt in shown or self._has_options(shown)

    def _has_options(self, shown: str) -> bool:
        """Look for the options after the last statement of the question, each behind its letter."""
        place = shown.rfind(self.question) if self.options else -1
        for letter, text in self.options if place >= 0 else ():
            found = re.compile(rf"(?<!\w){letter}[).:\]]+ ?{re.escape(text)}(?!\w)").search(shown, place)
            if not found:
                return False
            place = found.end()
        return place >= 0


class Finder:
    """Finds the problem that a completion answers."""

    def __init__(
        self, problems: Sequence[Problem], other_names: Callable[[Problem, int], Sequence[str]] = no_other_names
    ) -> None:
        stated = [_stated(problem) for problem in problems]
        self._by_id = {item.problem.id: item for item in stated}
        for place, item in enumerate(stated):
            for name in other_names(item.problem, place):
                self._by_id.setdefault(name, item)
        self._ends: dict[str, list[_Stated]] = defaultdict(list)
        for item in stated:
            if item.question:
                self._ends[item.question[-ANCHOR:]].append(item)
        self._widths = sorted({len(end) for end in self._ends})
        self._seen: dict[str, Problem | None] = {}

    def find(self, item: Completion) -> Problem | None:
        """Return the problem; a prompt, where another program's file has one, must ask what the problem does."""
        shown = _plain(item.prompt)
        for id in item.ids:
            stated = self._by_id.get(id)
            if stated and (item.is_ours or shown in ("", stated.question) or stated.is_in(shown)):
                return stated.problem
        if not shown:
            return None
        if shown not in self._seen:
            self._seen[shown] = self._last(shown)
        return self._seen[shown]

    def _last(self, shown: str) -> Problem | None:
        """Return the problem whose question ends last, the longest of several: worked examples stand before it."""
        for end in range(len(shown), 0, -1):
            anchors = (shown[max(end - width, 0) : end] for width in self._widths)
            near = [item for anchor in anchors for item in self._ends.get(anchor, ())]
            found = [item for item in near if shown.endswith(item.question, 0, end)]
            tails = ((item, shown[end - len(item.question) :]) for item in found)
            asked = [item for item, tail in tails if item.is_in(tail) or item.question == shown]
            # A few words may stand anywhere; a question that is asked with other options ends the search.
            if asked or any(len(item.question) >= ANCHOR for item in found):
                return _longest(asked)
        return None


def _longest(asked: Sequence[_Stated]) -> Problem | None:
    """Return the problem with the longest question; None where two that differ in their options are as long."""
    longest = max((len(item.question) for item in asked), default=0)
    best = [item for item in asked if len(item.question) == longest]
    return best[0].problem if len({item.prompt for item in best}) == 1 else None


def _stated(problem: Problem) -> _Stated:
    """Take a prompt apart; what does not end with a list of lettered options is all question."""
    question, mark, rest = problem.prompt.rpartition("\n\nA. ")
    options = tuple(zip(ascii_uppercase, _texts(rest), strict=False)) if mark else ()
    return _Stated(problem, _plain(problem.prompt), _plain(question if mark else problem.prompt), options)


def _texts(listed: str) -> Iterator[str]:
    """Yield the texts of options that begin with ``A``, each up to the line of the next letter."""
    for letter in ascii_uppercase[1:]:
        text, mark, listed = listed.partition(f"\n{letter}. ")
        yield _plain(text)
        if not mark:
            return
    yield _plain(listed)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
