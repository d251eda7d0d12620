"""The command line from outside: verbs, options, exit codes, streams, escaping, stopping. Runs end to end: test_run."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from opdbench.cli import app, main, text
from opdbench.cli.progress import PlainLines, Remaining
from opdbench.config import EvaluationSettings, load_board
from opdbench.plan import make_plan
from opdbench.registry import KINDS
from opdbench.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "cli_options.json"

BOARD = """schema = 1
name = "small"
title = "Small"
protocol = "small/1"
seeds = [0, 1]

[budget]
axis = "flops"
limit = 1e12

[models.student]
path = "student"

[models.teacher]
path = "teacher"

[data]
train = ["lab_add"]

[train]
learning_rate = 3e-4
prompts_per_step = 8
max_prompt_tokens = 64
max_tokens = 64

[evaluation]
tasks = ["lab_add"]
k = 2
max_tokens = 64
engine = "scripted"

[comparison]
baseline = "student"

[[rows]]
id = "student"
model = "student"

[[rows]]
id = "opd"
method = "opd"
student = "student"
teacher = "teacher"
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 64,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
HOSTILE = "\\boxed{1}\x1b[2J\x1b]0;title\x07\u202etxt"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board of two scripted models, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("student", "teacher"):
        folder = tmp_path / "small" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        (folder / "scripted.json").write_text(json.dumps({"default": f"{name} {HOSTILE}"}))
    (tmp_path / "small" / "board.toml").write_text(BOARD)
    return tmp_path / "small"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command line and gives exit code, standard output and standard error."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


# Options


def _options() -> dict[str, list[str]]:
    commands = typer.main.get_command(app).commands
    return {
        name: [
            option if parameter.param_type_name == "option" else parameter.name.upper()
            for parameter in command.params
            for option in (sorted(parameter.opts) if parameter.param_type_name == "option" else [""])
        ]
        for name, command in commands.items()
    }


def test_options_are_what_they_were() -> None:
    found = _options()
    if os.environ.get("OPDBENCH_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text()), "set OPDBENCH_UPDATE_GOLDEN=1 to accept the change"


def test_every_verb_has_help_with_examples(call) -> None:
    for name in _options():
        code, out, _ = call(name, "--help")
        assert code == 0
        assert f"opdbench {name}" in out
        assert "Examples" in out


def test_defaults_of_eval_are_those_of_boards() -> None:
    from opdbench.cli.evaluate import evaluate
    from opdbench.verbs.protocols import BATCH_SIZE, MAX_TOKENS, ask

    defaults = {name: parameter.default for name, parameter in inspect.signature(evaluate).parameters.items()}
    for name in ("pool", "engine", "dtype"):
        assert defaults[name] == EvaluationSettings.model_fields[name].default
    # What a protocol may state is not given unless it is written.
    assert {defaults[name] for name in ("temperature", "top_p", "top_k", "max_tokens", "k", "thinking")} == {None}
    assert defaults["batch_size"] == BATCH_SIZE
    settings = ask(["lab_add"], {}).settings
    assert settings.max_tokens == MAX_TOKENS
    assert settings == EvaluationSettings(tasks=("lab_add",), max_tokens=MAX_TOKENS, batch_size=BATCH_SIZE)


def test_version(call) -> None:
    assert call("--version")[:2] == (0, "opdbench 0.1.0\n")


def test_completion_of_verbs_and_tasks() -> None:
    for words, expected in (("opdbench pl", "plan"), ("opdbench validate lab_a", "lab_add")):
        environment = {"_OPDBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = _run(environment=environment)
        assert done.stdout.split() == [expected], done.stderr


# Errors that the user can fix: one message, exit code 2


def _run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "opdbench", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | (environment or {}), timeout=120, check=False
    )


def test_an_unknown_key_is_named_with_its_line_and_the_nearest(board: Path) -> None:
    file = board / "board.toml"
    file.write_text(file.read_text().replace("learning_rate", "learning_rat"))
    done = _run("plan", str(board))
    assert done.returncode == 2
    assert done.stdout == ""
    line = file.read_text().splitlines().index("learning_rat = 3e-4") + 1
    assert f"board.toml:{line}: train.learning_rat: unknown key. Did you mean 'learning_rate'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_checkpoint_is_named_with_its_line(board: Path, call) -> None:
    (board / "teacher").rename(board / "elsewhere")
    code, out, err = call("plan", board)
    assert (code, out) == (2, "")
    line = (board / "board.toml").read_text().splitlines().index('path = "teacher"') + 1
    assert f"board.toml:{line}: models.teacher.path" in err
    code, _, err = call("eval", board / "teacher", "--tasks", "lab_add")
    assert code == 2
    assert "there is no directory" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "small", "--only", "opdd"), "no row 'opdd' in board small. Did you mean 'opd'?"),
        (("run", "small", "--seed", "7"), "has no seed 7"),
        (("plan", "small", "--set", "budget.limit"), "write KEY=VALUE"),
        (("plan", "small", "--set", "budget.limt=1"), "--set budget.limt=1: budget.limt: unknown key"),
        (("plan", "small", "--set", "budget.limit=-1"), "greater than 0"),
        (("plan", "small", "--set", "evaluation.tasks=['lab_ad']"), "Did you mean 'lab_add'?"),
        (("plan", "nowhere"), "does not exist"),
        (("eval", "small/student", "--tasks", "lab_ad"), "Did you mean 'lab_add'?"),
        (("eval", "small/student", "--tasks", "lab_add", "--engine", "hff"), "no engine 'hff'"),
        (("eval", "small/student", "--tasks", "lab_add", "--k", "2", "--pass-k", "4"), "pass@4"),
        (("eval", "small/student", "--tasks", ","), "tasks"),
        (("eval", "small/student", "--tasks", "lab_add", "--protocol", "trop"), "no protocol 'trop'"),
        (("validate", "lab_ad"), "Did you mean 'lab_add'?"),
        (("grade", "nowhere"), "is no directory"),
        (("show", "small"), "holds no finished result"),
        (("publish", "small", "--compare"), "holds no results"),
        (("publish", "small", "--add"), "holds no finished cell"),
        (("init", "other", "--from", "lap"), "Did you mean 'lab'?"),
    ],
)
def test_what_the_user_can_fix_is_one_message(board: Path, call, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("list", "nonsense"), ("publish", "small", "--check", "--add"), ("run", "x", "--jobs", "0")],
)
def test_bad_usage_is_code_2(board: Path, call, arguments: tuple[str, ...]) -> None:
    assert call(*arguments)[0] == 2


