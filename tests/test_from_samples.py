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
from opdbench.verbs import from_samples

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


def test_lengths_count_thought_and_answer_apart() -> None:
    problem = Problem("p", "", "2")
    sample = Sample("toy", "p", 0, 0, f"<think>abc</think>{box(1)} {box(2)}", 10, "stop", 4)
    items = [(problem, sample)]
    found = beside(BoxedInteger(), items, BoxedInteger().grade(items))
    assert (found.thinking_tokens, found.answer_tokens, found.thinking_chars) == (4, 6, 18)
    assert (found.multi_box, found.strict, found.lenient) == (1, 1, 1)
    items = [(problem, replace(sample, num_thinking_tokens=None))]
    assert beside(BoxedInteger(), items, BoxedInteger().grade(items)).answer_tokens is None
