"""Draw a preview of a cube: a few periods, or a part of one, at a cost that does not depend on its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.levels import level_grids
from ardcube.ledger.ledger import Ledger
from ardcube.report.banded import read_plane, shown_variable
from ardcube.report.clear_days import shaded, shades
from ardcube.report.map_frame import MapPosition, draw_frame
from ardcube.report.open_level import open_level
from ardcube.report.png import encode_png
from ardcube.report.shown_levels import shown_levels
from ardcube.report.shown_pixels import Limit, choose_pixels
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import RETRIED, WRITTEN
from ardcube.report.svg import Panel, draw_sheet
from ardcube.report.thumbnail import Thumbnail
from ardcube.report.true_colour import digital_numbers, shown_bands, stretch_of, stretched
from ardcube.store.backend import array_of
from ardcube.store.schema import COUNT, FILL, read_attributes

LIMIT = Limit(pixels=40_000_000, tiles=400, pictures=6, periods="newest", rest="part")
"""Limit of a preview. 40 million pixels are 28 chunks of 1200 pixels a side, about a second of decoding."""
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
    with_pixels = (WRITTEN, RETRIED)
    wanted = np.flatnonzero(np.isin(snapshot.states, with_pixels).any(axis=(1, 2)))[-LIMIT.pictures :]
    levels = shown_levels(Ledger.of_store(place), cube, snapshot.states, with_pixels)
    shown = choose_pixels(levels, wanted.tolist(), LIMIT, cube.config.chunk_size)
    if shown is None:
        return None
    level, chosen, block = shown.level, shown.periods, shown.level.block(cube.config.chunk_size)
    position = MapPosition.of(level_grids(cube.grid)[level.number], shown.window)
    thumbnail = Thumbnail.of(shown.window, position.pixel_width, _SIDES.get(len(chosen), _SMALL_SIDE))
    with open_level(place, level.number) as opened:
        variable, count = shown_variable(opened, read_attributes(place)), array_of(opened, COUNT)
        if variable is None:
            return None
        bands = shown_bands(variable.bands)
        colours, days = [], []
        for period in chosen:
            read = partial(level.read_built, partial(variable.read, period, bands=bands), level.written[period])
            colours.append(digital_numbers(thumbnail.mean(read, block)))
            read = partial(level.read_built, partial(read_plane, count, period), level.built[period])
            days.append(thumbnail.mean(read, block, zero_is_valid=True)[..., 0])
    low, high = stretch_of(colours, FILL)
    part = ", a part" if shown.is_part else ""
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
