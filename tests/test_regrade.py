"""A new grading replaces the old one whole, or not at all."""

from __future__ import annotations

import pytest

from opdbench.records import to_json
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
    from small_results import stored_result

    from opdbench.runner import stored

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
