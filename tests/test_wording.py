"""Answers as models word them: what stands around a value, and ways to write one that no library reads."""

import string

import pytest
from grading_items import box, grade, item
from hypothesis import given
from hypothesis import strategies as st

from opdbench.graders.boxed import BoxedExpression, BoxedInteger
from opdbench.graders.wording import bare

MATRIX = r"\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}"
WORDED = [
    # emphasis, colour, braces and lead-ins
    ("204", r"\boldsymbol{204}", True),
    ("204", r"\underline{204}", True),
    ("204", r"\boldsymbol{205}", False),
    (r"3\sqrt{13}", r"\mathbf{3\sqrt{13}}", True),
    (r"\text{Evelyn}", r"\mathbf{\text{Evelyn}}", True),
    (r"\frac{3}{4}", r"\textcolor{red}{\frac{3}{4}}", True),
    (r"\text{No}", r"\boldsymbol{No}", True),
    ("204", r"\text{The answer is } 204", True),
    ("204", r"\text{Answer: } 205", False),
    ("42", r"\text{Answer: }\boxed{42}", True),
    (r"\frac{1}{2}", r"\text{The final answer is: }\frac{1}{2}", True),
    ("4.5e33", "4.5e33.", True),
    (r"864 \mbox{ inches}^2", r"{864 \mbox{ inches}^2}", True),
    (r"\text{Friday}", r"\text{Friday.}", True),
    (r"\text{ellipse}", r"\text{an ellipse}", True),
    (r"\text{ellipse}", r"\text{a circle}", False),
    # the label of a choice beside its value
    ("12", r"\textbf{(B) }12", True),
    ("12", r"\text{(B)}\ 12", True),
    ("12", r"\textbf{(B) 12}", True),
    ("12", r"\mathrm{(B)}~12", True),
    ("12", r"\textbf{(B) }21", False),
    ("12", r"\textbf{(B)}", False),
    (r"\frac{1}{2}", r"\textbf{(D)}\ \frac{1}{2}", True),
    (r"\text{(B)}", r"\textbf{(B)}\ 12", True),
    (r"\text{(B)}", r"\textbf{(C)}\ 12", False),
    (r"\text{(B)}", r"\textbf{(B)}\ \text{or}\ \textbf{(C)}", False),
    (r"\text{(B)}", r"\textbf{(B)}, \textbf{(C)}", False),
    (r"\text{(B)}", r"\text{(B)}+1", False),
    # percent, roots, powers, binomials, bases, thousands
    (r"50\%", r"50\text{ percent}", True),
    (r"\frac{1}{2}", "50 percent", True),
    (r"50\%", "5 percent", False),
    (r"\sqrt[3]{4}", r"\sqrt[3]4", True),
    (r"\sqrt[3]{4}", "∛4", True),
    (r"\sqrt[3]{4}", r"\sqrt4", False),
    ("6.02e23", r"6.02 \times {10}^{23}", True),
    (r"\binom{16}{8}", r"{16 \choose 8}", True),
    (r"\binom{16}{8}", "12,870", True),
    (r"\binom{16}{8}", "12,871", False),
    (r"1000\pi", r"1,000\pi", True),
    ("100,200", "100200", True),
    (r"2\pi,3", r"2\pi,300", False),
    ("2516_8", r"2516_{\text{eight}}", True),
    ("2516_8", "(2516)_8", True),
    ("2516_8", r"2516_{\text{nine}}", False),
    ("2516_8", "2516", False),
    ("101_2", r"101_{\text{base }2}", True),
    ("x^2+2x+1", "x**2+2*x+1", True),
    ("x^2+2x+1", "x**3+2*x+1", False),
    ("0.3", "0.1+0.2=0.3", True),
    ("41.8", r"20.9 \cdot 2", True),
    ("41.8", r"20.8 \cdot 2", False),
    # words after the value
    ("5", r"5\text{ apples}", True),
    ("5", r"\text{5 apples}", True),
    ("5", r"6\text{ apples}", False),
    ("5", r"5\text{ apples and }7\text{ oranges}", False),
    ("3", r"3\text{ if }n\text{ is even}", False),
    ("1.07e16", r"1.07 \times 10^{16} \text{ photons}", True),
    ("1e-8", r"10 \times 10^{-9} \text{ F}", True),
    (r"5\sqrt{2}", r"5\sqrt{2}\text{ furlongs}", True),
    ("2", r"2\mathbf{x}", False),
    ("204", r"204\text{.}", True),
    # sets, intervals, matrices
    ("[1,2)", r"\{x : 1 \le x < 2\}", True),
    (r"(2,\infty)", r"\left\{x \in \mathbb{R} \mid x > 2\right\}", True),
    (r"(2,\infty)", r"\{x \mid x \ge 2\}", False),
    (r"(2,\infty)", r"\{x\,|\,x>2\}", True),
    (r"\{1,2,3\}", r"x\in\{3,2,1\}", True),
    (r"\{1,2,3\}", r"x\in\{1,2\}", False),
    (r"\mathbb{R}", r"(-\infty,\infty)", True),
    (r"\mathbb{R}", "ℝ", True),
    (r"\mathbb{R}", r"(0,\infty)", False),
    (r"(-\infty,\infty)", r"\text{all real numbers}", True),
    (r"(-\infty, 2] \cup [3,\infty)", r"x\le 2 \text{ or } x\ge 3", True),
    (r"(-\infty, 2] \cup [3,\infty)", r"x < 2 \text{ or } x\ge 3", False),
    (r"(-\infty, 2] \cup [3,\infty)", r"x\le 2 \text{ and } x\ge 3", False),
    (r"x<1 \text{ or } x>2", r"(-\infty,1)\cup(2,\infty)", True),
    (r"\emptyset", r"\{\emptyset\}", False),
    (r"\emptyset", r"\{\}", True),
    (MATRIX, r"\left[\begin{array}{cc}1&2\\3&4\end{array}\right]", True),
    (MATRIX, r"\left[\begin{array}{cc}1&2\\3&5\end{array}\right]", False),
    (MATRIX, r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", False),
    (r"1+\sqrt2, 1-\sqrt2", r"1\mp\sqrt{2}", True),
    # symbols that math-verify takes for something else
    (r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}", r"\frac{E_1+2E_2}{3}", True),
    (r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}", r"\frac{2}{3} E_{1}+\frac{2}{3} E_{2}", False),
    (r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}", r"\frac{1}{3} E_{1}+\frac{2}{3} E_{3}", False),
    (r"\frac{1}{2}", r"\frac{1}{3}\mathcal{Q}@\frac{1}{2}", False),
    ("I_0+R", "R+I_0", True),
    ("I_0", "I_1", False),
    ("I_1+I_2", "2I_1", False),
    ("-R", "I^2R", False),
    (r"(\gamma-1)mc^2", r"\gamma mc^2-mc^2", True),
    (r"(\gamma-1)mc^2", r"mc^2", False),
    ("e_1+e_2", "e_2+e_1", True),
    ("e_1+e_2", "2e_1", False),
    (r"\frac{L_{\odot}}{M_{\odot}^{2}}", r"L_{\odot} M_{\odot}^{-2}", True),
    (r"\sqrt{\frac{2GM}{R}}", r"\sqrt{\frac{2GM}{r}}", False),
    (r"\pi R^2-\pi r^2", r"\pi(R^2-r^2)", True),
    (r"\pi R^2-\pi r^2", r"\pi(r^2-R^2)", False),
    (r"3\mathbf{i}+4\mathbf{j}", r"3\mathbf{i}+5\mathbf{j}", False),
    (r"3\mathbf{i}+4\mathbf{j}", r"4\mathbf{j}+3\mathbf{i}", True),
    ("3", r"3\mathbf{i}+4\mathbf{j}", False),
    ("7", r"3+4\mathrm{i}", False),
    ("mc^2", "c^2 m", True),
    # the imaginary unit and hyperbolic functions
    ("-1", r"e^{i\pi}", True),
    ("-1", "i^2", True),
    ("1", "i^2", False),
    ("3+4i", r"3 + 4\cdot i", True),
    (r"\frac{1}{2}+\frac{\sqrt3}{2}i", r"e^{i\pi/3}", True),
    (r"\frac{1}{2}+\frac{\sqrt3}{2}i", r"e^{-i\pi/3}", False),
    (r"\frac{e^{2it}}{2+2i}", r"\frac{(1-i)e^{2it}}{4}", True),
    (r"\frac{e^{2it}}{2+2i}", r"\frac{(1+i)e^{2it}}{4}", False),
    (r"\frac{e^{at}-e^{-at}}{2a}", r"\frac{\sinh(at)}{a}", True),
    (r"\frac{e^{at}-e^{-at}}{2a}", r"\frac{\cosh(at)}{a}", False),
    # equations
    ("y=2x", "a(y-2x)=0", False),
    (r"I \frac{d \omega}{d t}+2 B \omega=T", r"\frac{d\omega}{dt} = -\frac{2B}{I}\omega + \frac{T}{I}", True),
    (r"I \frac{d \omega}{d t}+2 B \omega=T", r"\frac{d\omega}{dt} = -\frac{2B}{I}\omega + T", False),
    (r"\frac{dy}{dx}=y", r"y\frac{dy}{dx}=y^2", False),
]  # fmt: skip


def test_worded_answers():
    grades = BoxedExpression().grade([item(gold, box(answer)) for gold, answer, _ in WORDED])
    got = [graded.verdict == "correct" for graded in grades]
    assert [row for row, verdict in zip(WORDED, got, strict=True) if row[2] != verdict] == []


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (r"\textbf{(B) }204", "correct"),
        (r"\boldsymbol{204}", "correct"),
        (r"\text{Answer: }204", "correct"),
        (r"\textbf{(B) }205", "wrong"),
        (r"\textbf{(B)}", "wrong"),
        (r"\textbf{(B) }204, 205", "wrong"),
        ("204 percent", "wrong"),
        (r"204\text{ ways}", "correct"),
        (r"204\text{ or }205", "wrong"),
    ],
)
def test_worded_integers(answer, verdict):
    assert grade(BoxedInteger(0, 999), "204", box(answer))[0] == verdict


@given(st.text(alphabet=string.digits + "abcdexytuvABCD+-*=,;:()<> \n", max_size=30))
def test_plain_digits_letters_and_signs_stay_as_they_are(text):
    """So no verdict on the lab's answers can move: its models know no other characters."""
    assert bare(text) == text.strip()
