"""Reduce a stack of observations to all composites of a cube."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.protocol import BandComposite, Composite, ObservationComposite, Stack

Arrays = Sequence[NDArray[Any]]


def reduce_bands(composites: Sequence[Composite], stack: NDArray[np.uint16], out: Arrays, first: int = 0) -> None:
    """Fill the layers of composites of each band by itself.

    Parameters
    ----------
    composites : sequence of Composite
        All composites of a cube.
    stack : uint16 (band, observation, y, x)
        Some bands of the observations; 0 means no observation.
    out : sequence of arrays (y, x, band) or (y, x)
        Layers of all composites, in order; those of `BandComposite` are filled in place.
    first : int
        Position of the first band of the stack among those of the cube.
    """
    for one, layers in _with_layers(composites, out):
        if isinstance(one, BandComposite):
            for position, numbers in enumerate(stack, first):
                one.reduce_band(numbers, layers[0][..., position])


def reduce_observations(composites: Sequence[Composite], stack: Stack, out: Arrays) -> None:
    """Fill the layers of composites of whole observations.

    Parameters
    ----------
    composites : sequence of Composite
        All composites of a cube.
    stack : Stack
        All bands of the observations. Pixels of observations that lack a band become 0 in all bands, in place.
    out : sequence of arrays (y, x, band) or (y, x)
        Layers of all composites, in order; those of `ObservationComposite` are filled in place.
    """
    if not len(stack.dates):
        return
    from ardcube.kernels.statistics import drop_incomplete  # numba takes a second to import

    drop_incomplete(stack.numbers)
    for one, layers in _with_layers(composites, out):
        if isinstance(one, ObservationComposite):
            one.reduce(stack, layers)


def _with_layers(composites: Sequence[Composite], out: Arrays) -> Iterator[tuple[Composite, tuple[NDArray[Any], ...]]]:
    """Yield composites and the arrays of their layers."""
    start = 0
    for one in composites:
        stop = start + len(one.layers)
        yield one, tuple(out[start:stop])
        start = stop
