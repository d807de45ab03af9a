"""Choose and project the nodes between which the coordinates of pixels are interpolated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.lattice import Lattice, crs_of, is_same_crs, transformer
from ardcube.extent.window import Window
from ardcube.kernels.layout import Nodes
from ardcube.raster.header import Header, Level

NODE_STEP = 32
"""Largest number of output pixels between two projected nodes."""
_LARGEST_ERROR = 1e-9
"""Error of an interpolated coordinate, in source pixels. It changes no digital number but at a tie of rounding: 1e-7
source pixels changed one of two million."""
_ROUNDING = 8
"""Units in the last place of a coordinate that do not count as an error."""
_PLACES = 5
"""Places on each side of a raster at which the error is measured."""
_MIDDLE = np.array([-1.0, 9.0, 9.0, -1.0]) / 16
"""Weights of four nodes in the middle between the second and the third."""


@dataclass(frozen=True, slots=True)
class SourceAxes:
    """CRS of a source, and the nodes for it. Sources with equal axes share a `Projection`."""

    crs: str
    step: int
    """Number of pixels between two nodes."""
    meridian: float | None = None
    """Longitude in whose neighbourhood longitudes are continuous; None if the CRS is not geographic."""


def nodes_around(lattice: Lattice, window: Window, axes: SourceAxes) -> Nodes:
    """Project the nodes around a window of a lattice, in global indices."""
    step = axes.step
    if is_same_crs(lattice.crs, axes.crs):
        none = np.empty((0, 0))
        return Nodes(none, none, step, 0, 0, np.array([lattice.x0, lattice.step_x, lattice.y0, lattice.step_y]))
    row, column = window.y0 // step - 1, window.x0 // step - 1
    rows = np.arange(row, (window.y1 - 1) // step + 3) * step
    columns = np.arange(column, (window.x1 - 1) // step + 3) * step
    x, y = _exact(lattice, axes.crs, axes.meridian, *np.meshgrid(columns, rows))
    return Nodes(x, y, step, row, column, np.empty(0))


def axes_of(lattice: Lattice, header: Header) -> SourceAxes:
    """Choose the distance of nodes for a raster: the largest with which interpolated coordinates are exact enough.

    The error is measured at places all over the raster, in the middle between nodes, where it is largest. The choice
    depends on the raster alone, so that all windows have the same nodes.
    """
    return _axes_of(lattice, header.crs, header.levels[0])


@lru_cache(maxsize=4096)
def _axes_of(lattice: Lattice, crs: str, full: Level) -> SourceAxes:
    if is_same_crs(lattice.crs, crs):
        return SourceAxes(crs, NODE_STEP)
    axes = SourceAxes(crs, NODE_STEP, full.centre[0] if crs_of(crs).is_geographic else None)
    rows, columns = _places(lattice, crs, full)
    while axes.step > 1 and not _is_exact(lattice, axes, full, rows // axes.step, columns // axes.step):
        axes = replace(axes, step=axes.step // 2)
    return axes


def _places(lattice: Lattice, crs: str, full: Level) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of a lattice at places all over a raster: int64 (place,)."""
    shares = np.linspace(0.0, 1.0, _PLACES)
    t, (right, down) = full.transform, np.meshgrid(shares * full.width, shares * full.height)
    first, second = transformer(crs, lattice.crs).transform((t.c + t.a * right).ravel(), (t.f + t.e * down).ravel())
    columns, rows = (first - lattice.x0) / lattice.step_x, (second - lattice.y0) / lattice.step_y
    known = np.isfinite(columns) & np.isfinite(rows)
    return np.floor(rows[known]).astype(np.int64), np.floor(columns[known]).astype(np.int64)


def _is_exact(
    lattice: Lattice, axes: SourceAxes, full: Level, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> bool:
    """Return whether the interpolation in some cells between nodes is exact enough."""
    around = np.arange(-1, 3)
    i, j = (rows[:, None] + around) * axes.step, (columns[:, None] + around) * axes.step
    middle = (columns + 0.5) * axes.step, (rows + 0.5) * axes.step
    with np.errstate(invalid="ignore"):
        nodes = np.stack(_exact(lattice, axes.crs, axes.meridian, *np.broadcast_arrays(j[:, None, :], i[:, :, None])))
        found = np.einsum("cpij,i,j->cp", nodes, _MIDDLE, _MIDDLE)
        exact = np.stack(_exact(lattice, axes.crs, axes.meridian, *middle))
        sides = np.abs([[full.transform.a], [full.transform.e]])
        is_exact = np.abs(found - exact) <= _LARGEST_ERROR * sides + _ROUNDING * np.spacing(exact)
    return bool(is_exact.all())  # false for NaN, where a node cannot be projected


def _exact(
    lattice: Lattice, crs: str, meridian: float | None, columns: NDArray[np.number], rows: NDArray[np.number]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of pixels of a lattice in a CRS, without interpolation."""
    first, second = lattice.x(columns), lattice.y(rows)
    if lattice.is_geographic and meridian is None and np.abs(second).max(initial=0.0) > 90.0:
        first, second = _over_the_pole(first, second)
    x, y = transformer(lattice.crs, crs).transform(first, second)
    return x if meridian is None else x - 360.0 * np.round((x - meridian) / 360.0), y


def _over_the_pole(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places of nodes beyond a pole, on its other side, where a polar projection is smooth."""
    beyond = np.abs(lat) > 90.0
    return np.where(beyond, lon + 180.0, lon), np.where(beyond, np.copysign(180.0, lat) - lat, lat)
