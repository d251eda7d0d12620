"""Which problem a completion made elsewhere answers: other spellings of ids, other prompts, questions alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opdbench import registry
from opdbench.errors import DataError, PluginError
from opdbench.records import Problem, content_key
from opdbench.verbs import from_samples, sample_files
from opdbench.verbs.finder import Finder
from opdbench.verbs.sample_files import Completion
from opdbench_tasks._shared import choice_problem

LAW, OTHER_LAW, SHORT = "Which of these made-up laws is the oldest one?", "oldest one?", "Which?"
ROWS = (
    ("law", LAW, ("law of apples", "law of\npears")),
    ("twin", LAW, ("law of plums", "law of pears")),
    ("end", OTHER_LAW, ("law of apples", "none")),
    ("short", SHORT, ("12", "1")),
)
PROBLEMS = [choice_problem({"id": id, "problem": asked, "choices": texts, "answer": "A"}) for id, asked, texts in ROWS]


def shown(prompt: str, *ids: str, is_ours: bool = False) -> Completion:
    return Completion("toy", ids, prompt, 0, "", "stop", None, 1, is_ours)


def found(item: Completion) -> str | None:
    problem = Finder(PROBLEMS).find(item)
    return problem and problem.id


def options(texts: tuple[str, ...], form: str = "{}. {}") -> str:
    return "\n".join(form.format(letter, text) for letter, text in zip("AB", texts, strict=True))


@pytest.mark.parametrize("form", ["{}. {}", "{}) {}", "({}) {}", "{}: {}"])
@pytest.mark.parametrize(("id", "asked", "texts"), ROWS)
def test_options_may_be_laid_out_otherwise(form: str, id: str, asked: str, texts: tuple[str, ...]) -> None:
    prompt = f"Choose a letter.\nQuestion:\n{asked}\nOptions:\n{options(texts, form)}\nAnswer: Let's think."
    assert found(shown(prompt)) == id
    assert found(shown(prompt, id)) == id
    assert found(shown(prompt, "law" if id == "short" else "short")) == id


@pytest.mark.parametrize(
    "texts",
    [("law of\npears", "law of apples"), ("law of apples",) * 2, ("law of applesauce", "law of pears")],
)
def test_another_order_or_other_options_are_another_problem(texts: tuple[str, ...]) -> None:
    prompt = f"Question: {LAW}\n{options(texts)}\nAnswer:"
    assert found(shown(prompt)) is None
    assert found(shown(prompt, "law")) is None


def test_worked_examples_are_not_what_is_asked() -> None:
    example = f"Question: {LAW}\n{options(ROWS[0][2])}\nAnswer: A\n\n"
    assert found(shown(f"{example}Question: {LAW}\n{options(ROWS[1][2])}\nAnswer:")) == "twin"
    assert found(shown(f"{example}Question: {LAW}\n{options(ROWS[0][2][::-1])}\nAnswer:")) is None


def test_a_question_alone_is_enough_where_only_one_problem_asks_it() -> None:
    assert found(shown(SHORT)) == "short"
    assert found(shown(LAW)) is None
    assert found(shown(LAW, "law")) == "law"
    assert found(shown(f"Question: {LAW}\n{options(('law of figs', SHORT))}")) is None


def test_an_id_of_ours_needs_no_prompt_to_confirm_it() -> None:
    assert found(shown("something else", "law", is_ours=True)) == "law"
    assert found(shown("something else", "law")) is None
    assert found(shown(SHORT, "nobody", is_ours=True)) == "short"


def test_a_problem_without_a_statement_is_found_by_its_id() -> None:
    assert Finder([Problem("p", "", "1")]).find(shown("Problem:\nAnswer:", "p")) is not None
    assert Finder([Problem("p", "", "1")]).find(shown("Problem:\nAnswer:")) is None


def test_other_names_of_a_problem_yield_to_ids() -> None:
    problems = [Problem("a", "first", "1"), Problem("0", "second", "1")]
    finder = Finder(problems, lambda problem, place: (str(place),))
    assert [finder.find(shown("", name)).prompt for name in ("a", "0", "1")] == ["first", "second", "second"]


def test_math500_knows_the_names_of_its_data() -> None:
    task = registry.load("tasks", "math500")
    problem = Problem("counting_and_probability-525", "?", "1")
    assert Finder([problem], task.other_names).find(shown("", "test/counting_and_probability/525.json")) is problem


@pytest.mark.parametrize("id", ["gsm8k", "beyondaime"])
def test_data_without_ids_are_numbered(id: str) -> None:
    task = registry.load("tasks", id)
    problems = [Problem(content_key(f"q{n}"), f"q{n}", "1") for n in range(3)]
    assert Finder(problems, task.other_names).find(shown("", "2")) is problems[2]
    assert Finder([Problem("own", "q", "1")], task.other_names).find(shown("", "0")) is None


def read(path: Path, **row: object) -> Completion:
    (path / "a").write_text(json.dumps({"text": "", **row}))
    (item,) = sample_files.read_completions(path / "a")
    return item


def test_a_line_of_ours_may_name_a_question(tmp_path: Path) -> None:
    assert found(read(tmp_path, question=SHORT)) == "short"
    assert found(read(tmp_path, problem_id="law", prompt="something else")) == "law"
    messages = [{"role": "user", "content": f"{SHORT}\n{options(('12', '1'))}"}]
    assert found(read(tmp_path, problem_id="nobody", prompt=messages)) == "short"
    assert found(read(tmp_path, problem="")) is None
    for bad in ({}, {"problem_id": None}, {"problem_id": True}):
        with pytest.raises(DataError, match="may stand for problem_id"):
            read(tmp_path, **bad)


def test_rows_of_a_foreign_task_ask_for_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps({"task": "math_500", "problem_id": "1", "text": ""}))
    with pytest.raises(PluginError, match=r"a:1: say with --tasks which .* Did you mean 'math500'"):
        from_samples.score_file(tmp_path / "a")
