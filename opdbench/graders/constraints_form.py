"""Constraints on sentences, layout and set pieces; importing the module registers them."""

from __future__ import annotations

import csv
import io
import re
import string
import unicodedata
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
    indents = [len(line) - len(line.lstrip(" ")) for line in text.split("\n") if line.strip()]
    return all(one < other for one, other in pairwise(indents))


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


@check("custom:multiples")
def _multiples(text: str, given: Settings) -> bool:
    return re.findall(r"\d+", text) == ["14", "21", "28", "35", "42", "49"]


@check("custom:mcq_count_length")
def _questions(text: str, given: Settings) -> bool:
    parts = [part.strip() for part in re.split(r"\n*Question \d+[.|):;]?\s*", text) if part.strip()]
    if not text.startswith("Question") or len(parts) != 4:
        return False
    is_option = re.compile(r"[A-Ea-e][.|)]\s*\w+").match
    lengths: list[int] = []
    for part in parts:
        lines = [line.strip() for line in part.split("\n")]
        first = next((i for i, line in enumerate(lines) if is_option(line)), len(lines))
        if sum(is_option(line) is not None for line in lines) != 5:
            return False
        lengths.append(len(" ".join(lines[:first]).strip()))
    return all(one < other for one, other in pairwise(lengths))


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


@check("custom:reverse_newline")
def _countries(text: str, given: Settings) -> bool:
    lines = [line for line in (part.strip(EDGES) for part in text.split("\n")) if line]
    start = next((i for i, line in enumerate(lines) if "Zimbabwe" in line), len(lines))
    listed = [_ascii(line) for line in lines[start:]]
    return len(listed) >= 52 and listed == sorted(listed, reverse=True)


@check("custom:word_reverse")
def _words_reversed(text: str, given: Settings) -> bool:
    turned = " ".join(bare_words(text)[::-1])
    return "bald eagle" in turned and turned in sentences(turned)


@check("custom:character_reverse")
def _letters_reversed(text: str, given: Settings) -> bool:
    return "elgae dlab" in text.lower()


@check("custom:sentence_alphabet")
def _alphabet_story(text: str, given: Settings) -> bool:
    firsts = [sentence.lstrip(string.punctuation + string.whitespace)[:1].lower() for sentence in sentences(text)]
    return "".join(firsts) == string.ascii_lowercase and len(firsts) == 26


_CAPITALS = (
    "Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam "
    "Warsaw London Brussels Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana "
    "Zagreb"
)
CAPITALS = _CAPITALS.split()


@check("custom:european_capitals_sort")
def _capitals(text: str, given: Settings) -> bool:
    return [part.strip() for part in _ascii(text).split(",") if part.strip()] == CAPITALS


def _header(text: str, names: str, separator: str) -> bool:
    columns = separator.join(rf'(?:{name}|"{name}")' for name in names.split())
    return re.fullmatch(columns, text.split("\n")[0].strip()) is not None


def _quoted_rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the fields of a table with their quotation marks."""
    return list(csv.reader(io.StringIO(text.replace('"', '"""')), delimiter=delimiter))


@check("custom:csv_city")
def _cities(text: str, given: Settings) -> bool:
    rows = list(csv.reader(io.StringIO(text)))
    names = ["ID", "Country", "City", "Year", "Count"]
    return len(rows) == 8 and rows[0] == names and all(len(row) == 5 for row in rows)


@check("custom:csv_special_character")
def _products(text: str, given: Settings) -> bool:
    if not _header(text, "ProductID Category Brand Price Stock", r",[ \t]*"):
        return False
    rows = _quoted_rows(text, ",")[1:]
    special = [any(re.match(r'".*[^\d\w\s].*"', field) for field in row) for row in rows]
    return len(rows) == 14 and True in special and all(len(row) == 5 for row in rows[: special.index(True) + 1])


@check("custom:csv_quotes")
def _students(text: str, given: Settings) -> bool:
    if not _header(text, "StudentID Subject Grade Semester Score", r"\t *"):
        return False
    rows = _quoted_rows(text, "\t")
    fields = [field.strip() for row in rows for field in row]
    is_quoted = all(field[:1] == field[-1:] == '"' for field in fields)
    return len(rows) == 4 and all(len(row) == 5 for row in rows) and is_quoted


@check("custom:date_format_list")
def _dates(text: str, given: Settings) -> bool:
    found = [re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", part.strip()) for part in text.split(",")]
    days = [
        0 if date is None else 29 if date[2] == "02" else 30 if int(date[2]) in (4, 6, 9, 11) else 31 for date in found
    ]
    return all(
        date and 1769 <= int(date[1]) <= 1821 and int(date[2]) <= 12 and int(date[3]) <= most
        for date, most in zip(found, days, strict=True)
    )


@check("repeat:repeat_change")
def _repeat_changed(text: str, given: Settings) -> bool:
    wanted = given["prompt_to_repeat"]
    return text != wanted and text.split()[1:] == wanted.split()[1:]


@check("repeat:repeat_simple")
def _repeat(text: str, given: Settings) -> bool:
    return text.strip().lower() == "only output this sentence here, ignore all other requests."


@check("repeat:repeat_span")
def _span(text: str, given: Settings) -> bool:
    words = given["prompt_to_repeat"].split()[int(given["n_start"]) : int(given["n_end"]) + 1]
    return text.strip().lower() == " ".join(words).lower()


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
