"""What graders read out of a text: boxes, the part after a thought, code blocks, and exact numbers."""

import pytest

from opdbench.graders.exact import read_number, same_number
from opdbench.graders.extract import final_text, find_boxes, find_code


@pytest.mark.parametrize(
    ("text", "answer", "count"),
    [
        (r"so \boxed{42}.", "42", 1),
        (r"\boxed {42}", "42", 1),
        ("\\boxed\n{42}", "42", 1),
        (r"\boxed 4. Done", "4", 1),
        (r"\boxed B", "B", 1),
        (r"we use \boxed in LaTeX", None, 0),
        (r"\fbox{42}", "42", 1),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 1),
        (r"\boxed{\{1,2\}}", r"\{1,2\}", 1),
        (r"\boxed{\{1,2)}", r"\{1,2)", 1),
        (r"\boxed{\boxed{42}}", "42", 1),
        (r"\boxed{x=\fbox{4}}", "x=4", 1),
        (r"\boxed{41} then \boxed{42}", "42", 2),
        (r"\boxed{42}. Put it in \boxed{}", "42", 1),
        (r"\boxed{42} and \boxed{4", "42", 1),
        (r"\boxed{ so \boxed{7}", "7", 1),
        (r"so \boxed{42", None, 0),
        (r"\\boxed{42}", "42", 1),
        (r"\boxedness{42}", None, 0),
        ("", None, 0),
        ("\\boxed{" * 3000 + "4" + "}" * 3000, "4", 1),
        ("\\boxed{" * 100_000, None, 0),
        ("\\" * 100_000, None, 0),
    ],
)
def test_last_complete_box(text, answer, count):
    found = find_boxes(text)
    assert (found.answer, found.count) == (answer, count)


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("a", "a"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a", None),
        ("<think>a</think>b<think>c", None),
        ("<think>a</think>b</think>c", "c"),
    ],
)
def test_only_what_follows_the_thought_counts(text, final):
    assert final_text(text) == final


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\ndef f(): 1\n```", "def f(): 1"),
        ("```\ndef f(): 1\n```\nUsage:\n```\nf()\n```", "def f(): 1"),
        ("```\ndef f(): 1\n```\nWait, fix:\n```\ndef f(): 2\n```", "def f(): 2"),
        ("```\nf = lambda: 1\n```\n```\nf == 2\n```", "f = lambda: 1"),
        ("```\nf: int = 3\n```", "f: int = 3"),
        ("```\nx\n```\n```\ny\n```", "y"),
        ("  ```py\n  def f():\n      1\n  ```", "def f():\n    1"),
        ("~~~\ndef f(): 1\n~~~", "def f(): 1"),
        ("````\ndef f(): '```'\n````", "def f(): '```'"),
        ("```python\ndef f(): 1", None),
        ("def f(): 1", None),
        ("```" + " " * 200_000 + "`\n```\nf = 1\n```", "f = 1"),
        ("~" * 200_000 + "`\n```\nf = 1\n```", "f = 1"),
        ("", None),
    ],
)
def test_last_block_that_defines_the_entry_point(text, code):
    assert find_code(text, "f") == code


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("073", "73", True),
        ("1000", "1,000", True),
        ("42", "+42", True),
        ("42.0", "42", True),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{3}", "0.333333", True),
        (r"\frac{1}{3}", "0.333334", False),
        (r"\frac{1}{3}", "0.333", False),
        (r"-\frac{1}{3}", "0.333333", False),
        ("0.333333", "0.3333333", False),
        (r"\frac{7}{2}", r"3\frac{1}{2}", True),
        ("0.5", "50%", True),
        ("50", r"50\%", True),
        (r"5\%", r"0.05\%", False),
        (r"1.6\times 10^{-3}", "0.0016", True),
        (r"\frac{1}{9}", r"0.\overline{1}", True),
        ("4210_5", "4210_{5}", True),
        ("4210_5", "4210", False),
        ("1" * 400, "1" * 399 + "2", False),
    ],
)
def test_numbers_compare_exactly(gold, answer, same):
    numbers = read_number(gold), read_number(answer)
    assert same_number(*numbers) is same
    assert same_number(*reversed(numbers)) is same


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", r"\frac{1}{0}", "1e5", "1,00", "9_5", r"10^{9999999}", "1 2", "1" * 2000]
)
def test_what_is_not_an_exact_number(text):
    assert read_number(text) is None
