"""Choices answered in prose: completions that go on to other questions, and last sentences that state one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opdbench.graders.choice import Choice
from opdbench.records import Problem, Sample

LETTERS = "ABCDEFGHIJ"
PROSE, PLAIN = Choice(LETTERS, prose=True), Choice(LETTERS)
PROMPT = "Which of these is the largest planet of all?\n\n" + "\n".join(
    f"{letter}. {text}"
    for letter, text in zip(
        LETTERS,
        ["Mars", "Venus", "Jupiter", "Saturn", "E. coli", "Earth", "Pluto", "none, or B", "Io", "Both A and B"],
        strict=True,
    )
)
RESTATED = f"Question: {PROMPT}"


def judge(text, target="C", grader=PROSE):
    (found,) = grader.grade([(Problem("p", PROMPT, target), Sample("t", "p", 0, 0, text, 1, "stop"))])
    return found.verdict, found.reason


def test_the_id_says_that_prose_is_read():
    assert PROSE.id == "choice/2[ABCDEFGHIJ]+prose/1"
    assert PLAIN.id == "choice/2[ABCDEFGHIJ]"
    assert judge(PROSE.gold(Problem("p", PROMPT, "C"))) == ("correct", "option")


TURNS = [
    "\n\nQuestion: What is the capital of France?\n",
    "\nquestion: Which moon is meant?\nOptions:\nA. Io\nB. Europa\n",
    "\n**Question 2:** Name a gas.\n",
    "\n### Question 7\nName a gas.\n",
    "\nQ: Name a gas.\n",
    "\nQ2: Name a gas.\n",
    "\nQ3. Name a gas.\n",
    "\nNext question: name a gas.\n",
    "\n\nNow, let's combine all the answers.\n\n",
    "\nNow, combining all the answers, we have:\n",
    "\nNow, let's summarize all the answers:\n",
    "\nNow, let's summarize the final answers to all questions:\n",
    "\nNow, considering all the questions and answers:\n",
    "\n\nNow, let's总结以上问题的答案：\n",
]
STATED = ["The answer is ({}).", r"So it is \boxed{{{}}}.", "Answer: {}", "Hence the best choice is ({})."]
AFTER = [
    "",
    "The answer is (B).",
    r"\boxed{C}",
    "Answer: D",
    "A. Mars\nThe answer is A. Mars\nThe answer is (B).",
    "It is (C).",
]
BEFORE = [
    "",
    "It may be (B). ",
    "The answer is not obvious. ",
    f"{RESTATED}\n",
    f"{RESTATED}\nAnswer: ",
    "I think so.\n",
]


@given(
    st.sampled_from(BEFORE),
    st.sampled_from(STATED),
    st.sampled_from("ABCD"),
    st.lists(st.tuples(st.sampled_from(TURNS), st.sampled_from(AFTER)), min_size=1, max_size=3),
)
def test_what_answers_other_questions_changes_nothing(before, stated, letter, others):
    answer = before + stated.format(letter)
    verdict = judge(answer)
    assert verdict == ("correct" if letter == "C" else "wrong", "option")
    assert judge(answer + "".join(turn + said for turn, said in others)) == verdict


@pytest.mark.parametrize("turn", TURNS)
def test_without_prose_the_last_answer_counts(turn):
    assert judge(f"The answer is (B).{turn}The answer is (C).", grader=PLAIN) == ("correct", "option")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"The answer is (B). Let me read it again.\n{RESTATED}\nThe answer is (C).", "correct"),
        (f"The answer is (C).\n{RESTATED}\nThe answer is (B).", "wrong"),
        (f"{RESTATED}\n\nThe answer is (C).\n\n{RESTATED}", "correct"),
        ("Question 1: The answer is (C).\nQuestion 2: The answer is (B).", "wrong"),
        ("Question: What is 1 + 1?\nAnswer: (A)\n\n" + f"{RESTATED}\nAnswer: (C)", "correct"),
        ("The answer is 12 km.\nQuestion: is that on the list?\nThe answer is (C).", "correct"),
        ("The answer is (B). The question is whether it fits.\nIt does not. The answer is (C).", "correct"),
        ("The answer is (B).\nQuestion 6 of the paper says no.\nThe answer is (C).", "correct"),
        ("The answer is (B).\nQ. no\nThe answer is (C).", "correct"),
        ("The answer is (B).\nLet's consider all the answers.\nThe answer is (C).", "correct"),
        ("The answer is (B).\n\nFinal Answer: The answer is (C).", "correct"),
        ("The answer is (C).\n\nFinal Answer: The answer is (B).", "wrong"),
        ("The answer is (A).\nThe answer is (B).\nThe answer is (C).", "correct"),
        ("<think>The answer is (C).\nQuestion: what?\n</think>The answer is (B).", "wrong"),
        ("The answer is (B) or (C).\nQuestion: what?\nThe answer is (C).", "wrong"),
    ],
)
def test_what_is_another_question_and_what_is_not(text, verdict):
    assert judge(text)[0] == verdict


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is big. Therefore, the most likely planet is (C).", "option"),
        ("The largest one is (C) Jupiter.", "option"),
        ("The largest one is: C. Jupiter.", "option"),
        ("Some are small. The largest one is:\n\nC. Jupiter.", "option"),
        ('The largest is known to be "C. Jupiter".', "option"),
        ("It has many moons, so this is option C.", "option"),
        ("It has many moons, which makes one thing sure.\n\n**Option C is the correct answer.**", "option"),
        ("(A) is far too small. Hence (C) is correct.", "option"),
        ("The answers are (C).", "option"),
        ("The answer is not among the choices, but the closest is (C).", "option"),
        ("The answer is 142,984 km. The closest option is (C).", "option"),
        ("The answer is (C). A 12-year-old knows that.", "option"),
        ("The answer is (C). It draws in H+ and B-cells and a strain of E. coli.", "option"),
    ],
)
def test_prose_that_states_an_option(text, reason):
    assert judge(text) == ("correct", reason)
    assert judge(text, "D") == ("wrong", reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The answers are (C) and (D).", "many_options"),
        ("The best one is (C) or (D).", "many_options"),
        ("The best one is (D), or else (C).", "many_options"),
        ("Either (D) or (C) is correct.", "many_options"),
        ("It is D or option C is correct.", "many_options"),
        ("The largest one is C. Jupiter or D. Saturn.", "many_options"),
        ("The answer is (C). E. coli is (E).", "many_options"),
        ("The answer is (C), B+.", "many_options"),
        ("The largest one is C. It has moons.", "no_answer"),
        ("The complement of G is C.", "no_answer"),
        ("This is (C) in the table, which", "no_answer"),
        ("The largest one is (C). It could be another, though.", "no_answer"),
        ("It is not C.", "no_answer"),
        ("The largest one is:\n\nC. Jupiter.\nD. Saturn.", "no_answer"),
        ("The largest one is one of these: D. Saturn is flat, C. Jupiter.", "no_answer"),
        ("(C)", "no_answer"),
        ("C. Jupiter", "no_answer"),
        ("The answer is none of the above.", "no_option"),
        ("A. Mars\nB. Venus\nC. Jupiter", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_prose_that_states_several_options_or_none(text, reason):
    assert judge(text) == ("wrong", reason)


def test_only_prose_is_read_differently():
    for text in ("So it is (C).", "The answer is (B).\nQuestion: what?\nThe answer is (C).", "Answer: (C). It has H+."):
        assert judge(text) != judge(text, grader=PLAIN)


SENTENCES = [
    "The answer is (C).", "Answer: B", r"\boxed{D}", "It is not obvious.", "Let x = 2.", "The answer is (A) or (B).",
    "Option C says so.", "All the answers are long.", "The question is hard.", "<think>", "</think>",
]  # fmt: skip


@given(st.lists(st.sampled_from(SENTENCES), max_size=6).map("\n".join))
def test_a_text_that_stays_with_its_question_is_read_as_without_prose(text):
    assert judge(text) == judge(text, grader=PLAIN)


@pytest.mark.parametrize(
    "run", ["Question:\n", f"{RESTATED}\n", "Q ", "question 1 ", " ", "#", "\n", "is (", "A or ", "总结"]
)
@pytest.mark.parametrize("start", ["Answer: B\n", "", "\nQ", "\nquestion", "It is "])
def test_long_runs_in_prose_are_read_once(start, run):
    judge(start + run * (100_000 // len(run)) + "x")
