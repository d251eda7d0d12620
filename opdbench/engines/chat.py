"""From a message to the token ids of a prompt, and from token ids back to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from opdbench.checkpoints import check_safe, read_json
from opdbench.errors import DataError, ModelError
from opdbench.model import Presentation, Use
from opdbench.records import content_key
from opdbench.trainer import LocatedModel

THOUGHT_START, THOUGHT_END = "<think>", "</think>"
_MARK = "[message]"


@dataclass(frozen=True, slots=True)
class Chat:
    """How one model is shown prompts in one use.

    Attributes:
        tokenizer: The checkpoint's tokenizer, of transformers.
        presentation: Template, system message, prefill and stops of this use.
        stop_ids: Ids that end a response, the tokenizer's own end-of-sequence id first.
        name: The model's name, for messages.
    """

    tokenizer: Any
    presentation: Presentation
    stop_ids: tuple[int, ...]
    name: str = "model"

    @classmethod
    def open(cls, model: LocatedModel, use: Use) -> Chat:
        """Load the tokenizer of a checkpoint.

        Raises:
            ModelError: there is no usable tokenizer, no end-of-sequence token, or a stop is not one token.
        """
        check_safe(model)
        tokenizer = _load_tokenizer(model)
        presentation = model.entry.presentation(use)
        return cls(tokenizer, presentation, _stop_ids(model, tokenizer, presentation), model.name)

    @property
    def vocab_size(self) -> int:
        """Number of ids that the tokenizer knows, added tokens included; the head is often wider."""
        return len(self.tokenizer)

    @property
    def pad_id(self) -> int:
        """An id to fill rows with; masks keep it out of every result."""
        pad = self.tokenizer.pad_token_id
        return self.stop_ids[0] if pad is None else int(pad)

    @property
    def chat_template(self) -> str:
        """The Jinja template in force.

        Raises:
            ModelError: neither the board nor the checkpoint has one.
        """
        template = self.presentation.chat_template or self.tokenizer.chat_template
        if isinstance(template, str):
            return template
        raise ModelError(
            f"model {self.name!r}: its tokenizer has no single chat template; set chat_template in the board, for a "
            "base model for example \"{{ messages | map(attribute='content') | join('\\n') }}\""
        )

    @property
    def chat_template_hash(self) -> str:
        """Identifies the template with everything else that shapes a prompt."""
        shown = self.presentation
        return content_key([self.chat_template, shown.system_prompt, shown.thinking, shown.prefill])

    @property
    def identity(self) -> object:
        """Equal for chats that give equal ids for equal messages; a tokenizer that does not say its rules is alone.

        Templates read the names of special tokens, so two tokenizers with other roles for the same tokens differ.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return id(self)
        roles = {role: str(token) for role, token in self.tokenizer.special_tokens_map.items()}
        return content_key([backend.to_str(), roles, self.chat_template_hash])

    @property
    def opens_thought(self) -> bool:
        """Whether the template or the prefill opens a thought, so that every response starts inside one."""
        if THOUGHT_START not in self.chat_template + self.presentation.prefill:
            return False
        header = self.prompt_text(_MARK).rpartition(_MARK)[2]
        return header.rfind(THOUGHT_START) > header.rfind(THOUGHT_END)

    def prompt_text(self, message: str) -> str:
        """Render a user message: system message before it, the assistant's header and prefill after it.

        Raises:
            ModelError: the chat template is missing or fails.
        """
        shown = self.presentation
        system = [] if shown.system_prompt is None else [{"role": "system", "content": shown.system_prompt}]
        options = {} if shown.thinking is None else {"enable_thinking": shown.thinking}
        try:
            text = self.tokenizer.apply_chat_template(
                [*system, {"role": "user", "content": message}],
                chat_template=self.chat_template,
                add_generation_prompt=True,
                tokenize=False,
                **options,
            )
        except TemplateError as error:
            raise ModelError(f"model {self.name!r}: its chat template fails: {error}") from error
        return text + shown.prefill

    def prompt_ids(self, message: str, max_tokens: int | None = None) -> list[int]:
        """Return the token ids of a rendered user message.

        Raises:
            DataError: there are more than ``max_tokens`` of them, or none.
        """
        ids = self._encode(self.prompt_text(message))
        if not ids:
            raise DataError(f"model {self.name!r}: the prompt {message[:80]!r} has no tokens")
        if max_tokens is not None and len(ids) > max_tokens:
            raise DataError(
                f"model {self.name!r}: a prompt has {len(ids)} tokens, max_prompt_tokens is {max_tokens}; raise it or "
                f"shorten the prompt that starts {message[:80]!r}"
            )
        return ids

    def response_ids(self, text: str) -> list[int]:
        """Return the token ids of a written response, ended by the first stop token."""
        return [*self._encode(text), self.stop_ids[0]]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of a response without the stop token that ended it and without special tokens."""
        kept = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        return self.tokenizer.decode(list(kept), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def reply(self, ids: Sequence[int]) -> str:
        """Return the text of a response as graders read it: with the tag of a thought that the prompt opened."""
        return (THOUGHT_START if self.opens_thought else "") + self.decode(ids)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def _load_tokenizer(model: LocatedModel) -> Any:
    """Load through transformers, offline and without remote code."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.directory, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare exceptions
        raise ModelError(
            f"model {model.name!r}: the tokenizer in {model.directory} does not load: {error}; a checkpoint needs "
            "tokenizer.json and tokenizer_config.json beside its weights"
        ) from error


def _stop_ids(model: LocatedModel, tokenizer: Any, presentation: Presentation) -> tuple[int, ...]:
    own = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    generation = read_json(model.directory / "generation_config.json", default={}).get("eos_token_id")
    listed: list[int] = generation if isinstance(generation, list) else [] if generation is None else [generation]
    named = [_single_id(model, tokenizer, text) for text in presentation.stop]
    stops = tuple(dict.fromkeys([*own, *listed, *named]))
    if not stops:
        raise ModelError(f"model {model.name!r} has no end-of-sequence token; set stop = [...] in the board")
    return stops


def _single_id(model: LocatedModel, tokenizer: Any, text: str) -> int:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        raise ModelError(f"model {model.name!r}: stop {text!r} is {len(ids)} tokens, but must be exactly one")
    return ids[0]
