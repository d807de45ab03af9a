"""Draw the pictures of a report page: composite and clear days of sampled periods, as WebP."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.extent.window import Window
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.banded import read_plane
from ardcube.report.clear_days import shaded, shades
from ardcube.report.quicklook import digital_numbers, shown_bands, shown_variable, stretch_of, stretched
from ardcube.report.shown_part import fullest_part, read_built, tile_pixels, whole
from ardcube.report.state_map import EMPTY, FAILED, RETRIED, WRITTEN
from ardcube.report.thumbnail import Thumbnail
from ardcube.runtime.cpus import cpu_count
from ardcube.storage.place import Place
from ardcube.store.backend import zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import base_group
from ardcube.store.schema import COUNT, FILL, read_attributes
from ardcube.store.validate import damage_as_store_error, read_layouts

_MOST_PIXELS = 200_000_000
"""Pixels of one band that are read at most: a few seconds of CPU."""
_MOST_TILES = 400
"""Tiles that are read at most, because each is a request to an object store."""
_SIDES = ((4, 1000), (16, 800), (36, 600))
"""Longest side of a picture in pixels, by number of pictures up to which it applies."""
_SMALL_SIDE = 480
_QUALITY = 82
"""Quality of a composite as WebP. Maps of clear days are without loss."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pictures of one period, as addresses that contain them."""

    colours: str
    clear_days: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of some periods, all of one window and with one stretch."""

    window: Window
    """Part of the cube that they show."""
    of: Mapping[int, Picture]
    """Pictures by position of the period."""
    variable: str
    bands: tuple[str, ...]
    """Bands that are shown as red, green and blue, or one that is shown as grey."""
    shades: Sequence[tuple[str, str]]
    """Colours of clear days, each with its text."""


def draw_pictures(place: Place, cube: StoredCube, states: NDArray[np.uint8], shown: Sequence[int]) -> Pictures | None:
    """Draw composites and clear days of shown periods with written chunks, as many as may be read.

    Parameters
    ----------
    place : Place
        Location of the store.
    cube : StoredCube
        The cube.
    states : uint8 (period, row, col)
        States of its chunks.
    shown : sequence of int
        Positions of the periods that the page shows, sorted.

    Returns
    -------
    Pictures or None
        None if no chunk of these periods was written, or if one chunk exceeds the pixels that are read at most.

    Raises
    ------
    StoreError
        If the store is damaged.
    """
    written = np.isin(states, (WRITTEN, RETRIED, FAILED))  # a chunk that failed may have the pixels of an earlier build
    chosen = _chosen(written, shown, tile_pixels(cube))
    if not chosen or min(cube.config.chunk_size, cube.grid.height) * cube.config.chunk_size > _MOST_PIXELS:
        return None
    limit = min(_MOST_PIXELS, _MOST_TILES * tile_pixels(cube))
    window = fullest_part(cube, written[chosen[0]], limit) if len(chosen) == 1 else whole(cube.grid)
    thumbnail = Thumbnail(window, _shape(window, len(chosen)))
    group = base_group(place)
    read_layouts(group)
    with (
        damage_as_store_error(place.uri),
        checked_codecs(),
        xr.open_zarr(zarr_store(group), mask_and_scale=False, chunks=None, zarr_format=3) as opened,
        ThreadPoolExecutor(min(4, cpu_count())) as threads,
    ):
        # A variable has no coordinates, which may be a million numbers.
        variable, count = shown_variable(opened, read_attributes(place)), opened[COUNT].variable
        if variable is None:
            return None
        bands = shown_bands(variable.bands)

        def colours(period: int) -> NDArray[np.uint16]:
            read = partial(read_built, partial(variable.read, period, bands=bands), cube, written[period])
            return digital_numbers(thumbnail.mean(read, cube.config.chunk_size))

        def days(period: int) -> NDArray[np.float32]:
            built = written[period] | (states[period] == EMPTY)
            read = partial(read_built, partial(read_plane, count[period]), cube, built)
            return thumbnail.mean(read, cube.config.chunk_size, zero_is_valid=True)[..., 0]

        seen, clear = list(threads.map(colours, chosen)), list(threads.map(days, chosen))
    low, high = stretch_of(seen, FILL)
    most = max(1.0, *(float(np.nanmax(numbers)) for numbers in clear))
    drawn = {
        period: Picture(_webp(stretched(numbers, low, high, FILL)), _webp(shaded(counts, most), lossless=True))
        for period, numbers, counts in zip(chosen, seen, clear, strict=True)
    }
    return Pictures(window, drawn, variable.name, tuple(variable.bands[band] for band in bands), shades(most))


def spread(candidates: Sequence[int], most: int) -> list[int]:
    """Return at most so many elements, evenly spread; the first and the last are among them, of one the last."""
    if len(candidates) <= most:
        return list(candidates)
    positions = np.rint(np.linspace(len(candidates) - 1, 0, most)).astype(int)[::-1]
    return [candidates[position] for position in positions]


def _chosen(written: NDArray[np.bool_], shown: Sequence[int], pixels: int) -> list[int]:
    """Return the periods whose pictures are drawn: as many of the shown ones as may be read, at least one."""
    tiles = written.sum(axis=(1, 2))
    candidates = [period for period in shown if tiles[period]]
    most = len(candidates)
    chosen = candidates
    while most > 1 and sum(int(tiles[period]) for period in chosen) > min(_MOST_TILES, _MOST_PIXELS // pixels):
        most -= 1
        chosen = spread(candidates, most)
    return chosen


def _shape(window: Window, pictures: int) -> tuple[int, int]:
    """Return rows and columns of a picture. The page gives it its proportions."""
    side = next((side for most, side in _SIDES if pictures <= most), _SMALL_SIDE)
    rows, cols = window.shape
    scale = min(1.0, side / max(rows, cols))
    return max(1, round(rows * scale)), max(1, round(cols * scale))


def _webp(rgba: NDArray[np.uint8], *, lossless: bool = False) -> str:
    """Return uint8 (4, y, x) as an address that contains a WebP picture."""
    from PIL import Image  # slow to import, and seldom used

    content = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(rgba.transpose(1, 2, 0)))
    picture.save(content, "WEBP", quality=_QUALITY, lossless=lossless, method=4)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
