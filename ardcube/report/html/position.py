"""Position of the pictures on the ground: proportions, scale bar, longitude and latitude of a pixel (pure)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, transformer
from ardcube.extent.window import Window
from ardcube.report.map_frame import MapPosition, scale_bar
from ardcube.report.shown_pixels import whole

_NODES = 17
"""Nodes on a side between which a page interpolates longitude and latitude."""
_WIDTH = 1000
"""Pixels of a map from which the share of its scale bar is computed."""


def position_of(grid: Grid, window: Window) -> dict[str, Any]:
    """Return the position of the grid and of the pictures' window, for JSON.

    Parameters
    ----------
    grid : Grid
        Grid of the cube.
    window : Window
        Part of it that the pictures show.

    Returns
    -------
    dict
        `proportion` of the grid (width through height, on the ground), `bounds` in units of the CRS, `crs`, `axes`,
        `decimals` of a coordinate, `nodes` (rows of longitude and latitude; none in degrees), and `picture`: its part
        of the grid (`left`, `top`, `right`, `bottom` as shares), its proportion and its scale bar.
    """
    position, part = MapPosition.of(grid, whole(grid)), MapPosition.of(grid, window)
    geographic = grid.lattice.is_geographic
    bar, text = scale_bar(part.metres / _WIDTH, _WIDTH)
    return {
        "proportion": position.pixel_width * grid.width / grid.height,
        "bounds": grid.bounds,
        "crs": _name(grid),
        "axes": grid.axes,
        "geographic": geographic,
        "decimals": max(0, int(np.ceil(-np.log10(abs(grid.lattice.step_y))))),
        "nodes": [] if geographic else _nodes(grid),
        "picture": {
            "left": window.x0 / grid.width,
            "top": window.y0 / grid.height,
            "right": window.x1 / grid.width,
            "bottom": window.y1 / grid.height,
            "proportion": part.pixel_width * window.shape[1] / window.shape[0],
            "bar": bar / _WIDTH,
            "bar_text": text,
        },
    }


def _name(grid: Grid) -> str:
    """Return the code of a CRS, or its name if it has none."""
    from ardcube.extent.lattice import crs_of

    crs = grid.lattice.crs
    return crs if len(crs) < 30 else str(crs_of(crs).name)


def _nodes(grid: Grid) -> list[list[tuple[float, float]]]:
    """Return longitude and latitude of nodes, row by row from the north; longitudes do not jump."""
    west, south, east, north = grid.bounds
    xs, ys = np.meshgrid(np.linspace(west, east, _NODES), np.linspace(north, south, _NODES))
    longitudes, latitudes = transformer(grid.lattice.crs, DEGREES).transform(xs, ys)
    longitudes = np.degrees(np.unwrap(np.unwrap(np.radians(longitudes), axis=1), axis=0))
    return [
        [(round(x, 7), round(y, 7)) for x, y in zip(*row, strict=True)]
        for row in zip(longitudes.tolist(), latitudes.tolist(), strict=True)
    ]
