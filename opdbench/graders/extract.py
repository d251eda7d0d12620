"""Finds the answer in a completion: the part after the thought, the last box, the last block of code.

Every function is one pass over the text, so that a hostile completion costs no more than its length.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

_THINK = re.compile(r"</?think>")
# One or two backslashes, because models escape once too often; three or more are line breaks in front of a command.
_TOKEN = re.compile(
    r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])(?:\s*(?P<open>\{)|\s*(?P<bare>-?\d+(?:[.,/]\d+)*|[A-Z](?![A-Za-z])))?"
    r"|\\.|(?P<brace>[{}])",
    re.DOTALL,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_FENCE = re.compile(r"^[ \t]*+(?P<ticks>`{3,}+|~{3,}+)[ \t]*+(?P<info>[^`\n]*+)$")


@dataclass(frozen=True, slots=True)
class Boxes:
    """The last complete, non-empty box of a text, without boxes inside it, and how many such boxes there are."""

    answer: str | None
    count: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A box: where its command starts, where its content starts and ends."""

    start: int
    begin: int
    end: int


def final_text(text: str) -> str | None:
    """Return the text after the last ``</think>``, or None when a thought was opened and never closed."""
    tags = list(_THINK.finditer(text))
    if not tags:
        return text
    return text[tags[-1].end() :] if tags[-1][0] == "</think>" else None


def without_prompt(text: str, prompt: str) -> str:
    """Return a text without verbatim repetitions of its prompt, if that holds a box: an example is nobody's answer."""
    asked = prompt.strip()
    return text.replace(asked, "") if "box" in asked and find_boxes(asked).count else text


def split_thought(text: str) -> tuple[str, str]:
    """Return the thought, up to its last tag, and the answer; a thought without an end has no answer."""
    final = final_text(text)
    return (text, "") if final is None else (text[: len(text) - len(final)], final)


def lenient_text(text: str) -> str:
    r"""Return the text with its last box, else its last number, as its only answer, wherever that stands."""
    answer = find_boxes(text).answer
    if answer is None:
        numbers = _NUMBER.findall(text)
        answer = numbers[-1] if numbers else None
    return "" if answer is None else rf"\boxed{{{answer}}}"


def find_boxes(text: str) -> Boxes:
    r"""Return the last complete ``\boxed{..}`` or ``\fbox{..}`` and the number of complete, non-empty boxes.

    Braces are matched, escaped ones skipped; a space before the brace, ``\boxed 4`` and ``\boxed A`` are allowed.
    A box that is never closed does not count. Boxes inside a box are unwrapped and count as one.
    """
    found = [text[box.begin : box.end] for box in _outermost(_spans(text))]
    answers = [answer for answer in map(_unwrap, found) if answer]
    return Boxes(answers[-1] if answers else None, len(answers))


def _spans(text: str) -> list[_Span]:
    """Return all complete boxes, in the order in which they close."""
    spans: list[_Span] = []
    open_braces: list[tuple[int, int] | None] = []
    for token in _TOKEN.finditer(text):
        if token["bare"]:
            spans.append(_Span(token.start(), token.start("bare"), token.end("bare")))
        elif token["open"]:
            open_braces.append((token.start(), token.end()))
        elif token["brace"] == "{":
            open_braces.append(None)
        elif token["brace"] and open_braces:
            opened = open_braces.pop()
            if opened:
                spans.append(_Span(*opened, token.start()))
    return spans


def _outermost(spans: Iterable[_Span]) -> list[_Span]:
    """Drop boxes that lie inside another complete box."""
    kept: list[_Span] = []
    for span in spans:
        while kept and kept[-1].start > span.start:
            kept.pop()
        kept.append(span)
    return kept


def _unwrap(content: str) -> str:
    """Return a box's content with the boxes inside it replaced by what they hold."""
    cuts: list[tuple[int, int]] = []
    for inner in _spans(content):
        cuts.append((inner.start, inner.begin))
        if content.startswith("}", inner.end) and content[inner.begin - 1] == "{":
            cuts.append((inner.end, inner.end + 1))
    pieces: list[str] = []
    position = 0
    for start, end in sorted(cuts):
        pieces.append(content[position:start])
        position = end
    return ("".join(pieces) + content[position:]).strip()


def find_code(text: str, entry_point: str) -> str | None:
    """Return the last complete fenced block that defines ``entry_point``, else the last complete one, else None."""
    blocks = _fenced_blocks(text)
    name = re.escape(entry_point)
    defines = re.compile(rf"(?m)^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=[^=]")
    return next((block for block in reversed(blocks) if defines.search(block)), blocks[-1] if blocks else None)


def find_last_code(text: str) -> str | None:
    """Return the last complete fenced block, or None."""
    blocks = _fenced_blocks(text)
    return blocks[-1] if blocks else None


def code_between_last_fences(text: str) -> str | None:
    """Return the lines between the last two that hold three backticks, as LiveCodeBench's public runner does."""
    lines = text.split("\n")
    fences = [i for i, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else None


def _fenced_blocks(text: str) -> list[str]:
    """Return the contents of all complete fenced blocks, by the rules of Markdown."""
    blocks: list[str] = []
    fence: str | None = None
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _FENCE.match(line)
        if fence is None:
            fence, lines = (found["ticks"], []) if found else (None, lines)
        elif found and found["ticks"].startswith(fence) and not found["info"].strip():
            blocks.append(textwrap.dedent("\n".join(lines)))
            fence = None
        else:
            lines.append(line)
    return blocks
