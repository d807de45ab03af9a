"""Cleaning of a mask as the pixel contract defines it, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def naive_clean_up(bad: Mask, covered: Mask, radii: tuple[float, float, float], pixel: tuple[float, float]) -> Mask:
    """Return which covered pixels are not clear after closing, opening and buffer with disks in metres."""
    closing, opening, buffer = (offsets(radius, pixel) for radius in radii)
    bad = bad & covered
    bad = shrink(grow(bad, covered, closing), covered, closing)
    bad = grow(shrink(bad, covered, opening), covered, opening)
    return grow(bad, covered, buffer)


def offsets(radius: float, pixel: tuple[float, float]) -> list[tuple[int, int]]:
    """Return the rows and columns of the pixels whose centre is within a radius."""
    height, width = pixel
    rows, columns = int(radius / height) + 2, int(radius / width) + 2
    return [
        (row, column)
        for row in range(-rows, rows + 1)
        for column in range(-columns, columns + 1)
        if math.hypot(row * height, column * width) <= radius + 1e-6
    ]


def grow(mask: Mask, covered: Mask, disk: list[tuple[int, int]]) -> Mask:
    """Set the covered pixels within a disk around a set pixel; nothing is set outside."""
    return _any_of(mask, disk) & covered


def shrink(mask: Mask, covered: Mask, disk: list[tuple[int, int]]) -> Mask:
    """Keep the covered pixels within whose disk every pixel is set; everything is set that is not covered."""
    return covered & ~_any_of(~(mask | ~covered), disk)


def _any_of(mask: Mask, disk: list[tuple[int, int]]) -> Mask:
    edge = max(abs(part) for offset in disk for part in offset)
    wide, (height, width) = np.pad(mask, edge), mask.shape
    found = np.zeros_like(mask)
    for row, column in disk:
        found |= wide[edge + row : edge + row + height, edge + column : edge + column + width]
    return found
