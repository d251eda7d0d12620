"""Writes one LaTeX answer in one way, so that what is left to decide is mathematics and not typography.

The rules are those that real golds and answers need: Minerva writes ``4.5e33``, HMMT ``sqrt{7}``, models write units,
thin spaces and full-width digits. No rule changes a value. The rules are part of the grader's version.
"""

from __future__ import annotations

import functools
import re
import unicodedata

MAX_ANSWER = 1000
MAX_DEPTH = 60
MAX_EXPONENT = 100_000
MAX_FACTORIAL = 10_000

_SYMBOLS = {
    **{char: f"^{{{digit}}}" for digit, char in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{"½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}"},
    **{"π": r"\pi ", "√": r"\sqrt ", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "±": r"\pm ", "∓": r"\mp "},
    **{"−": "-", "–": "-", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≈": r"\approx ", "°": r"^\circ "},
    **{"∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta "},
}
_SYMBOL_TABLE = str.maketrans(_SYMBOLS)

_FUNCTIONS = "arcsin|arccos|arctan|sqrt|sin|cos|tan|log|ln|exp"
_UNIT_WORD = (
    r"(?:cm|mm|km|kg|deg|degrees?|units?|dollars?|cents|meters?|metres?|inch(?:es)?|feet|miles?|hours?|minutes?"
    r"|seconds?|days?|years?|square|cubic|sq|per)"
)
_UNIT = rf"(?:{_UNIT_WORD}(?:\^\{{?[23]\}}?)?[ /.]*)+"
_WORDS = r"\\(?:text|textrm|mathrm|mbox)\{"
_SCIENCE = (
    r"(?:[kMGTcmnpuµμ]?(?:eV|J|W|Hz|Pa|N|V|T|K|g|m|s|L|l|mol|cal|bar)|erg|amu|arcsec(?:onds?)?|arcmin(?:utes?)?"
    r"|rad(?:ians?)?|min|h|hr|yr|atm|AU|pc|Å)"
)
_POWER = r"(?:\^\{?-?\d\}?)?"
_MEASURE = rf"{_WORDS}[\s~]*{_SCIENCE}{_POWER}(?:[ /~·]+{_SCIENCE}{_POWER})*[\s~]*\}}{_POWER}"
"""A unit of science, read only inside a command that sets words: outside of one, ``5 m`` is a product."""
_ORDINAL = r"\\(?:text|textrm|mathrm|mbox)\{\s*(?:st|nd|rd|th)\s*\}"
_DEGREE = r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)"

# Applied in order. The order matters: spaces and sizes go first, because later rules look at neighbours. A row break
# of a matrix, two backslashes, is kept: its second one begins no command.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\\$", ""),
        (r"(\\\\)|\$|\\[()]|\\(?:displaystyle|textstyle|limits|nolimits)\b", r"\1"),
        (r"\\(?:left|right)\s*\.", ""),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])", ""),
        (r"\{,\}", ","),
        (r"(?<=\d)\s*(?:\\[,;:! ]|~)\s*(?=\d{3}(?!\d))", ""),
        (r"(\\\\)|\\!", r"\1"),
        (r"(\\\\)|\\[,;: ]|~|\\q?quad\b|\\hspace\{[^{}]*\}", r"\1 "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\s*(\{[^{}]*\})\s*(\d)", r"\\frac\1{\2}"),
        (r"\\(?:leqslant|leq|le)(?![A-Za-z])", r"\\le "),
        (r"\\(?:geqslant|geq|ge)(?![A-Za-z])", r"\\ge "),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\langle(?![A-Za-z])", "("),
        (r"\\rangle(?![A-Za-z])", ")"),
        (r"\\varnothing(?![A-Za-z])", r"\\emptyset "),
        (r"\\degree(?![A-Za-z])", r"^\\circ "),
        (
            r",?\s*(?:\\(?:text|textrm|mathrm|mbox)\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z])(?:and|or)(?![A-Za-z]))",
            ",",
        ),
        (r"^\s*(?:\\approx(?![A-Za-z])|=)", ""),
        (rf"(?<![A-Za-z\\])(?:np\.|math\.)?({_FUNCTIONS})(?=\s*[({{])", r"\\\1"),
        (r"(?<![A-Za-z\\])(?:np\.|math\.)?pi(?![A-Za-z])", r"\\pi "),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*(\d)(?!\d)", r"\\sqrt{\1}"),
        (r"(?<![A-Za-z\d.])(\d+\.?\d*|\.\d+)\s*[eE]([+-]?\d+)(?![\d.A-Za-z])", r"\1\\times 10^{\2}"),
        (r"10\^(\d)(?!\d)", r"10^{\1}"),
        *(
            (rf"(?<=\d)\s*(?:{_WORDS}[\s~]*{word}[\s~]*\}}|{word}\b)", rf"\\times 10^{{{power}}}")
            for word, power in (("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12))
        ),
        (rf"(?<=\d)\s*(?:\^\s*\{{\s*(?:{_ORDINAL}|st|nd|rd|th)\s*\}}|\^?\s*{_ORDINAL})", ""),
        (rf"(?<=[\d}})])\s*\\(?:text|textrm|mathrm|mbox)\{{[\s~]*{_UNIT}\s*\}}(?:\^\{{?[23]\}}?)?\s*$", ""),
        (rf"(?<=\d)\s*{_UNIT}$", ""),
        (rf"(?<=[\d}}])\s*{_MEASURE}(?:\s*(?:(?:/|\\cdot\b)\s*)?{_MEASURE})*\s*$", ""),
        (r"_\{(\w)\}(?!\d)", r"_\1"),
    )
)
_TRIG = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_POWER_OF_POWER = re.compile(r"(\d+)\^-?(\d+)\^-?(\d+)")


def plain_symbols(text: str) -> str:
    """Return a text with commands for the symbols of mathematics, and one form for each other character."""
    return unicodedata.normalize("NFKC", text.translate(_SYMBOL_TABLE))


@functools.lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Return an answer in the one form that the other functions here expect."""
    text = plain_symbols(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    degrees = r"(\\frac{\1\\pi}{180})" if _TRIG.search(text) else r"\1"
    text = re.sub(rf"(\d+(?:\.\d+)?){_DEGREE}", degrees, text)
    text = re.sub(r"\s+", " ", text).strip()
    return _strip_outer(text.rstrip(".").strip()) if not text.endswith("..") else text


def _strip_outer(text: str) -> str:
    """Drop a pair of braces, or a text command around a number, that surrounds everything."""
    wrapped = _TEXT.fullmatch(text)
    if wrapped and re.fullmatch(r"[\s\d.,/+-]+", wrapped[1]):
        return wrapped[1].strip()
    if text.startswith("{") and text.endswith("}") and closing(text, 0) == len(text) - 1:
        return text[1:-1].strip()
    return text


def plain_text(text: str) -> str:
    r"""Return an answer without the commands that set words, ``\text{..}`` and its like."""
    return _TEXT.sub(r"\1", text)


def words(text: str) -> str | None:
    r"""Return the words of an answer that is words (``\text{Evelyn}``, ``Evelyn``, ``\textbf{(C)}``), else None."""
    plain = plain_text(text)
    plain = re.sub(r"^\((.*)\)$", r"\1", plain.strip())
    if not re.fullmatch(r"[^\W\d_][^\W\d_ .'-]*(?:[ .'-]+[^\W\d_]+)*\.?", plain):
        return None
    if plain == text and 1 < len(plain) < 3:
        return None  # ab may be a product
    spaced = re.sub(r"[ .'-]+", " ", plain).strip()
    return spaced if len(spaced) == 1 else re.sub(r"^(?:an?|the) (?=[^ ]{3})", "", spaced.casefold())


def closing(text: str, start: int) -> int:
    """Return the position of the bracket that closes the one at ``start``, or -1; any bracket closes any other."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in "([{":
            depth += 1
        elif text[position] in ")]}":
            depth -= 1
            if depth == 0:
                return position
    return -1


@functools.lru_cache(maxsize=4096)
def is_refused(text: str) -> bool:
    """Say whether an answer is too long, too deep, or names a number too large to be worth parsing."""
    if len(text) > MAX_ANSWER or _depth(text) > MAX_DEPTH:
        return True
    bare = re.sub(r"[{}()\s]", "", text)
    if any(int(found) > MAX_EXPONENT for found in re.findall(r"\^[+-]?(\d+)", bare)):
        return True
    if any(int(found) > MAX_FACTORIAL for found in re.findall(r"(\d+)!", bare)) or "!!!" in bare:
        return True
    towers = _POWER_OF_POWER.finditer(bare)
    return any(int(found[3]) * len(found[2]) > len(str(MAX_EXPONENT)) for found in towers)


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest
