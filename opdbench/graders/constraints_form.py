"""Constraints on sentences and layout; importing the module registers them."""

from __future__ import annotations

import re
import string
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import pairwise

from opdbench.graders.constraints import (
    EDGES,
    Settings,
    bare,
    bare_words,
    check,
    library,
    sentences,
    tokens,
    whole_word,
)


@check("ratio:sentence_type")
def _two_to_one(text: str, given: Settings) -> bool:
    ends = [sentence[-1] for sentence in sentences(text)]
    return ends.count(".") == 2 * ends.count("?")


@check("ratio:sentence_balance")
def _balance(text: str, given: Settings) -> bool:
    ends = [sentence[-1] for sentence in sentences(text)]
    return ends.count(".") == ends.count("?") == ends.count("!")


@check("sentence:alliteration_increment")
def _alliteration(text: str, given: Settings) -> bool:
    counts = [_alliterative(sentence) for sentence in sentences(text)]
    return all(one < other for one, other in pairwise(counts))


def _alliterative(sentence: str) -> int:
    """Count the words in runs of one first letter."""
    firsts = [word[0] for word in (part.lstrip(EDGES) for part in sentence.lower().split()) if word]
    same = [one == other for one, other in pairwise(firsts)]
    return sum(1 if i and same[i - 1] else 2 for i, is_same in enumerate(same) if is_same)


@check("format:parentheses")
def _brackets(text: str, given: Settings) -> bool:
    stack: list[str] = []
    deepest = 0
    for char in text:
        if char in "([{":
            stack.append(")]}"["([{".index(char)])
            deepest = max(deepest, len(stack))
        elif char in ")]}" and stack and stack[-1] == char:
            if deepest >= 5:
                return True
            stack.pop()
        elif char in ")]}":
            stack, deepest = [], 0
    return False


@check("format:quotes")
def _quotes(text: str, given: Settings) -> bool:
    stack: list[str] = []
    deepest = 0
    for char in text:
        if stack and char == stack[-1]:
            stack.pop()
            if deepest - len(stack) >= 3:
                return True
        elif char in "\"'":
            stack.append(char)
            deepest = max(deepest, len(stack))
    return False


@check("format:options")
def _options(text: str, given: Settings) -> bool:
    listed = given["options"]
    separator = "/" if "/" in listed else "or" if "or" in listed else ","
    options = [option.strip() for option in listed.split(separator)]
    if re.match(r"\W*[aA]\W*[bB]\W*[cC]\W*", listed):
        return text in options
    return text.strip(EDGES).lower() in [option.strip(EDGES).lower() for option in options]


@check("format:newline")
def _one_per_line(text: str, given: Settings) -> bool:
    plain = bare(text).strip()
    return len([line for line in plain.split("\n") if line]) == len(plain.split())


@check("format:emoji")
def _emoji(text: str, given: Settings) -> bool:
    is_emoji = library("emoji").is_emoji
    found = [bare(sentence).strip() for sentence in sentences(text)]
    starts = [*(sentence[:1] for sentence in found[1:]), ""]
    return all(
        plain and (any(map(is_emoji, plain[-2:])) or is_emoji(start))
        for plain, start in zip(found, starts, strict=True)
    )


@check("ratio:sentence_words")
def _three_alike(text: str, given: Settings) -> bool:
    found = [sentence.strip() for sentence in sentences(text)]
    words = bare_words(" ".join(found))
    return len(found) == 3 and len({len(part) for part in found}) == 1 and len(words) == len(set(words))


@check("sentence:keyword")
def _keyword_in(text: str, given: Settings) -> bool:
    found = sentences(text)
    return len(found) >= given["N"] and whole_word(given["word"], found[int(given["N"]) - 1]) > 0


@check("words:keywords_specific_position")
def _keyword_at(text: str, given: Settings) -> bool:
    found, number, place = sentences(text), int(given["n"]), int(given["m"])
    words = tokens(found[number - 1]) if len(found) >= number else []
    words = [word for word in words if any(char.isalnum() for char in word)]
    return len(words) >= place and words[place - 1].lower() == given["keyword"].strip().lower()


@check("words:last_first")
def _chained(text: str, given: Settings) -> bool:
    found = sentences(text)
    lasts = [sentence.rstrip(EDGES).lower().split()[-1:] for sentence in found]
    firsts = [sentence.lstrip(EDGES).lower().split()[:1] for sentence in found]
    return all(last and last == first for last, first in zip(lasts, firsts[1:], strict=False))


@check("sentence:increment")
def _growing(text: str, given: Settings) -> bool:
    counts = [len(bare(sentence).split()) for sentence in sentences(text)]
    return bool(counts) and all(other == one + given["small_n"] for one, other in pairwise(counts))


@check("format:line_indent")
def _stairs(text: str, given: Settings) -> bool:
    indents = [len(line) - len(line.lstrip(" ")) for line in _compared(text.split("\n"))]
    return all(one < other for one, other in pairwise(indents))


def _compared(lines: Sequence[str]) -> list[str]:
    """Return the lines without blank ones, but for every second of a run: the public verifier passes over those.

    It removes, for each blank line that it does see, the first one that is equal and still there.
    """
    left, blank, is_passed = dict(enumerate(lines)), defaultdict[str, deque[int]](deque), False
    for number, line in enumerate(lines):
        if line.strip():
            is_passed = False
            continue
        blank[line].append(number)
        if not is_passed:
            del left[blank[line].popleft()]
        is_passed = not is_passed
    return list(left.values())


@check("format:quote_unquote")
def _explained_quotes(text: str, given: Settings) -> bool:
    joined = "".join(text.replace("'\"'", "").split())
    return '""' not in joined and not joined.strip(string.digits + string.punctuation.replace('"', "")).endswith('"')


@check("format:list")
def _separators(text: str, given: Settings) -> bool:
    return text.count(given["sep"]) >= 2


@check("format:thesis")
def _thesis(text: str, given: Settings) -> bool:
    start = text.find("<i>") if "<i>" in text else text.find("<em>")
    rest = text[start:] if start >= 0 else ""
    end = rest.find("</i>") if "</i>" in rest else rest.find("</em>")
    return end >= 0 and bool(rest[3:end].strip()) and bool(rest[end + 4 :].strip())


@check("format:sub-bullets")
def _sub_bullets(text: str, given: Settings) -> bool:
    return all("-" in bullet for bullet in text.split("*")[1:])


@check("format:no_bullets_bullets")
def _bullets_last(text: str, given: Settings) -> bool:
    lines = [line.strip() for line in text.split("\n")]
    first = next((i for i, line in enumerate(lines) if line.startswith("*")), len(lines))
    bullets = lines[first:]
    is_prose = len(bullets) >= 2 and all(line.startswith("*") for line in bullets)
    return (
        is_prose and "" not in lines[: max(first - 1, 0)] and sum(len(sentences(line)) for line in lines[:first]) >= 2
    )


@check("format:title_case")
def _title_case(text: str, given: Settings) -> bool:
    words = [word for word in tokens(text) if word[0].isalpha()]
    return not any(word[0].islower() and (len(word) == 1 or word[1:].islower() or word[1:].isupper()) for word in words)


@check("format:output_template")
def _template(text: str, given: Settings) -> bool:
    return all(label in text for label in ("My Answer:", "My Conclusion:", "Future Outlook:"))


@check("format:no_whitespace")
def _no_whitespace(text: str, given: Settings) -> bool:
    return not any(char.isspace() for char in text)
