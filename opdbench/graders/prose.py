"""Reads prose that answers a choice: where it goes on to other questions, and what its last sentence says.

A model that is shown examples, or that was never tuned, does not stop after its answer: it poses the next question, or
gathers "all the answers", those to its examples included. What it says from there on answers something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from opdbench.graders.option_text import words

MAX_SENTENCE = 1000
"""Characters in which the last sentence, or the beginning of a question, is looked for."""
_SAME_WORDS = 8
"""First words by which a question that follows is told from the prompt's own."""

_TURN = re.compile(
    r"(?im)^[ \t>*#]*+(?:(?:next )?question(?:[ \t]++\d++)?+[ \t*]*+(?:[:.]|$)|Q(?:[ \t]*+\d++)?+[ \t*]*+:|Q\d++\.)"
    r"|^(?=[^\n]{0,80}$)(?P<gathers>[^\n]{0,20}(?:"
    r"(?:combin|summari[sz])(?:e|ing) (?:all the answers|the (?:final )?answers? (?:to|for) all\b)"
    r"|considering all the questions and answers|总结[^\n]{0,8}(?:答案|问题)))"
)
"""A line that starts a question, or one that gathers the answers to several."""

_SENTENCE_END = re.compile(r"(?<=[\w)\]}$%\"][.!?])(?<![\s(\"][A-Z]\.)(?<!^[A-Z]\.)\s+")
"""The space between two sentences; the full stop after an option's letter ends none."""
_OPTION = r"(?:\([A-Z]\)|\b[Oo]ption\s+\(?[A-Z]\b\)?)"
_SAYS = re.compile(
    rf"\b(?:is|are|be)\b\s*:?\s*(?:(?:choice|statement)\s+)?{_OPTION}"
    rf"|{_OPTION}\s+is\s+(?:the\s+)?(?:only\s+)?(?:correct|right|best)\b"
)
"""Which option it is, said without the word "answer"."""
_QUOTES = re.compile(r"\b(?:is|are|be)\b\s*:?\s*\"?(?P<letter>[A-Z])[.):]\s+(?P<text>\S.*)")
"""An option's letter, followed by what may be its text."""
_MENTION = re.compile(
    r"\((?P<bracketed>[A-Z])\)|\b[Oo]ption\s+\(?(?P<named>[A-Z])\b\)?"
    r"|\b(?P<listed>[A-Z])(?=\s*(?:,|/|\bor\b|\band\b)\s*(?:[Oo]ption\s+)?\(?[A-Z]\b)"
)


def before_other_questions(text: str, prompt: str, states_option: Callable[[str], bool]) -> str:
    """Return a text up to the first line that turns to another question, if an option was stated before that line.

    A line that repeats the prompt's own question is none, and nothing is cut where no answer comes first: that text
    quotes, or numbers, what it is about to answer.
    """
    for found in _TURN.finditer(text):
        if found["gathers"] or not _begins_alike(text[found.end() : found.end() + MAX_SENTENCE], prompt):
            before = text[: found.start()]
            return before if states_option(before) else text
    return text


def _begins_alike(text: str, prompt: str) -> bool:
    asked = words(prompt[:MAX_SENTENCE].casefold())[:_SAME_WORDS]
    return bool(asked) and words(text.casefold())[: len(asked)] == asked


def closing_answer(text: str, quotes_option: Callable[[str, str], bool]) -> str | None:
    """Return what the last sentence of a text says about options, from the first that it mentions, or None.

    It must be complete and say which option "is" it, by its letter in brackets, by "option", or with its own text.
    """
    end = re.sub(r":\s+", ": ", text[-MAX_SENTENCE:]).strip()
    sentence = _SENTENCE_END.split(end.rpartition("\n")[2])[-1]
    if not sentence.endswith((".", "!", ")", "]", "}", '"', "$")):
        return None
    quoted = _QUOTES.search(sentence)
    if quoted and quotes_option(quoted["letter"], quoted["text"]):
        return _from_first(sentence[: quoted.start()], sentence[quoted.start("letter") :])
    return _from_first(sentence, "") if _SAYS.search(sentence) else None


def _from_first(sentence: str, rest: str) -> str:
    """Return the text from the first option that it mentions, whose letter comes first; else the rest."""
    found = _MENTION.search(sentence)
    if not found:
        return rest
    letter = found["bracketed"] or found["named"] or found["listed"]
    return f"({letter}){sentence[found.end() :]}{rest}"
