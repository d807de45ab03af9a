"""Interfaces of composites, and the stack of observations that they reduce."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.figures import SceneFigures

ENTRY_POINTS = "ardcube.composites"
"""Entry-point group in which installed packages register their composites."""

Quantity = Literal["reflectance", "difference", "number", "observations", "count", "days", "flag", "periods"]
"""Kind of a variable's values: `reflectance`, uint16 with scale and offset, 0 without observation; `difference` of two
reflectances, uint16 with the scale alone, 65535 without observation, because 0 is a value; `number`, float32, NaN
without observation; `observations`, uint16, 0 without observation; `count`, uint16, 65535 where it is unknown; `days`
since the start of the period, int32, the smallest number without observation; `flag`, uint8, 0 is the first category;
`periods`, uint8, 255 where there is no value."""
_DTYPES: dict[Quantity, tuple[str, float]] = {
    "reflectance": ("uint16", 0),
    "difference": ("uint16", 65535),
    "number": ("float32", float("nan")),
    "observations": ("uint16", 0),
    "count": ("uint16", 65535),
    "days": ("int32", -(2**31)),
    "flag": ("uint8", 0),
    "periods": ("uint8", 255),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One variable of a cube."""

    long_name: str
    """CF attribute of the variable."""
    quantity: Quantity = "reflectance"
    banded: bool = True
    """Whether the variable has the dimension `band`."""
    cell_methods: str = ""
    """CF attribute of the variable; empty if CF has no word for the composite."""
    name: str = ""
    """Name of the variable; empty for the name of the composite."""
    comment: str = ""
    """CF attribute of the variable; empty for none."""
    standard_name: str = ""
    """CF attribute of the variable; empty for none. Reflectance has its own."""
    flags: tuple[str, ...] = ()
    """Meanings of the values 0, 1, ... of a category."""

    @property
    def dtype(self) -> str:
        """Data type of the variable."""
        return _DTYPES[self.quantity][0]

    @property
    def fill(self) -> float:
        """Value of a pixel without observation."""
        return _DTYPES[self.quantity][1]

    @property
    def is_averaged(self) -> bool:
        """Whether levels of a pyramid have means of the values; those of counts and days have the nearest value."""
        return self.quantity in ("reflectance", "difference", "number")

    def pixel_bytes(self, bands: int) -> int:
        """Return the bytes of a pixel in a cube of `bands` bands."""
        return np.dtype(self.dtype).itemsize * (bands if self.banded else 1)

    def empty(self, height: int, width: int, bands: int) -> NDArray[Any]:
        """Return an array without observation, (y, x, band) or (y, x)."""
        shape = (height, width, bands) if self.banded else (height, width)
        return np.full(shape, self.fill, self.dtype) if self.fill else np.zeros(shape, self.dtype)


OBSERVATION_COUNT = Layer(
    "number of clear observations behind the composite",
    "observations",
    banded=False,
    name="observation_count",
    cell_methods="time: sum",
    standard_name="number_of_observations",
)
"""The variable that every cube has."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The clear observations of some rows of a chunk, all bands of each observation."""

    numbers: NDArray[np.uint16]
    """Digital numbers (band, observation, y, x). 0 means no observation: in all bands or in none. Do not change it."""
    bands: tuple[str, ...]
    dates: NDArray[np.datetime64]
    """Solar day of each observation, datetime64[ns] (observation,), ascending."""
    scale: float
    offset: float
    """`reflectance = DN * scale + offset`."""
    period: tuple[date, date] | None = None
    """First day of the period, and first day after it; None if unknown."""
    sensors: tuple[str, ...] = ()
    """Sensor of each observation; empty texts if it is unknown."""
    figures: SceneFigures | None = None
    """Figures of the scenes that gave the pixels; None if no composite of the cube needs them."""
    shared: dict[str, NDArray[Any]] = field(default_factory=dict, compare=False)
    """Results that composites of one stack share, by name."""
    counts: Counter[str] = field(default_factory=Counter, compare=False)
    """Numbers of pixels that the record of the chunk states if they are not 0, by name."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.numbers.shape[2], self.numbers.shape[3]


@runtime_checkable
class Composite(Protocol):
    """Properties that all composites have. A composite is a `BandComposite` or an `ObservationComposite`.

    A composite must be picklable, because it is sent to the workers. Make it a frozen dataclass. If it takes
    parameters (``--composite NAME:PARAMETERS``), it has a class method ``parse(text)`` that returns the composite, and
    raises `ValueError` for wrong parameters.
    """

    name: ClassVar[str]
    """Registered name. The name and the parameters are part of the cube's identity."""

    @property
    def parameters(self) -> str:
        """Parameters in the form that `parse` accepts; empty if there are none. Equal composites have equal texts."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that the cube must have."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Variables that the composite fills."""
        ...


@runtime_checkable
class BandComposite(Composite, Protocol):
    """Interface of a composite that reduces each band by itself. It has one layer, which has bands."""

    def reduce_band(self, numbers: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Fill `out` with the composite of one band.

        Parameters
        ----------
        numbers : uint16 (observation, y, x)
            Digital numbers by ascending date; 0 means no observation.
        out : array (y, x)
            Of the data type of the layer; filled in place. It holds the fill value of the layer, and must keep it
            where there is no observation.
        """
        ...


@runtime_checkable
class ObservationComposite(Composite, Protocol):
    """Interface of a composite that needs all bands of an observation at once.

    It may have one more member, `needs`: an `ardcube.Needs` with the figures of scenes that it uses. `stack.figures`
    has them then.
    """

    def reduce(self, stack: Stack, out: tuple[NDArray[Any], ...]) -> None:
        """Fill the arrays of the layers.

        Parameters
        ----------
        stack : Stack
            Observations with all bands valid. A pixel of an observation that lacks a band is 0 in all bands.
        out : tuple of arrays (y, x, band) or (y, x)
            One for each layer, of its data type; filled in place. They hold the fill values of the layers, and must
            keep them where there is no observation.
        """
        ...


@runtime_checkable
class ChoiceComposite(ObservationComposite, Protocol):
    """Interface of a composite that chooses one observation of each pixel; quality layers have the date of it."""

    def choose(self, stack: Stack) -> NDArray[np.int16]:
        """Return the position of the chosen observation of each pixel, int16 (y, x); -1 without one.

        `reduce` gets it by `chosen_of`, so that it is computed once for a stack.
        """
        ...


def chosen_of(composite: ChoiceComposite, stack: Stack) -> NDArray[np.int16]:
    """Return the position of the chosen observation of each pixel, int16 (y, x), computed once for a stack.

    -1 without an observation.
    """
    name = f"chosen by {text_of(composite)}"
    if name not in stack.shared:
        stack.shared[name] = composite.choose(stack)
    return stack.shared[name]


def text_of(composite: Composite) -> str:
    """Return the text that names a composite: ``NAME`` or ``NAME:PARAMETERS``."""
    return f"{composite.name}:{composite.parameters}" if composite.parameters else composite.name


def needs_all_bands(composites: tuple[Composite, ...]) -> bool:
    """Return whether one of the composites needs all bands of an observation at once."""
    return any(isinstance(composite, ObservationComposite) for composite in composites)
