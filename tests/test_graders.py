"""All graders alike: their ids, gold answers and hostile answers; and the choice and code graders."""

import subprocess
import sys

import pytest
from grading_items import box, grade, item
from hypothesis import given, settings
from hypothesis import strategies as st

from opdbench.errors import GradingError
from opdbench.graders.boxed import BoxedExpression, BoxedInteger
from opdbench.graders.choice import Choice
from opdbench.graders.code import FunctionTests, same_value
from opdbench.graders.normalise import is_refused, normalise
from opdbench.records import Sample


def test_ids_name_rules_and_libraries():
    assert BoxedInteger(0, 999).id == "boxed-integer/2[0,999]"
    assert BoxedExpression().id.startswith("boxed-expression/2+math-verify-0.")
    assert Choice("ABCDE").id == "choice/2[ABCDE]"
    assert FunctionTests().id == "function-tests/1[2s,512MB]"


def test_gold_answers_are_correct():
    solution = "```python\ndef f(x):\n    return x\n```"
    code = {"entry_point": "f", "tests": [{"args": [1], "expected": 1}]}
    for grader, problem in [
        (BoxedInteger(), item("073", "")[0]),
        (BoxedExpression(), item(r"\frac{1}{2}", "")[0]),
        (Choice(), item("C", "")[0]),
        (FunctionTests(), item(code, "", reference=solution)[0]),
    ]:
        sample = Sample("t", "p", 0, 0, grader.gold(problem), 1, "stop")
        assert grader.grade([(problem, sample)])[0].verdict == "correct"
    with pytest.raises(GradingError, match="no fenced block"):
        FunctionTests().gold(item(code, "", reference="return x")[0])


def test_importing_graders_loads_no_heavy_library():
    script = (
        "import sys, opdbench.graders.boxed, opdbench.graders.choice, opdbench.graders.code\n"
        "heavy = {'math_verify', 'sympy', 'torch', 'pandas', 'numpy', 'latex2sympy2_extended'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"[]\n"


# --- choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (box("C"), "correct"),
        (box(r"\text{C}"), "correct"),
        (box(r"\textbf{(C)}"), "correct"),
        (box("(C)"), "correct"),
        (box("C. A dog in the street"), "correct"),
        (box(r"C) 4 apples"), "correct"),
        ("Answer: C", "correct"),
        ("**Answer:** C", "correct"),
        ("The answer is (C).", "correct"),
        ("Final Answer: option C", "correct"),
        ("Answer: D\nWait.\nAnswer: C", "correct"),
        (f"Answer: D, that is {box('C')}", "correct"),
        (box("B"), "wrong"),
        (box("A, B, C, D"), "wrong"),
        (box("A B C D"), "wrong"),
        ("Answer: C or D", "wrong"),
        (box(r"C \text{ or } B"), "wrong"),
        (box("Canada"), "wrong"),
        (box("E"), "wrong"),
        (box("A cat"), "wrong"),
        ("The closest answer is 37 days. The answer is (C).", "correct"),
        ("The answer is (A) or (B). No. The answer is (C).", "correct"),
        ("The answer is (C). The answer is (B).", "wrong"),
        (box(r"\frac{\pi}{3}") + " The answer is (C).", "correct"),
        (box("B") + " The answer is (C).", "wrong"),
        (box("12") + " is the value.", "wrong"),
        ("I think C", "wrong"),
        (f"<think>{box('C')}</think> no idea", "wrong"),
        ("", "wrong"),
    ],
)
def test_choice(text, verdict):
    assert grade(Choice(), "C", text)[0] == verdict


def test_choice_takes_the_letters_of_the_row():
    assert grade(Choice("ABCDEFGHIJ"), "J", box("J")) == ("correct", "option")
    assert grade(Choice(), "J", box("J")) == ("ungraded", "invalid_problem")
    assert grade(Choice(), "C", "nothing", "length") == ("truncated", "no_answer")


# --- code -------------------------------------------------------------------------------------------------------

DOUBLE = {"entry_point": "double", "tests": [{"args": [3], "expected": 6}, {"args": [0], "expected": 0}]}


def program(body, name="double"):
    return f"```python\ndef {name}(x):\n    {body}\n```"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (program("return 2 * x"), ("correct", "tests")),
        (program("return 3") + "\nFixed:\n" + program("return 2 * x"), ("correct", "tests")),
        (program("return 6"), ("wrong", "tests")),
        (program("return float(2 * x)"), ("wrong", "tests")),
        (program("return 1 / 0"), ("wrong", "crash")),
        (program("return object()"), ("wrong", "invalid_output")),
        (program("while True: pass"), ("wrong", "limit")),
        (program("return 2 * x", "triple"), ("wrong", "no_entry_point")),
        ("```python\ndef double(x) return\n```", ("wrong", "crash")),
        ("double it", ("wrong", "no_code")),
        ("<think>" + program("return 2 * x"), ("truncated", "no_code")),
    ],
)
def test_function_tests(text, wanted):
    assert grade(FunctionTests(timeout_seconds=1.0), DOUBLE, text) == wanted


