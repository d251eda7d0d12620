"""A new grading replaces the old one whole, or not at all."""

from __future__ import annotations

import pytest
from small_results import TASK, stored_result

from opdbench.errors import ConfigError
from opdbench.records import to_json
from opdbench.runner import stored
from opdbench.runner.cell import RESULT
from opdbench.store import CellStore


def test_a_log_is_swapped_whole(tmp_path) -> None:
    store = CellStore(tmp_path)
    with store.lock():
        store.log("grades").append([{"key": "a", "verdict": "wrong"}])
        store.log("regrading").append([{"key": "a", "verdict": "correct"}])
        assert [record["verdict"] for record in store.log("grades").records()] == ["wrong"]
        store.swap_log("grades", "regrading")
        assert [record["verdict"] for record in store.log("grades").records()] == ["correct"]
        assert not (tmp_path / "regrading.jsonl").exists()
        store.remove_log("regrading")
    with pytest.raises(RuntimeError, match="without its lock"):
        store.remove_log("grades")


def test_an_interrupted_grading_loses_nothing(tmp_path, monkeypatch) -> None:
    directory = stored_result(tmp_path)
    before = (directory / "grades.jsonl").read_bytes()
    monkeypatch.setattr(stored, "_rescored", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stored.regrade(directory)
    assert (directory / "grades.jsonl").read_bytes() == before
    monkeypatch.undo()
    regraded = stored.regrade(directory)
    assert (regraded.num_samples, [(change.old, change.new) for change in regraded.changed]) == (
        2,
        [("wrong", "correct")],
    )
    kept = [record["key"] for record in CellStore(directory).log("grades").records()]
    assert "other/x/other_task/p/0" in kept
    assert to_json(stored.regrade(directory)) == {**to_json(regraded), "changed": ()}


def found_changes(regraded):
    return [(change.old, change.new) for change in regraded.changed]


def with_a_task_whose_data_are_not_here(directory):
    store = CellStore(directory)
    result = store.read_json(RESULT)
    result["cell"]["evaluation"]["tasks"].append({"id": "gsm8k", "version": 1, "pool": "test"})
    with store.lock():
        store.write_json(RESULT, result)


def test_one_task_alone_is_graded_and_the_others_keep_their_grades(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPDBENCH_DATA", str(tmp_path))
    directory = stored_result(tmp_path / "cell")
    with_a_task_whose_data_are_not_here(directory)
    regraded = stored.regrade(directory, tasks=[TASK])
    assert (regraded.num_samples, found_changes(regraded)) == (2, [("wrong", "correct")])
    assert CellStore(directory).log("grades").find(["other/x/other_task/p/0"]) != [None]
    with pytest.raises(ConfigError, match="'aime24' was not evaluated here"):
        stored.regrade(directory, tasks=["aime24"])


def test_the_sealed_grades_are_sealed_anew(tmp_path) -> None:
    directory = stored_result(tmp_path)
    store = CellStore(directory)
    stored.regrade(directory)
    assert not store.is_sealed("grades")
    with store.lock():
        records = [{**record, "verdict": "wrong"} for record in store.log("grades").records()]
        store.log("grades").truncate_to(0)
        store.log("grades").append(records)
        before = store.seal("grades")
    assert found_changes(stored.regrade(directory)) == [("wrong", "correct")]
    after = store.sealed("grades")
    assert after is not None
    assert after.content_sha256 != before.content_sha256


def test_a_crash_before_the_result_is_written_loses_no_change(tmp_path, monkeypatch) -> None:
    directory = stored_result(tmp_path)
    write = CellStore.write_json

    def crash(self, name, value):
        write(self, name, value if name != RESULT else 1 / 0)

    monkeypatch.setattr(CellStore, "write_json", crash)
    with pytest.raises(ZeroDivisionError):
        stored.regrade(directory)
    monkeypatch.undo()
    verdicts = {record["verdict"] for record in CellStore(directory).log("grades").records() if "key/" in record["key"]}
    assert "correct" in verdicts
    assert found_changes(stored.regrade(directory)) == [("wrong", "correct")]
    assert found_changes(stored.regrade(directory)) == []
    assert not (directory / "replaced.json").exists()
