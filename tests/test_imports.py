"""What importing costs, and what plug-ins may import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opdbench import api

GOLDEN = Path(__file__).resolve().parent / "golden" / "api_names.json"
HEAVY = ("torch", "transformers", "pandas", "pyarrow", "datasets", "math_verify", "scipy", "statsmodels", "numpy")
PROBE = """
import json, sys, time
{code}
json.dump([sorted(set({heavy!r}) & sys.modules.keys()), time.process_time()], sys.stderr)
"""


def _probe(code: str) -> tuple[list[str], float]:
    """Run code in a fresh process; return the heavy modules that it loaded and the processor time that it took."""
    script = PROBE.format(code=code, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded, seconds = json.loads(done.stderr)
    return loaded, seconds


HELP = "from opdbench.cli import main\ntry: main({arguments})\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    "code", ["import opdbench.cli", HELP.format(arguments=["--help"]), HELP.format(arguments=["eval", "--help"])]
)
def test_the_command_line_loads_nothing_heavy(code: str) -> None:
    loaded, seconds = _probe(code)
    assert loaded == []
    # Half a second on an idle machine; twice that, since tests run side by side.
    assert seconds < 1.0


@pytest.mark.parametrize("module", ["opdbench", "opdbench.api", "opdbench.plan", "opdbench.python"])
def test_torch_stays_out(module: str) -> None:
    loaded, _ = _probe(f"import {module}")
    assert not {"torch", "transformers", "pandas", "pyarrow", "datasets"} & set(loaded)


def test_what_plugins_may_import_is_what_it_was() -> None:
    names = sorted(api.__all__)
    if os.environ.get("OPDBENCH_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(names, indent=1) + "\n")
    assert names == json.loads(GOLDEN.read_text()), "set OPDBENCH_UPDATE_GOLDEN=1 to accept the change"
    assert all(hasattr(api, name) for name in names)
