"""The in-process engine: any causal language model of transformers, decoded in batches with a cache of keys and values.

It can wrap a module that is being trained: it samples from the weights as they are, without a copy to keep in step.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from opdbench.engines.chat import THOUGHT_END, THOUGHT_START, Chat
from opdbench.engines.decode import Decoder
from opdbench.engines.engine import EngineSettings, Prompt, Reply, TokenPrompt, Tokens
from opdbench.engines.hf_model import load_module
from opdbench.errors import EngineError
from opdbench.method import Sampling
from opdbench.trainer import LocatedModel

VERSION = 3


class HFEngine:
    """An evaluation engine and a token engine.

    Batches are fixed: consecutive prompts, ``batch_size`` at a time. Logits are cut to the first ``vocab_size`` ids, so
    that ids which the tokenizer (or the partner of a distillation) does not know are never drawn.
    """

    marks: tuple[str, ...] = ()

    def __init__(
        self,
        module: Any,
        chat: Chat,
        *,
        vocab_size: int | None = None,
        own_ids: Sequence[int] | None = None,
        batch_size: int = 256,
    ) -> None:
        """Wrap a module.

        Args:
            module: A causal language model; it may be trained between calls.
            chat: How it is shown prompts, and what ends its responses.
            vocab_size: Number of shared ids; by default all that both tokenizer and head have.
            own_ids: The module's id for each shared id, where they differ. Prompts are in the module's ids, what
                is generated is in shared ids.
            batch_size: Largest number of sequences decoded together.
        """
        self.module: Any = module
        self.chat, self.batch_size = chat, batch_size
        width = int(module.get_output_embeddings().weight.shape[0])
        self._vocab_size = min(chat.vocab_size, width) if vocab_size is None else vocab_size
        self._own_ids = own_ids

    @classmethod
    def open(cls, model: LocatedModel, settings: EngineSettings) -> HFEngine:
        """Load a checkpoint for evaluation.

        Raises:
            ModelError: the checkpoint cannot be loaded, or not safely.
        """
        module = load_module(model, dtype=settings.dtype, device=settings.device)
        return cls(module, Chat.open(model, "evaluation"), batch_size=settings.batch_size)

    @property
    def id(self) -> str:
        """Name and version, libraries, number format and kind of device."""
        versions = [f"{name}-{importlib.metadata.version(name)}" for name in ("torch", "transformers")]
        dtype = str(self.module.dtype).removeprefix("torch.")
        return " ".join([f"hf-{VERSION}", *versions, dtype, self.module.device.type])

    def generate(self, prompts: Sequence[TokenPrompt], sampling: Sampling) -> list[Tokens]:
        """Continue prompts, in their order.

        Raises:
            EngineError: ``sampling`` has no ``max_tokens``, or a prompt leaves no room in the context.
        """
        if sampling.max_tokens is None:
            raise EngineError("max_tokens is not set; engines need a limit for every response")
        starts = range(0, len(prompts), self.batch_size)
        with _evaluating(self.module), torch.inference_mode():
            decoder = Decoder(self.module, self._vocab_size, self.chat.stop_ids, self._own_ids)
            batches = [decoder.decode(prompts[i : i + self.batch_size], sampling) for i in starts]
        return [tokens for batch in batches for tokens in batch]

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Reply]:
        """Answer messages, in their order.

        Raises:
            EngineError: ``sampling`` has no ``max_tokens``, or a prompt leaves no room in the context.
        """
        rendered = [TokenPrompt(tuple(self.chat.prompt_ids(prompt.text)), prompt.seed) for prompt in prompts]
        answers = self.generate(rendered, sampling)
        return [self._reply(answer) for answer in answers]

    def _reply(self, answer: Tokens) -> Reply:
        text, size = self.chat.reply(answer.token_ids), len(answer.token_ids)
        return Reply(text, size, answer.finish_reason, self._thinking_tokens(answer.token_ids, text))

    def _thinking_tokens(self, ids: Sequence[int], text: str) -> int:
        """Return how many tokens it takes to reach the end of the thought: all of them where it has no end."""
        if THOUGHT_END not in text:
            return len(ids) if THOUGHT_START in text else 0
        wanted, low, high = text.count(THOUGHT_END), 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            has_all = self.chat.decode(ids[:middle]).count(THOUGHT_END) >= wanted
            low, high = (low, middle) if has_all else (middle + 1, high)
        return low

    def close(self) -> None:
        """Let go of the module."""
        self.module = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def _evaluating(module: Any) -> Generator[None]:
    """Switch dropout off for a while."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
