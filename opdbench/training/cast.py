"""The cast of a cell: who plays student, teacher and reference, and who samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opdbench.budget import Phase
from opdbench.engines.chat import Chat
from opdbench.engines.engine import TokenEngine, TokenPrompt, Tokens
from opdbench.method import Role, Sampling
from opdbench.trainer import TrainingProblem
from opdbench.training.roles import RoleModel


@dataclass(frozen=True, slots=True)
class Player:
    """A model that samples: its engine, how it is shown prompts, and the role model whose architecture it shares."""

    role: RoleModel
    engine: TokenEngine
    chat: Chat
    phase: Phase

    def generate(self, prompts: Sequence[TokenPrompt], sampling: Sampling) -> list[Tokens]:
        """Continue prompts, in their order."""
        with self.role.without_adapters():
            return self.engine.generate(prompts, sampling) if prompts else []


@dataclass(slots=True)
class Cast:
    """All models of a cell. ``teachers`` and ``teacher_players`` by domain, ``""`` being the default."""

    student: RoleModel
    teachers: Mapping[str, RoleModel]
    reference: RoleModel | None
    current: Player
    initial: Player | None
    teacher_players: Mapping[str, Player]
    max_prompt_tokens: int
    max_tokens: int
    _identities: dict[int, object] = field(default_factory=dict[int, object])
    _prompts: dict[tuple[object, str, str, str], tuple[int, ...]] = field(
        default_factory=dict[tuple[object, str, str, str], tuple[int, ...]]
    )

    @property
    def longest_quoting(self) -> int:
        """The longest prompt that quotes a draft, in tokens: a plain one and a whole response."""
        return self.max_prompt_tokens + self.max_tokens

    def teacher_key(self, problem: TrainingProblem) -> str:
        """Return which teacher a problem's domain has."""
        return problem.problem.domain if problem.problem.domain in self.teachers else ""

    def role_model(self, role: Role, problem: TrainingProblem) -> RoleModel:
        """Return the model that plays a role for a problem."""
        if role == "student":
            return self.student
        if role == "reference":
            assert self.reference is not None
            return self.reference
        return self.teachers[self.teacher_key(problem)]

    def teacher_player(self, problem: TrainingProblem) -> Player:
        """Return the teacher that samples for a problem."""
        return self.teacher_players[self.teacher_key(problem)]

    def prompt_ids(
        self, chat: Chat, problem: TrainingProblem, template: str = "plain", draft: str = ""
    ) -> tuple[int, ...]:
        """Return a prompt's ids for one model in one use, remembered unless it quotes a draft.

        Raises:
            DataError: the prompt is longer than ``max_prompt_tokens``, a quoted draft not counted.
        """
        if id(chat) not in self._identities:
            self._identities[id(chat)] = chat.identity
        key = (self._identities[id(chat)], problem.task.id, problem.problem.id, template)
        if not draft and key in self._prompts:
            return self._prompts[key]
        message = problem.task.message(problem.problem, template, draft)
        is_quoting = "{draft}" in problem.task.templates.get(template, "")
        limit = self.longest_quoting if is_quoting else self.max_prompt_tokens
        ids = tuple(chat.prompt_ids(message, max_tokens=limit))
        if not draft:
            self._prompts[key] = ids
        return ids
