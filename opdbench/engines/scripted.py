"""An engine that reads its answers from a file: for tests, plug-in authors and dry runs. Rows made with it are marked.

``scripted.json`` in the model's directory holds ``default`` (text of any other prompt), ``answers`` (prompt to a text
or a list of texts, of which the seed picks one) and, optionally, ``finish`` (answer text to ``stop`` or ``length``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from opdbench.engines.engine import EngineSettings, Prompt, Reply
from opdbench.errors import ModelError
from opdbench.method import Sampling
from opdbench.records import FinishReason
from opdbench.trainer import LocatedModel

FILE = "scripted.json"


class Script(BaseModel):
    """The content of ``scripted.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: str = ""
    answers: dict[str, str | list[str]] = {}
    finish: dict[str, FinishReason] = {}

    def answer(self, prompt: Prompt) -> Reply:
        """Return the answer to one prompt; tokens are its words."""
        listed = self.answers.get(prompt.text, self.default)
        texts = [listed] if isinstance(listed, str) else listed or [self.default]
        text = texts[prompt.seed % len(texts)]
        return Reply(text, len(text.split()), self.finish.get(text, "stop"))


@dataclass(slots=True)
class ScriptedEngine:
    """Answers from a script; sampling settings change nothing."""

    script: Script = field(default_factory=Script)
    marks: tuple[str, ...] = ("scripted",)

    version: ClassVar[int] = 1

    @classmethod
    def open(cls, model: LocatedModel, settings: EngineSettings) -> ScriptedEngine:
        """Read the script of a model.

        Raises:
            ModelError: there is none, or it is not one.
        """
        path = model.directory / FILE
        try:
            return cls(Script.model_validate_json(path.read_bytes()))
        except FileNotFoundError:
            raise ModelError(f"model {model.name!r}: engine 'scripted' needs {path}, which does not exist") from None
        except ValidationError as error:
            raise ModelError(f"model {model.name!r}: {path} is not a script: {error}") from error

    @property
    def id(self) -> str:
        """Name and version."""
        return f"scripted-{self.version}"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        """Answer messages, in their order."""
        return [self.script.answer(prompt) for prompt in prompts]

    def close(self) -> None:
        """Do nothing."""
