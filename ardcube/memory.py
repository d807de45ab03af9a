"""What a chunk takes of memory, and how it is portioned to bound that (pure)."""

from __future__ import annotations

import math

STACK_BYTES = 140_000_000
"""Memory for the stack of observations of one chunk, in bytes: 12 days of four bands of 1200 x 1200 pixels."""
DAYS_AT_ONCE = 4
"""Days whose mask is worked out together, where the mask judges each day by itself."""
SCENES_AHEAD = 4
"""Scenes whose blocks are fetched while another one is decoded and resampled."""

_CRS_AT_ONCE = 2
"""UTM zones that meet in most chunks that meet more than one."""
_SOURCE_PIXELS = 6
"""Source pixels per output pixel in the blocks that cover a chunk: an overview finer than the output, whole blocks."""
_COMPRESSED = 1.6
"""Compressed bytes per source pixel, as in Sentinel-2 granules."""


def portion(days: int, height: int, width: int, bands: int) -> tuple[int, int]:
    """Bands and rows to stack at once: all bands of all rows if they fit, then fewer bands, then fewer rows."""
    per_band = max(1, days * height * width * 2)
    at_once = min(bands, max(1, STACK_BYTES // per_band))
    strips = math.ceil(per_band / STACK_BYTES)
    return at_once, math.ceil(height / strips)


def chunk_bytes(days: int, pixels: int, bands: int) -> int:
    """Memory of one chunk while it is built, in bytes, for a mask that judges each day by itself.

    The stack of observations, bounded by `STACK_BYTES`; two bits per day and pixel for what is clear and what was seen;
    the masks of `DAYS_AT_ONCE` days with their clean-up; coordinates and steps, four float64 per CRS; the blocks of one
    scene, decoded, and of `SCENES_AHEAD` more, compressed; the composite.
    """
    per_pixel = (
        days / 4
        + DAYS_AT_ONCE * 8
        + _CRS_AT_ONCE * 4 * 8
        + _SOURCE_PIXELS * bands * (2 + SCENES_AHEAD * _COMPRESSED / 4)
        + 2 * (bands + 1)
    )
    return int(min(2 * days * bands * pixels, STACK_BYTES) + per_pixel * pixels)
