"""``doctor``: what this machine offers, and what would keep a run from working. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from opdbench import __version__
from opdbench.errors import GradingError, PluginError
from opdbench.registry import KINDS, Kind
from opdbench.verbs.boards import RUNS
from opdbench.verbs.plugins import list_plugins

LIBRARIES = ("torch", "transformers", "vllm", "peft", "datasets", "math-verify", "numpy", "scipy", "pandas", "pyarrow")
OPTIONAL = ("vllm",)
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
MIN_FREE_BYTES = 2 << 30
TORCH_SECONDS = 120.0

# In a process of its own: a torch that crashes on import must be a finding, not the end of the doctor.
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps({"device": "cuda" if cuda else "cpu", "names": names, "cuda": torch.version.cuda,
                  "threads": torch.get_num_threads()}))
"""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found; ``problems`` names what would keep a run from working."""

    opdbench: str
    python: str
    platform: str
    libraries: Mapping[str, str | None]
    torch: Mapping[str, Any]
    threads: Mapping[str, Any]
    offline: Mapping[str, str | None]
    sandbox: Mapping[str, Any]
    disk: Mapping[str, Any]
    plugins: Mapping[str, Any]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def doctor(runs: Path = RUNS) -> Diagnosis:
    """Look at this machine."""
    libraries = {name: _version(name) for name in LIBRARIES}
    torch, sandbox, disk = _torch(), _sandbox(), _disk(runs)
    plugins = {kind: _plugins(kind) for kind in KINDS}
    problems = [f"{name} is not installed" for name, found in libraries.items() if not found and name not in OPTIONAL]
    problems += [str(part["problem"]) for part in (torch, sandbox, disk, *plugins.values()) if part.get("problem")]
    return Diagnosis(
        opdbench=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries=libraries,
        torch=torch,
        threads={"cores": len(os.sched_getaffinity(0)), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")},
        offline={name: os.environ.get(name) for name in OFFLINE},
        sandbox=sandbox,
        disk=disk,
        plugins=plugins,
        problems=tuple(problems),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:
    command = [sys.executable, "-c", _TORCH]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"device": None, "problem": f"torch did not load within {TORCH_SECONDS:g} s"}
    if done.returncode != 0:
        return {"device": None, "problem": f"torch does not load: {_last_line(done.stderr)}"}
    return json.loads(done.stdout)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


def _sandbox() -> dict[str, Any]:
    from opdbench.sandbox.layers import absent
    from opdbench.sandbox.runner import Sandbox

    try:
        with Sandbox(num_servers=1) as sandbox:
            found, factor = sandbox.layers, sandbox.factor
    except GradingError as error:
        return {"layers": [], "absent": absent(()), "problem": f"code tasks cannot be graded: {error}"}
    return {"layers": list(found), "absent": absent(found), "time_limit_factor": factor}


def _disk(runs: Path) -> dict[str, Any]:
    """Look at the disk that run directories will be on."""
    existing = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found: dict[str, Any] = {"runs": str(runs), "free_bytes": free, "is_writable": os.access(existing, os.W_OK)}
    if free < MIN_FREE_BYTES:
        found["problem"] = f"{existing} has {free / 2**30:.1f} GiB free; a run needs some"
    if not found["is_writable"]:
        found["problem"] = f"{existing} is not writable; name another place with --runs"
    return found


def _plugins(kind: Kind) -> dict[str, Any]:
    try:
        listed = list_plugins(kind)
    except PluginError as error:
        return {"ok": [], "broken": {}, "problem": str(error)}
    broken = {item.id: f"{item.status} ({item.distribution} {item.version})" for item in listed if item.is_broken}
    found: dict[str, Any] = {"ok": [item.id for item in listed if not item.is_broken], "broken": broken}
    if broken:
        found["problem"] = "; ".join(f"{kind[:-1]} {id}: {status}" for id, status in broken.items())
    if not listed:
        found["problem"] = f"no {kind} are registered; install opdbench with pip, so that its entry points are known"
    return found
