"""What is wrong with the writing of gold answers, and what is not."""

from __future__ import annotations

import pytest

from opdbench.graders.boxed import BoxedExpression
from opdbench.graders.gold import doubt
from opdbench.records import Problem

WELL_FORMED = [
    *("42", "-3", r"\frac{\sqrt{7} + 1}{2}", "[0, 1)", r"(-\infty, 2]", r"\text{Evelyn}", "x^2+2x+1", "4.5e33"),
    *(r"50\%", r"\begin{pmatrix}1\\2\end{pmatrix}", r"\{1, 2\}", r"\left. x \right|", r"2\pi", "Tuesday"),
    r"\text{sin of } x",
]


@pytest.mark.parametrize("gold", WELL_FORMED)
def test_a_gold_answer_that_is_well_formed(gold) -> None:
    assert doubt(gold) is None


@pytest.mark.parametrize(
    ("gold", "words"),
    [
        (r"\frac{sqrt{7} + 1}{2}", "'sqrt' without a backslash"),
        ("np.arcsin(10/13)", "'arcsin' without a backslash"),
    ],
)
def test_what_the_grader_repairs_is_named_and_not_hopeless(gold, words) -> None:
    found = doubt(gold)
    assert found is not None
    assert words in found.why
    assert gold in found.why
    assert not found.is_hopeless


@pytest.mark.parametrize("gold", ["", r"\frac{{1}{2}", "(1, 2", "9^{9^{9^9}}", "{" * 90 + "1" + "}" * 90, "2**3"])
def test_what_no_answer_can_match_is_hopeless(gold) -> None:
    found = doubt(gold)
    assert found is not None
    assert found.is_hopeless


def test_the_grader_of_expressions_looks() -> None:
    assert BoxedExpression().doubt(Problem("20", "", r"\frac{sqrt{7}}{2}")) is not None
    assert BoxedExpression().doubt(Problem("20", "", "1/2")) is None
