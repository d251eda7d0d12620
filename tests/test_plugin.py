"""A third-party distribution beside opdbench: both installed from wheels into a fresh environment, run from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from small_board import BOARD as SMALL
from small_board import write_board

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "tests" / "plugin"

pytestmark = pytest.mark.slow

SHIPPED = ("README.md", "LICENSE", "pyproject.toml", "opdbench", "trainers", "tasks")
"""What a wheel of opdbench is built from; copied first, so that no build output lands in the checkout."""

CHECK = """
from opdbench import registry
from opdbench.api import check_method

method = registry.load("methods", "acme")
assert check_method(method(), num_vocabulary=64) == {"teacher"}
task = registry.load("tasks", "acme_parity")
problems = task.load("test")
from opdbench.api import Sample
samples = [Sample(task.id, p.id, 0, 0, task.grader.gold(p), 3, "stop") for p in problems]
grades = task.grader.grade(list(zip(problems, samples)))
assert [g.verdict for g in grades] == ["correct"] * 20
import opdbench
print(opdbench.__file__)
"""


BOARD = (
    SMALL.partition('[[rows]]\nid = "sft"')[0]
    .replace("3e10", "6e9")
    .replace('"opd"', '"acme"')
    .replace('[models.trained]\npath = "cell:opd"\n', "")
)


class Environment:
    """A fresh virtual environment that borrows third-party libraries, and nothing of this checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        self.site = next((folder / "venv" / "lib").glob("python*/site-packages"))
        # Wheels of our own go first; torch and the rest come from here, without this checkout's own metadata.
        (self.site / "borrowed.pth").write_text(_borrowed(folder / "borrowed"))

    def install(self, *wheels: Path) -> None:
        options = ["--no-deps", "--no-index", "--quiet", "--target", str(self.site), "--upgrade"]
        _run([sys.executable, "-m", "pip", "install", *options, *map(str, wheels)], self.folder)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _run([str(self.python), *arguments], self.folder, check=check)

    def opdbench(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "opdbench", *arguments, check=check)


def _borrowed(folder: Path) -> str:
    """Link everything installed here into a folder, except opdbench and editable installs; return the folder."""
    folder.mkdir()
    for name in ("purelib", "platlib"):
        for item in Path(sysconfig.get_paths()[name]).iterdir():
            ours = item.name.lower().startswith(("opdbench", "_opdbench", "__editable__", "acme_opd"))
            link = folder / item.name
            if not ours and item.suffix != ".pth" and not link.exists():
                link.symlink_to(item)
    return f"{folder}\n"


def _run(command: list[str], cwd: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def _wheel(source: Path, target: Path) -> Path:
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", str(target)]
    _run([sys.executable, "-m", "pip", "wheel", *options, str(source)], target)
    return max(target.glob("*.whl"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    copy = folder / "source"
    copy.mkdir()
    for name in SHIPPED:
        item = ROOT / name
        if item.is_dir():
            shutil.copytree(item, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif item.exists():
            shutil.copy(item, copy / name)
    shutil.copytree(PLUGIN, folder / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    return _wheel(copy, folder), _wheel(folder / "plugin", folder)


@pytest.fixture
def environment(tmp_path: Path, wheels: tuple[Path, Path]) -> Environment:
    environment = Environment(tmp_path)
    environment.install(*wheels)
    return environment


def _distribution(folder: Path, name: str, id: str, source: str) -> Path:
    """Write a distribution with one method and return its wheel."""
    module = name.replace("-", "_")
    project = folder / name
    project.mkdir(parents=True)
    text = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    text = text.replace('"acme-opd"', f'"{name}"').replace('["acme_opd"]', f'["{module}"]')
    text = text.replace('acme = "acme_opd.method:Acme"', f'{id} = "{module}:Method"')
    text = text.replace('[project.entry-points."opdbench.tasks"]\nacme_parity = "acme_opd.parity:PARITY"\n', "")
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    (project / module).mkdir()
    (project / module / "__init__.py").write_text(source, encoding="utf-8")
    return _wheel(project, folder)


def _listed(environment: Environment) -> dict[str, dict[str, str]]:
    return {item["id"]: item for item in json.loads(environment.opdbench("list", "methods", "--json").stdout)}


def test_an_installed_plugin_is_listed_and_loads_outside_the_checkout(environment: Environment) -> None:
    where = environment.run("-c", CHECK).stdout.strip()
    assert str(environment.site) in where
    assert str(ROOT) not in where


def test_the_command_line_lists_it_with_its_distribution(environment: Environment) -> None:
    listed = _listed(environment)
    acme = listed["acme"]
    assert (acme["title"], acme["distribution"], acme["version"]) == ("Acme", "acme-opd", "0.3.0")
    assert listed["opd"]["distribution"] == "opdbench"
    assert listed["opd"]["status"] == acme["status"]


def test_its_method_appears_on_a_board(environment: Environment) -> None:
    """A method of fewer than sixty lines, its distribution's metadata included, trains and is tabulated."""
    lines = sum(len((PLUGIN / name).read_text().splitlines()) for name in ("pyproject.toml", "acme_opd/method.py"))
    assert lines < 60
    environment.opdbench("run", str(write_board(environment.folder / "board", BOARD)), "--quiet")
    environment.opdbench("publish", "board", "--add")
    page = (environment.folder / "board" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^\|[^|]+\| acme (<sup>[^<]*</sup> )?\| 1/1 \|", page, re.MULTILINE)


def test_a_broken_plugin_fails_only_its_own(environment: Environment, tmp_path: Path) -> None:
    environment.install(_distribution(tmp_path, "broken-opd", "broken", "import a_package_that_is_not_there\n"))
    environment.run("-c", CHECK)
    code = "from opdbench import registry; registry.load('methods', 'broken')"
    failed = environment.run("-c", code, check=False)
    assert "a_package_that_is_not_there" in failed.stderr
    assert "of broken-opd 0.3.0" in failed.stderr
    listed = _listed(environment)
    assert listed["broken"]["status"] != listed["acme"]["status"]


def test_two_distributions_with_one_id_are_an_error_naming_both(environment: Environment, tmp_path: Path) -> None:
    environment.install(_distribution(tmp_path, "other-opd", "acme", "class Method: pass\n"))
    failed = environment.opdbench("list", "methods", check=False)
    assert failed.returncode == 2
    assert "acme-opd and other-opd" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr


def test_an_unknown_id_names_the_nearest(environment: Environment) -> None:
    code = "from opdbench import registry; registry.find('methods', 'acmee')"
    assert "Did you mean 'acme'?" in environment.run("-c", code, check=False).stderr