def test_a_bug_keeps_its_traceback(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opdbench.verbs import planning

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(planning, "plan", broken)
    with pytest.raises(ZeroDivisionError):
        main(["plan", str(board)])


# Verbs


def test_init_writes_a_board_once(tmp_path: Path, call) -> None:
    code, out, _ = call("init", tmp_path / "new")
    file = tmp_path / "new" / "board.toml"
    assert (code, out.strip()) == (0, str(file))
    load_board(file)
    before = file.read_bytes()
    code, _, err = call("init", tmp_path / "new")
    assert code == 2
    assert "nothing was written" in err
    assert file.read_bytes() == before


def test_plan_lists_cells_with_states_and_costs(board: Path, call) -> None:
    code, out, _ = call("plan", board, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["counts"] == {"done": 0, "partial": 0, "stale": 0, "missing": 4}
    opd = next(cell for cell in found["cells"] if (cell["row"], cell["seed"]) == ("opd", 1))
    assert (opd["state"], opd["flops"], opd["axis"]) == ("missing", 1e12, "flops")
    assert opd["tokens"] > 0
    # 150 problems, 2 samples each at 4 checkpoints, at most 64 tokens.
    assert (opd["evaluation_samples"], opd["evaluation_tokens"]) == (1200, 1200 * 64)
    assert found["total"]["flops"] == 2e12
    assert not Path("runs").exists()
    assert "4 cells: 4 missing" in call("plan", board)[1]


def test_plan_says_why_a_cell_is_stale_or_partial(board: Path, call) -> None:
    other = make_plan(load_board(board, ["train.learning_rate=1e-3"])).cell("opd", 0)
    same = make_plan(load_board(board)).cell("opd", 1)
    with RunStore(Path("runs/small")).lock() as store:
        store.cell(other.key).write_json("cell", other.to_json())
        store.cell(same.key).write_json("cell", same.to_json())
    cells = {(cell["row"], cell["seed"]): cell for cell in json.loads(call("plan", board, "--json")[1])["cells"]}
    assert cells["opd", 0]["state"] == "stale"
    assert "settings.learning_rate changed" in cells["opd", 0]["reason"]
    assert (cells["opd", 1]["state"], cells["opd", 1]["reason"]) == ("partial", "begun, not finished")
    with RunStore(Path("runs/small")).lock() as store:
        store.cell(same.key).write_json("failure", {"error": "no memory", "traceback": None})
    cells = {(cell["row"], cell["seed"]): cell for cell in json.loads(call("plan", board, "--json")[1])["cells"]}
    assert cells["opd", 1]["reason"] == "failed: no memory"


def test_plan_is_quick_and_light(board: Path) -> None:
    code = (
        "import sys, time\nfrom opdbench.cli import main\n"
        f"try: main(['plan', {str(board)!r}])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'datasets', 'transformers', 'scipy', 'math_verify'}\n"
        "print(sorted(heavy & sys.modules.keys()), time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, _, seconds = done.stderr.rpartition(" ")
    assert loaded == "[]"
    assert float(seconds) < 2


@pytest.mark.parametrize("kind", KINDS)
def test_list_gives_every_plugin(kind: str, call) -> None:
    code, out, _ = call("list", kind, "--json")
    listed = json.loads(out)
    assert code == 0
    keys = {"id", "title", "distribution", "version", "status"} | ({"settings"} if kind == "protocols" else set())
    assert all(set(item) == keys for item in listed)
    assert {item["status"] for item in listed} == {"ok"}
    assert all(item["title"] for item in listed)


def test_a_broken_plugin_is_listed_as_broken(call, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from opdbench import registry

    def plugins(kind: registry.Kind) -> dict[str, registry.Plugin]:
        points = {id: EntryPoint(id, value, f"opdbench.{kind}") for id, value in values.items()}
        return {id: registry.Plugin(kind, id, "acme-opd", "1.0", point) for id, point in points.items()}

    values = {"bad": "no_such_module_at_all:Bad", "good": "opdbench_trainers.opd:OPD"}
    monkeypatch.setattr(registry, "available", plugins)
    code, out, _ = call("list", "methods", "--json")
    bad, good = json.loads(out)
    assert code == 0
    assert bad["status"].startswith("broken: ModuleNotFoundError")
    assert good["status"] == "ok"


def test_doctor_knows_this_machine(call, tmp_path: Path) -> None:
    code, out, _ = call("doctor", "--json", "--runs", tmp_path / "runs")
    found = json.loads(out)
    assert code == (1 if found["problems"] else 0)
    assert found["python"] == sys.version.split()[0]
    assert found["torch"]["device"] in ("cpu", "cuda")
    assert found["disk"]["free_bytes"] > 0
    assert set(found["plugins"]) == set(KINDS)
    assert set(found["sandbox"]) >= {"layers", "absent"}
    assert not (tmp_path / "runs").exists()


def test_validate_accepts_gold_answers(call) -> None:
    code, out, _ = call("validate", "lab_add", "--json", "--quiet")
    (found,) = json.loads(out)
    assert (code, found["task"], found["num_problems"], found["is_valid"]) == (0, "lab_add", 1800, True)


@pytest.mark.parametrize(("verdict", "reason"), [("correct", "an empty answer, by fixed"), ("wrong", "fixed")])
def test_validate_refuses_a_lenient_and_a_strict_grader(
    verdict: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opdbench.records import Grade
    from opdbench.verbs import plugins
    from opdbench_tasks.lab import ADD

    class Fixed:
        id = "fixed/1"

        def grade(self, items):
            return [Grade(s.task, s.problem_id, s.index, verdict, "fixed", None, self.id) for _, s in items]

        def gold(self, problem) -> str:
            return "gold"

    class Found:
        id = "lab_add"

        def load(self):
            return dataclasses.replace(ADD, grader=Fixed())

    monkeypatch.setattr(plugins.registry, "find", lambda kind, id: Found())
    (found,) = plugins.validate(["lab_add"])
    assert len(found.refusals) == 1800
    assert {refusal.reason for refusal in found.refusals} == {reason}
    assert not found.is_valid


def test_eval_then_show_and_grade(board: Path, call) -> None:
    options = ("--tasks", "lab_add", "--engine", "scripted", "--k", "2", "--pass-k", "2", "--out", "out")
    code, out, err = call("eval", board / "student", *options, "--json")
    assert code == 0
    assert [score["metric"] for score in json.loads(out)["scores"]] == ["avg@2", "pass@2"]
    assert "lab_add" in err
    assert "avg@2" in call("eval", board / "student", *options, "--quiet")[1]

    code, out, _ = call("show", "out", "--wrong", "--limit", "3", "--json")
    shown = json.loads(out)
    assert (code, len(shown), shown[0]["verdict"], shown[0]["text"]) == (0, 3, "wrong", f"student {HOSTILE}")
    shown = json.loads(call("show", "out", "--problem", "test-3", "--json", "--limit", "0")[1])
    assert [(item["problem"], item["index"]) for item in shown] == [("test-3", 0), ("test-3", 1)]

    code, out, err = call("grade", "out", "--json")
    assert (code, json.loads(out)["changed"], json.loads(out)["samples"]) == (0, [], 300)
    assert "0 verdicts changed" in err


def test_what_a_model_wrote_does_not_steer_the_terminal(board: Path, call) -> None:
    call("eval", board / "student", "--tasks", "lab_add", "--engine", "scripted", "--k", "1", "--out", "out")
    code, out, _ = call("show", "out", "--limit", "1")
    assert code == 0
    assert "\\x1b[2J\\x1b]0;title\\x07\\u202etxt" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_publish_writes_then_checks(board: Path, call) -> None:
    code, out, _ = call("publish", board, "--check", "--json")
    assert (code, len(json.loads(out)["stale"])) == (1, 4)
    code, out, _ = call("publish", board)
    assert (code, len(out.splitlines())) == (0, 4)
    assert call("publish", board, "--check")[0] == 0


def test_functions_give_frames(board: Path) -> None:
    from opdbench import python

    planned = python.plan(board)
    assert list(planned["state"]) == ["missing"] * 4
    assert python.list_plugins("methods").set_index("id").loc["opd", "status"] == "ok"
    scores = python.evaluate(board / "student", ["lab_add"], engine="scripted", k=1, out="out")
    assert list(scores["metric"]) == ["avg@1"]
    assert len(python.show("out", limit=5)) == 5
    assert list(python.grade("out").columns) == ["key", "old", "new"]
    assert len(python.publish(board).files) == 4


# Text and signals


def test_text_is_shown_and_not_obeyed() -> None:
    assert text.visible("a\tb\r\nc") == "a   b\nc"
    assert text.visible("\x1b[31m\x9b\u2066\u200b\ud800") == "\\x1b[31m\\x9b\\u2066\\u200b\\ud800"
    assert text.line("a\n\n b" + "c" * 400).startswith("a bccc")
    assert len(text.line("c" * 400)) == 300
    assert text.width("é漢e\u0301") == 4


def test_plain_lines_are_few_and_name_the_cell_of_a_dead_worker(capsys: pytest.CaptureFixture[str]) -> None:
    shown = PlainLines()
    cell = {"cell": "k", "row": "opd", "seed": 1}
    shown({"event": "plan", "cells": 2, "done": 1})
    shown({"event": "started", **cell})
    for step in range(50):
        shown({"event": "progress", **cell, "stage": "train", "fraction": step / 50, "detail": f"step {step}\x1b[2J"})
    shown({"event": "failed", "cell": "k", "error": "killed by SIGKILL"})
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "2 cells, 1 of them done already",
        "opd/1: started",
        "opd/1: train 0 % step 0\\x1b[2J",
        "opd/1: failed: killed by SIGKILL",
    ]


def test_what_is_left_is_estimated_from_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    from opdbench.cli import progress

    now = iter([0.0, 60.0, 300.0, 301.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    left = Remaining()
    steps = [left("eval/0", {"stage": "sample", "fraction": fraction}) for fraction in (0.5, 0.6, 0.95, 1.0)]
    assert steps == ["", ", about 4 min left", ", about 33 s left", ""]


STOPPABLE = """
import sys, time
from opdbench.cli.progress import display
from opdbench.cli.stopping import STOPPED, stoppable
from opdbench.runner import Stop
stop = Stop()
stop.kill = lambda: print("killed", flush=True)
with display(False) as shown, stoppable(stop, shown.say):
    print("ready", flush=True)
    while not stop():
        time.sleep(0.01)
    print("stopping", flush=True)
    if sys.argv[1] == "slow":
        time.sleep(60)
sys.exit(STOPPED)
"""


def _stoppable(how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STOPPABLE, how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_gracefully(number: signal.Signals) -> None:
    process = _stoppable("quick")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert err.count("stopping after") == 1


def test_a_second_ctrl_c_ends_at_once_and_a_second_sigterm_does_not() -> None:
    process = _stoppable("slow")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "killed\n")
