"""``--data-dir``: every verb that reads problems finds local copies there, and tells when they changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opdbench.cli import main

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "vocab_size": 64}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory of its own; the option sets a variable, which ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPDBENCH_DATA", "")


def ask(path: Path, right: int) -> None:
    """Write 30 made-up problems, the first so many of which have the answer 1."""
    rows = [{"id": f"p{n}", "problem": f"Made up {n}?", "answer": 1 if n < right else 2} for n in range(30)]
    path.mkdir(exist_ok=True)
    (path / "aime24.jsonl").write_text("\n".join(map(json.dumps, rows)))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must end well and return what it prints."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data-dir", "data"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return out


def test_a_changed_answer_changes_verdicts_and_every_verb_reads_the_same_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path / "data", right=3)
    Path("student").mkdir()
    Path("student/config.json").write_text(json.dumps(CONFIG))
    Path("student/scripted.json").write_text(json.dumps({"default": r"\boxed{1}"}))
    out = run(
        capsys, "eval", "student", "--engine", "scripted", "--tasks", "aime24", "--k", "1", "--out", "o", "--json"
    )
    assert json.loads(out)["scores"][0]["value"] == 0.1
    assert "Made up 29?" in run(capsys, "show", "o", "--limit", "0")

    ask(tmp_path / "data", right=2)
    changed = json.loads(run(capsys, "grade", "o", "--json"))["changed"]
    assert [(item["key"], item["old"], item["new"]) for item in changed] == [("aime24/p2/0", "correct", "wrong")]
    assert json.loads(run(capsys, "grade", "o", "--json"))["changed"] == []
    Path("a.jsonl").write_text(json.dumps({"task": "aime24", "problem_id": "p1", "sample": 0, "text": r"\boxed{1}"}))
    (grade,) = json.loads(run(capsys, "eval", "--from-samples", "a.jsonl", "--json"))["grades"]
    assert grade["verdict"] == "correct"
