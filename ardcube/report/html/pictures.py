"""Draw the pictures of a report page: composite and clear days of sampled periods, as WebP."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.window import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.banded import read_plane, shown_variable
from ardcube.report.clear_days import shaded, shades
from ardcube.report.open_level import open_level
from ardcube.report.shown_levels import shown_levels
from ardcube.report.shown_pixels import Limit, choose_pixels
from ardcube.report.state_map import FAILED, RETRIED, WRITTEN
from ardcube.report.thumbnail import Thumbnail
from ardcube.report.true_colour import digital_numbers, shown_bands, stretch_of, stretched
from ardcube.runtime.cpus import cpu_count
from ardcube.storage.place import Place
from ardcube.store.backend import array_of
from ardcube.store.schema import COUNT, FILL, read_attributes

LIMIT = Limit(pixels=200_000_000, tiles=400, pictures=60, periods="spread", rest="part")
"""Limit of a page: a few seconds of CPU. Each tile is a request to an object store, and another one for clear days."""
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
    with_pixels = (WRITTEN, RETRIED, FAILED)  # a chunk that failed may have the pixels of an earlier build
    tiles = np.isin(states, with_pixels).sum(axis=(1, 2))
    levels = shown_levels(Ledger.of_store(place), cube, states, with_pixels)
    read = choose_pixels(levels, [period for period in shown if tiles[period]], LIMIT, cube.config.chunk_size)
    if read is None:
        return None
    level, chosen, block = read.level, read.periods, read.level.block(cube.config.chunk_size)
    thumbnail = Thumbnail(read.window, _shape(read.window, len(chosen)))
    with open_level(place, level.number) as opened, ThreadPoolExecutor(min(4, cpu_count())) as threads:
        variable, count = shown_variable(opened, read_attributes(place)), array_of(opened, COUNT)
        if variable is None:
            return None
        bands = shown_bands(variable.bands)

        def colours(period: int) -> NDArray[np.uint16]:
            of_tile = partial(level.read_built, partial(variable.read, period, bands=bands), level.written[period])
            return digital_numbers(thumbnail.mean(of_tile, block))

        def days(period: int) -> NDArray[np.float32]:
            of_tile = partial(level.read_built, partial(read_plane, count, period), level.built[period])
            return thumbnail.mean(of_tile, block, zero_is_valid=True)[..., 0]

        seen, clear = list(threads.map(colours, chosen)), list(threads.map(days, chosen))
    low, high = stretch_of(seen, FILL)
    most = max(1.0, *(float(np.nanmax(numbers)) for numbers in clear))
    drawn = {
        period: Picture(_webp(stretched(numbers, low, high, FILL)), _webp(shaded(counts, most), lossless=True))
        for period, numbers, counts in zip(chosen, seen, clear, strict=True)
    }
    return Pictures(
        read.window_of_cube(cube.grid),
        drawn,
        variable.name,
        tuple(variable.bands[band] for band in bands),
        shades(most),
    )


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
