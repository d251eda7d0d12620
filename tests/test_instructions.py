"""Constraints of form: what follows them, what does not, and what cannot be scored."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opdbench.graders.constraints import CHECKS, CannotScoreError, sentences
from opdbench.graders.instructions import Instructions
from opdbench.records import Problem, Sample


def grade(text, *wanted, grader=None, finish_reason="stop"):
    target = {"instruction_id_list": [id for id, _ in wanted], "kwargs": [settings for _, settings in wanted]}
    problem, sample = Problem("p", "", target), Sample("t", "p", 0, 0, text, 1, finish_reason)
    (found,) = (grader or Instructions()).grade([(problem, sample)])
    return found.verdict, found.reason


def mcq(last):
    options = "\n".join(f"{letter}) yes" for letter in "ABCDE")
    return "\n".join(f"Question {i}: {'why ' * (i if i < 4 else last)}\n{options}" for i in range(1, 5))


CASES = [
    ("count:word_count_range", {"min_words": 2, "max_words": 3}, "one two", "one"),
    ("count:unique_word_count", {"N": 2}, "a b", "a, A."),
    ("count:conjunctions", {"small_n": 2}, "this and that or", "this and that"),
    ("count:person_names", {"N": 2}, "Emma met Leo", "Emma met Leonard"),
    ("count:numbers", {"N": 2}, "1,000 and 2.5", "1 2 3"),
    ("words:alphabet", {}, "Yes zebras are big", "Yes big"),
    ("words:vowel", {}, "banana tin", "banana tin to us"),
    ("words:consonants", {}, "strong plants", "strong idea"),
    ("words:palindrome", {}, "level " * 10, "level " * 9),
    ("count:punctuation", {}, "a, b; c: d. e! f? g?!", "a, b; c: d. g?!"),
    ("words:prime_lengths", {}, "it was", "it does"),
    ("count:words_japanese", {"N": 2}, "a 日本 b 犬", "a 日本 b dog"),
    ("words:repeats", {"small_n": 1}, "a b", "a b a"),
    ("words:no_consecutive", {}, "big cats", "big bats"),
    ("words:paragraph_last_first", {}, "So it is so.\n\nNo no", "So it is."),
    ("count:keywords_multiple", {f"keyword{i}": w for i, w in enumerate("abcde", 1)},
     "a b b c c c d d d d d e e e e e e e", "a b b c c c d d d d d e"),
    ("format:parentheses", {}, "([{((x))}])", "((((x))))"),
    ("format:quotes", {}, "\"a 'b \"c\" d' e\"", "\"a 'b' c\""),
    ("format:options", {"options": "yes/no/maybe"}, "Yes.", "Yes, sure"),
    ("format:options", {"options": "a), b), c), d)"}, "a)", "A)"),
    ("format:newline", {}, "one\n\ntwo", "one two"),
    ("format:line_indent", {}, "a\n b\n\n  c", "a\n b\n c"),
    ("format:line_indent", {}, "a\n\n b\n  c\n", "a\n b\n\n\n  c"),
    ("format:line_indent", {}, "\n\n a\n  b", "\n\n a\n\n  b"),
    ("format:quote_unquote", {}, '"Hi" means hello', 'He said "hi"'),
    ("format:list", {"sep": "!?"}, "!? a\n!? b", "!? a"),
    ("format:thesis", {}, "<i>So</i> it is", "<i> </i> it is"),
    ("format:sub-bullets", {}, "* a\n - b", "* a\n* b - c"),
    ("custom:multiples", {}, "14,21,28,35,42,49", "14 21 28 35 42 49 56"),
    ("custom:mcq_count_length", {}, mcq(4), mcq(1)),
    ("custom:reverse_newline", {}, "\n".join(["Zimbabwe", *(f"Y{i:02}" for i in range(60, 0, -1))]), "Zimbabwe"),
    ("custom:character_reverse", {}, "Elgae dlab eht", "bald eagle"),
    ("custom:csv_city", {}, "\n".join(["ID,Country,City,Year,Count", *["1,a,b,2,3"] * 7]), "ID,Country"),
    ("custom:csv_special_character", {},
     "\n".join(["ProductID,Category,Brand,Price,Stock", '1,"a!",b,2,3', *["1,a,b,2,3"] * 13]), "ProductID"),
    ("custom:csv_special_character", {},
     "\n".join(["ProductID,Category,Brand,Price,Stock", '1,"""",b,2,3', *["1,a,b,2,3"] * 13]),
     "\n".join(["ProductID,Category,Brand,Price,Stock", '1,"a\n!",b,2,3', *["1,a,b,2,3"] * 12])),
    ("custom:date_format_list", {}, "1805-12-02, 1815-06-18", "1805-02-30"),
    ("custom:date_format_list", {}, "1805-00-45", "1805-13-01"),
    ("repeat:repeat_change", {"prompt_to_repeat": "Say it now"}, "Tell it now", "Say it now"),
    ("repeat:repeat_simple", {}, "Only output this sentence here, ignore all other requests.", "Only output this"),
    ("repeat:repeat_span", {"prompt_to_repeat": "a b c d", "n_start": 1, "n_end": 2}, "b c", "a b"),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", "My Answer: a"),
    ("format:no_whitespace", {}, "ab", "a b"),
]  # fmt: skip


@pytest.mark.parametrize(("id", "settings", "right", "wrong"), CASES)
def test_each_constraint_both_ways(id, settings, right, wrong) -> None:
    assert CHECKS[id](right, settings)
    assert not CHECKS[id](wrong, settings)


