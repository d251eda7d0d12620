r"""Takes an answer out of the wording around it, before ``normalise`` writes it in one way.

Models set an answer in bold or colour, write "Answer:" or the label of a choice before it, and write one value in ways
that no library reads: a set by its condition, a matrix as an array, a number in a named base. Nothing here changes a
value, and every rule needs a command or a word: plain digits, letters and signs stay as they are.
"""

from __future__ import annotations

import functools
import re

from opdbench.graders.exact import read_number
from opdbench.graders.normalise import closing, normalise, plain_symbols

MAX_WRAPPERS = 8

_WORDS = r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf)|mbox|emph)\s*"
_WRAPPER = re.compile(
    rf"(?:{_WORDS}|\\(?:boldsymbol|bm|underline|displaystyle|textstyle)\s*|\\textcolor\s*\{{[^{{}}]*\}}\s*)?(?=\{{)"
)
_ANSWER = r"(?i:(?:the\s+)?(?:final\s+|correct\s+)?answer)"
_VARIABLE = r"(?:[A-Za-z]|\\[A-Za-z]+)"
_REALS = r"\\(?:mathbb|mathbf|Bbb)\s*\{?\s*R\s*\}?"
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "twelve": 12}
_BRACKETS = {"(": "p", "[": "b", "|": "v"}
_SPACE = r"(?:\\[ ,;:!]|\\q?quad(?![A-Za-z])|[\s~])*"

_LETTER = r"\(\s*[A-J]\s*\)"
_LABEL = re.compile(
    rf"(?P<label>{_WORDS}\{{\s*{_LETTER}[:.]?{_SPACE}\}}|\(\s*{_WORDS}\{{\s*[A-J]\s*\}}\s*\))[:=]?{_SPACE}(?P<rest>.+)",
    re.DOTALL,
)
_LABEL_INSIDE = re.compile(rf"{_WORDS}\{{\s*(?P<label>{_LETTER})[\s~:.]*(?P<rest>[^{{}}]*\d[^{{}}]*)\}}")
_OPTION = re.compile(rf"(?:{_WORDS}\{{\s*)?\(?\s*[A-J]\s*\)?\.?\s*\}}?")
_NO_VALUE = re.compile(rf"[,;+*/^]|{_WORDS}\{{[\s,]*(?:or|and)(?![A-Za-z])|(?:or|and)(?![A-Za-z])")
_OR = re.compile(rf",?{_SPACE}(?:{_WORDS}\{{[\s,]*or[\s,]*\}}|(?<![A-Za-z\\])or(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z]))")
_RELATION = re.compile(r"[<>≤≥]|\\[lg](?:e|t|eq|eqslant)(?![A-Za-z])")
_COUNTED = re.compile(r"^([\d.,/]+)\s+([A-Za-z][A-Za-z .]+)$")
_LAST_WORDS = re.compile(
    r"(?<=[\dA-Za-z)\]}])\s*\\(?:text|textrm|mathrm|mbox)\s*\{[\s~]*(?!(?:if|when|for|where|unless|at|not|is|are)\b)"
    r"(?:[A-Za-z][^{}]*[A-Za-z.)]|(?<=[\s~])[A-Za-z])[\s~]*\}(?:\^\{?-?\d\}?)?\s*$"
)
_POWER = re.compile(r"\*\*\s*(?:(-?\d+)|\(([^()]*)\))")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")

