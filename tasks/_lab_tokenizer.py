"""The tokenizer of the lab models: one token per digit, letter and symbol, and one per fixed phrase."""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = UNKNOWN, PAD, END, USER, ASSISTANT = ("<unk>", "<pad>", "<eos>", "<user>", "<assistant>")
PHRASES = (
    "\nDraft:\n", "\nWrite a correct solution.", "\nSolution:\n", "\nSolve it again.", "Add ", " and ", "Run mod 10: ",
    "Which is largest? ", "Which is smallest? ", "Write f(x,y)=", "add(", "sub(", "mul(", "```python\n",
    "def f(x,y):", "\n    ", "return ", "\n```", "\\boxed{", "\n",
)  # fmt: skip
SYMBOLS = "0123456789abcdexytuvABCD+-*=,;:()<>} "
TOKEN_IDS = {token: index for index, token in enumerate((*SPECIAL, *PHRASES, *SYMBOLS))}
MAX_LENGTH = 192

# A system message is shown as one more user message: the models know two roles.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant>{{ message['content'] }}<eos>"
    "{% else %}<user>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer; text of the tasks survives a round trip, any other character becomes ``<unk>``."""
    inner = Tokenizer(models.WordLevel(TOKEN_IDS, unk_token=UNKNOWN))
    longest_first = sorted([*PHRASES, *SYMBOLS], key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest_first), r"[\s\S]"])
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token=UNKNOWN,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
