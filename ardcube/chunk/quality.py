"""Fill the quality layers of a window from the observations that its cloud mask and its pixels leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.clear import Observation
from ardcube.extent.periods import Period
from ardcube.pixels.bitmask import Bits, unpacked
from ardcube.pixels.quality.layers import Seen
from ardcube.pixels.quality.registry import Quality


def fill_counted(
    quality: Quality,
    found: Sequence[Observation],
    observed: NDArray[np.uint8],
    period: Period | None,
    variables: Sequence[NDArray[Any]],
) -> None:
    """Fill the quality layers that follow from the clear and valid observations.

    Parameters
    ----------
    quality : Quality
        Layers of the cube.
    found : sequence of Observation
        Observations of the window, also those without a clear pixel.
    observed : uint8 (observation, y, x / 8)
        Pixels with a clear and valid observation in a band, of observations that have a clear pixel.
    period : Period or None
        Period of the chunk; None if no layer has days.
    variables : sequence of arrays
        As in `CubeSpec.variables`; the count of observations, the last of them, is filled already.
    """
    count, clear = variables[-1], [one for one in found if one.areas]
    seen = Seen(
        observed,
        np.array([one.date for one in clear], "datetime64[ns]"),
        tuple(one.sensor for one in clear),
        count,
        _valid(found, observed, count),
        None if period is None else period.start,
    )
    for one, out in zip(quality.counted, variables[-1 - len(quality.counted) : -1], strict=True):
        one.fill(seen, out)


def _valid(found: Sequence[Observation], observed: NDArray[np.uint8], count: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the number of observations of each pixel that are clear, or masked and not clear: uint16 (y, x)."""
    valid, clear = count.copy(), iter(observed)
    for one in found:
        seen: Bits | None = next(clear) if one.areas else None
        if one.masked is not None:
            valid += unpacked(one.masked if seen is None else one.masked & ~seen, count.shape[1])
    return valid
