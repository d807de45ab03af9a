"""The quality layers, and the observations that they describe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.bitmask import unpacked
from ardcube.pixels.composites.protocol import ChoiceComposite, Layer, Stack, chosen_of, text_of
from ardcube.pixels.median import count_days, sorting_network

OTHER_SENSORS = "other"
"""Name of the sensors that are not listed."""
_DAYS = "local solar day, in days since the start of the period; -1 is the day before"


@dataclass(frozen=True, slots=True)
class Seen:
    """The observations of a window."""

    clear: NDArray[np.uint8]
    """Pixels that are clear and valid in a band: bits (observation, y, x / 8) as in `ardcube.pixels.bitmask`."""
    dates: NDArray[np.datetime64]
    """Solar day of each observation, datetime64[ns] (observation,), ascending."""
    sensors: tuple[str, ...]
    """Sensor of each observation; empty texts if it is unknown."""
    count: NDArray[np.uint16]
    """Clear observations (y, x)."""
    valid: NDArray[np.uint16]
    """Valid observations, clear or not (y, x); equal to `count` if no layer needs it."""
    start: date | None = None
    """First day of the period; None if no layer needs it."""

    @property
    def days(self) -> NDArray[np.int32]:
        """Solar day of each observation, in days since the start of the period (observation,)."""
        assert self.start is not None  # chunks of a cube have one
        return days_since(self.start, self.dates)


class CountedLayer(Protocol):
    """A quality layer that follows from the clear and valid observations of a pixel."""

    @property
    def layer(self) -> Layer:
        """Variable of the layer."""
        ...

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` (y, x), which holds fill values, and keep them where the layer is unknown."""
        ...


@dataclass(frozen=True, slots=True)
class ValidCount:
    """Number of valid observations, clear or not."""

    layer: ClassVar[Layer] = Layer(
        "number of valid observations, clear or not", "count", False, "time: sum", "valid_count",
        "clear: valid in a band; not clear: the classification of the cloud mask is not nodata",
    )  # fmt: skip

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the numbers."""
        out[...] = seen.valid


@dataclass(frozen=True, slots=True)
class ClearShare:
    """Share of the valid observations that are clear; unknown without a valid observation."""

    layer: ClassVar[Layer] = Layer(
        "share of valid observations that are clear", "number", False, name="clear_share",
        comment="observation_count divided by the number of valid observations",
    )  # fmt: skip

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the shares."""
        np.divide(seen.count, seen.valid, out=out, where=seen.valid > 0, casting="same_kind")


@dataclass(frozen=True, slots=True)
class MedianDate:
    """Day of the middle clear observation; of the earlier one of the middle two for an even count."""

    layer: ClassVar[Layer] = Layer(
        "median day of clear observations", "days", False, "time: median", "date",
        f"{_DAYS}; the earlier of the middle two for an even count",
    )  # fmt: skip

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the days."""
        middle = (seen.count.astype(np.int32) - 1) // 2
        for bits, day in zip(seen.clear, seen.days, strict=True):
            here = unpacked(bits, out.shape[1])
            np.copyto(out, day, where=here & (middle == 0))
            middle -= here


@dataclass(frozen=True, slots=True)
class FirstDate:
    """Day of the earliest clear observation."""

    layer: ClassVar[Layer] = Layer(
        "first day of clear observations", "days", False, "time: minimum", "first_date", _DAYS
    )

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the days."""
        for bits, day in zip(seen.clear[::-1], seen.days[::-1], strict=True):
            np.copyto(out, day, where=unpacked(bits, out.shape[1]))


@dataclass(frozen=True, slots=True)
class LastDate:
    """Day of the latest clear observation."""

    layer: ClassVar[Layer] = Layer("last day of clear observations", "days", False, "time: maximum", "last_date", _DAYS)

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the days."""
        for bits, day in zip(seen.clear, seen.days, strict=True):
            np.copyto(out, day, where=unpacked(bits, out.shape[1]))


@dataclass(frozen=True, slots=True)
class SensorShare:
    """Share of the clear observations by one sensor, or by all that are not listed."""

    sensor: str
    """Name of the sensor, or `OTHER_SENSORS`."""
    listed: tuple[str, ...]
    """Sensors that have a layer."""

    @property
    def layer(self) -> Layer:
        """Variable of the layer."""
        name = re.sub(r"[^a-z0-9]+", "_", self.sensor.lower()).strip("_")
        sensors = "other sensors" if self.sensor == OTHER_SENSORS else self.sensor
        return Layer(f"share of clear observations by {sensors}", "number", False, name=f"sensor_share_{name}")

    def fill(self, seen: Seen, out: NDArray[Any]) -> None:
        """Fill `out` with the shares."""
        named = [sensor if sensor in self.listed else OTHER_SENSORS for sensor in seen.sensors]
        own = count_days(seen.clear[[name == self.sensor for name in named]], out.shape[1])
        np.divide(own, seen.count, out=out, where=seen.count > 0, casting="same_kind")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median absolute deviation of each band from its median, rounded half to even. A `BandComposite`."""

    name: ClassVar[str] = "spread"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[tuple[Layer, ...]] = (
        Layer("median absolute deviation of clear observations from their median", "difference", name="spread"),
    )

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the deviations."""
        if len(numbers):
            from ardcube.kernels.statistics import spread_rows  # numba takes a second to import

            spread_rows(numbers, sorting_network(len(numbers)), out)


@dataclass(frozen=True, slots=True)
class ChosenDate:
    """Day of the observation that a composite chooses. An `ObservationComposite`."""

    name: ClassVar[str] = "date"
    bands: ClassVar[tuple[str, ...]] = ()

    choice: ChoiceComposite
    variable: str
    """Name of the layer."""

    @property
    def parameters(self) -> str:
        """Text of the composite."""
        return text_of(self.choice)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One layer."""
        return (
            Layer(f"day of the observation of {self.parameters}", "days", False, name=self.variable, comment=_DAYS),
        )

    def reduce(self, stack: Stack, out: tuple[NDArray[Any], ...]) -> None:
        """Fill the layer with the days."""
        assert stack.period is not None  # chunks of a cube have one
        chosen = chosen_of(self.choice, stack)
        found = chosen >= 0
        out[0][found] = days_since(stack.period[0], stack.dates)[chosen[found]]


def days_since(start: date, dates: NDArray[np.datetime64]) -> NDArray[np.int32]:
    """Return days since a date: int32, negative before it."""
    return (dates.astype("datetime64[D]") - np.datetime64(start, "D")).astype(np.int32)
