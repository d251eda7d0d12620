"""IFBench with the extra ``ifbench``: real sentences, tags, stop words, emoji and syllables instead of stand-ins."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("emoji", reason="the extra ifbench is not installed")
pytest.importorskip("syllapy", reason="the extra ifbench is not installed")
nltk = pytest.importorskip("nltk", reason="the extra ifbench is not installed")

from opdbench.graders.constraints import CHECKS  # noqa: E402
from opdbench.graders.instructions import Instructions  # noqa: E402
from opdbench.records import Problem, Sample  # noqa: E402


def has(*resources):
    for resource in resources:
        try:
            nltk.data.find(resource)
        except LookupError:
            return False
    return True


needs_data = pytest.mark.skipif(
    not has("tokenizers/punkt_tab", "taggers/averaged_perceptron_tagger_eng", "corpora/stopwords"),
    reason="the data of NLTK are not under NLTK_DATA",
)


def grade(text, id, settings):
    target = {"instruction_id_list": [id], "kwargs": [settings]}
    sample = Sample("t", "p", 0, 0, text, 1, "stop")
    (found,) = Instructions().grade([(Problem("p", "", target), sample)])
    return found.verdict, found.reason


def test_syllables_are_counted_without_data() -> None:
    assert grade("a water cat table", "words:odd_even_syllables", {})[0] == "correct"
    assert grade("a cat", "words:odd_even_syllables", {})[0] == "wrong"


LACKING = """
import nltk
from opdbench.graders.constraints import CHECKS, CannotScoreError
nltk.data.path.clear()
for id, given in [("ratio:sentence_type", {}), ("count:pronouns", {"N": 1}), ("ratio:stop_words", {"percentage": 10})]:
    try:
        CHECKS[id]("She is. Is he?", given)
    except CannotScoreError as error:
        print(error)
"""


def test_what_data_are_lacking_is_named() -> None:
    imports = "import opdbench.graders.instructions"
    done = subprocess.run([sys.executable, "-c", imports + LACKING], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["no_nltk_data:punkt_tab", "no_nltk_data:punkt_tab", "no_nltk_data:stopwords"]


CASES = [
    ("ratio:sentence_type", {}, "Mr. Smith came. He left. Why?", "He came. Why?"),
    ("ratio:sentence_balance", {}, "He came. Why? Oh!", "He came. He left. Why? Oh!"),
    (
        "sentence:keyword",
        {"word": "cats", "N": 2},
        "I like dogs. Dr. No likes cats.",
        "I like cats. Dr. No likes dogs.",
    ),
    ("sentence:increment", {"small_n": 1}, "Go now. Go right now.", "Go now. Go on."),
    ("words:keywords_specific_position", {"keyword": "cats", "n": 2, "m": 2}, "Hi. My cats sleep.", "Hi. My own cats."),
    ("words:start_verb", {}, "Write a poem now.", "The home is far."),
    ("words:words_position", {"keyword": "so"}, "Is so it so here", "Is it so"),
    ("count:pronouns", {"N": 3}, "She/he met them.", "She met Tom."),
    ("ratio:stop_words", {"percentage": 25}, "Big cats chase the mice", "It is the end of it"),
    ("ratio:overlap", {"percentage": 100, "reference_text": "It isn't far."}, "It isn't far.", "It is far away."),
    ("format:title_case", {}, "The Cat's Own House", "The cat"),
    ("format:emoji", {}, "Hello there 😀. Good bye 🎉.", "Hello there. Good bye 🎉."),
    ("format:no_bullets_bullets", {}, "One is here. Two is there.\n* a\n* b", "One is here.\n* a\n* b"),
]


@needs_data
@pytest.mark.parametrize(("id", "settings", "follows", "fails"), CASES)
def test_real_sentences_and_tags(id, settings, follows, fails) -> None:
    assert CHECKS[id](follows, settings)
    assert not CHECKS[id](fails, settings)
