"""Constraints on words and counts, each a function of an answer and the constraint's own settings.

The rules are those of the public verifiers of such prompts (github.com/allenai/IFBench), written anew. Six of them
follow a later correction and not its main branch: ``repeat:repeat_span`` (words, there characters), ``ratio:overlap``
(trigrams of words, there of characters), ``count:keywords_multiple`` (whole words, there substrings),
``ratio:sentence_words``, ``custom:sentence_alphabet`` and ``words:words_position``; 32 of the 300 prompts have one of
them. What needs a library or data that this machine lacks raises ``CannotScoreError``, which names it: such a prompt
is not scored, never wrong. The libraries are the extra ``ifbench``; the data are files of NLTK (``punkt_tab``,
``averaged_perceptron_tagger_eng``, ``stopwords``), which it finds under ``NLTK_DATA``.
"""

from __future__ import annotations

import importlib
import itertools
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

Settings = Mapping[str, Any]
Check = Callable[[str, Settings], bool]
CHECKS: dict[str, Check] = {}

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
EDGES = string.punctuation + " "
_RESOURCE = re.compile(r"Resource\s+(?:\x1b\[\d+m)?([\w.-]+)")
"""What nltk asks for in its message, which colours it."""


class CannotScoreError(Exception):
    """A constraint that cannot be checked here, and what is lacking."""


def check(id: str) -> Callable[[Check], Check]:
    """Register the check of a constraint."""

    def register(function: Check) -> Check:
        CHECKS[id] = function
        return function

    return register


