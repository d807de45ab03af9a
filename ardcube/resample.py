"""The resampler of the pixel contract: what one output pixel sees of one source raster.

Everything depends on the output pixel alone, never on the window it is computed in: coordinates come from
global indices, the kernel's width from the Jacobian at that pixel. The compiled and the plain NumPy way give the same
bits, since both add the same products in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube._jit import jit
from ardcube.grid import Grid, Window

NODE_STEP = 32
"""Output pixels between exactly projected nodes. Cubic interpolation between nodes of up to 20 km spacing is right
to about a millimetre, a ten-thousandth of a source pixel (see docs/decisions/0003-resampler.md)."""

_KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}
_NODE_SPAN_DEGREES = 0.02
"""Nodes stand at most this far apart, so that coarse cubes are projected as exactly as fine ones."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Where the pixels of a window lie in a source CRS; arrays float64 (y, x)."""

    x: NDArray[np.float64]
    """Easting of the pixel centre, in CRS units."""
    y: NDArray[np.float64]
    """Northing of the pixel centre, in CRS units."""
    step_x: NDArray[np.float64]
    """Change of easting over one output pixel: length of the Jacobian's row, in CRS units."""
    step_y: NDArray[np.float64]
    """Change of northing over one output pixel, in CRS units."""

    def crop(self, margin: int) -> Projection:
        """Leave out `margin` pixels on every side."""
        if margin == 0:
            return self
        core = slice(margin, -margin), slice(margin, -margin)
        return Projection(self.x[core], self.y[core], self.step_x[core], self.step_y[core])


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def project(grid: Grid, window: Window, crs: str) -> Projection:
    """Project the pixel centres of `window` to `crs`.

    Nodes on a lattice of global pixel indices are projected exactly and interpolated with cubic
    Lagrange polynomials in between; the lattice belongs to the grid, so neighbouring windows agree to the bit.
    """
    step = max(1, min(NODE_STEP, int(_NODE_SPAN_DEGREES / grid.resolution)))
    rows, row_weights, row_slopes = _cubic(window.y0, window.y1, step)
    cols, col_weights, col_slopes = _cubic(window.x0, window.x1, step)
    node_rows = np.arange(rows[0], rows[-1] + 4) * step
    node_cols = np.arange(cols[0], cols[-1] + 4) * step
    lon, lat = np.meshgrid(grid.longitude(node_cols), grid.latitude(node_rows))
    rows, cols = rows - rows[0], cols - cols[0]
    result: list[NDArray[np.float64]] = []
    steps: list[NDArray[np.float64]] = []
    for nodes in _transformer(crs).transform(lon, lat):
        along_x = _blend(nodes, cols, col_weights, axis=1)
        result.append(_blend(along_x, rows, row_weights, axis=0))
        per_row = _blend(along_x, rows, row_slopes, axis=0)
        per_col = _blend(_blend(nodes, cols, col_slopes, axis=1), rows, row_weights, axis=0)
        steps.append(np.sqrt(per_row * per_row + per_col * per_col))
    return Projection(result[0], result[1], steps[0], steps[1])


def _cubic(start: int, stop: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each global index: the first of its four nodes, their weights (n, 4) and the weights' slopes per pixel."""
    index = np.arange(start, stop)
    cell = index // step
    t = (index - cell * step) / step
    weights = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )
    slopes = np.stack(
        [
            -(3 * t * t - 6 * t + 2) / 6,
            (3 * t * t - 4 * t - 1) / 2,
            -(3 * t * t - 2 * t - 2) / 2,
            (3 * t * t - 1) / 6,
        ],
        axis=1,
    )
    return cell - 1, weights, slopes / step


