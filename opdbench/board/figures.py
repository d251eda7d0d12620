"""How numbers are written: one format each, the same on every machine."""

from __future__ import annotations

DASH = "–"
"""What stands where there is no number."""


def steady(value: float) -> float:
    """Return a number without its last digits, which depend on the order in which a machine adds."""
    return float(f"{value:.10g}")


def percent(value: float | None) -> str:
    """Return a share as percent with one decimal."""
    text = DASH if value is None else f"{steady(100 * value):.1f}"
    return "0.0" if text == "-0.0" else text


def points(value: float | None) -> str:
    """Return a difference of shares in points, always signed."""
    if value is None:
        return DASH
    text = f"{steady(100 * value):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def error(value: float | None) -> str:
    """Return a standard error in points; a small one keeps two digits, so that it never reads as 0.0."""
    if value is None:
        return DASH
    share = steady(100 * value)
    return f"{share:.1f}" if share >= 0.05 else f"{share:.1g}" if share > 0 else DASH


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares in percent."""
    return "" if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def probability(value: float | None) -> str:
    """Return a p value; never 0 and, as it is an estimate, with at most two digits that matter."""
    if value is None:
        return DASH
    p = steady(value)
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(value: float | None) -> str:
    """Return a count with thousands apart; a mean over seeds keeps one decimal when it is not whole."""
    if value is None:
        return DASH
    value = steady(value)
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.1f}"


def amount(value: float | None) -> str:
    """Return a large amount such as FLOPs in scientific form with four digits."""
    return (
        DASH if value is None else "0" if value == 0 else f"{steady(value):.3e}".replace("e+0", "e").replace("e+", "e")
    )


def on_axis(value: float | None, axis: str) -> str:
    """Return a spend in the form that its axis is read in."""
    if axis == "flops":
        return amount(value)
    return DASH if value is None else f"{value:,.3f}" if axis == "gpu_hours" else count(value)


def number(value: float | None) -> str:
    """Return a setting or constant in its shortest exact form."""
    return DASH if value is None else f"{value:,.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:g}"
