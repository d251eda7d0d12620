"""Majority voting, averaged over every subset of the samples without listing the subsets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from opdbench.errors import DataError

Ties = Literal["uniform", "first", "wrong"]


def maj_at_k(answers: Sequence[str | None], gold: str, k: int, ties: Ties) -> float | None:
    """Return maj@k of one problem: the chance that the most frequent of k answers is the gold one.

    Mean over all k-subsets of the samples. None among the answers is a sample without an answer: it takes a place in
    the subset but never gets a vote.

    Args:
        answers: Extracted answers in the order of the samples.
        gold: The right answer, spelled as in ``answers``.
        k: Size of the vote.
        ties: ``uniform``: a tie of m answers counts 1/m; ``first``: the answer seen first wins; ``wrong``: a tie is
            wrong. The rule moves the score by many points at small k and belongs to the metric's name.

    Returns:
        The chance, or None where k is above the number of answers.

    Raises:
        DataError: k is not positive.
    """
    if k < 1:
        raise DataError(f"maj@k needs k of at least 1, got {k}")
    if k > len(answers):
        return None
    places = [index for index, answer in enumerate(answers) if answer == gold]
    wins = sum(
        (_wins(answers, gold, k, votes, place, ties) for votes in range(1, k + 1) for place in places), Fraction(0)
    )
    return float(wins / math.comb(len(answers), k))


def _wins(answers: Sequence[str | None], gold: str, k: int, votes: int, place: int, ties: Ties) -> Fraction:
    """Count the subsets whose first gold answer is at ``place``, that hold ``votes`` gold ones, and that win."""
    later_gold = sum(answer == gold for answer in answers[place + 1 :])
    ways = math.comb(later_gold, votes - 1)
    if not ways:
        return Fraction(0)
    rivals = _rivals(answers, gold, k - votes, votes, place if ties == "first" else -1)
    if ties == "uniform":
        return ways * sum((Fraction(count, tied + 1) for tied, count in rivals.items()), Fraction(0))
    return Fraction(ways * (sum(rivals.values()) if ties == "first" else rivals.get(0, 0)))


def _rivals(answers: Sequence[str | None], gold: str, size: int, votes: int, place: int) -> dict[int, int]:
    """Count the ways to draw ``size`` other answers of which none has more than ``votes``, by the number that tie.

    An answer that ties must lie after ``place`` with all its votes, so that gold is seen first.
    """
    states: Counter[tuple[int, int]] = Counter({(0, 0): 1})
    totals = Counter(answer for answer in answers if answer != gold)
    later = Counter(answers[place + 1 :])
    for answer, available in totals.items():
        grown: Counter[tuple[int, int]] = Counter()
        for (drawn, tied), ways in states.items():
            most = size - drawn if answer is None else min(votes, size - drawn)
            for number in range(most + 1):
                ties = answer is not None and number == votes
                more = math.comb(later[answer] if ties else available, number)
                grown[drawn + number, tied + ties] += ways * more
        states = grown
    return {tied: ways for (drawn, tied), ways in states.items() if drawn == size and ways}
