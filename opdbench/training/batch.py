"""Turns rollouts into a scored batch: packed tensors, contexts per role, and what the method needs of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opdbench.budget import Ledger, Phase
from opdbench.flops import score_flops
from opdbench.method import Argmax, Distribution, Entropy, Logp, Method, Need, Reward, Role
from opdbench.pricing import needs_pre_update_pass
from opdbench.records import Sample
from opdbench.training.cast import Cast
from opdbench.training.roles import Context, RoleModel
from opdbench.training.scores import BatchScores, Packed, head_scores
from opdbench.training.terms import Layout
from opdbench.training.trajectories import Rollout

_PHASE: dict[Role, Phase] = {
    "student": "pre_update",
    "teacher": "teacher_scoring",
    "reference": "reference_scoring",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hidden states of one model at the rows of the batch that it scores."""

    model: RoleModel
    rows_n: Tensor
    hidden_nH: Tensor


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
        self._kept: dict[Role, list[_Seen]] = {}
        self.packed = _pack(rollouts, cast)
        self._rows = torch.arange(len(self.packed.tokens_N), device=cast.student.device).split(self.packed.lengths)
        self.contexts = [self._context("student", cast.student, rollout) for rollout in rollouts]
        needs = tuple(method.needs(progress))
        values = self._values(needs)
        rewards = self._rewards() if Reward() in needs else None
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
        out_nV: Tensor | None = None
        for seen in self._kept[role]:
            place = torch.searchsorted(seen.rows_n, rows_n).clamp(max=len(seen.rows_n) - 1)
            mine = seen.rows_n[place] == rows_n
            if not bool(mine.any()):
                continue
            logits = (seen.hidden_nH[place[mine]] @ seen.model.head_VH.T).float()
            out_nV = logits.new_empty(len(rows_n), logits.shape[-1]) if out_nV is None else out_nV
            out_nV[mine] = logits
        assert out_nV is not None
        return out_nV

    def _context(self, role: Role, model: RoleModel, rollout: Rollout) -> Context:
        template = self._method.templates.get(role, "plain")
        draft = rollout.draft if template != "plain" else ""
        return self._cast.prompt_ids(model, rollout.slot.problem, template, draft), rollout.response_ids

    def _values(self, needs: tuple[Need, ...]) -> dict[Need, Tensor]:
        values: dict[Need, Tensor] = {Logp("student"): self.packed.rollout_logp_N}
        asked: dict[Role, list[Need]] = defaultdict(list)
        for need in (*needs, *_implied(needs)):
            if isinstance(need, Logp | Entropy | Argmax | Distribution) and need not in asked[need.role]:
                asked[need.role].append(need)
        for role in ("teacher", "reference"):
            if asked[role]:
                values |= self._score(role, asked[role], values)
        charged = needs_pre_update_pass(needs)
        if charged or (asked["student"] and bool(self.packed.rollout_logp_N.isnan().any())):
            values |= self._score("student", [Logp("student"), *asked["student"]], values, charged=charged)
        return values

    def _score(
        self, role: Role, needs: Sequence[Need], values: dict[Need, Tensor], *, charged: bool = True
    ) -> dict[Need, Tensor]:
        """Score the batch under one role; several models may share it, each for its own sequences."""
        wanted: dict[Need, Tensor | None] = {
            need: self._ids(need, values) for need in needs if not isinstance(need, Distribution)
        }
        out: dict[Need, Tensor] = {}
        with self._ledger.phase(_PHASE[role]) as meter:
            for model, members in self._by_model(role).items():
                seen = self._see(role, model, members)
                if charged:
                    contexts = [self._context(role, model, self.rollouts[i]) for i in members]
                    meter.add(
                        scored_tokens=len(seen.rows_n),
                        flops=sum(score_flops(model.shape, len(prompt), len(answer)) for prompt, answer in contexts),
                    )
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

    def _see(self, role: Role, model: RoleModel, members: Sequence[int]) -> _Seen:
        contexts = [self._context(role, model, self.rollouts[i]) for i in members]
        return _Seen(model, self.rows(members), model.score_hidden(contexts, self._micro_batch_tokens))

    def _rewards(self) -> Tensor:
        """Grade every response with the grader of its own task."""
        rewards = torch.zeros(len(self.rollouts), device=self.packed.tokens_N.device)
        by_task: dict[str, list[int]] = defaultdict(list)
        for i, rollout in enumerate(self.rollouts):
            by_task[rollout.slot.problem.task.id].append(i)
        with self._ledger.phase("reward"):
            for members in by_task.values():
                grader = self.rollouts[members[0]].slot.problem.task.grader
                items = [(self.rollouts[i].slot.problem.problem, self._as_sample(self.rollouts[i])) for i in members]
                for i, grade in zip(members, grader.grade(items), strict=True):
                    rewards[i] = float(grade.verdict == "correct")
        return rewards

    def _as_sample(self, rollout: Rollout) -> Sample:
        problem = rollout.slot.problem
        text = self._cast.student.chat.decode(rollout.response_ids)
        finish = "length" if rollout.truncated else "stop"
        return Sample(problem.task.id, problem.problem.id, rollout.sample, 0, text, len(rollout.response_ids), finish)


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
