"""Merge the byte ranges of blocks into requests (pure)."""

from __future__ import annotations

from collections.abc import Sequence

GAP_BYTES = 1_150_000
"""Bytes between two blocks up to which both come with one request: about a block, or a latency (0009)."""
UNEVEN = 1.15
"""Factor for the bytes of some rows of a block, because not all rows compress equally well."""
FIRST_BYTES = 4096
"""Further bytes of these rows, for the tables of codes."""


def merged(starts: Sequence[int], sizes: Sequence[int], gap: int) -> list[tuple[int, int]]:
    """Return the ranges to request, in order: first byte, and first byte after.

    Parameters
    ----------
    starts, sizes : sequence of int
        First byte and number of bytes of each block, in any order; they may overlap.
    gap : int
        Bytes between two blocks up to which one request fetches both.
    """
    runs: list[tuple[int, int]] = []
    for start, size in sorted(zip(starts, sizes, strict=True)):
        if runs and start - runs[-1][1] <= gap:
            runs[-1] = runs[-1][0], max(runs[-1][1], start + size)
        else:
            runs.append((start, start + size))
    return runs
