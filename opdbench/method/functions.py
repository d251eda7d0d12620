"""Losses of one token's log-probability, each with its slope in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class TokenFunction(Protocol):
    """A loss of the current log-probability ``x`` of one token and a detached value ``c``, both ``[N]``."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return the loss per token."""
        ...

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return d loss / d x."""
        ...


@dataclass(frozen=True, slots=True)
class Nll:
    """``-log S``: maximum likelihood."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``-x``."""
        return -x

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return -1."""
        return x.new_full(x.shape, -1.0)


@dataclass(frozen=True, slots=True)
class LogRatio:
    """``log T - log S`` with T constant: the gradient of ``Nll``, a value that falls to 0 when S meets T."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``c - x``."""
        return c - x

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return -1."""
        return x.new_full(x.shape, -1.0)


@dataclass(frozen=True, slots=True)
class K2:
    """``(log S - log T)^2 / 2``: the gradient of the k1 policy gradient (methods.md 1)."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return half the squared log-ratio."""
        return (x - c).square() / 2

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``x - c``."""
        return x - c


@dataclass(frozen=True, slots=True)
class K3:
    """``e^d - 1 - d`` with ``d = log T - log S``: its expected gradient is the forward KL's (methods.md 1)."""

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``e^(c - x) - 1 - (c - x)``."""
        return (c - x).exp() - 1 - (c - x)

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``1 - e^(c - x)``."""
        return 1 - (c - x).exp()


@dataclass(frozen=True, slots=True)
class Shaped:
    """``p / (p + constant)`` of the token's own probability p: the policy shaping of arXiv 2504.14945."""

    constant: float

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``p / (p + constant)``."""
        p = x.exp()
        return p / (p + self.constant)

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``p constant / (p + constant)^2``."""
        p = x.exp()
        return p * self.constant / (p + self.constant).square()


@dataclass(frozen=True, slots=True)
class LogMixture:
    """``log S - log M`` with ``M = beta T + (1 - beta) S``: the path through the mixture of a sampled JSD."""

    beta: float

    def _mixture(self, x: Tensor, c: Tensor) -> Tensor:
        return self.beta * c.exp() + (1 - self.beta) * x.exp()

    def value(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``x - log M``."""
        return x - self._mixture(x, c).log()

    def slope(self, x: Tensor, c: Tensor) -> Tensor:
        """Return ``1 - (1 - beta) S / M``."""
        return 1 - (1 - self.beta) * x.exp() / self._mixture(x, c)