def library(name: str) -> Any:
    """Return an optional library.

    Raises:
        CannotScoreError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise CannotScoreError(f"no_{name}") from None


def _nltk(call: Callable[[Any], Any]) -> Any:
    """Ask nltk, whose data are a download of their own."""
    nltk = library("nltk")
    try:
        return call(nltk)
    except LookupError as error:
        # A missing resource raises the class itself; a KeyError or an IndexError, which are of it too, is a bug.
        if type(error) is not LookupError:
            raise
        named = _RESOURCE.search(str(error))
        raise CannotScoreError(f"no_nltk_data:{named[1] if named else 'unknown'}") from None


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return _nltk(lambda nltk: nltk.sent_tokenize(text))


def tokens(text: str) -> list[str]:
    """Return words and punctuation marks."""
    return _nltk(lambda nltk: nltk.word_tokenize(text))


def bare(text: str) -> str:
    """Return a text without punctuation marks."""
    return text.translate(_NO_PUNCTUATION)


def bare_words(text: str) -> list[str]:
    """Return lower-case words without punctuation marks."""
    return bare(text.lower()).split()


def whole_word(word: str, text: str) -> int:
    """Count a word, whatever its case."""
    return len(re.findall(rf"\b{re.escape(word)}\b", text, re.IGNORECASE))


@check("count:word_count_range")
def _word_range(text: str, given: Settings) -> bool:
    return given["min_words"] <= len(re.findall(r"\w+", text)) <= given["max_words"]


@check("count:unique_word_count")
def _unique_words(text: str, given: Settings) -> bool:
    return len({word.strip(EDGES) for word in text.lower().split()}) >= given["N"]


@check("ratio:stop_words")
def _stop_words(text: str, given: Settings) -> bool:
    stop = set(_nltk(lambda nltk: nltk.corpus.stopwords.words("english")))
    words = re.findall(r"\w+", text)
    return bool(words) and 100 * sum(word.lower() in stop for word in words) / len(words) <= given["percentage"]


@check("count:conjunctions")
def _conjunctions(text: str, given: Settings) -> bool:
    known = {"and", "but", "for", "nor", "or", "so", "yet"}
    return len({word for word in text.split() if word.strip(EDGES).lower() in known}) >= given["small_n"]


_NAMES = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia "
    "Benjamin Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett "
    "Nathan Victoria Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria "
    "Joseph Claire Ryan Stella Jonathan"
)
NAMES = _NAMES.split()


@check("count:person_names")
def _names(text: str, given: Settings) -> bool:
    return sum(re.search(rf"\b{name}\b", text) is not None for name in NAMES) >= given["N"]


@check("ratio:overlap")
def _overlap(text: str, given: Settings) -> bool:
    found, wanted = (
        {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
        for words in (tokens(text), tokens(given["reference_text"]))
    )
    return bool(found) and abs(100 * len(found & wanted) / len(found) - given["percentage"]) <= 2


@check("count:numbers")
def _numbers(text: str, given: Settings) -> bool:
    return len(re.findall(r"\d+", bare(text))) == given["N"]


@check("words:alphabet")
def _alphabet(text: str, given: Settings) -> bool:
    letters = [word[0] for word in bare_words(text)]
    if not letters or letters[0] not in string.ascii_lowercase:
        return False
    start = ord(letters[0]) - ord("a")
    return all(letter == string.ascii_lowercase[(start + i) % 26] for i, letter in enumerate(letters))


@check("words:vowel")
def _vowels(text: str, given: Settings) -> bool:
    return "\n" not in text.strip() and len(set(text.lower()) & set("aeiou")) <= 3


@check("words:consonants")
def _clusters(text: str, given: Settings) -> bool:
    return all(re.search(r"[b-df-hj-np-tv-z]{2}", word) for word in text.lower().split())


@check("words:palindrome")
def _palindromes(text: str, given: Settings) -> bool:
    return sum(len(word) >= 5 and word == word[::-1] for word in bare_words(text)) >= 10


@check("count:punctuation")
def _punctuation(text: str, given: Settings) -> bool:
    marks = next((mark for mark in ("?!", "!?") if mark in text), None)
    rest = text.replace(marks, "", 1) if marks else text
    return (marks is not None or "‽" in text) and set(".,!?;:") <= set(rest)


@check("words:prime_lengths")
def _primes(text: str, given: Settings) -> bool:
    primes = {n for n in range(2, 100) if all(n % d for d in range(2, n))}
    return all(len(word) in primes for word in bare(text).split())


@check("count:words_japanese")
def _japanese(text: str, given: Settings) -> bool:
    every = [word.strip(EDGES) for word in text.split()][given["N"] - 1 :: given["N"]]
    return all(re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", word) for word in every if word and not word.isdigit())


@check("words:start_verb")
def _verb_first(text: str, given: Settings) -> bool:
    words = tokens(text)
    return bool(words) and "VB" in _nltk(lambda nltk: nltk.pos_tag(words))[0][1]


@check("words:repeats")
def _repeats(text: str, given: Settings) -> bool:
    return all(count <= given["small_n"] for count in Counter(bare_words(text)).values())


_PRONOUNS = (
    "i me we us you he him she her it they them my mine our ours your yours his hers its their theirs myself "
    "ourselves yourself yourselves himself herself itself themselves this that these those who whom whose "
    "which what whoever whomever whatever whichever anybody anyone anything everybody everyone everything "
    "nobody nothing somebody someone something each either neither both all some any none"
)
PRONOUNS = frozenset(_PRONOUNS.split())


@check("count:pronouns")
def _pronouns(text: str, given: Settings) -> bool:
    return sum(word in PRONOUNS for word in tokens(text.replace("/", " ").lower())) >= given["N"]


@check("words:odd_even_syllables")
def _syllables(text: str, given: Settings) -> bool:
    odd = [library("syllapy").count(word) % 2 for word in bare_words(text)]
    return all(one != other for one, other in itertools.pairwise(odd))


@check("words:no_consecutive")
def _first_letters(text: str, given: Settings) -> bool:
    words = bare_words(text)
    return all(one[0] != other[0] for one, other in itertools.pairwise(words))


@check("words:paragraph_last_first")
def _paragraph_ends(text: str, given: Settings) -> bool:
    paragraphs = [part.strip().strip(EDGES).split() for part in text.lower().split("\n")]
    return all(words[0] == words[-1] for words in paragraphs if words)


@check("count:keywords_multiple")
def _keywords(text: str, given: Settings) -> bool:
    counts = zip(range(1, 6), (1, 2, 3, 5, 7), strict=True)
    return all(whole_word(given[f"keyword{i}"].strip(), text) == count for i, count in counts)


@check("words:words_position")
def _second_words(text: str, given: Settings) -> bool:
    words = [word.lower() for word in tokens(text) if any(char.isalnum() for char in word)]
    return len(words) > 1 and words[1] == words[-2] == given["keyword"].strip().lower()
