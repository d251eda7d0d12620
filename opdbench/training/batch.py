"""Turns rollouts into a scored batch: packed tensors, contexts per role, and what the method needs of each."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from opdbench.budget import Ledger, Meter, OffBudget, Phase
from opdbench.engines.chat import Chat
from opdbench.flops import score_flops
from opdbench.method import Argmax, Distribution, Entropy, Logp, Method, Need, Reward, Role
from opdbench.pricing import needs_pre_update_pass
from opdbench.records import Sample
from opdbench.training.cast import Cast
from opdbench.training.grading import as_sample, outcomes
from opdbench.training.roles import Context, RoleModel, Seen, seen_logits
from opdbench.training.scores import BatchScores, Packed, head_scores
from opdbench.training.trajectories import Rollout
from opdbench.training.weights import Layout

_PHASE: dict[Role, Phase] = {
    "student": "pre_update",
    "teacher": "teacher_scoring",
    "reference": "reference_scoring",
}


class Batch:
    """One rollout batch and its scores.

    Attributes:
        rollouts: The sequences.
        packed: Their response tokens.
        contexts: Prompt and response of each sequence as the student sees it.
        scores: What the method's needs named.
        layout: What the terms walk needs.
    """

    def __init__(
        self,
        rollouts: Sequence[Rollout],
        cast: Cast,
        method: Method,
        ledger: Ledger,
        *,
        progress: float,
        seed: int,
        step: int,
        micro_batch_tokens: int,
        max_tokens: int,
    ) -> None:
        self.rollouts = rollouts
        self._cast, self._method, self._ledger = cast, method, ledger
        self._micro_batch_tokens = micro_batch_tokens
        self._kept: dict[Role, list[Seen]] = {}
        self.packed = _pack(rollouts, cast)
        self._rows = torch.arange(len(self.packed.tokens_N), device=cast.student.device).split(self.packed.lengths)
        self.contexts = [self._context("student", cast.student, rollout) for rollout in rollouts]
        needs = tuple(method.needs(progress))
        values = self._values(needs)
        rewards = self.rewards("reward") if Reward() in needs else None
        ids = [rollout.slot.index * 4096 + rollout.sample for rollout in rollouts]
        self.scores = BatchScores(self.packed, values, rewards, seed, step, max_tokens, ids)
        old_logp_N = values[Logp("student")]
        self.layout = Layout(self.packed.tokens_N, self.packed.sequence_N, old_logp_N, self.packed.rollout_logp_N)

    def rows(self, sequences: Sequence[int]) -> Tensor:
        """Return the packed rows of some sequences, in order."""
        return torch.cat([self._rows[i] for i in sequences])

    def role_logits(self, role: Role, rows_n: Tensor) -> Tensor:
        """Return a role's logits ``[n, V]`` over the shared ids, from hidden states kept for the batch."""
        if role not in self._kept:
            raise LookupError(f"{Distribution(role)} was not named in needs()")
        return seen_logits(self._kept[role], rows_n)

    def observer(self, role: Role) -> Callable[[Tensor], Tensor] | None:
        """Return a role's logits as a function of rows, from a pass off the budget where no method paid for one.

        None where some sequence has nobody in this role. What is found here is not kept for the terms.
        """
        if role in self._kept:
            return functools.partial(seen_logits, self._kept[role])
        asked = {self._cast.teacher_key(rollout.slot.problem) for rollout in self.rollouts}
        if role == "teacher" and not asked <= self._cast.teachers.keys():
            return None
        with self._ledger.phase("diagnostics") as meter:
            parts = self._by_model(role)
            found = [self._see(role, model, members) for model, members in parts.items()]
            for model, members in parts.items():
                self._charge(meter, role, model, members)
        return functools.partial(seen_logits, found)

    @property
    def chat(self) -> Chat:
        """How the student's texts become tokens and tokens texts."""
        return self._cast.student.chat

    def _context(self, role: Role, model: RoleModel, rollout: Rollout) -> Context:
        template = self._method.templates.get(role, "plain")
        draft = rollout.draft if template != "plain" else ""
        return self._cast.prompt_ids(model.chat, rollout.slot.problem, template, draft), rollout.response_ids

    def _values(self, needs: tuple[Need, ...]) -> dict[Need, Tensor]:
        values: dict[Need, Tensor] = {Logp("student"): self.packed.rollout_logp_N}
        asked: dict[Role, list[Need]] = defaultdict(list)
        for need in (*needs, *_implied(needs)):
            if isinstance(need, Logp | Entropy | Argmax | Distribution) and need not in asked[need.role]:
                asked[need.role].append(need)
        for role in ("teacher", "reference"):
            if asked[role]:
                values |= self._score(role, asked[role], values)
        if needs_pre_update_pass(needs):
            values |= self._score("student", list(dict.fromkeys([Logp("student"), *asked["student"]])), values)
        return values

    def _score(self, role: Role, needs: Sequence[Need], values: dict[Need, Tensor]) -> dict[Need, Tensor]:
        """Score the batch under one role; several models may share it, each for its own sequences."""
        wanted: dict[Need, Tensor | None] = {
            need: self._ids(need, values) for need in needs if not isinstance(need, Distribution)
        }
        out: dict[Need, Tensor] = {}
        with self._ledger.phase(_PHASE[role]) as meter:
            for model, members in self._by_model(role).items():
                seen = self._see(role, model, members)
                self._charge(meter, role, model, members)
                mine: dict[Need, Tensor | None] = {
                    need: None if ids is None else ids[seen.rows_n] for need, ids in wanted.items()
                }
                for need, found in head_scores(seen.hidden_nH, model.head_VH, mine).items():
                    out.setdefault(need, found.new_empty(len(self.packed.tokens_N)))[seen.rows_n] = found
                if Distribution(role) in needs:
                    self._kept.setdefault(role, []).append(seen)
        return out

    def _ids(self, need: Need, values: dict[Need, Tensor]) -> Tensor | None:
        if not isinstance(need, Logp):
            return None
        return self.packed.tokens_N if need.at == "sampled" else values[Argmax("teacher")]

    def _by_model(self, role: Role) -> dict[RoleModel, list[int]]:
        groups: dict[RoleModel, list[int]] = defaultdict(list)
        for i, rollout in enumerate(self.rollouts):
            groups[self._cast.role_model(role, rollout.slot.problem)].append(i)
        return groups

    def _charge(self, meter: Meter, role: Role, model: RoleModel, members: Sequence[int]) -> None:
        contexts = [self._context(role, model, self.rollouts[i]) for i in members]
        meter.add(
            scored_tokens=sum(len(answer) for _, answer in contexts),
            flops=sum(score_flops(model.shape, len(prompt), len(answer)) for prompt, answer in contexts),
        )

    def _see(self, role: Role, model: RoleModel, members: Sequence[int]) -> Seen:
        contexts = [self._context(role, model, self.rollouts[i]) for i in members]
        return Seen(model, self.rows(members), model.score_hidden(contexts, self._micro_batch_tokens))

    def rewards(self, phase: Phase | OffBudget) -> Tensor:
        """Grade every response with the grader of its own task, 1.0 or 0.0, ``[B]``."""
        with self._ledger.phase(phase):
            rewards = outcomes([(rollout.slot.problem, self._as_sample(rollout)) for rollout in self.rollouts])
        return torch.tensor(rewards, device=self.packed.tokens_N.device)

    def _as_sample(self, rollout: Rollout) -> Sample:
        ids = rollout.response_ids
        text = self._cast.student.chat.reply(ids)
        return as_sample(rollout.slot.problem, text, len(ids), number=rollout.sample, truncated=rollout.truncated)


