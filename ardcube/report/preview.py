"""Draw a preview of a cube: a few periods, or a part of one, at a cost that does not depend on its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.report.banded import read_plane
from ardcube.report.clear_days import shaded, shades
from ardcube.report.map_frame import MapPosition, draw_frame
from ardcube.report.png import encode_png
from ardcube.report.quicklook import digital_numbers, shown_bands, shown_variable, stretch_of, stretched
from ardcube.report.shown_part import fullest_part, read_built, tile_pixels, whole
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import EMPTY, RETRIED, WRITTEN
from ardcube.report.svg import Panel, draw_sheet
from ardcube.report.thumbnail import Thumbnail
from ardcube.store.backend import zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import base_group
from ardcube.store.schema import COUNT, FILL, read_attributes
from ardcube.store.validate import damage_as_store_error, read_layouts

_MOST_PIXELS = 40_000_000
"""Pixels of one band that are read at most: 30 chunks of 1200 pixels a side, about a second of decoding."""
_MOST_PICTURES = 6
_SIDES = {1: 600, 2: 420}
"""Longest side of a picture in pixels, by number of pictures."""
_SMALL_SIDE = 280
"""Longest side of a picture in pixels, for other numbers of pictures."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Pictures of the newest periods, as SVGs of some hundred kilobytes."""

    colours: str
    """The composites."""
    clear_days: str
    """Numbers of clear days behind them."""


def draw_preview(snapshot: CubeSnapshot) -> Preview | None:
    """Draw the newest periods with written chunks: composites and clear days.

    Returns
    -------
    Preview or None
        None if no chunk was written, or if one chunk exceeds the pixels that are read at most.
    """
    place, cube = snapshot.place, snapshot.cube
    written = np.isin(snapshot.states, (WRITTEN, RETRIED))
    built = written | (snapshot.states == EMPTY)
    chosen = _newest(written, tile_pixels(cube))
    if not chosen or min(cube.config.chunk_size, cube.grid.height) * cube.config.chunk_size > _MOST_PIXELS:
        return None
    window = fullest_part(cube, written[chosen[0]], _MOST_PIXELS) if len(chosen) == 1 else whole(cube.grid)
    position = MapPosition.of(cube.grid, window)
    thumbnail = Thumbnail.of(window, position.pixel_width, _SIDES.get(len(chosen), _SMALL_SIDE))
    group = base_group(place)
    read_layouts(group)
    with (
        damage_as_store_error(place.uri),
        checked_codecs(),
        xr.open_zarr(zarr_store(group), mask_and_scale=False, chunks=None, zarr_format=3) as opened,
    ):
        # A variable has no coordinates, which may be a million numbers.
        shown, count = shown_variable(opened, read_attributes(place)), opened[COUNT].variable
        if shown is None:
            return None
        bands = shown_bands(shown.bands)
        colours, days = [], []
        for period in chosen:
            read = partial(read_built, partial(shown.read, period, bands=bands), cube, written[period])
            colours.append(digital_numbers(thumbnail.mean(read, cube.config.chunk_size)))
            read = partial(read_built, partial(read_plane, count[period]), cube, built[period])
            days.append(thumbnail.mean(read, cube.config.chunk_size, zero_is_valid=True)[..., 0])
    low, high = stretch_of(colours, FILL)
    part = "" if window == whole(cube.grid) else ", a part"
    labels = [cube.periods[period].label + part for period in chosen]
    spans = [cube.periods[period].days for period in chosen]
    most = max(1.0, *(float(np.nanmax(numbers)) for numbers in days))
    colour_maps = [stretched(numbers, low, high, FILL) for numbers in colours]
    day_maps = [shaded(numbers, most) for numbers in days]
    unbuilt = _legend(day_maps, "not built")
    unseen = _legend(colour_maps, "no clear pixel, or not built" if unbuilt else "no clear pixel")
    return Preview(
        draw_sheet(_panels(colour_maps, labels, spans, position), unseen),
        draw_sheet(_panels(day_maps, labels, spans, position), [*shades(most), *unbuilt]),
    )


def _legend(maps: Sequence[NDArray[np.uint8]], transparent: str) -> list[tuple[str, str]]:
    """Return what transparent pixels mean, as an entry of a legend, if a map (4, y, x) has them."""
    return [("none", transparent)] if any((picture[3] == 0).any() for picture in maps) else []


def _panels(
    pictures: Sequence[NDArray[np.uint8]], labels: Sequence[str], spans: Sequence[str], position: MapPosition
) -> list[Panel]:
    framed = [draw_frame(picture, position, span)[0] for picture, span in zip(pictures, spans, strict=True)]
    return [
        Panel(label, encode_png(picture), picture.shape[2], picture.shape[1])
        for label, picture in zip(labels, framed, strict=True)
    ]


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
