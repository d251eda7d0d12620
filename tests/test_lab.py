"""The lab: pools, solvers, tokenizer, templates, and the shipped checkpoints."""

import json
import random
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from opdbench.api import Pool, Problem, Sample, Task
from opdbench_tasks._lab_problems import KINDS, Function, Writer
from opdbench_tasks.lab import ADD, CHOICE, CODE, RUN, pool_of

TASKS = (ADD, RUN, CHOICE, CODE)
POOLS: tuple[Pool, ...] = ("train", "validation", "test")
MODELS = Path(str(files("opdbench_tasks") / "lab_models"))
NAMES = ("student", "student-cross", "teacher", "teacher-base", "teacher-clean", "teacher-code", "teacher-math")
MAX_TOKENS = 64
BOARD_TOKENS = 48
MAX_BYTES = 3.8e6


@pytest.fixture(scope="module")
def problems() -> dict[tuple[str, str], list[Problem]]:
    return {(task.id, pool): task.load(pool) for task in TASKS for pool in POOLS}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODELS / "student")


def draw(kind: str, seed: int):
    return KINDS[kind].draw(random.Random(seed))


def write(problem, terse: bool = False, **settings) -> Writer:
    out = Writer(**settings)
    (problem.solve_terse if terse else problem.solve)(out)
    return out


def verdict(task: Task, problem: Problem, text: str) -> str:
    return task.grader.grade([(problem, Sample(task.id, problem.id, 0, 0, text, 1, "stop"))])[0].verdict


def test_pools_have_the_pinned_sizes(problems):
    assert {task.num_problems["test"] for task in TASKS} == {150}
    assert sum(len(problems[task.id, "test"]) for task in TASKS) == 600
    assert {len(problems[task.id, "train"]) for task in TASKS} == {1600}


def test_no_prompt_is_in_two_pools_or_two_tasks(problems):
    prompts = [problem.prompt for items in problems.values() for problem in items]
    assert len(set(prompts)) == len(prompts)
    for (_, pool), items in problems.items():
        assert {pool_of(problem.prompt) for problem in items} == {pool}


def test_another_process_draws_the_same_problems(problems):
    code = (
        "import json; from opdbench_tasks.lab import ADD, CHOICE, CODE, RUN\n"
        "tasks = (ADD, RUN, CHOICE, CODE)\n"
        "print(json.dumps([[p.prompt, p.target, p.reference] for t in tasks for p in t.load('test')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [[item.prompt, item.target, item.reference] for task in TASKS for item in problems[task.id, "test"]]
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_reference_solutions_are_right_and_answers_of_other_problems_are_not(task, problems):
    items = problems[task.id, "validation"]
    others = [next(other for other in items if other.target != item.target) for item in items]
    assert {verdict(task, item, item.reference or "") for item in items[:20]} == {"correct"}
    assert {verdict(task, item, other.reference or "") for item, other in zip(items[:20], others, strict=False)} == {
        "wrong"
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_terse_style_reaches_the_same_answers(task):
    for seed in range(5):
        problem = draw(task.id.removeprefix("lab_"), seed)
        item = Problem("0", problem.prompt, problem.target)
        assert verdict(task, item, write(problem, terse=True).text) == "correct"


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_at_rate_zero_never_slips_and_a_forced_slip_is_the_last(kind):
    for seed in range(50):
        problem = draw(kind, seed)
        clean = write(problem)
        assert clean.slip_end == 0
        for forced in range(clean.num_choices):
            slipped = write(problem, rng=random.Random(seed), forced=forced)
            assert slipped.num_choices == clean.num_choices
            assert slipped.text[: slipped.slip_end] != clean.text[: slipped.slip_end]
            assert (
                write(problem, rng=random.Random(1), forced=forced)
                .text[: slipped.slip_end - 2]
                .startswith(clean.text[: slipped.slip_end - 2])
            )


def test_functions_return_what_their_prompt_says():
    problem = Function(("sub", ("mul", "x", "3"), "y"))
    assert problem.prompt == "Write f(x,y)=sub(mul(x,3),y)"
    assert problem.target["tests"][0] == {"args": [2, 5], "expected": 1}
    assert write(problem).text == "```python\ndef f(x,y):\n    t=x*3\n    return t-y\n```"
    assert write(problem, terse=True).text == "```python\ndef f(x,y):\n    return (x*3)-y\n```"


def test_text_survives_the_tokenizer(problems, tokenizer):
    texts = [text for items in problems.values() for item in items for text in (item.prompt, item.reference)]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [tokenizer.decode(row) for row in rows] == texts
    assert tokenizer.unk_token_id not in {token for row in rows for token in row}


def test_slips_and_the_terse_style_survive_the_tokenizer(tokenizer):
    for kind in KINDS:
        for seed in range(20):
            for terse in (False, True):
                text = write(draw(kind, seed), terse, rng=random.Random(seed), rate=0.3).text
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                assert tokenizer.decode(ids) == text
                assert tokenizer.unk_token_id not in ids


def test_characters_outside_the_vocabulary_become_unknown_one_by_one(tokenizer):
    ids = tokenizer("3é~\t4", add_special_tokens=False)["input_ids"]
    assert ids[1:-1] == [tokenizer.unk_token_id] * 3
    assert tokenizer.decode(ids, skip_special_tokens=True) == "34"


def test_special_tokens(tokenizer):
    assert len(tokenizer) < 128
    assert len({tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}) == 3
    chat = [{"role": "user", "content": "Add 123 and 456"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert prompt == "<user>Add 123 and 456<assistant>"
    chat.append({"role": "assistant", "content": "\\boxed{579}"})
    assert tokenizer.apply_chat_template(chat, tokenize=False) == prompt + "\\boxed{579}<eos>"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_every_template_and_its_answer_fit_the_context(task, problems, tokenizer):
    window = json.loads((MODELS / "teacher" / "config.json").read_text())["max_position_embeddings"]
    items = [item for pool in POOLS for item in problems[task.id, pool]]
    longest = max(items, key=lambda item: len(tokenizer(item.prompt)["input_ids"]))
    assert max(len(row) + 1 for row in tokenizer([item.reference for item in items])["input_ids"]) <= 45
    for template, text in task.templates.items():
        # With draft and reference in one prompt there is room for responses as long as the boards allow, not more.
        most, spare = (BOARD_TOKENS, 0) if "{draft}" in text and "{reference}" in text else (MAX_TOKENS, 16)
        message = task.message(longest, template, "0" * most)
        ids = tokenizer.apply_chat_template([{"role": "user", "content": message}], add_generation_prompt=True)
        assert len(ids["input_ids"]) + most <= window - spare


def test_all_checkpoints_are_shipped_and_small():
    assert tuple(sorted(path.name for path in MODELS.iterdir() if path.is_dir())) == NAMES
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= MAX_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_loads_and_is_fp16_with_the_common_tokenizer(name):
    with safe_open(MODELS / name / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118
    model = AutoModelForCausalLM.from_pretrained(MODELS / name)
    assert (model.config.model_type, model.config.head_dim) == ("qwen3", 32)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (MODELS / name / file).read_bytes() == (MODELS / "student" / file).read_bytes()


def test_the_readme_states_the_recorded_scores():
    record = json.loads((MODELS / "scores.json").read_text())
    readme = (MODELS / "README.md").read_text()
    assert tuple(sorted(record)) == NAMES
    for name, entry in record.items():
        row = next(line for line in readme.splitlines() if line.startswith(f"| {name} |"))
        assert all(f"{cell['avg']:.3f} / {cell['pass']:.3f}" in row for cell in entry["scores"].values())
