"""What a chunk takes of memory, and how it is portioned to bound that (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from ardcube.errors import InputError
from ardcube.kernels.layout import LANES
from ardcube.pixels.masks import CloudMaskHook

STACK_BYTES = 350_000_000
"""Memory for the stack of observations of one chunk, in bytes: of 1200 x 1200 pixels, 24 days of four bands, or 121
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
WORKER_BYTES = 350_000_000
"""Memory of a worker process before its first chunk, in bytes: the interpreter, the libraries, compiled code."""

_SMALLEST_PART = 16
"""Side of the smallest part, in pixels: the smallest chunk there is."""
_SOURCE_PIXELS = 3
"""Source pixels per output pixel: an overview is finer than the output, by less than a factor of two a side."""
_FETCHED_BYTES = 7
"""Bytes fetched of a file per output pixel: compressed whole blocks, and gaps between them that are not worth a
request."""
_BLOCK_BYTES = 100_000_000
"""What is fetched and decoded takes so much however small a part is, since blocks are taken whole: of 1024 x 1024
pixels, four of each of four files compressed, those of two scenes decoded, and what the heap keeps of them."""
_SHARE_OF_SEVERAL = 0.8
"""Of the stack's memory, for several bands at once: the windows of their scenes are larger than those of one."""
_WRITTEN = 3.7
"""Bytes held per byte of the composite, itself included, while it is compressed; 2.2 for shards of small chunks."""


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do for one chunk, as far as memory is concerned."""

    height: int
    width: int
    bands: int
    days: int
    scenes: int
    halo: int = 0
    """Pixels that the mask sees beyond a part."""
    mask_bands: int = 0
    """Categorical bands that the mask looks at."""
    independent_days: bool = True
    """Whether the mask judges each day by itself; else it sees all days of a part at once."""

    @classmethod
    def of(cls, mask: CloudMaskHook, bands: int, shape: tuple[int, int], days: int, scenes: int) -> Self:
        """What a mask makes of it."""
        independent = bool(getattr(mask, "independent_days", False))
        return cls(*shape, bands, days, scenes, mask.halo, len(mask.bands), independent)


@dataclass(frozen=True, slots=True)
class Portions:
    """How a chunk is taken apart."""

    side: int
    """Largest rows and columns of a part, in pixels."""
    stack_bytes: int
    """For the stack of observations of a part, in bytes."""


def portion(days: int, height: int, width: int, bands: int, stack_bytes: int = STACK_BYTES) -> tuple[int, int]:
    """Bands and rows to stack at once: all bands of all rows if they fit, then fewer bands, then fewer rows."""
    per_band = max(1, days * height * width * 2)
    at_once = min(bands, max(1, int(_SHARE_OF_SEVERAL * stack_bytes) // per_band))
    strips = min(height, math.ceil(per_band / stack_bytes)) or 1
    return at_once, math.ceil(height / strips)


def portions(work: Work, limit: int | None) -> Portions:
    """How a chunk is taken apart so that it fits into a limit; how, changes no pixel.

    Bands one by one cost weights that are worked out again, strips of rows cost blocks that are decoded again, and
    smaller parts most: they are made only where the masks would take more than half of what they share with the stack.

    Parameters
    ----------
    work : Work
        What there is to do.
    limit : int or None
        Memory of the chunk, in bytes; without, what is fast.
    """
    if limit is None:
        return Portions(PART_SIDE, STACK_BYTES)
    room = limit - _written(work)
    shared = room - _beside_the_stack(work, _SMALLEST_PART)
    left = [(side, room - _beside_the_stack(work, side)) for side in _sides()]
    side, stack = next((each for each in left if 2 * each[1] >= shared), left[-1])
    return Portions(side, max(1, min(STACK_BYTES, stack)))


def least_bytes(work: Work) -> int:
    """The lowest limit that a chunk can be built within, in bytes: in parts of the smallest size, row by row."""
    one_row = 2 * work.days * min(work.width, _SMALLEST_PART)
    return _written(work) + _beside_the_stack(work, _SMALLEST_PART) + one_row


def chunk_bytes(work: Work, limit: int | None = None) -> int:
    """Memory of one chunk while it is built, in bytes.

    The stack of observations, bounded by `STACK_BYTES`; two bits per day and pixel for what is clear and what was seen,
    and one per scene for its footprint; the masks of `DAYS_AT_ONCE` days with their clean-up, or of all; the window of
    one scene, decoded, and of `DECODED_AHEAD` more; the blocks of `FILES_AHEAD` files, compressed. These for a part.
    And the composite of the whole, which is compressed in one go.
    """
    how = portions(work, limit)
    at_once, rows = portion(work.days, *_part(work, how.side), work.bands, how.stack_bytes)
    stack = 2 * work.days * at_once * rows * _part(work, how.side)[1]
    return stack + _beside_the_stack(work, how.side) + _written(work)


def chunk_limit(process: int | None, chunks: int, work: Work) -> int | None:
    """Memory that each chunk may take, in bytes, where some are built at once in a process; None without a limit.

    Parameters
    ----------
    process : int or None
        Memory of the process, in bytes.
    chunks : int
        That are built at once.
    work : Work
        The largest of them.

    Raises
    ------
    InputError
        If that is too little.
    """
    if process is None:
        return None
    share, least = (process - WORKER_BYTES) // chunks, least_bytes(work)
    if share < least:
        raise InputError(
            f"memory-limit {process / 1e6:,.0f} MB is too little for chunks of {work.height} x {work.width} pixels, "
            f"{work.bands} bands and up to {work.days} days, {chunks} at once: that takes at least "
            f"{(WORKER_BYTES + chunks * least) / 1e6:,.0f} MB; allow more, or choose fewer threads or a smaller "
            "chunk-size"
        )
    return share


def _sides() -> list[int]:
    """Sides of parts to try, largest first: each about three quarters of the one before, so half as many pixels."""
    sides = [PART_SIDE]
    while sides[-1] > _SMALLEST_PART:
        sides.append(max(_SMALLEST_PART, sides[-1] * 3 // 4))
    return sides


def _part(work: Work, side: int) -> tuple[int, int]:
    return min(work.height, side), min(work.width, side)


def _beside_the_stack(work: Work, side: int) -> int:
    """Bytes of a part, without its stack and what is written."""
    height, width = _part(work, side)
    around = (height + 2 * work.halo) * (width + 2 * work.halo)
    masked_days = min(work.days, DAYS_AT_ONCE) if work.independent_days else work.days
    decoded = (1 + DECODED_AHEAD) * _SOURCE_PIXELS * 2 * min(work.bands, LANES)
    in_hand = max(_BLOCK_BYTES, (decoded + FILES_AHEAD * _FETCHED_BYTES) * height * width)
    bits = (2 * work.days + work.scenes) / 8 * height * width
    return int(bits + masked_days * (3 + work.mask_bands) * around + in_hand)


def _written(work: Work) -> int:
    return int(2 * (work.bands + 1) * _WRITTEN * work.height * work.width)
