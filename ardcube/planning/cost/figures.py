"""Figures of cost: quantities, ranges with their basis, prices, money (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

Quantity = Literal["cpu_seconds", "seconds", "requests", "received", "stored", "objects"]
QUANTITIES: tuple[Quantity, ...] = ("cpu_seconds", "seconds", "requests", "received", "stored", "objects")
"""CPU seconds; seconds for which a thread is occupied; requests and bytes to read; bytes and objects of the store."""
Basis = Literal["coefficients", "calibration", "ledger"]


@dataclass(frozen=True, slots=True)
class Used:
    """Counted figures of a chunk, or of several; None is unknown."""

    cpu_seconds: float | None = None
    seconds: float | None = None
    requests: float | None = None
    received: float | None = None
    stored: float | None = None
    objects: float | None = None

    def get(self, quantity: Quantity) -> float | None:
        """Return one figure."""
        figure: float | None = getattr(self, quantity)
        return figure


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is expected, between two that are possible."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """Return a multiple."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    @classmethod
    def exactly(cls, figure: float) -> Self:
        """Return a figure that is known."""
        return cls(figure, figure, figure)

    def text(self, form: Callable[[float], str]) -> str:
        """Return the figure and its range, with each number as `form` writes it."""
        low, likely, high = map(form, (self.low, self.likely, self.high))
        return likely if low == high else f"{likely} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in one currency; None is unknown."""

    per_core_hour: float | None = None
    per_gb: float | None = None
    """Of 1,000,000,000 bytes that are read."""
    per_1000_requests: float | None = None
    """Of requests to read."""

    @property
    def any(self) -> bool:
        """Whether a price is known."""
        return (self.per_core_hour, self.per_gb, self.per_1000_requests) != (None, None, None)

    def parts(
        self, core_hours: Range | None, received: Range | None, requests: Range | None
    ) -> dict[str, Range | None]:
        """Return the money of each price that is known, by its noun; None if its quantity is unknown."""
        every = (
            ("core-hours", self.per_core_hour, core_hours, 1.0),
            ("bytes", self.per_gb, received, 1e-9),
            ("requests", self.per_1000_requests, requests, 1e-3),
        )
        return {
            noun: None if figure is None else figure.times(price * unit)
            for noun, price, figure, unit in every
            if price is not None
        }


def total_of(parts: dict[str, Range | None]) -> Range | None:
    """Return the sum of money; None if a part is unknown, or if there is none."""
    known = [part for part in parts.values() if part is not None]
    if not known or len(known) < len(parts):
        return None
    return sum(known[1:], known[0])
