"""Texts that the teacher writes: samples, prefixes and refinements, each paid for once and used again."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from opdbench.engines.engine import Tokens
from opdbench.method import Refined, Sampling, Student, TeacherPrefix
from opdbench.records import content_key, derive_seed
from opdbench.trainer import TrainingProblem
from opdbench.training.cast import Player
from opdbench.training.grading import as_sample, outcomes
from opdbench.training.trajectories import Ask, Draw, Rollout, Slot, unknown


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A text to use again: what it is kept under, and who writes it."""

    key: str
    player: Player
    ask: Ask


def _texts(draw: Draw, wanted: Sequence[_Wanted], sampling: Sampling) -> list[Tokens]:
    """Return all texts, having drawn and paid for those that are not kept, or not kept long enough."""
    missing: dict[int, list[_Wanted]] = defaultdict(list)
    texts = {text.key: draw.kept.find(text.key, _limit(draw, text, sampling)) for text in wanted}
    for text in {text.key: text for text in wanted}.values():
        if texts[text.key] is None:
            missing[id(text.player)].append(text)
    for group in missing.values():
        answers = draw.sample(group[0].player, [text.ask for text in group], sampling)
        for text, answer in zip(group, answers, strict=True):
            draw.kept.keep(text.key, answer, _limit(draw, text, sampling))
            texts[text.key] = answer
    return [found for text in wanted if (found := texts[text.key]) is not None]


def _limit(draw: Draw, text: _Wanted, sampling: Sampling) -> int:
    limit, own = draw.limit(sampling), text.ask.max_tokens
    return limit if own is None else min(limit, own)


def _teacher_text(draw: Draw, slot: Slot, key: str, max_tokens: int | None = None) -> _Wanted:
    """Return a teacher's answer to the plain prompt; its seed belongs to the problem, so that a resumed run agrees."""
    player = draw.cast.teacher_player(slot.problem)
    ids = draw.cast.prompt_ids(player.chat, slot.problem)
    return _Wanted(key, player, Ask(ids, derive_seed(draw.seed, "teacher", key), max_tokens=max_tokens))


def teacher_rollouts(draw: Draw, sampling: Sampling, slots: Sequence[Slot], number: int) -> list[Rollout]:
    """Answer each problem once: a later pass over the data finds the same text and pays nothing."""
    answers = _texts(draw, [_teacher_text(draw, slot, slot.key(number)) for slot in slots], sampling)
    return [_offline(slot, number, answer) for slot, answer in zip(slots, answers, strict=True)]


def teacher_prefixes(draw: Draw, trajectory: TeacherPrefix, slots: Sequence[Slot]) -> list[Tokens]:
    """Return a prefix per slot; the teacher writes no more than the longest prefix that may be drawn."""
    longest = int(trajectory.fraction * draw.max_tokens)
    if longest == 0:
        return [Tokens((), (), "length")] * len(slots)
    wanted = [_teacher_text(draw, slot, f"{slot.key(0)}/prefix", longest) for slot in slots]
    texts = _texts(draw, wanted, trajectory.teacher_sampling)
    return [_cut(draw, trajectory, slot, text, longest) for slot, text in zip(slots, texts, strict=True)]


def _cut(draw: Draw, trajectory: TeacherPrefix, slot: Slot, text: Tokens, longest: int) -> Tokens:
    length = available = min(longest, len(text.token_ids))
    if trajectory.length == "uniform":
        length = int(derive_seed(draw.seed, "prefix", slot.index) / 2**63 * (available + 1))
    is_whole = length == len(text.token_ids) and text.finish_reason == "stop"
    return Tokens(text.token_ids[:length], (), "stop" if is_whole else "length")


def initial_drafts(draw: Draw, trajectory: Student, slots: Sequence[Slot]) -> list[Rollout]:
    """Let the student that training started from answer each problem once (arXiv 2606.08432, stage 1)."""
    player = draw.cast.initial
    assert player is not None
    keys = [f"{slot.key(0)}/draft" for slot in slots]
    asks = draw.asks(player, slots, [derive_seed(draw.seed, "draft", key) for key in keys])
    wanted = [_Wanted(key, player, ask) for key, ask in zip(keys, asks, strict=True)]
    return [
        _offline(slot, 0, text) for slot, text in zip(slots, _texts(draw, wanted, trajectory.sampling), strict=True)
    ]


def refine(draw: Draw, trajectory: Refined, drafts: Sequence[Rollout]) -> list[Rollout]:
    """Let the teacher rewrite drafts (arXiv 2606.08432, stage 2), and keep what the filter keeps."""
    keep = trajectory.keep
    if keep != "all":
        drafts = _graded(draw, drafts, correct=keep == "succ")
    refined = _refinements(draw, trajectory, drafts)
    return _graded(draw, refined, correct=True) if keep == "fail_and_succ" else refined


def _refinements(draw: Draw, trajectory: Refined, drafts: Sequence[Rollout]) -> list[Rollout]:
    """Rewrite each draft; the same draft of a later pass finds its refinement again."""
    chat, wanted, quotes = draw.cast.student.chat, list[_Wanted](), list[str]()
    for draft in drafts:
        player = draw.cast.teacher_player(draft.slot.problem)
        quote = _fitting(draw, player, draft.slot.problem, trajectory.template, chat.decode(draft.response_ids))
        ids = draw.cast.prompt_ids(player.chat, draft.slot.problem, trajectory.template, quote)
        key = f"{draft.slot.key(0)}/refined/{content_key(quote)}"
        wanted.append(_Wanted(key, player, Ask(ids, derive_seed(draw.seed, "refined", key))))
        quotes.append(quote)
    texts = _texts(draw, wanted, trajectory.sampling)
    return [
        dataclasses.replace(_offline(draft.slot, 0, text), draft=quote, draft_ids=draft.response_ids)
        for draft, text, quote in zip(drafts, texts, quotes, strict=True)
    ]


def _fitting(draw: Draw, player: Player, problem: TrainingProblem, template: str, draft: str) -> str:
    """Cut a draft from its end until the prompt that quotes it fits, as the code of arXiv 2606.08432 does."""
    chat = player.chat
    excess = len(chat.prompt_ids(problem.task.message(problem.problem, template, draft))) - draw.cast.longest_quoting
    ids = chat.response_ids(draft)[:-1]
    if excess <= 0 or not ids:
        return draft
    return _fitting(draw, player, problem, template, chat.decode(ids[: max(0, len(ids) - excess)]))


def _graded(draw: Draw, rollouts: Sequence[Rollout], *, correct: bool) -> list[Rollout]:
    """Return the rollouts with one outcome."""
    read = draw.cast.student.chat.reply
    with draw.ledger.phase("reward"):
        rewards = outcomes(
            [
                (
                    r.slot.problem,
                    as_sample(r.slot.problem, read(r.response_ids), len(r.response_ids), truncated=r.truncated),
                )
                for r in rollouts
            ]
        )
    return [rollout for rollout, reward in zip(rollouts, rewards, strict=True) if bool(reward) == correct]


def _offline(slot: Slot, number: int, text: Tokens) -> Rollout:
    count = len(text.token_ids)
    truncated = text.finish_reason == "length"
    return Rollout(slot, number, text.token_ids, unknown(count), num_teacher=count, offline=True, truncated=truncated)
