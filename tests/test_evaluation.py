"""Drawing and grading batch by batch, and the keys that a changed data file changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from opdbench.data import HubData
from opdbench.engines.engine import Reply
from opdbench.errors import DataError
from opdbench.evaluation import Digests, Evaluation, data_digests, draw_samples, eval_key, score
from opdbench.evaluation.question import _digest
from opdbench.graders.boxed import BoxedInteger
from opdbench.method import Sampling
from opdbench.model import Presentation
from opdbench.records import Problem, content_key
from opdbench.runner.stored import _same_data
from opdbench.store import CellStore
from opdbench.task import Generated, Task
from opdbench.trainer import Interrupted

SAMPLING = Sampling(max_tokens=8)


def task(source=None, num_problems=6) -> Task:
    rows = [{"id": f"p{i}", "problem": f"What is {i}?", "answer": str(i)} for i in range(num_problems)]
    return Task(
        "toy",
        "Toy",
        source or Generated(lambda _: rows, 1),
        lambda row: Problem(str(row["id"]), row["problem"], str(row["answer"])),
        BoxedInteger(),
        {"test": num_problems},
        2,
        1,
        "CC0",
        "2026-01-01",
        "made up",
    )


@dataclass
class Parrot:
    """An engine that boxes the number of the question; it dies after some calls."""

    lives: int = 1000
    calls: list[int] = field(default_factory=list)
    id: str = "parrot-1"

    def complete(self, prompts, sampling):
        if len(self.calls) == self.lives:
            raise KeyboardInterrupt
        self.calls.append(len(prompts))
        return [Reply(rf"\boxed{{{prompt.text[8:-1]}}}", 3, "stop") for prompt in prompts]

    def close(self) -> None:
        """Hold nothing."""


def draw(store, engine, *, batch_size=4, stop=lambda: False):
    """Draw into a store and return the evaluation with everything that progress was told."""
    evaluation = Evaluation(task(), "test", 2, (), SAMPLING, batch_size, "key", ("toy",))
    told: list[tuple[str, int, int, float | None]] = []
    with store.lock():
        logs = store.log("samples"), store.log("grades")
        draw_samples(evaluation, engine, *logs, progress=lambda *step: told.append(step), stop=stop)
        return score(evaluation, *logs), told


def test_every_batch_is_graded_at_once_and_progress_has_a_score(tmp_path) -> None:
    found, told = draw(CellStore(tmp_path), Parrot())
    assert [step[1:] for step in told] == [(0, 12, None), (4, 12, 1.0), (8, 12, 1.0), (12, 12, 1.0)]
    assert found.scores[0].value == 1.0


def test_a_killed_evaluation_loses_one_batch(tmp_path) -> None:
    store = CellStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        draw(store, Parrot(lives=2))
    with store.lock():
        assert (len(store.log("samples")), len(store.log("grades"))) == (8, 8)
    engine = Parrot()
    _, told = draw(store, engine)
    assert engine.calls == [4]
    assert told[0][1:] == (8, 12, 1.0)


def test_batches_of_one_make_every_sample_resumable(tmp_path) -> None:
    store = CellStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        draw(store, Parrot(lives=5), batch_size=1)
    engine = Parrot()
    draw(store, engine, batch_size=1)
    assert len(engine.calls) == 7


def test_samples_without_grades_are_graded_and_not_drawn_again(tmp_path) -> None:
    store = CellStore(tmp_path)
    draw(store, Parrot())
    with store.lock():
        store.log("grades").truncate_to(3)
    engine = Parrot()
    found, _ = draw(store, engine)
    assert (engine.calls, found.scores[0].value) == ([], 1.0)


def test_a_stop_is_heard_before_the_next_batch(tmp_path) -> None:
    with pytest.raises(Interrupted):
        draw(CellStore(tmp_path), Parrot(), stop=lambda: True)


# Data


def test_generated_rows_keep_the_key_that_they_had() -> None:
    toy = task()
    assert data_digests(toy, "test") is None
    question = {
        "checkpoint": "hash",
        "task": ["toy", 1, "generated-1", toy.prompt_hash, "test"],
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 8},
        "engine": "parrot-1",
        "presentation": Presentation().model_dump(),
    }
    assert eval_key("hash", toy, "test", SAMPLING, "parrot-1", Presentation()) == content_key(question)
    evaluation = Evaluation(toy, "test", 1, (), SAMPLING, 1, "key", ())
    assert evaluation.grader_key == content_key(toy.grader.id, 8)


def write(directory: Path, rows) -> Path:
    (directory / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def test_a_changed_file_is_another_question_and_a_changed_gold_another_grading(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPDBENCH_DATA", str(tmp_path))
    source = HubData("toy", "a/b", "0" * 40, ("x.jsonl",), ("id", "problem", "answer"), 2)
    toy = task(source, 2)
    rows = [{"id": "a", "problem": "One?", "answer": "1"}, {"id": "b", "problem": "Two?", "answer": "2"}]

    def digests(changed) -> Digests:
        write(tmp_path, changed)
        found = data_digests(toy, "test")
        assert found is not None
        return found

    first = digests(rows)
    assert digests(reversed(rows)) == first
    gold = digests([rows[0], {**rows[1], "answer": "3"}])
    assert (gold.prompts == first.prompts, gold.targets == first.targets) == (True, False)
    prompt = digests([rows[0], {**rows[1], "problem": "Three?"}])
    assert (prompt.prompts == first.prompts, prompt.targets == first.targets) == (False, True)

    keys = {eval_key("h", toy, "test", SAMPLING, "e", Presentation(), item) for item in (first, gold, prompt)}
    assert len(keys) == 2
    evaluation = Evaluation(toy, "test", 1, (), SAMPLING, 1, "key", (), first)
    assert evaluation.grader_key != replace(evaluation, data=gold).grader_key
    stored = {"prompts": first.prompts, "targets": first.targets}
    with pytest.raises(DataError, match="holds other prompts"):
        _same_data(toy, "test", stored)
    digests([rows[0], {**rows[1], "answer": "3"}])
    assert _same_data(toy, "test", stored) == gold


def test_what_json_cannot_say_has_a_digest() -> None:
    values = [{"args": ({1, 2, 3}, {(1, 2): "x", 3: b"y"}), "expected": float("nan")}, {"a", "b"}]
    assert _digest(values) == _digest(
        [{"expected": float("nan"), "args": ({3, 2, 1}, {3: b"y", (1, 2): "x"})}, {"b", "a"}]
    )
    assert _digest([[1]]) != _digest([["1"]])
