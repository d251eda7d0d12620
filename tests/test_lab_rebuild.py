"""The shipped lab checkpoints come out of the build script again."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

TASKS_ROOT = Path(__file__).parents[1] / "tasks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["student", "teacher-code"])
def test_a_rebuilt_checkpoint_scores_like_the_shipped_one(name, tmp_path, monkeypatch):
    # From scratch, and from another checkpoint; about two CPU minutes and half a CPU minute.
    monkeypatch.setattr(sys, "path", [str(TASKS_ROOT), *sys.path])
    script, scores = importlib.import_module("build_lab"), importlib.import_module("_lab_scores")
    base = script.RECIPES[name].base
    if base:
        shutil.copytree(script.MODELS / base, tmp_path / base)
    script.build(name, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(script.MODELS / name)
    rates = []
    for folder in (tmp_path / name, script.MODELS / name):
        model = script.load(folder)
        tables = [scores.correct(model, tokenizer, task, task.load("test")) for task in scores.TASKS]
        rates.append(torch.cat(tables).mean(1))
    standard_error = torch.stack([rate.var() / len(rate) for rate in rates]).sum().sqrt()
    assert abs(rates[0].mean() - rates[1].mean()) <= 2 * standard_error
