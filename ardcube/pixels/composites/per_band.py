"""Composites of each band by itself: median, mean, extremes, standard deviation, percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.protocol import Layer
from ardcube.pixels.median import median_of_valid, sorting_network

_PARTS = 1000
"""Parts of a percent that a percentile may have."""


@dataclass(frozen=True, slots=True)
class _BandStatistic:
    """A statistic without parameters."""

    bands: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Median(_BandStatistic):
    """The median; the mean of the middle two for an even count, rounded half to even."""

    name: ClassVar[str] = "median"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("median of clear observations", cell_methods="time: median"),)

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the medians."""
        median_of_valid(numbers, out)


@dataclass(frozen=True, slots=True)
class Mean(_BandStatistic):
    """The mean, rounded half to even."""

    name: ClassVar[str] = "mean"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("mean of clear observations", cell_methods="time: mean"),)

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the means."""
        from ardcube.kernels.statistics import mean_rows  # numba takes a second to import

        mean_rows(numbers, out)


@dataclass(frozen=True, slots=True)
class Minimum(_BandStatistic):
    """The smallest number."""

    name: ClassVar[str] = "min"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("minimum of clear observations", cell_methods="time: minimum"),)

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the minima."""
        if len(numbers):
            # One is subtracted, so that 0, which means no observation, becomes the largest number.
            out[...] = (numbers - np.uint16(1)).min(axis=0) + np.uint16(1)


@dataclass(frozen=True, slots=True)
class Maximum(_BandStatistic):
    """The largest number."""

    name: ClassVar[str] = "max"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("maximum of clear observations", cell_methods="time: maximum"),)

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the maxima."""
        if len(numbers):
            numbers.max(axis=0, out=out)


@dataclass(frozen=True, slots=True)
class StandardDeviation(_BandStatistic):
    """The standard deviation of the observations, divided by their number, rounded half to even; 0 for one."""

    name: ClassVar[str] = "std"
    layers: ClassVar[tuple[Layer, ...]] = (
        Layer(
            "standard deviation of clear observations", "difference", cell_methods="time: standard_deviation",
            comment="divided by the number of observations, not by one less",
        ),
    )  # fmt: skip

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the standard deviations."""
        from ardcube.kernels.statistics import deviation_rows  # numba takes a second to import

        deviation_rows(numbers, out)


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile: linear between order statistics, rounded half to even."""

    name: ClassVar[str] = "percentile"
    bands: ClassVar[tuple[str, ...]] = ()

    percent: float

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100 or round(self.percent * _PARTS) / _PARTS != self.percent:
            raise ValueError(f"{self.percent:g} is not a percentile; give a number 0 to 100 with at most 3 decimals")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the percentile of a number such as ``25``."""
        try:
            return cls(float(text))
        except ValueError as error:
            if "percentile" in str(error):
                raise
            problem = f"{text!r:.60} is not a number" if text else "it needs a number"
            raise ValueError(f"{problem}; write it as percentile:25") from error

    @property
    def parameters(self) -> str:
        """The number, such as ``25``."""
        return f"{self.percent:.10g}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One layer."""
        return (Layer(f"percentile {self.parameters} of clear observations"),)

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the percentiles."""
        if len(numbers):
            from ardcube.kernels.statistics import percentile_rows  # numba takes a second to import

            percentile_rows(numbers, sorting_network(len(numbers)), round(self.percent * _PARTS), 100 * _PARTS, out)
