"""Grids in degrees, and their projection to a CRS, for tests."""

from __future__ import annotations

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, Lattice
from ardcube.extent.window import Window
from ardcube.pixels.nodes import NODE_STEP, SourceAxes
from ardcube.pixels.projection import Projection, project

_NODE_SPAN = 0.02
"""Degrees between nodes with which the interpolation into UTM is exact to 1e-6 m."""


def degrees_grid(west: float, north: float, resolution: float, height: int, width: int) -> Grid:
    """Return a grid in degrees whose corner is a whole multiple of the resolution."""
    return Grid(degrees_lattice(resolution), -round(north / resolution), round(west / resolution), height, width)


def projected(grid: Grid, window: Window, crs: str) -> Projection:
    """Project a window of a grid in degrees."""
    step = max(1, min(NODE_STEP, int(_NODE_SPAN / grid.lattice.step_x)))
    return project(grid.lattice, grid.to_global(window), SourceAxes(crs, step))


def degrees_lattice(resolution: float) -> Lattice:
    """Return the pixel grid in degrees of a resolution."""
    return Lattice(DEGREES, 0.0, 0.0, resolution, -resolution)
