"""Digests of the code that trains: a changed loss never reuses an old checkpoint. Nothing is imported here."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opdbench.method import Method
from opdbench.registry import Plugin, find

CORE = ("budget", "checkpoints", "engines", "flops", "training", "method", "pricing.py", "records.py")
"""Parts of this package that shape a checkpoint."""

LOG_ONLY = ("training/diagnostics.py", "training/metrics.py", "training/observer.py")
"""Modules among them that only look: what they find is logged, off the budget, and draws from no random stream."""

LIBRARIES = ("peft", "torch", "transformers")


def trainer_sources(id: str) -> dict[str, Any]:
    """Return what identifies the code of a trainer; our own ones stand on the core's parts, foreign ones do not."""
    plugin = find("trainers", id)
    module = plugin.entry_point.module
    sources: dict[str, Any] = _provider(plugin) | {"source": _digest(_module_files(module))}
    if module.partition(".")[0] == "opdbench":
        sources["core"] = core_digest()
    return sources


def method_sources(id: str, method: type[Method]) -> dict[str, Any]:
    """Return what identifies the code of a method: its class, what it inherits, and modules shared beside it."""
    own = [kind for kind in method.__mro__ if issubclass(kind, Method) and kind is not Method]
    files = {file for kind in own for file in _with_shared(Path(inspect.getfile(kind)))}
    return _provider(find("methods", id)) | {"source": _digest(files)}


def library_versions() -> dict[str, str | None]:
    """Return the versions of the libraries whose arithmetic training rests on, None for those not installed."""
    return {name: _version(name) for name in LIBRARIES}


@cache
def core_digest() -> str:
    """Return the digest of the parts of this package that shape a checkpoint."""
    root = Path(__file__).parents[1]
    paths = [path for name in CORE for path in (root / name, root / f"{name}.py")]
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    return _digest(files - {root / name for name in LOG_ONLY})


def _provider(plugin: Plugin) -> dict[str, Any]:
    return {"distribution": plugin.distribution, "version": plugin.version}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _module_files(module: str) -> set[Path]:
    """Return the files of a module without importing it or the packages around it."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return set()
    path = Path(spec.origin)
    if rest:
        path = path.parent.joinpath(*rest)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return _with_shared(path)


def _with_shared(path: Path) -> set[Path]:
    """Add the private modules beside a file: what plug-ins of one package share lies there."""
    return {path, *path.parent.glob("_[!_]*.py")}


def _digest(files: Iterable[Path]) -> str:
    """Hash files by name and content; line ends do not count."""
    digest = hashlib.sha256()
    for path in sorted(set(files)):
        if path.is_file():
            digest.update(f"{path.parent.name}/{path.name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]
