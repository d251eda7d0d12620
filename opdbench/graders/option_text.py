"""Compares what a completion says after an option's letter with the text of that option in the prompt."""

from __future__ import annotations

import re

from opdbench.graders.normalise import MAX_ANSWER, normalise

_COMMAND = re.compile(r"\\[A-Za-z]+\s*")


def plain(text: str) -> str:
    """Return a text without LaTeX commands, braces, quotes and emphasis."""
    return _COMMAND.sub(" ", normalise(text)).translate(str.maketrans("{}*_`'\"[]", " " * 9)).strip().lstrip(". ")


def words(text: str) -> list[str]:
    """Return the words of a text, without what separates them."""
    return re.findall(r"\w+", text)


def without_option(rest: str, letter: str, prompt: str) -> str:
    """Return what follows an option's letter, less the option's own text as the prompt states it, or its beginning."""
    said = words(rest)
    for line in re.findall(rf"(?m)^[ \t]*\(?{letter}[).:][ \t]*(\S.*)$", prompt):
        own = words(plain(line[:MAX_ANSWER]))
        size = min(len(own), len(said))
        is_enough = size == len(own) or size > 1  # one word of many may be the letter of another option
        if size and is_enough and [word.lower() for word in said[:size]] == [word.lower() for word in own[:size]]:
            return " ".join(said[size:])
    return rest


def quotes_option(prompt: str, letter: str, text: str) -> bool:
    """Return whether a text after an option's letter begins with that option's own text."""
    said = plain(text[:MAX_ANSWER])
    return without_option(said, letter, prompt) != said
