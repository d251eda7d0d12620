"""Evaluation protocols of papers: what they state, what is given instead, and what a result says of both."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from opdbench import registry
from opdbench.errors import ConfigError, PluginError
from opdbench.protocol import SETTINGS, EvaluationProtocol, read_protocols
from opdbench.verbs import plugins, samples
from opdbench.verbs.protocols import BATCH_SIZE, MAX_TOKENS, ask

ROOT = Path(__file__).resolve().parent.parent
POINTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
    "opdbench.protocols"
]
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "vocab_size": 64}


def named(id: str) -> EvaluationProtocol:
    return EntryPoint(id, POINTS[id], "opdbench.protocols").load()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocols of this repository, whether or not it was installed since they were added."""
    available = registry.available
    points = {id: EntryPoint(id, value, "opdbench.protocols") for id, value in POINTS.items()}
    found = {id: registry.Plugin("protocols", id, "opdbench", "0.1.0", point) for id, point in points.items()}
    monkeypatch.setattr(registry, "available", lambda kind: found if kind == "protocols" else available(kind))


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "scripted.json").write_text(json.dumps({"default": r"\boxed{1}"}))
    return folder


@pytest.mark.parametrize("id", ["gopd", "tgpo", "trd", "tropd"])
def test_every_protocol_states_every_setting_and_where_it_is_from(id: str) -> None:
    protocol = named(id)
    assert protocol.id == id
    for name in SETTINGS:
        assert getattr(protocol, name).source in ("paper", "code", "ours")
    assert "{prompt}" in protocol.prompt.value
    for own in protocol.per_task.values():
        assert own.prompt is None or "{prompt}" in own.prompt.value


def test_what_the_papers_say() -> None:
    gopd, tgpo, tropd, trd = (named(id) for id in ("gopd", "tgpo", "tropd", "trd"))
    assert [getattr(gopd, name).source for name in ("temperature", "top_p", "max_tokens", "k")] == ["paper"] * 4
    assert (gopd.max_tokens.value, gopd.stated("k", "mbpp_plus").value) == (16384, 4)
    assert (tgpo.stated("k", "aime24").value, tgpo.stated("k", "math500").value) == (32, 1)
    assert (tropd.stated("k", "gpqa_diamond").value, tropd.temperature.source) == (4, "ours")
    assert (trd.k.value, trd.top_p.value, trd.top_p.source) == (16, 0.95, "code")
    assert [protocol.stated("k", "lcb_v6").value for protocol in (gopd, tropd)] == [4, 1]
    assert trd.stated("max_tokens", "lcb_release_v6").value == 16384
    assert (tgpo.prompt.source, tgpo.system_prompt.source) == ("paper", "paper")


@pytest.mark.parametrize("id", POINTS)
def test_settings_of_single_tasks_are_of_tasks_that_exist(id: str) -> None:
    assert {*named(id).per_task, *named(id).tasks} <= set(registry.available("tasks"))


def test_of_tasks_that_a_paper_does_not_report_every_value_is_ours() -> None:
    gopd = named("gopd")
    reported, other = (gopd.stated("k", task) for task in ("aime24", "math500"))
    assert (reported.value, reported.source, other.value, other.source) == (32, "paper", 32, "ours")
    assert {gopd.stated(name, "lab_add").source for name in ("prompt", "temperature", "max_tokens")} == {"ours"}
    silent = gopd.model_copy(update={"tasks": ()})
    assert silent.stated("k", "math500").source == "paper"


def test_settings_differ_by_task_and_what_is_given_comes_first() -> None:
    asked = ask(["aime24", "math500", "gpqa_diamond"], {}, "tgpo")
    assert asked.num_samples == {"aime24": 32, "math500": 1, "gpqa_diamond": 1}
    assert asked.settings.sampling("aime24").temperature == 0.6
    assert asked.presentation is not None
    assert asked.presentation.thinking is False
    assert (asked.presentation.system_prompt or "").startswith("Your task is to follow a systematic")
    assert asked.protocol is not None
    assert asked.protocol["deviations"] == []

    asked = ask(["aime24", "math500"], {"temperature": 0.0, "k": 1, "thinking": True, "top_p": 1.0}, "tgpo")
    assert asked.num_samples == {}
    assert (asked.settings.k, asked.settings.sampling("math500").temperature) == (1, 0.0)
    assert asked.protocol is not None
    named_settings = [(item["setting"], item["task"]) for item in asked.protocol["deviations"]]
    assert sorted(named_settings) == [
        ("k", "aime24"),
        ("temperature", "aime24"),
        ("temperature", "math500"),
        ("thinking", "aime24"),
        ("thinking", "math500"),
    ]
    assert asked.protocol["tasks"]["aime24"]["top_p"] == {"value": 1.0, "source": "given"}


def test_without_a_protocol_the_defaults_hold() -> None:
    asked = ask(["lab_add"], {"temperature": None, "k": 3})
    assert (asked.settings.max_tokens, asked.settings.batch_size, asked.settings.k) == (MAX_TOKENS, BATCH_SIZE, 3)
    assert (asked.protocol, asked.presentation, asked.messages, asked.num_samples) == (None, None, {}, {})


def test_the_prompt_is_for_boxed_answers_and_other_tasks_keep_theirs() -> None:
    choice, boxed = registry.load("tasks", "gpqa_diamond"), registry.load("tasks", "aime24")
    assert named("gopd").message(choice).value == choice.templates["plain"]
    assert named("gopd").message(choice).source == "ours"
    assert named("gopd").message(boxed).source == "paper"
    assert set(ask(["lab_add", "lab_choice", "aime24"], {}, "gopd").messages) == {"lab_add"}


def test_an_unknown_protocol_names_those_that_exist() -> None:
    with pytest.raises(PluginError, match="Did you mean 'tropd'"):
        ask(["lab_add"], {}, "tropt")


@pytest.mark.parametrize("text", ["[a", "[a]\ntitle = 'x'", "[a]\nk = 1", "a = 1"])
def test_a_text_that_is_no_protocol_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_protocols(text)


def test_the_list_shows_every_value_with_its_mark() -> None:
    listed = {item.id: item for item in plugins.list_plugins("protocols")}
    assert set(listed) == set(POINTS)
    found = {(one.task, one.name): (one.value, one.source) for one in listed["tgpo"].settings}
    assert found["", "temperature"] == (0.6, "paper")
    assert found["aime24", "k"] == (32, "paper")


def test_a_result_says_what_was_followed(student: Path) -> None:
    settings = {"engine": "scripted", "k": 1, "out": Path("out")}
    report = samples.evaluate(str(student), ["lab_add"], protocol="gopd", **settings)
    assert report.protocol is not None
    assert report.protocol["id"] == "gopd"
    (deviation,) = report.protocol["deviations"]
    assert deviation == {"setting": "k", "task": "lab_add", "stated": 32, "given": 1}
    stored = json.loads(Path("out/result.json").read_text())
    text = json.dumps(stored)
    assert '"gopd"' in text
    assert "chat_template_hash" in text
    plain = samples.evaluate(str(student), ["lab_add"], **(settings | {"out": Path("plain")}))
    assert (plain.protocol, len(plain.prompt_hash)) == (None, 12)
    assert plain.prompt_hash != report.prompt_hash
