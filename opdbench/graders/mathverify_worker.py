"""The process that imports math-verify: ``python -m opdbench.graders.mathverify_worker``.

It reads one JSON object per line from standard input, ``{"gold": .., "answer": ..}``, and answers with one line,
``{"outcome": "same"}``. It may hang or die on any line: its parent holds the clock and starts another.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
from dataclasses import fields, replace
from fractions import Fraction
from functools import partial
from typing import Any

from opdbench.graders.compare import equivalent
from opdbench.graders.exact import Number, read_number, rounds
from opdbench.graders.wording import without_last_words

MEMORY_BYTES = 4 << 30
CPU_SECONDS = 8
_UNFINISHED = re.compile(r"(?:[-+*/=^_<>]|\\(?:cdot|times|div|frac|sqrt|pm|le|ge))\s*$")
# Letters that math-verify takes for a constant or a function, or reads without their index: what they are read as.
_STAND_INS = {"E": r"\Upsilon ", "I": r"\Xi ", r"\gamma": r"\varsigma ", "e_": r"\varpi _"}
_TOKEN = re.compile(r"\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+\s*|e_|[EI]")


class MathVerify:
    """math-verify without its alarms: it sees one box at a time, and verdicts do not depend on its version."""

    def __init__(self) -> None:
        import math_verify
        from math_verify.parser import LatexExtractionConfig

        self._library: Any = math_verify
        # Where it cannot read the whole, it would take the last fraction of it for the answer; and for a unit it takes
        # all that follows the first text command, or a factor m.
        normalisation = replace(LatexExtractionConfig().normalization_config, units=False)
        self._config = [
            LatexExtractionConfig(try_extract_without_anchor=False, normalization_config=normalisation),
        ]
        _keep_case()

    def same(self, gold: str, answer: str) -> bool:
        """Say whether two single expressions are equal."""
        if _UNFINISHED.search(gold) or _UNFINISHED.search(answer):
            return False
        golds, answers = self._parse(gold), self._parse(answer)
        if not golds or not answers:
            return False
        decimals = read_number(gold), read_number(answer)
        for number, other in (decimals[0], answers[0]), (decimals[1], golds[0]):
            if number and _is_constant(other):
                return _equals_number(number, other)
        if self._library.verify(golds, answers, timeout_seconds=0):
            return True
        first = golds[0], answers[0]
        return _same_symbol(*first) or _scaled(*first) or _same_rewritten(*first)

    def _parse(self, text: str) -> list[Any]:
        text = _TOKEN.sub(lambda found: _STAND_INS.get(found[0].strip(), found[0]), without_last_words(text))
        return self._library.parse(rf"\boxed{{{text}}}", extraction_config=self._config, parsing_timeout=0)


def _keep_case() -> None:
    """Keep ``R`` and ``r`` apart, which later versions of math-verify read as one symbol."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from math_verify import parser

    settings: dict[str, Any] = {"lowercase_symbols": False}
    if settings.keys() <= {field.name for field in fields(ConversionConfig)}:
        config = ConversionConfig(**settings)
        parser.latex2sympy = partial(parser.latex2sympy, conversion_config=config)


def _is_constant(value: Any) -> bool:
    """Say whether a parsed value is a number without free symbols."""
    import sympy

    return isinstance(value, sympy.Expr) and not value.free_symbols and value.is_number is True


def _equals_number(number: Number, value: Any) -> bool:
    """Compare an exact number with a constant to 20 digits more than it has; a long decimal may round it."""
    import sympy

    target = number.value / 100 if number.is_percent else number.value
    digits = 20 + len(str(target))
    value = value.xreplace({found: sympy.Rational(str(found)) for found in value.atoms(sympy.Float)})
    real, imaginary = sympy.N(value, digits).as_real_imag()
    if not real.is_Number or not real.is_finite or abs(imaginary) > 10**-20:
        return False
    found = Fraction(str(real))
    return abs(found - target) <= abs(target) * Fraction(1, 10 ** (digits - 8)) or rounds(number, found)


def _same_symbol(gold: Any, answer: Any) -> bool:
    """Compare a single symbol with an expression, which some versions of math-verify compare as text."""
    import sympy

    if not any(isinstance(value, sympy.Symbol) for value in (gold, answer)):
        return False
    return all(isinstance(value, sympy.Expr) for value in (gold, answer)) and bool(sympy.simplify(gold - answer) == 0)


def _same_rewritten(gold: Any, answer: Any) -> bool:
    """Compare with ``i`` as the imaginary unit and hyperbolic functions as exponentials, where one of them occurs."""
    import sympy

    if not all(isinstance(value, sympy.Expr) for value in (gold, answer)):
        return False
    symbols: set[Any] = gold.free_symbols | answer.free_symbols
    hyperbolic = sympy.sinh, sympy.cosh, sympy.tanh
    if not any(symbol.name == "i" for symbol in symbols) and not gold.has(*hyperbolic) and not answer.has(*hyperbolic):
        return False
    meanings = {symbol: sympy.I if symbol.name == "i" else sympy.Symbol(symbol.name) for symbol in symbols}
    difference = (gold.xreplace(meanings) - answer.xreplace(meanings)).rewrite(sympy.exp)
    if difference.free_symbols:
        return bool(sympy.simplify(difference) == 0)
    return bool(abs(sympy.N(difference, 30)) < 10**-20)


def _scaled(gold: Any, answer: Any) -> bool:
    """Say whether two equations differ by a constant factor only, in one with derivatives by a factor without them."""
    import sympy

    if not isinstance(gold, sympy.Eq) or not isinstance(answer, sympy.Eq):
        return False
    sides: list[Any] = [gold.lhs, gold.rhs, answer.lhs, answer.rhs]
    ratio = sympy.simplify((sides[0] - sides[1]) / (sides[2] - sides[3]))
    if ratio.is_zero or ratio.has(sympy.nan, sympy.zoo, sympy.oo):
        return False
    unknown = [found.free_symbols for found in gold.atoms(sympy.Derivative)]
    return bool(ratio.free_symbols <= (gold.free_symbols.difference(*unknown) if unknown else set()))


def answer_line(line: str, library: MathVerify) -> str:
    """Answer one request: ``same``, ``different``, or ``limit`` when memory ran out."""
    request = json.loads(line)
    try:
        outcome = "same" if equivalent(request["gold"], request["answer"], library.same) else "different"
    except MemoryError:
        outcome = "limit"
    except Exception:  # sympy raises anything on untrusted LaTeX; what it cannot read is not the gold answer
        outcome = "different"
    return json.dumps({"outcome": outcome}) + "\n"


def main() -> None:
    """Serve until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    library = MathVerify()
    answers.write('{"outcome": "ready"}\n')
    os.dup2(sink, 2)
    for line in sys.stdin:
        # The kernel ends a worker whose parent is gone, even inside one long multiplication of integers.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        reply = answer_line(line, library)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(reply)


if __name__ == "__main__":
    main()
