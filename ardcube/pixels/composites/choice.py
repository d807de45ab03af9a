"""Composites that choose one observation per pixel: all its bands are of one date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.expression import Expression
from ardcube.pixels.composites.per_band import Maximum, Minimum
from ardcube.pixels.composites.protocol import ChoiceComposite, Layer, Stack, chosen_of
from ardcube.pixels.median import sorting_network

_ROWS = 32
"""Rows whose scores are computed at once, so that their arrays stay in the caches."""
Score = Callable[[int, slice], NDArray[np.float64]]
"""Returns the scores (y, x) of an observation, by its position, in some rows."""
Chosen = NDArray[np.int16]
"""Position of the chosen observation (y, x); -1 without observation."""


class Choice(ABC):
    """A composite that chooses; subclasses define `choose`."""

    __slots__ = ()

    @abstractmethod
    def choose(self, stack: Stack) -> Chosen:
        """Return the chosen observation of each pixel."""

    def reduce(self: ChoiceComposite, stack: Stack, out: tuple[NDArray[Any], ...]) -> None:
        """Fill the layer with the chosen observations."""
        from ardcube.kernels.choice import take_rows  # numba takes a second to import

        take_rows(stack.numbers, chosen_of(self, stack), out[0])


@dataclass(frozen=True, slots=True)
class PlainChoice(Choice):
    """A choice without parameters."""

    bands: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Medoid(PlainChoice):
    """The observation with the smallest sum of Euclidean distances to the others (Flood 2013)."""

    name: ClassVar[str] = "medoid"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("medoid of clear observations"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the medoid of each pixel."""
        from ardcube.kernels.choice import medoid_rows  # numba takes a second to import

        chosen = np.empty(stack.shape, np.int16)
        medoid_rows(stack.numbers, chosen)
        return chosen


@dataclass(frozen=True, slots=True)
class NearestToMedian(PlainChoice):
    """The observation nearest to the median of each band."""

    name: ClassVar[str] = "nearest-to-median"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("clear observation nearest to the median of each band"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation nearest to the median."""
        from ardcube.kernels.choice import nearest_rows  # numba takes a second to import

        chosen = np.empty(stack.shape, np.int16)
        nearest_rows(stack.numbers, sorting_network(len(stack.dates)), chosen)
        return chosen


@dataclass(frozen=True, slots=True)
class First(PlainChoice):
    """The earliest observation."""

    name: ClassVar[str] = "first"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("earliest clear observation"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the first observation."""
        valid = stack.numbers[0] != 0
        return np.where(valid.any(axis=0), valid.argmax(axis=0), -1).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Last(PlainChoice):
    """The latest observation."""

    name: ClassVar[str] = "last"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("latest clear observation"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the last observation."""
        valid = stack.numbers[0] != 0
        return np.where(valid.any(axis=0), len(valid) - 1 - valid[::-1].argmax(axis=0), -1).astype(np.int16)


def highest(stack: Stack, score: Score) -> Chosen:
    """Return the earliest observation with the highest score. Scores that are not finite are never chosen."""
    chosen = np.full(stack.shape, -1, np.int16)
    for top in range(0, stack.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        best = np.full(chosen[rows].shape, -np.inf)
        for day in range(len(stack.dates)):
            scores = score(day, rows)
            better = (stack.numbers[0, day, rows] != 0) & (scores > best) & (scores < np.inf)
            best[better] = scores[better]
            chosen[rows][better] = day
    return chosen


def _extreme(expression: Expression, sign: float, stack: Stack) -> Chosen:
    """Return the first observation with the largest value of an expression times a sign."""
    positions = {band: stack.bands.index(band) for band in expression.bands}

    def score(day: int, rows: slice) -> NDArray[np.float64]:
        values = expression.evaluate({
            band: stack.numbers[position, day, rows] * np.float64(stack.scale) + stack.offset
            for band, position in positions.items()
        })  # fmt: skip
        return values * sign

    return highest(stack, score)


@dataclass(frozen=True, slots=True)
class _Index(Choice):
    """The observation at an extreme of an expression; the earliest of equal ones."""

    expression: Expression

    @property
    def parameters(self) -> str:
        """The expression."""
        return self.expression.text

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the expression."""
        return self.expression.bands


@dataclass(frozen=True, slots=True)
class LargestIndex(_Index):
    """The observation with the largest value of an expression of bands."""

    name: ClassVar[str] = "max"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One layer."""
        return (Layer(f"clear observation with the largest {self.parameters}"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation with the largest value."""
        return _extreme(self.expression, 1.0, stack)


@dataclass(frozen=True, slots=True)
class SmallestIndex(_Index):
    """The observation with the smallest value of an expression of bands."""

    name: ClassVar[str] = "min"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One layer."""
        return (Layer(f"clear observation with the smallest {self.parameters}"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation with the smallest value."""
        return _extreme(self.expression, -1.0, stack)


@dataclass(frozen=True, slots=True)
class MaxNDVI(PlainChoice):
    """The observation with the largest NDVI."""

    name: ClassVar[str] = "max-ndvi"
    bands: ClassVar[tuple[str, ...]] = ("nir", "red")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("clear observation with the largest NDVI"),)

    def choose(self, stack: Stack) -> Chosen:
        """Return the observation with the largest NDVI."""
        return _extreme(Expression("(nir-red)/(nir+red)"), 1.0, stack)


class MaximumOrIndex:
    """``max`` is the maximum of each band, ``max:EXPRESSION`` the observation with the largest value."""

    name: ClassVar[str] = "max"

    @classmethod
    def parse(cls, text: str) -> Maximum | LargestIndex:
        """Return the maximum of each band without parameters, else the observation with the largest value."""
        return LargestIndex(Expression.parse(text)) if text else Maximum()


class MinimumOrIndex:
    """``min`` is the minimum of each band, ``min:EXPRESSION`` the observation with the smallest value."""

    name: ClassVar[str] = "min"

    @classmethod
    def parse(cls, text: str) -> Minimum | SmallestIndex:
        """Return the minimum of each band without parameters, else the observation with the smallest value."""
        return SmallestIndex(Expression.parse(text)) if text else Minimum()
