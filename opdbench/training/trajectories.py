"""What training texts are made of: prompts of the stream, rollouts, and the means to draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from opdbench.budget import Ledger
from opdbench.engines.engine import TokenPrompt, Tokens
from opdbench.flops import generate_flops
from opdbench.method import Sampling
from opdbench.trainer import TrainingProblem
from opdbench.training.cast import Cast, Player
from opdbench.training.texts import KeptTexts


@dataclass(frozen=True, slots=True)
class Slot:
    """A prompt of the stream: its place, the pass over the data, and the problem. The same for every row of a seed."""

    index: int
    epoch: int
    problem: TrainingProblem

    def key(self, number: int) -> str:
        """Return what a reused text is kept under: the problem, and the number of the text for it."""
        return f"{self.problem.task.id}/{self.problem.problem.id}/{number}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One training sequence.

    Attributes:
        slot: Its prompt; rollouts of one slot form a group.
        sample: Number within the slot.
        response_ids: Response tokens, the end-of-sequence token included where it was sampled.
        logps: The current student's log-probability of each, NaN where somebody else wrote the token.
        num_teacher: How many leading tokens the teacher wrote.
        offline: Whether the whole sequence is off-policy.
        draft: What a refine template quotes.
        draft_ids: The tokens of the draft before it was quoted.
        truncated: Whether the response ran into its limit.
    """

    slot: Slot
    sample: int
    response_ids: tuple[int, ...]
    logps: tuple[float, ...]
    num_teacher: int = 0
    offline: bool = False
    draft: str = ""
    draft_ids: tuple[int, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """What a player is to continue: a prompt, the beginning of a response in shared ids, and how long it may get."""

    prompt_ids: tuple[int, ...]
    seed: int
    prefix_ids: tuple[int, ...] = ()
    max_tokens: int | None = None


@dataclass(slots=True)
class Draw:
    """Everything that drawing needs: who samples, what it costs, the seed of this cell, and texts to use again."""

    cast: Cast
    ledger: Ledger
    seed: int
    step: int
    max_tokens: int
    kept: KeptTexts

    def asks(self, player: Player, slots: Sequence[Slot], seeds: Sequence[int]) -> list[Ask]:
        """Return the plain prompts of slots as one player sees them."""
        prompts = [self.cast.prompt_ids(player.chat, slot.problem) for slot in slots]
        return [Ask(ids, seed) for ids, seed in zip(prompts, seeds, strict=True)]

    def limit(self, sampling: Sampling) -> int:
        """Return the longest response under a sampling, in tokens."""
        return self.max_tokens if sampling.max_tokens is None else min(sampling.max_tokens, self.max_tokens)

    def sample(self, player: Player, asks: Sequence[Ask], sampling: Sampling) -> list[Tokens]:
        """Let one player write, and charge it."""
        resolved = Sampling(sampling.temperature, sampling.top_p, sampling.top_k, self.limit(sampling))
        requests = [
            TokenPrompt((*ask.prompt_ids, *player.role.own_ids(ask.prefix_ids)), ask.seed, ask.max_tokens)
            for ask in asks
        ]
        with self.ledger.phase(player.phase) as meter:
            answers = player.generate(requests, resolved)
            for request, answer in zip(requests, answers, strict=True):
                count = len(answer.token_ids)
                meter.add(
                    generated_tokens=count, flops=generate_flops(player.role.shape, len(request.token_ids), count)
                )
        return answers


def unknown(count: int) -> tuple[float, ...]:
    """Return the log-probabilities of tokens that the current student did not write."""
    return (math.nan,) * count
