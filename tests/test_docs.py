"""The documents agree with the code: generated tables are fresh, links lead somewhere, examples can be run."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("trainers/*.md"), *ROOT.glob("tasks/*.md")],
    key=str,
)


def _generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_tables_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sources_are_read_from_docstrings() -> None:
    generate = _generator()
    doc = """Do it.

    Paper: One (2026), with ``top_k`` 2,
        continued here.
    Upstream: none.
    Deviates: nothing: known.
    """
    expected = {"Paper": "One (2026), with `top_k` 2, continued here.", "Upstream": "none."}
    assert generate.sources(doc) == {**expected, "Deviates": "nothing: known."}
    with pytest.raises(ValueError, match="Upstream, Deviates"):
        generate.sources("Do it.\n\nPaper: One")


def test_cells_are_escaped() -> None:
    assert _generator().table(["a"], [["KL(T|S)"]]).endswith("| KL(T\\|S) |")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_example_of_a_method_is_short_and_runs() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    project, code = re.search(r"```toml\n(.*?)```\n+```python\n(.*?)```", page, re.DOTALL).groups()
    assert len(code.splitlines()) + len(project.splitlines()) < 60
    assert tomllib.loads(project)["project"]["entry-points"]["opdbench.methods"] == {"acme": "acme_opd:Acme"}
    names: dict = {"__name__": "acme_opd"}
    exec(code, names)
    api = importlib.import_module("opdbench.api")
    assert api.check_method(names["Acme"]()) == {"teacher"}
    _generator().sources(names["Acme"].__doc__)
