"""Constraints that ask for one set piece: a table, a list, a repeated text; importing the module registers them."""

from __future__ import annotations

import csv
import io
import re
import string
import unicodedata
from itertools import pairwise

from opdbench.graders.constraints import EDGES, Settings, bare_words, check, sentences


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
    special = [any(map(_is_special, row)) for row in rows]
    return len(rows) == 14 and True in special and all(len(row) == 5 for row in rows[: special.index(True) + 1])


def _is_special(field: str) -> bool:
    """Say whether the field's first line begins with a quotation mark and has a special character before its last."""
    line = field.partition("\n")[0]
    return line[:1] == '"' and re.search(r"[^\w\s]", line[1 : line.rfind('"')]) is not None


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
    return all(date is not None and _is_date(*map(int, date.groups())) for date in found)


def _is_date(year: int, month: int, day: int) -> bool:
    """Say whether the public verifier takes a date: it knows no first day, and month 0 has days without end."""
    most = 99 if month == 0 else 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    return 1769 <= year <= 1821 and month <= 12 and day <= most


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
