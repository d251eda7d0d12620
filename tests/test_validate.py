"""``opdbench validate``: gold answers by their own graders, of fixtures and of real files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from benchmark_tasks import FIXTURES, Found, named, wrong_golds

from opdbench.cli import main
from opdbench.graders.constraints import CHECKS
from opdbench.verbs import plugins

pytestmark = pytest.mark.usefixtures("offline")


def check_all(monkeypatch: pytest.MonkeyPatch, *ids: str) -> list[plugins.Validated]:
    monkeypatch.setattr(plugins.registry, "available", lambda kind: {id: Found(id) for id in ids})
    return list(plugins.validate())


def test_a_malformed_gold_answer_is_named_and_does_not_fail(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"id": i, "problem": "?", "answer": answer} for i, answer in enumerate(("1", r"\frac{sqrt{7} + 1}{2}", "2"))
    ]
    (local / "hmmt25_nov.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = check_all(monkeypatch, "hmmt25_nov")
    (said,) = found.doubts
    assert said.startswith(r"test/1: `\frac{sqrt{7} + 1}{2}` has 'sqrt' without a backslash")
    assert found.is_valid


def test_an_empty_statement_is_read_and_named(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": i, "problem": statement, "answer": 11} for i, statement in enumerate(("?", "", "?"))]
    (local / "hmmt25_nov.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = check_all(monkeypatch, "hmmt25_nov")
    assert found.doubts == ("test/1: the statement is empty: no model can know what is asked",)
    assert (found.is_valid, found.num_right, found.num_golds) == (True, 3, 3)


def test_prompts_without_gold_answers_are_not_called_right(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"key": "0", "prompt": "Hi", "instruction_id_list": ["count:numbers"], "kwargs": [{"N": 3}]}
    (local / "ifbench.jsonl").write_text("".join(json.dumps({**row, "key": str(i)}) + "\n" for i in range(2)))
    (found,) = check_all(monkeypatch, "ifbench")
    assert (found.num_problems, found.num_golds) == (2, 0)
    with pytest.raises(SystemExit):
        main(["validate", "--quiet"])
    assert "2 problems, no gold answers: ok" in capsys.readouterr().out


def test_a_gold_answer_that_nothing_can_match_is_refused(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": i, "problem": "?", "answer": answer} for i, answer in enumerate(("1", "(1, 2", "2"))]
    (local / "hmmt25_nov.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = check_all(monkeypatch, "hmmt25_nov")
    assert [(refusal.problem, refusal.verdict) for refusal in found.refusals] == [("test/1", "wrong")]
    assert not found.is_valid


def test_data_that_are_not_here_are_counted_apart(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(FIXTURES / "aime24.jsonl", local / "aime24.jsonl")
    here, absent = check_all(monkeypatch, "aime24", "gsm8k")
    assert (here.is_valid, absent.is_valid, absent.is_absent) == (True, False, True)
    for arguments, code in (([], 0), (["gsm8k"], 1)):
        with pytest.raises(SystemExit) as ended:
            main(["validate", *arguments, "--quiet"])
        assert ended.value.code == code
        out, err = capsys.readouterr()
        assert "not here" in out
        assert "run opdbench fetch gsm8k" in err
    (local / "aime24.jsonl").write_text('{"id": 1, "problem": "?", "answer": "1"}\n')
    assert [item.is_absent for item in check_all(monkeypatch, "aime24")] == [False]


# Real data: OPDBENCH_DATA names a directory with the public files, which are never committed

REAL = os.environ.get("OPDBENCH_DATA", "")
FILES = [
    ("aime24", "aime24"),
    ("aime24", "gopd_aime24"),
    ("aime25", "aime25"),
    ("aime25", "gopd_aime25"),
    ("amc23", "amc23"),
    ("hmmt25_feb", "gopd_hmmt25_feb"),
    ("hmmt25_nov", "gopd_hmmt25_nov"),
    ("math500", "math500"),
    ("minerva", "minerva"),
    ("olympiadbench_675", "olympiadbench"),
]


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="OPDBENCH_DATA is not set")
@pytest.mark.parametrize(("id", "file"), FILES)
def test_real_golds_are_right_by_their_own_grader(id: str, file: str, local: Path) -> None:
    shutil.copy(Path(REAL) / f"{file}.jsonl", local / f"{id}.jsonl")
    assert wrong_golds(named(id)) == []


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="OPDBENCH_DATA is not set")
def test_the_malformed_gold_answer_of_a_real_file_is_named(local: Path) -> None:
    shutil.copy(Path(REAL) / "gopd_hmmt25_nov.jsonl", local / "hmmt25_nov.jsonl")
    task = named("hmmt25_nov")
    assert [item.id for item in task.load("test") if task.grader.doubt(item)] == ["20"]


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="OPDBENCH_DATA is not set")
def test_real_ifbench_has_300_prompts_and_known_constraints(local: Path) -> None:
    shutil.copy(Path(REAL) / "IFBench_test.jsonl", local / "ifbench.jsonl")
    problems = named("ifbench").load("test")
    assert len(problems) == 300
    assert {id for item in problems for id in item.target["instruction_id_list"]} <= set(CHECKS)
