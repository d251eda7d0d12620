"""The registry over real distributions: directories with metadata on ``sys.path``, as pip would leave them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from opdbench import registry
from opdbench.errors import PluginError


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs a distribution with modules and entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    registry.available.cache_clear()
    modules: list[str] = []

    def install(
        name: str, entry_points: dict[str, dict[str, str]], modules_: dict[str, str] | None = None, version: str = "1.0"
    ) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [
            line
            for group, points in entry_points.items()
            for line in (f"[{group}]", *(f"{id} = {value}" for id, value in points.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, source in (modules_ or {}).items():
            (tmp_path / f"{module}.py").write_text(source)
            modules.append(module)
        registry.available.cache_clear()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    registry.available.cache_clear()


def test_a_plugin_is_listed_with_its_distribution_and_not_imported(install) -> None:
    install("acme-opd", {"opdbench.methods": {"acme": "acme_module:Acme"}}, {"acme_module": "class Acme: pass"}, "2.3")
    plugin = registry.available("methods")["acme"]
    assert (plugin.kind, plugin.id, plugin.distribution, plugin.version) == ("methods", "acme", "acme-opd", "2.3")
    assert "acme_module" not in sys.modules
    assert registry.load("methods", "acme").__name__ == "Acme"


def test_kinds_are_apart(install) -> None:
    install("acme-opd", {"opdbench.tasks": {"acme": "acme_module:TASK"}}, {"acme_module": "TASK = 1"})
    assert "acme" not in registry.available("methods")
    assert registry.load("tasks", "acme") == 1


def test_ids_are_sorted(install) -> None:
    install("acme-opd", {"opdbench.methods": {"zeta": "x:A", "alpha": "x:B"}})
    ids = list(registry.available("methods"))
    assert ids == sorted(ids)
    assert {"alpha", "zeta"} <= set(ids)


def test_a_broken_plugin_fails_alone_with_its_own_traceback(install) -> None:
    install(
        "broken-opd",
        {"opdbench.methods": {"bad": "broken_module:Bad", "lost": "acme_good:Lost"}},
        {"broken_module": "import a_package_that_is_not_there", "acme_good": "class Good: pass"},
    )
    install("acme-opd", {"opdbench.methods": {"good": "acme_good:Good"}})
    assert {"bad", "good"} <= set(registry.available("methods"))
    with pytest.raises(PluginError, match=r"method 'bad' \(broken_module:Bad of broken-opd 1.0\)") as caught:
        registry.load("methods", "bad")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert caught.value.__cause__.name == "a_package_that_is_not_there"
    with pytest.raises(PluginError, match="AttributeError"):
        registry.load("methods", "lost")
    assert registry.load("methods", "good").__name__ == "Good"


def test_two_distributions_with_one_id_are_an_error_that_names_both(install) -> None:
    install("beta-opd", {"opdbench.methods": {"same": "x:A"}})
    install("alpha-opd", {"opdbench.methods": {"same": "y:B"}})
    with pytest.raises(PluginError, match="method id 'same' is claimed by alpha-opd and beta-opd"):
        registry.available("methods")
    assert "same" not in registry.available("tasks")


def test_an_unknown_id_names_the_nearest_and_what_exists(install) -> None:
    install("acme-opd", {"opdbench.methods": {"tropical": "x:A"}})
    with pytest.raises(PluginError, match=r"no method 'tropicla' is installed. Did you mean 'tropical'\?.*tropical"):
        registry.find("methods", "tropicla")
    with pytest.raises(PluginError, match=r"Installed: .*tropical") as caught:
        registry.find("methods", "qqqqqqqq")
    assert "Did you mean" not in str(caught.value)
