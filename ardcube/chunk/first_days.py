"""Choose the first clear days of each pixel, in order of cloud cover, before any reflectance is read.

The choice depends on the masks of the scenes at the pixel alone. It is the same in each chunk, strip and order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ardcube.chunk.clear import Observation
from ardcube.pixels.bitmask import Bits, packed, unpacked


def first_clear_days(observations: Sequence[Observation], most: int, width: int) -> list[Observation]:
    """Return observations with the pixels of which they are among the first clear ones.

    Observations of a pixel are ordered by the cloud cover of their scenes, the lowest of those that are clear there.
    Unknown cloud cover comes last. Equal ones are ordered by date, then sensor.

    Parameters
    ----------
    observations : sequence of Observation
        Observations of a window, ordered by date, then sensor.
    most : int
        Clear observations of a pixel to keep.
    width : int
        Columns of the window.
    """
    steps = sorted(
        (math.inf if area.scene.cloud_cover is None else area.scene.cloud_cover, number, order)
        for number, one in enumerate(observations)
        for order, area in enumerate(one.areas)
    )
    if not steps:
        return list(observations)
    shape = observations[steps[0][1]].areas[0].pixels.shape
    seen, kept = ([np.zeros(shape, np.uint8) for _ in observations] for _ in range(2))
    count = np.zeros((shape[0], width), np.uint16)
    is_open: Bits = packed(np.ones(count.shape, bool))
    for _, number, order in steps:
        new = observations[number].areas[order].pixels & ~seen[number]
        seen[number] |= new
        chosen = new & is_open
        if chosen.any():
            kept[number] |= chosen
            count += unpacked(chosen, width)
            is_open = packed(count < most)
    return [_within(one, pixels) for one, pixels in zip(observations, kept, strict=True)]


def _within(one: Observation, pixels: Bits) -> Observation:
    return replace(one.within(pixels), masked=one.masked)