def test_code_that_was_cut_or_cannot_be_tested():
    assert grade(FunctionTests(), DOUBLE, "```python\ndef double(x):", "length") == ("truncated", "no_code")
    for target in (
        {**DOUBLE, "tests": []},
        {"tests": DOUBLE["tests"]},
        {**DOUBLE, "tests": [{"args": [1]}]},
        {**DOUBLE, "tests": [{"args": [object()], "expected": 1}]},
        {**DOUBLE, "entry_point": "a b"},
        "double",
        None,
    ):
        assert grade(FunctionTests(), target, program("return 2 * x")) == ("ungraded", "invalid_problem")


def test_values_of_every_plain_type_arrive():
    values = [None, True, 10**3000, 1.5, "é\n", [1, [2]], (1, 2), {1: "a", "b": [2]}, {1, 2}, b"\x00", float("inf")]
    target = {"entry_point": "same", "tests": [{"args": [value], "expected": value} for value in values]}
    assert grade(FunctionTests(), target, program("return x", "same")) == ("correct", "tests")


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance", "same"),
    [
        (1, True, 0, False),
        (0, False, 0, False),
        (1, 1.0, 0, False),
        (1, 1.0, 1e-6, True),
        ([1, 2], (1, 2), 0, True),
        ([[1], [2]], [(1,), (2,)], 0, True),
        ([1, 2], [1, 2, 3], 0, False),
        ([1, 2], [1, True], 0, False),
        ({"a": 1}, {"a": True}, 0, False),
        ({1: 2}, {True: 2}, 0, False),
        ({1: 2}, {1: 2}, 0, True),
        ({1, 2}, frozenset({1, 2}), 0, True),
        ({1}, {True}, 0, False),
        (0.1, 0.1000001, 0, False),
        (0.1, 0.1000001, 1e-6, True),
        (float("nan"), float("nan"), 0, True),
        (1.0, 10**400, 1e-6, False),
        ("1", 1, 0, False),
        (None, 0, 0, False),
    ],
)
def test_values_compare_with_exact_types(expected, actual, tolerance, same):
    assert same_value(expected, actual, tolerance) is same


# --- any text ---------------------------------------------------------------------------------------------------

PIECES = (
    r"\boxed{ \fbox{ } { \{ \} \frac \sqrt \pm \text{ \begin{pmatrix} \end{pmatrix} & \\ \left( \right] \le x y = < , ;"
    r" 1 23 0.5 / + - \% $ \cup \in ( ) [ ] | ! _ \infty and or <think> </think> ``` Answer: A B é ² \ "
)
LATEX = st.lists(st.sampled_from([*PIECES.split(" "), " ", "\n", "^", "\0", "\ud800"]), max_size=30).map("".join)


@settings(max_examples=150)
@given(st.one_of(LATEX, st.text(max_size=200)), st.sampled_from(["stop", "length"]))
def test_a_grader_never_raises(text, finish_reason):
    for grader, target in ((BoxedInteger(), "1"), (Choice(), "A"), (FunctionTests(), DOUBLE)):
        for completion in (text, box(text), f"Answer: {text}"):
            assert grade(grader, target, completion, finish_reason)[0] in ("correct", "wrong", "truncated")
    assert isinstance(is_refused(normalise(text)), bool)


@settings(max_examples=8)
@given(st.lists(LATEX, min_size=10, max_size=10))
def test_mathematics_never_raises(texts):
    for graded in BoxedExpression().grade([item(r"\frac{x}{2}", box(text)) for text in texts]):
        assert graded.verdict in ("correct", "wrong", "truncated")


@pytest.mark.slow
def test_a_thousand_hostile_answers():
    kinds = [
        "9^{{9^{{9^{{{0}}}}}}}", "{0}" * 500, r"\frac{{" * 30 + "{0}", "({0}+1)!!!",
        r"\sqrt{{" * 50 + "{0}" + "}}" * 50, "{0},", "[{0}",
        r"\begin{{pmatrix}} {0}", r"\text{{{0}", "x_{{{0}}}^{{{0}}}", r"\{{{0}\}}\{{", "{0}={0}={0}+",
        r"\pm{0}\pm\pm",
    ]  # fmt: skip
    items = [item("12345", box(kinds[number % len(kinds)].format(number))) for number in range(1000)]
    assert all(graded.verdict == "wrong" for graded in BoxedExpression().grade(items))
