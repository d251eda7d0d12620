"""What training draws, from outside: prefixes, refinements, groups, mixtures, shared modules, and resumed runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chisquare
from tiny_cell import REFINE, SETTINGS, Parity, graded_problems, job, located, save_model

from opdbench.api import Interrupted, Method
from opdbench.budget import OFF_BUDGET, Budget, Ledger
from opdbench.engines.engine import TokenPrompt
from opdbench.errors import ConfigError, DataError
from opdbench.flops import generate_flops, train_flops
from opdbench.method import (
    Dataset,
    Group,
    Mixed,
    Refined,
    Sampling,
    Student,
    TeacherPrefix,
    TeacherSamples,
    Trajectory,
)
from opdbench.pricing import Cost, Lengths, Shapes, prompt_bound
from opdbench.records import derive_seed
from opdbench.store import RecordLog
from opdbench.trainer import LoRA
from opdbench.training.batch import Batch
from opdbench.training.cast import Cast, Player
from opdbench.training.draws import draw_rollouts
from opdbench.training.stream import PromptStream
from opdbench.training.student import TrainedStudent
from opdbench.training.teacher_draws import teacher_prefixes
from opdbench.training.texts import KeptTexts
from opdbench.training.trainer import TorchTrainer, _cast, _role
from opdbench.training.trajectories import Draw, Rollout, Slot
from opdbench_trainers.sft import SFT
from opdbench_trainers.trd import TRD
from opdbench_trainers.tropd import TrOPD

MAX_TOKENS = 12
WIDE = SETTINGS.model_copy(update={"max_prompt_tokens": 24, "max_tokens": MAX_TOKENS})
ADAPTED = WIDE.model_copy(update={"lora": LoRA(rank=2, alpha=4, target_modules=("q_proj", "v_proj", "up_proj"))})
PROBLEMS = graded_problems(Parity())
FRACTIONS = (0.3, 0.75, 1.0)


class Drawing(Method):
    """Draws and nothing else, so that its bound is that of its trajectory and one update."""

    title = "drawing"
    drawn: Any

    def trajectory(self, progress: float) -> Trajectory:
        return self.drawn

    def terms(self, scores, progress):
        return ()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    """A student and a larger teacher whose head is wider than the tokenizer; letters end a response, too."""
    root, stop = tmp_path_factory.mktemp("models"), tuple("abcdefgh")
    student = save_model(root / "student", seed=0)
    teacher = save_model(root / "teacher", seed=1, hidden=48, layers=2, rows=11)
    return located(student, "student", stop=stop), located(teacher, "teacher", stop=stop)


def open_cast(pair, settings=WIDE, problems=PROBLEMS) -> Cast:
    """Load a cast of its own, the initial student included."""
    return _cast(job(pair[0].directory, TRD(), *pair, settings=settings, problems=problems), TRD(), settings)[0]


@pytest.fixture(scope="module")
def cast(pair) -> Cast:
    return open_cast(pair)


def new_draw(cast: Cast, *, kept: KeptTexts | None = None, step: int = 0, seed: int = 0) -> Draw:
    ledger = Ledger(Budget("flops", 1e15))
    return Draw(cast, ledger, seed, step, cast.max_tokens, KeptTexts() if kept is None else kept)


def slots_of(count: int = 12, start: int = 0, problems=PROBLEMS) -> list[Slot]:
    return PromptStream(problems, 0).take(start, count)


def again(slots: Sequence[Slot]) -> list[Slot]:
    """The same problems one pass later."""
    return [Slot(slot.index + len(PROBLEMS), slot.epoch + 1, slot.problem) for slot in slots]


def paid(draw: Draw) -> dict[str, dict[str, int]]:
    """What each phase on the budget was charged, without zeros."""
    found = {phase: {k: v for k, v in counts.items() if v} for phase, counts in draw.ledger.totals().items()}
    return {phase: counts for phase, counts in found.items() if counts}


def redone(draw: Draw) -> int:
    return draw.ledger.off_budget()["redone"]["generated_tokens"]


def same_rollouts(found: Sequence[Rollout], expected: Sequence[Rollout]) -> None:
    assert [dataclasses.replace(r, logps=()) for r in found] == [dataclasses.replace(r, logps=()) for r in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logps, other.logps, atol=1e-5)


def texts_by_problem(rollouts: Sequence[Rollout]) -> dict[str, tuple[tuple[int, ...], ...]]:
    return {problem_of(r): (r.draft_ids, r.response_ids) for r in rollouts}


def prompt_of(cast: Cast, player: Player, slot: Slot) -> tuple[int, ...]:
    return cast.prompt_ids(player.chat, slot.problem)


@pytest.fixture(scope="module")
def teacher_texts(cast) -> dict[str, tuple[int, ...]]:
    """What the teacher writes to each problem by itself, one sequence at a time, with the prefixes' seeds."""
    player, texts = cast.teacher_players[""], {}
    for slot in slots_of():
        request = TokenPrompt(prompt_of(cast, player, slot), derive_seed(0, "teacher", f"{slot.key(0)}/prefix"))
        (answer,) = player.engine.generate([request], Sampling(max_tokens=MAX_TOKENS))
        texts[slot.problem.problem.id] = answer.token_ids
    return texts