def _implied(needs: tuple[Need, ...]) -> tuple[Need, ...]:
    """The student's log-probability of the teacher's argmax needs that argmax."""
    return (Argmax("teacher"),) if any(isinstance(n, Logp) and n.at == "teacher_argmax" for n in needs) else ()


def _pack(rollouts: Sequence[Rollout], cast: Cast) -> Packed:
    device = cast.student.device
    lengths = torch.tensor([len(rollout.response_ids) for rollout in rollouts])
    written = [[t < rollout.num_teacher for t in range(len(rollout.response_ids))] for rollout in rollouts]
    known = [set(cast.teachers) <= {""} or bool(cast.teacher_key(rollout.slot.problem)) for rollout in rollouts]
    return Packed(
        tokens_N=torch.tensor([id for rollout in rollouts for id in rollout.response_ids], device=device),
        sequence_N=torch.arange(len(rollouts)).repeat_interleave(lengths).to(device),
        rollout_logp_N=torch.tensor([x for rollout in rollouts for x in rollout.logps], device=device),
        from_teacher_N=torch.tensor([flag for flags in written for flag in flags], device=device),
        offline_B=torch.tensor([rollout.offline for rollout in rollouts], device=device),
        group_B=torch.tensor([rollout.slot.index for rollout in rollouts], device=device),
        has_teacher_B=torch.tensor(known, device=device),
        num_sequences=len(rollouts),
    )
