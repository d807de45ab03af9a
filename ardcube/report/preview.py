"""Draw a preview of a cube: a few periods, or a part of one, at a cost that does not depend on its size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.extent.grid import Window
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.png import encode_png
from ardcube.report.quicklook import shown_bands, stretch_of, stretched
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import RETRIED, WRITTEN
from ardcube.report.svg import Panel, draw_sheet
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.schema import FILL
from ardcube.store.validate import damage_as_store_error, read_layouts

_MOST_PIXELS = 40_000_000
"""Pixels of one band that are read at most: 30 chunks of 1200 pixels a side, about a second of decoding."""
_MOST_PICTURES = 6
_SIDES = {1: 600, 2: 420}
"""Longest side of a picture in pixels, by number of pictures."""
_SMALL_SIDE = 280
"""Longest side of a picture in pixels, for other numbers of pictures."""


def draw_preview(snapshot: CubeSnapshot) -> str | None:
    """Draw the newest periods with written chunks, as an SVG of some hundred kilobytes.

    Returns
    -------
    str or None
        None if no chunk was written, or if one chunk exceeds the pixels that are read at most.
    """
    place, cube = snapshot.place, snapshot.cube
    written = (snapshot.states == WRITTEN) | (snapshot.states == RETRIED)
    chosen = _newest(written, _tile_pixels(cube))
    if not chosen or min(cube.config.chunk_size, cube.grid.height) * cube.config.chunk_size > _MOST_PIXELS:
        return None
    window = _fullest(cube, written[chosen[0]]) if len(chosen) == 1 else _whole(cube)
    height, width = window.shape
    step = max(1, -(-max(height, width) // _SIDES.get(len(chosen), _SMALL_SIDE)))
    bands = shown_bands(cube.config.bands)
    read_layouts(place)
    options = snapshot.options or None  # zarr refuses an empty mapping for a local path
    with (
        damage_as_store_error(place.uri),
        checked_codecs(),
        xr.open_zarr(place.uri, storage_options=options, mask_and_scale=False, chunks=None, zarr_format=3) as opened,
    ):
        array = opened[cube.config.varname].variable  # without coordinates, which may be a million numbers
        pictures = [_read(array, cube, written[period], period, window, step)[..., bands] for period in chosen]
    low, high = stretch_of(pictures, FILL)
    part = "" if window == _whole(cube) else ", a part"
    panels = [
        Panel(
            cube.periods[period].label + part,
            encode_png(stretched(numbers, low, high, FILL)),
            numbers.shape[1],
            numbers.shape[0],
        )
        for period, numbers in zip(chosen, pictures, strict=True)
    ]
    return draw_sheet(panels)


def _tile_pixels(cube: StoredCube) -> int:
    size = cube.config.tile_size
    return min(size, cube.grid.height) * min(size, cube.grid.width)


def _newest(written: NDArray[np.bool_], tile_pixels: int) -> list[int]:
    """Return the newest periods with written chunks, sorted by time, as many as may be read."""
    chosen: list[int] = []
    pixels = 0
    for period in reversed(np.flatnonzero(written.any(axis=(1, 2)))):
        pixels += int(written[period].sum()) * tile_pixels
        if chosen and (pixels > _MOST_PIXELS or len(chosen) == _MOST_PICTURES):
            break
        chosen.append(int(period))
    return sorted(chosen)


def _whole(cube: StoredCube) -> Window:
    return Window(0, cube.grid.height, 0, cube.grid.width)


def _fullest(cube: StoredCube, written: NDArray[np.bool_]) -> Window:
    """Return the whole grid if it may be read, else the window with most written tiles."""
    size, (rows, cols) = cube.config.tile_size, written.shape
    if int(written.sum()) * _tile_pixels(cube) <= _MOST_PIXELS:
        return _whole(cube)
    side = max(1, int(_MOST_PIXELS**0.5) // size)
    high, wide = min(side, rows), min(side, cols)
    sums = np.pad(written.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    found = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, col = np.unravel_index(int(found.argmax()), found.shape)
    most = min(side * size, int(_MOST_PIXELS**0.5))  # a tile may be a shard, which is larger than may be read
    y0, x0 = int(row) * size, int(col) * size
    return Window(y0, min(y0 + most, cube.grid.height), x0, min(x0 + most, cube.grid.width))


def _read(
    array: xr.Variable, cube: StoredCube, written: NDArray[np.bool_], period: int, window: Window, step: int
) -> NDArray[np.uint16]:
    """Read every `step`-th pixel of a window, (y, x, band), chunk by chunk to save memory."""
    rows, cols = np.arange(window.y0, window.y1, step), np.arange(window.x0, window.x1, step)
    out = np.full((len(rows), len(cols), len(cube.config.bands)), FILL, np.uint16)
    tile = cube.config.tile_size
    for ys in _runs(rows, cube.config.chunk_size):
        for xs in _runs(cols, cube.config.chunk_size):
            if written[rows[ys.start] // tile, cols[xs.start] // tile]:
                out[ys, xs] = array[period, _thin(rows[ys], step), _thin(cols[xs], step)].to_numpy()
    return out


def _runs(positions: NDArray[np.int64], size: int) -> Iterator[slice]:
    """Yield slices of the positions, one for each chunk."""
    starts = np.flatnonzero(np.diff(positions // size, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(positions)], strict=True):
        yield slice(int(start), int(stop))


def _thin(positions: NDArray[np.int64], step: int) -> slice:
    return slice(int(positions[0]), int(positions[-1]) + 1, step)
