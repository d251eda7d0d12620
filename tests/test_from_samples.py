"""Completions made elsewhere, in three formats."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest

from opdbench import registry
from opdbench.cli import main
from opdbench.errors import DataError
from opdbench.graders.beside import beside
from opdbench.graders.boxed import BoxedInteger
from opdbench.records import Problem, Sample
from opdbench.task import Generated, Task
from opdbench.verbs import from_samples, sample_files
from opdbench.verbs.finder import Finder

TASK = Task(
    "toy",
    "Toy",
    Generated(lambda _: [{"id": f"p{n}", "n": n} for n in range(3)], 1),
    lambda row: Problem(row["id"], f"What is {row['n']} plus 1?", str(row["n"] + 1)),
    BoxedInteger(),
    {"test": 3},
    1,
    1,
    "CC0",
    "2026-01-01",
    "made up",
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    find, load, available = registry.find, registry.load, registry.available
    monkeypatch.setattr(registry, "find", lambda kind, id: TASK if id == "toy" else find(kind, id))
    monkeypatch.setattr(registry, "load", lambda kind, id: TASK if id == "toy" else load(kind, id))
    monkeypatch.setattr(registry, "available", lambda kind: {**available(kind), "toy": TASK})


def box(answer):
    return rf"so \boxed{{{answer}}}"


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own(id, sample, text, **more):
    return {"task": "toy", "problem_id": id, "sample": sample, "text": text, **more}


def verdicts(found):
    return [(grade.problem_id, grade.index, grade.verdict, grade.reason) for grade in found.grades]


def test_our_lines_get_a_verdict_each(tmp_path) -> None:
    rows = [
        own("p0", 0, box(1)),
        own("p0", 1, box(2)),
        own("p1", 0, "<think> " + box(2)),
        own("p1", 1, "and then", finish_reason="length"),
        own("p9", 0, box(1)),
        own("p2", 0, "nothing"),
        own("p0", 0, box(7)),
    ]
    found = from_samples.score_file(jsonl(tmp_path / "a.jsonl", rows))
    assert verdicts(found) == [
        ("p0", 0, "correct", "int"),
        ("p0", 1, "wrong", "int"),
        ("p1", 0, "truncated", "no_answer"),
        ("p1", 1, "truncated", "no_answer"),
        ("p9", 0, "ungraded", "unknown_problem"),
        ("p2", 0, "wrong", "no_answer"),
    ]
    assert (found.unknown, found.missing, found.repeated) == (("toy/p9",), ("toy/p2/1",), ("toy/p0/0",))
    assert [(score.metric, score.value) for score in found.scores] == [("avg@2", None)]
    assert found.beside["toy"].lenient == pytest.approx(2 / 5)
    assert found.beside["toy"].strict == pytest.approx(1 / 5)


def test_whole_files_have_scores(tmp_path) -> None:
    rows = [own(f"p{n}", i, box(n + 1 - i)) for n in range(3) for i in range(2)]
    found = from_samples.score_file(jsonl(tmp_path / "a.jsonl", rows), pass_k=(2,))
    assert {score.metric: score.value for score in found.scores} == {"avg@2": 0.5, "pass@2": 1.0}
    assert found.missing == ()


def test_samples_of_lm_eval(tmp_path) -> None:
    line = {
        "doc_id": 0,
        "doc": {"question": "x"},
        "arguments": [["Q: What is 1\nplus 1? A:", {"until": []}]],
        "resps": [[box(2), box(3)]],
        "filter": "none",
    }
    other = {**line, "arguments": {"gen_args_0": {"arg_0": "What is 77 plus 1?"}}, "resps": [[box(1)]]}
    path = jsonl(tmp_path / "samples_other_2026-01-01T00-00-00.jsonl", [line, {**line, "filter": "strict"}, other])
    found = from_samples.score_file(path, ["toy"])
    assert verdicts(found)[:2] == [("p1", 0, "correct", "int"), ("p1", 1, "wrong", "int")]
    assert (len(found.unknown), found.repeated) == (1, ("toy/p1/0", "toy/p1/1"))


def test_details_of_lighteval(tmp_path) -> None:
    rows = [
        {
            "doc": {"query": f"Solve. What is {n} plus 1?", "id": str(n), "choices": ["x"], "specific": None},
            "model_response": {"text": [box(n + 1), box(0)], "output_tokens": [[1, 2], [3]]},
            "metric": {"pass": 1.0},
        }
        for n in range(3)
    ]
    path = tmp_path / "details_toy|0_2026-01-01T00-00-00.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    found = from_samples.score_file(path)
    assert [grade.verdict for grade in found.grades] == ["correct", "wrong"] * 3
    assert [score.value for score in found.scores] == [0.5]


def test_details_of_an_exported_task_find_it_and_say_which_samples_were_cut(tmp_path) -> None:
    row = {
        "doc": {"query": "", "specific": {"uid": "p0"}, "task_name": "opd_toy|0", "generation_size": 3},
        "model_response": {"text": ["no", "no"], "output_tokens": [[1, 2, 3], [1, 2]]},
    }
    path = tmp_path / "details_opd_toy|0_2026-01-01T00-00-00.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    found = from_samples.score_file(path)
    assert verdicts(found) == [("p0", 0, "truncated", "no_answer"), ("p0", 1, "wrong", "no_answer")]


@pytest.mark.parametrize(
    "content",
    ["", "no json", "[]", '{"text": "x"}', '{"task": "toy", "problem_id": "p0", "sample": -1, "text": ""}', "PAR1"],
)
def test_what_is_no_file_of_samples_is_one_message(tmp_path, capsys, content) -> None:
    path = tmp_path / "bad"
    path.write_text(content)
    with pytest.raises(DataError, match="bad"):
        from_samples.score_file(path)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--from-samples", str(path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("opdbench: ")


def test_the_verb_prints_grades_and_scores(tmp_path, capsys) -> None:
    path = jsonl(tmp_path / "a.jsonl", [own("p0", 0, box(1)), own("nobody", 0, box(1))])
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--from-samples", str(path), "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    first, second = json.loads(out)["grades"]
    assert {**first, "grader": ""} == {
        "task": "toy",
        "problem_id": "p0",
        "sample": 0,
        "verdict": "correct",
        "reason": "int",
        "answer": "1",
        "grader": "",
    }
    assert (second["verdict"], second["reason"]) == ("ungraded", "unknown_problem")
    assert json.loads(out)["scores"][0]["value"] is None
    assert "toy/nobody" in err
    assert "toy/p1/0" in err


def score(path, rows, tasks=(), **more):
    return from_samples.score_file(jsonl(path / "a.jsonl", rows), tasks, **more)


def shown(prompt, text):
    return {"doc": {"question": "x"}, "arguments": [[prompt]], "resps": [[text]], "task": "toy"}


def test_of_the_problems_in_a_prompt_the_last_one_is_asked(tmp_path) -> None:
    examples = "Q: What is 0 plus 1? A: 1\nQ: What is 2 plus 1? A: 3\nQ: "
    rows = [shown(f"{examples}What is {n} plus 1? A:", box(n + 1)) for n in (0, 1)]
    rows.append(shown(f"{examples}What is 9 plus 1? A:", box(10)))
    assert verdicts(score(tmp_path, rows))[:2] == [("p0", 0, "correct", "int"), ("p1", 0, "correct", "int")]


def test_of_prompts_that_end_together_the_longest_is_asked(tmp_path) -> None:
    problems = [Problem("long", "How much is 1 plus 1?", "2"), Problem("end", "is 1 plus 1?", "2")]
    (item,) = sample_files.read_completions(jsonl(tmp_path / "a", [shown("How much is 1 plus 1? A:", "")]))
    for several in (problems, problems[::-1]):
        assert Finder(several).find(item).id == "long"


def test_a_number_beyond_k_or_beyond_the_file_is_refused(tmp_path) -> None:
    rows = [own(f"p{n}", 0, box(n + 1)) for n in range(3)]
    with pytest.raises(DataError, match=r"a\.jsonl:4: sample 999999999 of p0, and the file holds 4 completions"):
        score(tmp_path, [*rows, own("p0", 999999999, box(1))])
    with pytest.raises(DataError, match=r"a\.jsonl:4: sample 1 of p0, and k is 1"):
        score(tmp_path, [*rows, own("p0", 1, box(1))], k=1)


def test_of_many_missing_and_unknown_samples_the_first_are_named(tmp_path) -> None:
    rows = [own("p0", i, box(1)) for i in range(15)] + [own(f"no{n // 2}", n % 2, "") for n in range(30)]
    found = score(tmp_path, rows)
    assert (len(found.missing), found.num_missing) == (20, 30)
    assert (len(found.unknown), found.num_unknown) == (20, 30)


def test_an_unknown_line_takes_no_number_from_a_known_one(tmp_path) -> None:
    row = {**shown("What is 77 plus 1?", box(1)), "doc": {"id": "p0"}, "resps": [[box(1)]]}
    found = score(tmp_path, [row, {"task": "toy", "problem_id": "p0", "text": box(1)}])
    assert verdicts(found) == [("p0", 0, "ungraded", "unknown_problem"), ("p0", 0, "correct", "int")]


def test_rows_of_other_tasks_are_counted(tmp_path, capsys) -> None:
    rows = [own(f"p{n}", 0, box(n + 1)) for n in range(3)] + [own("x", 0, "", task="lab_add")] * 2
    assert score(tmp_path, rows, ["toy"]).left_out == {"lab_add": 2}
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--from-samples", str(tmp_path / "a.jsonl"), "--tasks", "toy"])
    assert ended.value.code == 0
    assert "lab_add (2)" in capsys.readouterr().err


def test_a_file_of_unknown_rows_alone_fails(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--from-samples", str(jsonl(tmp_path / "a.jsonl", [own("nobody", 0, "")])), "--json"])
    assert ended.value.code == 1
    assert "no line of the file names a problem" in capsys.readouterr().err


def test_why_samples_could_not_be_graded_is_said(tmp_path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = replace(TASK, problem=lambda row: Problem(row["id"], "?", "many"))
    monkeypatch.setattr(registry, "load", lambda kind, id: odd)
    path = jsonl(tmp_path / "a.jsonl", [own(f"p{n}", 0, box(n)) for n in range(3)])
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--from-samples", str(path)])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert "ungraded" in out
    assert "3 samples could not be graded" in (said := " ".join(err.split()))
    assert "invalid_problem (3)" in said


def test_answers_to_private_tasks_are_withheld(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [own(f"p{n}", 0, box(n + 1)) for n in range(3)]
    assert [grade["answer"] for grade in score(tmp_path, rows).to_json()["grades"]] == ["1", "2", "3"]
    private = replace(TASK, is_private_text=True)
    monkeypatch.setattr(registry, "load", lambda kind, id: private)
    found = score(tmp_path, rows).to_json()["grades"]
    assert [(grade["verdict"], grade["answer"]) for grade in found] == [("correct", None)] * 3


@pytest.mark.parametrize("responses", [None, 3, "text", [None], [[1]]])
def test_odd_responses_are_named_by_line(tmp_path, responses) -> None:
    row = {"doc": {"question": "x"}, "resps": responses}
    with pytest.raises(DataError, match=r"a\.jsonl:1: "):
        score(tmp_path, [row], ["toy"])


@pytest.mark.parametrize("response", [{"text": ["a"], "output_tokens": [5]}, {"text": None}, {"text": [1]}])
def test_odd_details_are_named_by_row(tmp_path, response) -> None:
    path = tmp_path / "details_toy|0_2026-01-01T00-00-00.parquet"
    rows = [{"doc": {"query": "x"}, "model_response": response}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match="row 1"):
        from_samples.score_file(path)


def test_a_text_alone_is_one_sample(tmp_path) -> None:
    path = tmp_path / "details_toy|0_2026-01-01T00-00-00.parquet"
    rows = [{"doc": {"query": "What is 0 plus 1?"}, "model_response": {"text": box(1)}}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert verdicts(from_samples.score_file(path)) == [("p0", 0, "correct", "int")]


def test_lengths_count_thought_and_answer_apart() -> None:
    problem = Problem("p", "", "2")
    sample = Sample("toy", "p", 0, 0, f"<think>abc</think>{box(1)} {box(2)}", 10, "stop", 4)
    items = [(problem, sample)]
    found = beside(BoxedInteger(), items, BoxedInteger().grade(items))
    assert (found.thinking_tokens, found.answer_tokens, found.thinking_chars) == (4, 6, 18)
    assert (found.multi_box, found.strict, found.lenient) == (1, 1, 1)
    items = [(problem, replace(sample, num_thinking_tokens=None))]
    assert beside(BoxedInteger(), items, BoxedInteger().grade(items)).answer_tokens is None