# Applied in order, to gold answers and answers alike.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:large|Large|LARGE|huge|Huge|bf|rm)(?![A-Za-z])|\\color\s*\{[^{}]*\}", ""),
        (r"\\(?:boldsymbol|bm)\s*(?=\{)", r"\\mathbf"),
        (rf"^\s*{_WORDS}\{{\s*{_ANSWER}(?:\s+is)?\s*[:=]?\s*\}}\s*[:=]?", ""),
        (rf"^\s*{_ANSWER}\s*(?:is\b\s*:?|[:=])", ""),
        (rf"(?<=\d){_SPACE}(?:{_WORDS}\{{[\s~]*percent[\s~]*\}}|percent\b)", r"\\%"),
        (rf"{_WORDS}\{{[\s.,;]*\}}\s*$|(?<=[^.\s])\.\s*$|(?<=\d)\.(?=/)", ""),
        (r"∛\s*(\d+|\w)", r"\\sqrt[3]{\1}"),
        (r"\\sqrt\s*(\[[^\[\]]*\])\s*([^\W_])", r"\\sqrt\1{\2}"),
        (r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}|^([^{}]*)\\choose(?![A-Za-z])([^{}]*)$", r"\\binom{\1\3}{\2\4}"),
        (r"(\\times|\\cdot)(?![A-Za-z])\s*\{\s*10\s*\}\s*\^", r"\1 10^"),
        (r"_\s*\{\s*\\odot\s*\}", r"_{odot}"),
        (r"^\s*\((\d+)\)\s*_", r"\1_"),
        (rf"_\s*\{{\s*{_WORDS}\{{\s*base\s*\}}\s*(\d+)\s*\}}", r"_{\1}"),
        *(
            (rf"(?<=\d)\s*_\s*\{{?\s*{_WORDS}\{{\s*(?:base\s+)?(?:{word}|{base})\s*\}}\s*\}}?", f"_{{{base}}}")
            for word, base in _BASES.items()
        ),
        (
            rf"^\s*(?:\\left)?\\\{{\s*{_VARIABLE}\s*(?:\\in(?![A-Za-z])\s*{_REALS})?{_SPACE}"
            rf"(?:\\(?:mid|vert)(?![A-Za-z])|[:|])(?P<condition>[^|:]*)(?:\\right)?\\\}}\s*$",
            r"\g<condition>",
        ),
        (rf"^\s*{_VARIABLE}\s*\\in(?![A-Za-z])\s*(?=(?:\\left)?\\\{{)", ""),
        (rf"^\s*(?:{_VARIABLE}\s*\\in(?![A-Za-z])\s*)?{_REALS}\s*$", r"(-\\infty,\\infty)"),
        (rf"^\s*{_WORDS}\{{\s*(?i:all real numbers)\s*\}}\s*$", r"(-\\infty,\\infty)"),
    )
)
_ARRAY = re.compile(
    r"(?:\\left)?\s*([\[(|])\s*\\begin\s*\{array\}\s*\{[^{}]*\}(.*?)\\end\s*\{array\}\s*(?:\\right)?\s*([\])|])",
    re.DOTALL,
)


@functools.lru_cache(maxsize=4096)
def bare(text: str) -> str:
    """Return an answer without the wording around it."""
    text = plain_symbols(text.replace("ℝ", r"\mathbb{R}"))
    for _ in range(MAX_WRAPPERS):
        before = text
        text = _unwrapped(text.strip())
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        if text == before:
            break
    text = _ARRAY.sub(lambda found: _matrix(_BRACKETS[found[1]], found[2]), text)
    return text if r"\pm" in text else re.sub(r"\\mp(?![A-Za-z])", r"\\pm", text)


def read_integer(answer: str) -> str:
    """Return an answer to a problem that asks for an integer, normalised."""
    return without_last_words(normalise(bare(_without_label(answer, ""))))


def read_pair(gold: str, answer: str) -> tuple[str, str]:
    """Return a gold answer and an answer to its problem, normalised; each is read in the light of the other."""
    gold, answer = bare(gold), bare(_without_label(answer, gold))
    if read_number(gold) is None:
        answer = _POWER.sub(r"^{\1\2}", answer)
    gold, answer = _union(gold, answer), _union(answer, gold)
    gold, answer = normalise(gold), normalise(answer)
    if bool(_LAST_WORDS.search(gold)) != bool(_LAST_WORDS.search(answer)):
        gold, answer = without_last_words(gold), without_last_words(answer)
    return _without_commas(gold, answer), _without_commas(answer, gold)


def without_last_words(text: str) -> str:
    r"""Return an answer without the words after it: a unit that ``normalise`` does not know, ``12\text{ apples}``."""
    return _LAST_WORDS.sub("", text)


def _unwrapped(text: str) -> str:
    """Drop a command of setting, or dollars or braces, around everything; words keep a command that says so."""
    if len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1]:
        return text[1:-1]
    found = _WRAPPER.match(text)
    if not found or closing(text, found.end()) != len(text) - 1:
        return text
    inside = _COUNTED.sub(r"\1\\text{ \2}", text[found.end() + 1 : -1].strip())
    return inside if not found[0] or re.search(r"[\d\\]", inside) else rf"\text{{{inside}}}"


def _matrix(kind: str, body: str) -> str:
    return rf"\begin{{{kind}matrix}}{body}\end{{{kind}matrix}}"


def _without_label(answer: str, gold: str) -> str:
    r"""Return what stands beside the label of a choice (``\textbf{(B) }12``), or the label where that is asked for."""
    found = _LABEL.fullmatch(answer.strip()) or _LABEL_INSIDE.fullmatch(answer.strip())
    if not found or _NO_VALUE.match(found["rest"]) or re.search(rf"{_LETTER}|\{{\s*[A-J]\s*\}}", found["rest"]):
        return answer
    return found["label"] if gold and _OPTION.fullmatch(gold) else found["rest"]


def _union(text: str, other: str) -> str:
    """Write inequalities joined by "or" as a union where the other side is one."""
    parts = _OR.split(text)
    if len(parts) < 2 or not re.search(r"\\cup(?![A-Za-z])", other) or not all(map(_RELATION.search, parts)):
        return text
    return r"\cup ".join(parts)


def _without_commas(text: str, other: str) -> str:
    """Write numbers without commas between thousands where the other side is one value, and no plain number."""
    if "," in other or read_number(other):
        return text
    return _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
