"""Generate fractal value noise on an unbounded plane, the same on every machine (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Seed = tuple[int, ...]
_TABLE = 256


def smooth_step(value: Floats, low: float, high: float) -> Floats:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t: Floats = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    out: Floats = t * t * (3 - 2 * t)
    return out


def look_up(table: Floats, column: Floats, row: Floats) -> Floats:
    """Interpolate bilinearly in a periodic table; columns and rows are in cells."""
    left, top = np.floor(column), np.floor(row)
    u, v = column - left, row - top
    rows, columns = table.shape
    i0, j0 = left.astype(np.int32) % columns, top.astype(np.int32) % rows
    i1, j1 = (i0 + 1) % columns, (j0 + 1) % rows
    flat = table.ravel()
    upper = flat[j0 * columns + i0] * (1 - u) + flat[j0 * columns + i1] * u
    lower = flat[j1 * columns + i0] * (1 - u) + flat[j1 * columns + i1] * u
    out: Floats = upper * (1 - v) + lower * v
    return out


def fractal(x: Floats, y: Floats, octaves: int, seed: Seed) -> Floats:
    """Return value noise of about 0 to 1 with mean 0.5; the coarsest octave has period 1 in `x` and `y`."""
    rng = np.random.default_rng(seed)
    total, share = np.zeros(x.shape, np.float32), 1.0
    for octave in range(octaves):
        table = rng.random((_TABLE, _TABLE), dtype=np.float32)
        # A rotation by an angle without symmetry hides the lattice.
        c, s = np.float32(2**octave * np.cos(0.7 * octave)), np.float32(2**octave * np.sin(0.7 * octave))
        total += np.float32(share) * (look_up(table, c * x - s * y + 17, s * x + c * y + 31) - 0.5)
        share *= 0.52
    return np.float32(0.5) + total * np.float32(0.8)


def per_cell(i: NDArray[np.int32], j: NDArray[np.int32], seed: Seed) -> Floats:
    """Return a random number in 0 to 1 for each cell (i, j) of an unbounded lattice."""
    table = np.random.default_rng(seed).random(_TABLE * _TABLE, dtype=np.float32)
    drawn: Floats = table[(j * 8191 + i * 131) % table.size]
    return drawn
