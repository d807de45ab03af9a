"""The geometric median of observations, and the median distances to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.protocol import Layer, Stack
from ardcube.pixels.median import sorting_network

_ITERATION = "Weiszfeld iteration until the step is below 0.05 digital numbers, at most 100 iterations"

UNFINISHED = "geomedian_unfinished"
"""Name of the number of pixels whose iteration ended at the bound, with a step that was still longer."""


def geomedian_of(stack: Stack) -> NDArray[np.float32]:
    """Return the geometric medians in digital numbers (band, y, x), computed once for a stack.

    The geometric median is the point with the smallest sum of Euclidean distances to the observations. NaN without an
    observation.
    """
    if "geomedian" not in stack.shared:
        from ardcube.kernels.geomedian import geomedian_rows  # numba takes a second to import

        result = np.empty((len(stack.bands), *stack.shape), np.float32)
        stack.counts[UNFINISHED] += geomedian_rows(stack.numbers, sorting_network(len(stack.dates)), result)
        stack.shared["geomedian"] = result
    return stack.shared["geomedian"]


@dataclass(frozen=True, slots=True)
class Geomedian:
    """The geometric median: the point with the smallest sum of distances to the observations."""

    name: ClassVar[str] = "geomedian"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[tuple[Layer, ...]] = (Layer("geometric median of clear observations", comment=_ITERATION),)

    def reduce(self, stack: Stack, out: tuple[NDArray[Any], ...]) -> None:
        """Fill the layer with the geometric medians, rounded half to even."""
        for band, numbers in enumerate(geomedian_of(stack)):
            out[0][..., band] = np.nan_to_num(np.rint(numbers), nan=0)


@dataclass(frozen=True, slots=True)
class MedianDeviations:
    """Median distances of observations to their geometric median, in reflectance (Roberts et al. 2018)."""

    name: ClassVar[str] = "mads"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ()
    along_with: ClassVar[tuple[str, ...]] = ("geomedian",)
    """Composites that the cube must have too."""
    layers: ClassVar[tuple[Layer, ...]] = tuple(
        Layer(f"median of the {distance} distances of clear observations to their geometric median", "number", False,
              name=name)
        for name, distance in (("emad", "Euclidean"), ("smad", "cosine"), ("bcmad", "Bray-Curtis"))
    )  # fmt: skip

    def reduce(self, stack: Stack, out: tuple[NDArray[Any], ...]) -> None:
        """Fill the layers with the median distances."""
        from ardcube.kernels.deviations import deviation_rows  # numba takes a second to import

        result = np.full((len(out), *stack.shape), np.nan, np.float32)
        network = sorting_network(len(stack.dates))
        deviation_rows(stack.numbers, network, geomedian_of(stack), stack.scale, stack.offset, result)
        for layer, values in zip(out, result, strict=True):
            layer[...] = values