def problem_of(found: Rollout | Slot) -> str:
    slot = found.slot if isinstance(found, Rollout) else found
    return slot.problem.problem.id


def ends(cast: Cast, ids: Sequence[int]) -> bool:
    return bool(ids) and ids[-1] in cast.student.chat.stop_ids


# ------------------------------------------------------------------------------------------------------- prefixes


@pytest.mark.parametrize("length", ["uniform", "max"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_prefixes_begin_the_teachers_own_text(cast, teacher_texts, fraction, length):
    draw, slots = new_draw(cast), slots_of(24)
    longest = int(fraction * MAX_TOKENS)
    for rollout in draw_rollouts(draw, TeacherPrefix(fraction, length), slots):
        text = teacher_texts[problem_of(rollout)]
        assert rollout.response_ids[: rollout.num_teacher] == text[: rollout.num_teacher]
        assert 0 <= rollout.num_teacher <= min(longest, len(text))
        if length == "max":
            assert rollout.num_teacher == min(longest, len(text))
        assert not rollout.offline
        assert rollout.sample == 0


@pytest.mark.parametrize("length", ["uniform", "max"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_finished_teacher_text_is_not_continued_and_others_stay_within_the_limit(
    cast, teacher_texts, fraction, length
):
    num_finished = 0
    for rollout in draw_rollouts(new_draw(cast), TeacherPrefix(fraction, length), slots_of(24)):
        text = teacher_texts[problem_of(rollout)]
        is_finished = rollout.num_teacher == len(text) and ends(cast, text)
        num_finished += is_finished
        assert len(rollout.response_ids) <= MAX_TOKENS
        assert rollout.truncated == (not ends(cast, rollout.response_ids))
        if is_finished:
            assert rollout.response_ids == text
        elif rollout.num_teacher < MAX_TOKENS:
            assert len(rollout.response_ids) > rollout.num_teacher
        if rollout.truncated:
            assert len(rollout.response_ids) == MAX_TOKENS
    assert num_finished or fraction == FRACTIONS[0]


def test_logps_are_those_of_a_full_pass_and_unknown_on_the_teachers_tokens(cast):
    rollouts = draw_rollouts(new_draw(cast), TeacherPrefix(0.5), slots_of(24))
    assert len({rollout.num_teacher for rollout in rollouts}) > 3
    for rollout in rollouts:
        prompt = prompt_of(cast, cast.current, rollout.slot)
        with torch.no_grad():
            logits = cast.student.module(torch.tensor([[*prompt, *rollout.response_ids]])).logits[0]
        logp = logits[len(prompt) - 1 : -1, : cast.student.num_shared].float().log_softmax(-1)
        expected = logp.gather(-1, torch.tensor(rollout.response_ids)[:, None])[:, 0]
        expected[: rollout.num_teacher] = torch.nan
        torch.testing.assert_close(torch.tensor(rollout.logps), expected, atol=1e-4, rtol=0, equal_nan=True)


def test_a_batch_knows_who_wrote_what(cast):
    draw = new_draw(cast)
    rollouts = draw_rollouts(draw, TeacherPrefix(0.75), slots_of(8))
    scores = score(cast, TrOPD(top_k=3), rollouts, draw.ledger).scores
    expected = [t < r.num_teacher for r in rollouts for t in range(len(r.response_ids))]
    assert scores.from_teacher.tolist() == expected
    assert scores.rollout_logp.isnan().tolist() == expected
    assert not scores.offline.any()


@pytest.mark.parametrize("fraction", [0.0, 0.9 / MAX_TOKENS])
def test_no_prefix_is_a_plain_rollout_and_costs_no_teacher(cast, fraction):
    guided, plain = new_draw(cast), new_draw(cast)
    found = draw_rollouts(guided, TeacherPrefix(fraction), slots_of())
    assert found == draw_rollouts(plain, Student(), slots_of())
    assert paid(guided) == paid(plain)
    assert set(paid(guided)) == {"student_rollout"}


def test_prefix_lengths_are_uniform(cast, teacher_texts):
    slots = slots_of(12 * 120)
    lengths: dict[int, list[int]] = {}
    for slot, prefix in zip(slots, teacher_prefixes(new_draw(cast), TeacherPrefix(1.0), slots), strict=True):
        lengths.setdefault(len(teacher_texts[problem_of(slot)]), []).append(len(prefix.token_ids))
    assert len(lengths) > 2
    p_values = [chisquare(np.bincount(found, minlength=n + 1)).pvalue for n, found in lengths.items()]
    assert all(len(np.bincount(found)) == n + 1 for n, found in lengths.items())
    assert min(p_values) > 1e-3


def shapes_of(cast: Cast) -> Shapes:
    return Shapes(cast.student.shape, {name: role.shape for name, role in cast.teachers.items()})


def drawing_bound(cast: Cast, trajectory: Trajectory, lengths: Lengths) -> Cost:
    """The bound on drawing alone: what a method without scores costs, less its update."""
    bound = prompt_bound(Drawing(drawn=trajectory), 0.0, shapes_of(cast), lengths)
    update = train_flops(cast.student.shape, lengths.prompt, lengths.response) * bound.sequences
    return Cost(bound.flops - update, bound.tokens, bound.sequences)


@pytest.mark.parametrize("length", ["uniform", "max"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_prefixes_are_charged_by_their_real_lengths(cast, teacher_texts, fraction, length):
    trajectory, longest = TeacherPrefix(fraction, length), int(fraction * MAX_TOKENS)
    bound = drawing_bound(cast, trajectory, Lengths(cast.max_prompt_tokens, MAX_TOKENS))
    teacher, student = cast.teacher_players[""], cast.current
    for slot in slots_of():
        draw = new_draw(cast)
        (rollout,) = draw_rollouts(draw, trajectory, [slot])
        written = min(longest, len(teacher_texts[problem_of(slot)]))
        prompt, own = len(prompt_of(cast, student, slot)), len(rollout.response_ids) - rollout.num_teacher
        expected = {
            "student_rollout": generate_flops(student.role.shape, prompt + rollout.num_teacher, own),
            "teacher_generation": generate_flops(teacher.role.shape, prompt, written),
        }
        counts = {"student_rollout": own, "teacher_generation": written}
        assert paid(draw) == {
            phase: {"generated_tokens": counts[phase], "flops": flops} for phase, flops in expected.items() if flops
        }
        assert draw.ledger.spend("flops") <= bound.flops
        assert draw.ledger.spend("tokens") <= bound.tokens


def test_no_prefix_costs_more_than_the_bound(cast):
    lengths, shapes = Lengths(16, 96), shapes_of(cast)
    bound = drawing_bound(cast, TeacherPrefix(1.0), lengths).flops
    costs = [
        generate_flops(shapes.teachers[""], lengths.prompt, lengths.response)
        + generate_flops(shapes.student, lengths.prompt + written, lengths.response - written)
        for written in range(lengths.response)
    ]
    assert max(costs) <= bound


TRAJECTORIES: dict[str, Trajectory] = {
    "student": Student(),
    "group": Group(3),
    "offline group": Group(3, num_offline=2),
    "prefix": TeacherPrefix(0.75),
    "longest prefix": TeacherPrefix(1.0, "max"),
    "refined": Refined(),
    "refined from the current student": Refined(draft=Student()),
    "filtered": Refined(keep="fail_and_succ"),
    "teacher": TeacherSamples(),
    "dataset": Dataset(),
    "mixed": Mixed(0.5, Student(), TeacherSamples()),
}


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_draws_repeat_and_do_not_depend_on_the_batch(cast, name):
    trajectory, slots = TRAJECTORIES[name], slots_of(10)
    together = draw_rollouts(new_draw(cast), trajectory, slots)
    same_rollouts(draw_rollouts(new_draw(cast), trajectory, slots), together)
    draw = new_draw(cast)
    alone = [rollout for slot in slots for rollout in draw_rollouts(draw, trajectory, [slot])]
    same_rollouts(alone, together)
    backwards = draw_rollouts(new_draw(cast), trajectory, slots[::-1])
    same_rollouts(sorted(backwards, key=lambda r: [s.index for s in slots].index(r.slot.index)), together)


@pytest.mark.parametrize("name", [name for name in TRAJECTORIES if name != "dataset"])
def test_another_seed_draws_something_else(cast, name):
    draws = [draw_rollouts(new_draw(cast, seed=seed), TRAJECTORIES[name], slots_of(10)) for seed in (0, 1)]
    assert [r.response_ids for r in draws[0]] != [r.response_ids for r in draws[1]]


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_no_draw_is_charged_more_than_its_bound(cast, name):
    draw = new_draw(cast)
    draw_rollouts(draw, TRAJECTORIES[name], slots_of())
    bound = drawing_bound(cast, TRAJECTORIES[name], Lengths(cast.max_prompt_tokens, MAX_TOKENS)).times(12)
    assert draw.ledger.spend("flops") <= bound.flops
    assert draw.ledger.spend("tokens") <= bound.tokens


@pytest.mark.parametrize("name", ["prefix", "longest prefix", "teacher", "offline group", "refined"])
def test_a_later_pass_pays_for_no_teacher_text_and_a_resumed_one_finds_it_again(cast, name, tmp_path):
    trajectory, slots = TRAJECTORIES[name], slots_of()
    draw = new_draw(cast, kept=KeptTexts.open(tmp_path / "texts.jsonl"))
    draw_rollouts(draw, trajectory, slots)
    first = paid(draw)["teacher_generation"]
    count = draw.kept.save()
    later = draw_rollouts(draw, trajectory, again(slots))
    assert paid(draw)["teacher_generation"] == first
    assert draw.kept.save() == count > 0
    resumed = new_draw(cast, kept=KeptTexts.open(tmp_path / "texts.jsonl"))
    same_rollouts(draw_rollouts(resumed, trajectory, again(slots)), later)
    assert "teacher_generation" not in paid(resumed)
    assert redone(resumed) == redone(draw) == 0


def test_a_resumed_run_forgets_the_texts_of_steps_that_it_takes_again(cast, tmp_path):
    texts, slots = KeptTexts.open(tmp_path / "texts.jsonl"), slots_of()
    draw_rollouts(new_draw(cast, kept=texts), TeacherSamples(), slots[:3])
    count = texts.save()
    draw_rollouts(new_draw(cast, kept=texts), TeacherSamples(), slots[3:6])
    assert texts.save() == 2 * count
    resumed = KeptTexts.open(tmp_path / "texts.jsonl")
    resumed.cut(count)
    draw = new_draw(cast, kept=resumed)
    draw_rollouts(draw, TeacherSamples(), slots[:6])
    lost = draw_rollouts(new_draw(cast), TeacherSamples(), slots[3:6])
    assert paid(draw)["teacher_generation"]["generated_tokens"] == sum(len(r.response_ids) for r in lost)


def test_a_text_cut_by_its_own_limit_is_not_drawn_again(cast):
    draw, slots = new_draw(cast), slots_of()
    trajectory = TeacherPrefix(1.0, teacher_sampling=Sampling(max_tokens=2))
    draw_rollouts(draw, trajectory, slots)
    first = paid(draw)["teacher_generation"]
    draw_rollouts(draw, trajectory, again(slots))
    assert paid(draw)["teacher_generation"] == first


def test_a_problem_that_comes_twice_in_a_batch_is_paid_for_once(cast):
    once, twice, slots = new_draw(cast), new_draw(cast), slots_of(2)
    draw_rollouts(once, TeacherSamples(), slots)
    draw_rollouts(twice, TeacherSamples(), [*slots, *again(slots)])
    assert paid(once) == paid(twice)


# ---------------------------------------------------------------------------------------------------- refinements


def drafts_of(rollouts: Sequence[Rollout]) -> list[tuple[int, ...]]:
    return [rollout.draft_ids for rollout in rollouts]


def shake(module: torch.nn.Module) -> None:
    """Change all weights, as training would."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.2 * torch.randn_like(value))


def test_drafts_of_the_initial_student_outlive_training(pair):
    cast = open_cast(pair)
    before = draw_rollouts(new_draw(cast), Refined(), slots_of())
    current = draw_rollouts(new_draw(cast), Refined(draft=Student()), slots_of())
    shake(cast.student.module)
    same_rollouts(draw_rollouts(new_draw(cast), Refined(), slots_of()), before)
    changed = draw_rollouts(new_draw(cast), Refined(draft=Student()), slots_of())
    assert drafts_of(changed) != drafts_of(current)


@pytest.mark.parametrize("author", ["initial", "current"])
def test_refinements_answer_a_prompt_that_quotes_the_draft(cast, author):
    draw = new_draw(cast)
    player, chat = cast.teacher_players[""], cast.student.chat
    prompts = {}
    for rollout in draw_rollouts(draw, Refined(draft=Student(author=author)), slots_of()):
        prompt = cast.prompt_ids(player.chat, rollout.slot.problem, "refine", rollout.draft)
        text = REFINE.format(prompt=rollout.slot.problem.problem.prompt, draft=rollout.draft)
        assert chat.tokenizer.decode(prompt) == f"<u>{text}<a>"
        assert rollout.draft == chat.decode(rollout.draft_ids)
        assert (rollout.num_teacher, rollout.offline) == (len(rollout.response_ids), True)
        assert np.isnan(rollout.logps).all()
        prompts[prompt] = len(rollout.response_ids)
    flops = sum(generate_flops(player.role.shape, len(prompt), count) for prompt, count in prompts.items())
    assert paid(draw)["teacher_generation"] == {"generated_tokens": sum(prompts.values()), "flops": flops}


def test_refinements_depend_on_the_draft(cast):
    whole = draw_rollouts(new_draw(cast), Refined(), slots_of())
    short = draw_rollouts(new_draw(cast), Refined(draft=Student(Sampling(max_tokens=1), "initial")), slots_of())
    assert all(a.draft_ids[:1] == b.draft_ids for a, b in zip(whole, short, strict=True))
    assert [r.response_ids for r in whole] != [r.response_ids for r in short]


@pytest.mark.parametrize("author", ["initial", "current"])
@pytest.mark.parametrize("keep", ["all", "fail", "succ", "fail_and_succ"])
def test_filters_keep_what_grading_by_hand_keeps(cast, keep, author):
    draft = Student(author=author)
    everything = draw_rollouts(new_draw(cast), Refined(draft=draft), slots_of())
    keeps = {
        "all": lambda drafted, refined: True,
        "fail": lambda drafted, refined: not drafted,
        "succ": lambda drafted, refined: drafted,
        "fail_and_succ": lambda drafted, refined: not drafted and refined,
    }
    even = [(len(r.draft_ids) % 2 == 0, len(r.response_ids) % 2 == 0) for r in everything]
    expected = [r for r, pair in zip(everything, even, strict=True) if keeps[keep](*pair)]
    draw = new_draw(cast)
    same_rollouts(draw_rollouts(draw, Refined(keep=keep, draft=draft), slots_of()), expected)
    assert 0 < len(expected) <= len(everything)
    assert (len(expected) < len(everything)) == (keep != "all")


@pytest.mark.parametrize("keep", ["fail", "fail_and_succ"])
def test_what_is_dropped_is_paid_for(cast, keep):
    draw, everything = new_draw(cast), new_draw(cast)
    drafted = [r.draft_ids for r in draw_rollouts(everything, Refined(), slots_of())]
    draw_rollouts(draw, Refined(keep=keep), slots_of())
    assert paid(draw)["student_rollout"] == paid(everything)["student_rollout"]
    assert paid(draw)["student_rollout"]["generated_tokens"] == sum(map(len, drafted))
    failed = draw_rollouts(new_draw(cast), Refined(keep="fail"), slots_of())
    assert paid(draw)["teacher_generation"]["generated_tokens"] == sum(len(r.response_ids) for r in failed)


@pytest.mark.parametrize("keep", ["all", "fail_and_succ"])
def test_a_second_pass_finds_drafts_and_refinements_again(cast, keep):
    draw, slots = new_draw(cast), slots_of()
    first = draw_rollouts(draw, Refined(keep=keep), slots)
    before = paid(draw)
    second = draw_rollouts(draw, Refined(keep=keep), again(slots))
    assert texts_by_problem(second) == texts_by_problem(first)
    assert paid(draw) == before
    assert redone(draw) == 0


def test_drafts_of_the_current_student_are_drawn_in_every_pass(cast):
    draw, slots = new_draw(cast), slots_of()
    first = draw_rollouts(draw, Refined(draft=Student()), slots)
    before = paid(draw)
    second = draw_rollouts(draw, Refined(draft=Student()), again(slots))
    assert drafts_of(first) != drafts_of(second)
    assert redone(draw) == 0
    for phase in ("student_rollout", "teacher_generation"):
        assert paid(draw)[phase]["generated_tokens"] > before[phase]["generated_tokens"]


LONG = "{prompt} {draft} once again with all of it"


def test_an_over_long_draft_loses_its_end(pair):
    problems = graded_problems(Parity(), LONG)
    cast = open_cast(pair, problems=problems)
    player, cut = cast.teacher_players[""], 0
    spoken = [r.slot.index for r in draw_rollouts(new_draw(cast), Refined(), slots_of()) if r.draft]
    slots = [slot for slot in slots_of(problems=problems) if slot.index in spoken]
    for rollout in draw_rollouts(new_draw(cast), Refined(), slots):
        prompt = cast.prompt_ids(player.chat, rollout.slot.problem, "refine", rollout.draft)
        whole = cast.student.chat.decode(rollout.draft_ids)
        assert len(prompt) <= cast.longest_quoting
        assert whole.startswith(rollout.draft)
        if rollout.draft != whole:
            cut += 1
            assert len(prompt) == cast.longest_quoting
    assert cut > 0


def test_a_template_that_is_too_long_without_a_draft_is_an_error(pair):
    problems = graded_problems(Parity(), LONG + LONG.removeprefix("{prompt} {draft}") * 2)
    with pytest.raises(DataError, match="max_prompt_tokens"):
        draw_rollouts(new_draw(open_cast(pair, problems=problems)), Refined(), slots_of(problems=problems))


def train(directory, method, pair, problems=PROBLEMS, **changes):
    torch.manual_seed(0)
    a_job = job(directory, method, *pair, problems=problems, **({"settings": WIDE} | changes))
    return TorchTrainer().train(a_job, Ledger(a_job.budget))


def records(directory) -> list[dict[str, Any]]:
    return RecordLog(directory / "steps.jsonl", read_only=True).records()


def test_a_batch_that_is_dropped_whole_keeps_its_spend_and_updates_nothing(pair, tmp_path):
    problems = graded_problems(Parity(only=("3",)))
    trained = train(tmp_path, TRD(keep="succ"), pair, problems, axis="steps", limit=2, fractions=(1.0,))
    steps = [record for record in records(tmp_path) if record["spend"]["step"] is not None]
    dropped = [record for record in steps if record["metrics"].get("rollouts") == 0]
    assert trained.summary["optimizer_steps"] == 2
    assert len(dropped) == len(steps) - 2 > 0
    first_pass = [record["spend"]["phases"] for record in dropped if record["spend"]["step"] <= 3]
    assert first_pass
    assert all(phases["student_rollout"]["flops"] > 0 for phases in first_pass)
    assert all("update" not in record["spend"]["phases"] for record in dropped)
    assert all(record["spend"]["spend_before"] == record["spend"]["spend_after"] for record in dropped)


def test_dropped_batches_leave_the_student_as_it_was(pair, tmp_path):
    problems = graded_problems(Parity(only=("3",)))
    place = next(s.index for s in slots_of(problems=problems) if s.problem.problem.id == "3")
    settings = WIDE.model_copy(update={"prompts_per_step": 1})
    stop = StopAfter(place)
    assert place > 0
    with pytest.raises(Interrupted):
        train(
            *(tmp_path, TRD(keep="succ"), pair, problems),
            **{"axis": "steps", "limit": 2, "settings": settings, "stop": stop, "report": stop.report},
        )
    state = load_file(tmp_path / "state" / "state.safetensors")
    start = load_file(pair[0].directory / "model.safetensors")
    assert all(torch.equal(state[f"parameter/{name}"], start[name]) for name in start)
    assert not any(name.startswith("exp_avg") for name in state)


@pytest.mark.parametrize(("axis", "limit"), [("steps", 3), ("flops", 3e8), ("tokens", 4000)])
def test_a_filter_that_keeps_nothing_is_an_error(pair, tmp_path, axis, limit):
    problems = graded_problems(Parity(only=()))
    with pytest.raises(ConfigError, match="kept no text"):
        train(tmp_path, TRD(keep="succ"), pair, problems, axis=axis, limit=limit)


# ------------------------------------------------------------------------------------------- everything else drawn


def test_a_mixture_is_one_of_its_parts_by_step(cast):
    first, second = Student(), TeacherSamples()
    for probability, part in ((1.0, first), (0.0, second)):
        found = draw_rollouts(new_draw(cast), Mixed(probability, first, second), slots_of())
        same_rollouts(found, draw_rollouts(new_draw(cast), part, slots_of()))
    parts = [
        draw_rollouts(new_draw(cast, step=step), Mixed(0.5, first, Dataset()), slots_of(1))[0].offline
        for step in range(60)
    ]
    assert 15 < sum(parts) < 45


def test_a_mixture_pays_for_teacher_texts_when_they_are_first_drawn(cast):
    draw, slots = new_draw(cast), slots_of()
    draw_rollouts(draw, Mixed(1.0, Student(), TeacherSamples()), slots)
    draw_rollouts(draw, Mixed(0.0, Student(), TeacherSamples()), again(slots))
    assert redone(draw) == 0
    assert paid(draw)["teacher_generation"]["generated_tokens"] > 0


def test_a_mixture_may_start_from_the_initial_student(pair):
    method = Drawing(drawn=Mixed(1.0, Student(author="initial"), Dataset()))
    cast, _ = _cast(job(pair[0].directory, method, *pair, settings=WIDE), method, WIDE)
    assert draw_rollouts(new_draw(cast), method.drawn, slots_of(2))


def test_a_group_ends_with_teacher_traces(cast):
    draw, size, num_offline = new_draw(cast), 4, 2
    rollouts = draw_rollouts(draw, Group(size, num_offline=num_offline), slots_of())
    assert [(r.slot.index, r.sample) for r in rollouts] == [(s.index, n) for s in slots_of() for n in range(size)]
    for rollout in rollouts:
        is_trace = rollout.sample >= size - num_offline
        assert rollout.offline == is_trace
        assert rollout.num_teacher == (len(rollout.response_ids) if is_trace else 0)
        assert np.isnan(rollout.logps).all() == is_trace
    counts = {True: 0, False: 0}
    for rollout in rollouts:
        counts[rollout.offline] += len(rollout.response_ids)
    assert paid(draw)["teacher_generation"]["generated_tokens"] == counts[True]
    assert paid(draw)["student_rollout"]["generated_tokens"] == counts[False]


def test_plain_rollouts_are_a_group_of_one(cast):
    group, plain = (draw_rollouts(new_draw(cast), one, slots_of()) for one in (Group(1), Student()))
    same_rollouts(group, plain)


def test_reference_solutions_cost_nothing(cast):
    draw = new_draw(cast)
    for rollout in draw_rollouts(draw, Dataset(), slots_of()):
        assert cast.student.chat.decode(rollout.response_ids) == rollout.slot.problem.problem.reference
        assert ends(cast, rollout.response_ids)
        assert (rollout.offline, rollout.num_teacher) == (True, len(rollout.response_ids))
    assert paid(draw) == {}


# ----------------------------------------------------------------------------------------------- a shared module


def score(cast: Cast, method: Method, rollouts: Sequence[Rollout], ledger: Ledger) -> Batch:
    return Batch(
        rollouts, cast, method, ledger, progress=0.0, seed=0, step=0, micro_batch_tokens=10_000, max_tokens=MAX_TOKENS
    )


def adapted_cast(pair) -> Cast:
    student, _ = pair
    return open_cast((student, student), settings=ADAPTED)


def learn(cast: Cast, steps: int = 3) -> None:
    """Fit reference solutions for some optimizer steps, so that the adapters do something."""
    student, draw = TrainedStudent(cast.student, ADAPTED), new_draw(cast)
    for _ in range(steps):
        batch = score(cast, SFT(), draw_rollouts(draw, Dataset(), slots_of()), draw.ledger)
        terms = SFT().terms(batch.scores, 0.0)
        report = student.step(batch, terms, range(12), learning_rate=1e-2, first_step=True)
        assert report.is_finite
        assert report.grad_norm > 0


def contexts_of(cast: Cast) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rollouts = draw_rollouts(new_draw(cast), Dataset(), slots_of())
    return [(prompt_of(cast, cast.current, r.slot), r.response_ids) for r in rollouts]


def is_trainable(cast: Cast) -> bool:
    return all(value.requires_grad == ("lora_" in name) for name, value in cast.student.module.named_parameters())


def test_a_self_teacher_shares_the_module(pair):
    cast, (student, teacher) = adapted_cast(pair), pair
    assert cast.initial is not None
    for role in (cast.teachers[""], cast.teacher_players[""].role, cast.initial.role):
        assert role.module is cast.student.module
    other = open_cast((student, teacher), settings=ADAPTED)
    assert other.teachers[""].module is not other.student.module
    assert open_cast((student, student)).teachers[""].module is not open_cast((student, student)).student.module


def test_a_shared_teacher_scores_as_a_frozen_copy_does(pair):
    from opdbench.checkpoints import compatible

    cast, (student, _) = adapted_cast(pair), pair
    copy = _role(student, compatible(student, student), cast.student.num_shared, WIDE)
    contexts = contexts_of(cast)
    expected = copy.score_hidden(contexts, 10_000)
    for is_trained in (False, True):
        found = cast.teachers[""].score_hidden(contexts, 10_000)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        own = cast.student.score_hidden(contexts, 10_000)
        assert bool((own - expected).abs().max() > 1e-2) == is_trained
        assert is_trainable(cast)
        learn(cast)


def test_adapters_start_from_the_seed_of_the_cell(pair):
    casts = [adapted_cast(pair) for _ in range(2)]
    for one, other in zip(*(cast.student.module.parameters() for cast in casts), strict=True):
        assert torch.equal(one, other)


def test_scoring_and_drawing_leave_the_adapters_on(pair):
    cast = adapted_cast(pair)
    learn(cast)
    contexts = contexts_of(cast)
    own = cast.student.score_hidden(contexts, 10_000)
    draw = new_draw(cast)
    batch = score(cast, TRD(), draw_rollouts(draw, Refined(), slots_of()), draw.ledger)
    batch.role_logits("teacher", torch.arange(5))
    torch.testing.assert_close(cast.student.score_hidden(contexts, 10_000), own, atol=0, rtol=0)
    assert is_trainable(cast)
    hidden = cast.student.hidden(contexts)
    hidden.sum().backward()
    assert all(v.grad is not None for name, v in cast.student.module.named_parameters() if "lora_" in name)


def test_an_adapted_student_starts_from_the_untouched_one(pair):
    student, _ = pair
    plain, cast = open_cast((student, student)), adapted_cast(pair)
    expected = draw_rollouts(new_draw(plain), Student(author="initial"), slots_of())
    teacher = draw_rollouts(new_draw(plain), TeacherSamples(), slots_of())
    before = draw_rollouts(new_draw(cast), Student(), slots_of())
    for _ in range(2):
        same_rollouts(draw_rollouts(new_draw(cast), Student(author="initial"), slots_of()), expected)
        same_rollouts(draw_rollouts(new_draw(cast), TeacherSamples(), slots_of()), teacher)
        learn(cast)
    after = draw_rollouts(new_draw(cast), Student(), slots_of())
    assert [r.response_ids for r in after] != [r.response_ids for r in before]


# ---------------------------------------------------------------------------------------------------- resumed runs


class StopAfter:
    """Says stop once a number of steps was reported."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def report(self, step, progress, metrics) -> None:
        self.left -= 1

    def __call__(self) -> bool:
        return self.left <= 0


def spends(directory) -> list[Any]:
    """Every step's charges on the budget; a resumed run redoes texts, which no budget pays for."""
    found = []
    for record in records(directory):
        spend = {name: value for name, value in record["spend"].items() if name != "timing"}
        phases = {phase: counts for phase, counts in spend["phases"].items() if counts and phase not in OFF_BUDGET}
        found.append((spend | {"phases": phases}, record["metrics"]))
    return found


RESUMED = {
    "tropd": (TrOPD(top_k=3), WIDE, {}),
    "tropd, two updates": (TrOPD(top_k=3, length="max"), WIDE.model_copy(update={"updates_per_batch": 2}), {}),
    "trd": (TRD(), WIDE, {}),
    "trd, filtered": (TRD(keep="fail"), WIDE, {}),
    "trd, adapted": (TRD(), ADAPTED, {}),
    "trd, on steps": (TRD(keep="fail_and_succ"), WIDE, {"axis": "steps", "limit": 9}),
}
QUICK = ("tropd", "trd, filtered")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RESUMED])
def test_a_resumed_run_ends_where_a_whole_one_does(pair, tmp_path, name):
    method, settings, changes = RESUMED[name]
    changes = {"settings": settings, "limit": 1.1e8} | changes
    whole = train(tmp_path / "whole", method, pair, **changes)
    for steps in (1, 3, 2):
        stop = StopAfter(steps)
        with pytest.raises(Interrupted):
            train(tmp_path / "pieces", method, pair, stop=stop, report=stop.report, **changes)
    pieces = train(tmp_path / "pieces", method, pair, **changes)
    assert whole.summary == pieces.summary
    assert whole.summary["prompts"] > 12
    for one, other in zip(whole.checkpoints, pieces.checkpoints, strict=True):
        assert (one.step, one.spend) == (other.step, other.spend)
        weights = [(checkpoint.directory / "model.safetensors").read_bytes() for checkpoint in (one, other)]
        assert weights[0] == weights[1]
    assert spends(tmp_path / "whole") == spends(tmp_path / "pieces")
