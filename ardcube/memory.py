"""What a chunk takes of memory, and how it is portioned to bound that (pure)."""

from __future__ import annotations

import math

from ardcube.pixels import LANES

STACK_BYTES = 350_000_000
"""Memory for the stack of observations of one chunk, in bytes: of 1200 x 1200 pixels, 30 days of four bands, or 120
days of one."""
DAYS_AT_ONCE = 4
"""Days whose mask is worked out together, where the mask judges each day by itself."""
FILES_AHEAD = 4
"""Files whose blocks are fetched while others are decoded and resampled: a scene of four bands, whose ranges keep 16
requests busy; with 30 ms of latency 8 were no faster."""
DECODED_AHEAD = 1
"""Scenes that are decoded while another one is resampled."""
PART_SIDE = 1200
"""Rows and columns that are built at once, in pixels: a larger chunk, or a shard, is built part by part."""

_SOURCE_PIXELS = 3
"""Source pixels per output pixel: an overview is finer than the output, by less than a factor of two a side."""
_FETCHED_BYTES = 7
"""Bytes fetched of a file per output pixel: compressed whole blocks, and gaps between them that are not worth a
request."""
_WRITTEN = 3.7
"""Bytes held per byte of the composite, itself included, while it is compressed; 2.2 for shards of small chunks."""


def portion(days: int, height: int, width: int, bands: int) -> tuple[int, int]:
    """Bands and rows to stack at once: all bands of all rows if they fit, then fewer bands, then fewer rows."""
    per_band = max(1, days * height * width * 2)
    at_once = min(bands, max(1, STACK_BYTES // per_band))
    strips = math.ceil(per_band / STACK_BYTES)
    return at_once, math.ceil(height / strips)


def chunk_bytes(days: int, pixels: int, bands: int) -> int:
    """Memory of one chunk while it is built, in bytes, for a mask that judges each day by itself.

    The stack of observations, bounded by `STACK_BYTES`; two bits per day and pixel for what is clear and what was seen;
    the masks of `DAYS_AT_ONCE` days with their clean-up; the window of one scene, decoded, and of `DECODED_AHEAD` more;
    the blocks of `FILES_AHEAD` files, compressed. These for a part of at most `PART_SIDE` pixels a side. And the
    composite of the whole, which is compressed in one go.
    """
    part = min(pixels, PART_SIDE**2)
    per_pixel = (
        days / 4
        + DAYS_AT_ONCE * 4
        + (1 + DECODED_AHEAD) * _SOURCE_PIXELS * 2 * min(bands, LANES)
        + FILES_AHEAD * _FETCHED_BYTES
    )
    written = 2 * (bands + 1) * _WRITTEN
    return int(min(2 * days * bands * part, STACK_BYTES) + per_pixel * part + written * pixels)
