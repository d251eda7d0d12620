"""Fixtures of several files; what they need is imported when they are asked for: graders are tested without torch."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("no-clock", deadline=None)
hypothesis.settings.load_profile("no-clock")  # how long an example takes depends on what else the machine does


@pytest.fixture(scope="module")
def one_thread():
    """Let torch compute on one thread, so that numbers do not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory):
    """A small random checkpoint of ``tiny_models``."""
    from tiny_models import save_checkpoint

    return save_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def engine(model):
    """The in-process engine of that checkpoint; a test that changes weights opens its own."""
    from opdbench.engines.engine import EngineSettings
    from opdbench.engines.hf import HFEngine

    return HFEngine.open(model, EngineSettings(device="cpu"))


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory):
    """The student and the teacher of ``draw_cast``, on disk."""
    from draw_cast import LETTERS
    from tiny_cell import save_pair

    return save_pair(tmp_path_factory.mktemp("models"), stop=LETTERS)


@pytest.fixture(scope="session")
def cast(pair):
    """Their cast; a test that trains or changes weights opens its own."""
    from draw_cast import open_cast

    return open_cast(pair)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The board of ``scripted_board``, in the working directory."""
    from scripted_board import write_board

    monkeypatch.chdir(tmp_path)
    return write_board(tmp_path / "small")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    """Run a command line in this process and give exit code, standard output and standard error."""
    from scripted_board import run_command

    return partial(run_command, capsys)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, an empty cache of files, and nothing in the hub's cache."""
    from opdbench.data import HubData

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(HubData, "_hub_snapshot", lambda self, *, local_files_only: [])


@pytest.fixture
def fixtures(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of made-up rows of every benchmark, as the local copies."""
    directory = Path(__file__).parent / "fixtures" / "data"
    monkeypatch.setenv("OPDBENCH_DATA", str(directory))
    return directory


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of local copies."""
    directory = tmp_path / "data"
    directory.mkdir()
    monkeypatch.setenv("OPDBENCH_DATA", str(directory))
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The board of ``plan_board`` and its models."""
    from plan_board import write_models

    return write_models(tmp_path)


def pytest_collection_finish() -> None:
    """Leave what collection has imported out of garbage collection: statsmodels collects at every correction."""
    gc.freeze()