def _blend(
    nodes: NDArray[np.float64], first: NDArray[np.int64], weights: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Weighted sum of four neighbours along `axis`; added term by term, so that it does not depend on the shape."""
    shape = (-1, 1) if axis == 0 else (1, -1)
    total = weights[:, 0].reshape(shape) * np.take(nodes, first, axis=axis)
    for k in range(1, 4):
        total += weights[:, k].reshape(shape) * np.take(nodes, first + k, axis=axis)
    return total


@dataclass(frozen=True, slots=True)
class SourceWindow:
    """A part of one level of a source raster."""

    values: NDArray[np.uint16] | NDArray[np.uint8]
    """Digital numbers (row, column)."""
    row: int
    """Row of the level at which the part starts."""
    column: int
    """Column of the level at which the part starts."""


def needed_window(
    projection: Projection,
    wanted: NDArray[np.bool_],
    transform: Affine,
    shape: tuple[int, int],
    resampling: str,
) -> tuple[int, int, int, int] | None:
    """Rows and columns (y0, y1, x0, x1) of a level that the wanted pixels' kernels touch, or None.

    Parameters
    ----------
    projection : Projection
        Of the output window.
    wanted : bool (y, x)
        Output pixels that are to be computed.
    transform : Affine
        Of the level, north up.
    shape : (int, int)
        Rows and columns of the level.
    resampling : str
        `nearest`, `bilinear` or `cubic`.
    """
    rows, cols = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if not len(rows):
        return None
    part = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    # Only wanted pixels: far from a footprint, coordinates of a very wide tile may not be finite.
    chosen = wanted[part]
    u = (projection.x[part][chosen] - transform.c) / transform.a
    v = (projection.y[part][chosen] - transform.f) / transform.e
    reach = _KERNELS[resampling]
    reach_u = reach * max(1.0, float(projection.step_x[part][chosen].max()) / abs(transform.a)) + 1
    reach_v = reach * max(1.0, float(projection.step_y[part][chosen].max()) / abs(transform.e)) + 1
    x0, x1 = max(0, int(np.floor(u.min() - reach_u))), min(shape[1], int(np.ceil(u.max() + reach_u)))
    y0, y1 = max(0, int(np.floor(v.min() - reach_v))), min(shape[0], int(np.ceil(v.max() + reach_v)))
    return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None


def resample_into(
    out: NDArray[np.uint16] | NDArray[np.uint8],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourceWindow,
    transform: Affine,
    *,
    resampling: str,
    nodata: int = 0,
    shift: int = 0,
) -> None:
    """Fill the wanted pixels of `out` that are still 0 from one source; the first valid source wins.

    Parameters
    ----------
    out : uint16 or uint8 (y, x)
        Changed in place; 0 where no source gave a value.
    wanted : bool (y, x)
        Pixels to compute.
    projection : Projection
        Of the output window.
    source : SourceWindow
        Must hold all that `needed_window` names.
    transform : Affine
        Of the source level, north up.
    resampling : str
        `nearest`; `bilinear`, a triangle of half width max(1, source pixels per output pixel) per axis; or
        `cubic`, Keys' kernel (1981, a = -0.5) stretched likewise. Weights are renormalised over valid pixels.
    nodata : int
        A digital number that is no data, besides 0.
    shift : int
        Added to every value, which stays within 1..65535.
    """
    way = _fill if jit.compiled else _fill_plain
    way(
        out, wanted, projection.x, projection.y, projection.step_x, projection.step_y,
        source.values, source.row, source.column,
        transform.c, transform.a, transform.f, transform.e,
        _KERNELS[resampling], nodata, shift,
    )  # fmt: skip


@jit
def _weight(distance, kernel):  # type: ignore[no-untyped-def]
    if kernel == 1:
        return 1.0 - distance
    if distance <= 1.0:
        return (1.5 * distance - 2.5) * distance * distance + 1.0
    return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0


@jit
def _fill(  # type: ignore[no-untyped-def]  # noqa: C901
    out, wanted, xs, ys, steps_x, steps_y, values, row, column, c, a, f, e, kernel, nodata, shift
):
    height, width = values.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if not wanted[i, j] or out[i, j] != 0:
                continue
            u = (xs[i, j] - c) / a
            v = (ys[i, j] - f) / e
            near_u = int(np.floor(u)) - column
            near_v = int(np.floor(v)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            nearest = values[near_v, near_u]
            if nearest == 0 or nearest == nodata:  # noqa: PLR1714  (a tuple would cost time here)
                continue
            if kernel == 0:
                result = float(nearest)
            else:
                width_u = max(1.0, steps_x[i, j] / abs(a))
                width_v = max(1.0, steps_y[i, j] / abs(e))
                reach_u = width_u * kernel
                reach_v = width_v * kernel
                u0 = max(0, int(np.ceil(u - 0.5 - reach_u)) - column)
                u1 = min(width - 1, int(np.floor(u - 0.5 + reach_u)) - column)
                v0 = max(0, int(np.ceil(v - 0.5 - reach_v)) - row)
                v1 = min(height - 1, int(np.floor(v - 0.5 + reach_v)) - row)
                total = 0.0
                weights = 0.0
                for k in range(v0, v1 + 1):
                    weight_v = _weight(abs(k + row + 0.5 - v) / width_v, kernel)
                    for m in range(u0, u1 + 1):
                        value = values[k, m]
                        if value == 0 or value == nodata:  # noqa: PLR1714
                            continue
                        weight = weight_v * _weight(abs(m + column + 0.5 - u) / width_u, kernel)
                        total += weight * value
                        weights += weight
                result = np.rint(total / weights)
            if kernel != 0 or shift != 0:
                result = min(max(result + shift, 1.0), 65535.0)
            out[i, j] = int(result)


def _fill_plain(  # type: ignore[no-untyped-def]
    out, wanted, xs, ys, steps_x, steps_y, values, row, column, c, a, f, e, kernel, nodata, shift
) -> None:
    """What `_fill` does, in NumPy alone: a loop over the kernel's taps in place of one over pixels."""
    height, width = values.shape
    open_pixels = wanted & (out == 0)
    u, v = (xs[open_pixels] - c) / a, (ys[open_pixels] - f) / e
    near_u, near_v = np.floor(u).astype(int) - column, np.floor(v).astype(int) - row
    inside = (near_u >= 0) & (near_v >= 0) & (near_u < width) & (near_v < height)
    nearest = np.zeros(len(u), values.dtype)
    nearest[inside] = values[near_v[inside], near_u[inside]]
    valid = (nearest != 0) & (nearest != nodata)
    u, v, result = u[valid], v[valid], nearest[valid].astype(float)
    if kernel != 0 and len(u):
        width_u = np.maximum(1.0, steps_x[open_pixels][valid] / abs(a))
        width_v = np.maximum(1.0, steps_y[open_pixels][valid] / abs(e))
        u0 = np.ceil(u - 0.5 - width_u * kernel).astype(int) - column
        u1 = np.floor(u - 0.5 + width_u * kernel).astype(int) - column
        v0 = np.ceil(v - 0.5 - width_v * kernel).astype(int) - row
        v1 = np.floor(v - 0.5 + width_v * kernel).astype(int) - row
        total, weights = np.zeros(len(u)), np.zeros(len(u))
        weight_of = np.vectorize(getattr(_weight, "py_func", _weight), otypes=[float])
        for dk in range(int((v1 - v0).max()) + 1):
            k = v0 + dk
            weight_v = weight_of(np.abs(k + row + 0.5 - v) / width_v, kernel)
            for dm in range(int((u1 - u0).max()) + 1):
                m = u0 + dm
                weight = weight_v * weight_of(np.abs(m + column + 0.5 - u) / width_u, kernel)
                use = (k <= v1) & (m <= u1) & (k >= 0) & (k < height) & (m >= 0) & (m < width)
                value = np.zeros(len(u), values.dtype)
                value[use] = values[k[use], m[use]]
                use &= (value != 0) & (value != nodata)
                total[use] += weight[use] * value[use]
                weights[use] += weight[use]
        result = np.rint(total / weights)
    if kernel != 0 or shift != 0:
        result = np.clip(result + shift, 1.0, 65535.0)
    filled = out[open_pixels]
    filled[valid] = result.astype(out.dtype)
    out[open_pixels] = filled
