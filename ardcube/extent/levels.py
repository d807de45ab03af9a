"""Grids of the levels of a pyramid (pure)."""

from __future__ import annotations

from dataclasses import replace

from ardcube.extent.grid import Grid

LARGEST_TOP = 512
"""Pixels that the longer side of the coarsest level stays below."""


def level_grids(grid: Grid) -> tuple[Grid, ...]:
    """Return the grid itself, then those of its levels, the coarsest one last.

    Each has the origin of the one before and pixels of twice its size, ceil(n / 2) a side: the last row and column may
    extend beyond the grid. Sizes and edges are exact in binary, because they are doubled.
    """
    grids = [grid]
    while max(grids[-1].height, grids[-1].width) >= LARGEST_TOP:
        grids.append(_halved(grids[-1]))
    return tuple(grids)


def _halved(grid: Grid) -> Grid:
    lattice = grid.lattice
    doubled = replace(
        lattice,
        x0=lattice.left(grid.column),
        y0=lattice.top(grid.row),
        step_x=2 * lattice.step_x,
        step_y=2 * lattice.step_y,
    )
    return Grid(doubled, 0, 0, -(-grid.height // 2), -(-grid.width // 2))