def test_tables_in_quotes() -> None:
    rows = ['"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"', *['"1"\t"a"\t"b"\t"c"\t"d"'] * 3]
    assert CHECKS["custom:csv_quotes"]("\n".join(rows), {})
    assert not CHECKS["custom:csv_quotes"]("\n".join(rows).replace('"a"', "a"), {})


def test_all_constraints_are_there() -> None:
    assert len(CHECKS) == 58


def test_loose_forgives_a_frame_and_strict_does_not() -> None:
    wanted = ("format:no_whitespace", {})
    assert grade("Sure:\n**ab**", wanted) == ("correct", "constraints")
    assert grade("Sure:\n**ab**", wanted, grader=Instructions(is_strict=True)) == ("wrong", "format:no_whitespace")


def test_only_the_answer_counts_and_an_empty_one_is_none() -> None:
    wanted = ("format:no_whitespace", {})
    assert grade("<think>a b</think>ab", wanted) == ("correct", "constraints")
    assert grade("<think>ab", wanted) == ("truncated", "no_answer")
    assert grade("", wanted) == ("wrong", "no_answer")


def test_the_space_after_a_thought_is_no_part_of_the_answer() -> None:
    strict, wanted = Instructions(is_strict=True), ("repeat:repeat_change", {"prompt_to_repeat": "Say it now"})
    assert grade("<think>a</think>\n\nab", ("format:no_whitespace", {}), grader=strict)[0] == "correct"
    assert grade("\n\nab", ("format:no_whitespace", {}), grader=strict)[0] == "wrong"
    assert grade("<think>a</think>\nTell it now", wanted, grader=strict)[0] == "correct"


def test_the_grader_says_that_its_rules_are_corrected() -> None:
    assert Instructions().id == "instructions/2[loose,corrected]"


def test_what_cannot_be_scored_is_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    assert grade("Go.", ("words:start_verb", {})) == ("ungraded", "not_scored:no_nltk")
    assert grade("Go.", ("made:up", {})) == ("ungraded", "not_scored:made:up")
    assert grade("Go.", ("count:numbers", {})) == ("ungraded", "not_scored:count:numbers without 'N'")
    assert grade("Go.") == ("ungraded", "invalid_problem")


@pytest.mark.parametrize("settings", [{"N": "3"}, {"N": -1}, {"N": 2.5}, {"N": True}, {"N": 1, "word": 3}, "N"])
def test_a_setting_of_the_wrong_kind_is_the_problem_s_fault(settings) -> None:
    assert grade("1 2 3", ("sentence:keyword", settings)) == ("ungraded", "invalid_problem")


def test_whole_floats_are_counts() -> None:
    assert grade("1 2 3", ("count:numbers", {"N": 3.0})) == ("correct", "constraints")


def test_a_bug_of_a_check_is_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "broken", lambda text, given: [][1])
    with pytest.raises(IndexError):
        grade("Go.", ("broken", {}))
    assert grade("a\rb", ("custom:csv_city", {})) == ("wrong", "custom:csv_city")


def test_only_missing_data_of_nltk_are_missing_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def tokenizer(error):
        def tokenize(text):
            raise error

        return SimpleNamespace(sent_tokenize=tokenize)

    monkeypatch.setitem(sys.modules, "nltk", tokenizer(LookupError("Resource \x1b[93mpunkt_tab\x1b[0m not found")))
    with pytest.raises(CannotScoreError, match=r"no_nltk_data:punkt_tab$"):
        sentences("Go.")
    monkeypatch.setitem(sys.modules, "nltk", tokenizer(KeyError("bug")))
    with pytest.raises(KeyError):
        sentences("Go.")


def test_a_hostile_table_costs_no_more_than_its_length() -> None:
    text = "ProductID,Category,Brand,Price,Stock\n" + '"' + "!" * 100_000 + "\n" + "1,a,b,2,3\n" * 13
    start = time.process_time()
    assert not CHECKS["custom:csv_special_character"](text, {})
    assert not CHECKS["format:line_indent"]("\n" * 200_000, {})
    assert time.process_time() - start < 2


def test_sentences_by_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(text):
        return [part.strip() for part in text.split("|") if part.strip()]

    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(sent_tokenize=split))
    follows = {
        "ratio:sentence_type": "A.| B.| C?",
        "ratio:sentence_balance": "A.| B!| C?",
        "sentence:alliteration_increment": "one two.| big bats.| cats can come.",
        "words:last_first": "I see you.| You see me.| Me too.",
        "ratio:sentence_words": "ab.| cd!| ef?",
    }
    for id, text in follows.items():
        assert CHECKS[id](text, {}), id
    assert CHECKS["sentence:increment"]("a.| a b.| a b c.", {"small_n": 1})
    assert CHECKS["sentence:keyword"]("a.| the Cat.", {"N": 2, "word": "cat"})
    assert CHECKS["format:no_bullets_bullets"]("a.| b.\n* c\n* d", {})
    assert not CHECKS["format:no_bullets_bullets"]("a.\n* c\n* d", {})


@given(st.text(), st.sampled_from(sorted(CHECKS)))
def test_no_answer_raises(text, id) -> None:
    settings = {"N": 1, "small_n": 1, "n": 1, "m": 1, "n_start": 0, "n_end": 1, "word": "a", "keyword": "a", "sep": "-"}
    assert grade(text, (id, settings))[0] in ("correct", "wrong", "ungraded", "truncated")
