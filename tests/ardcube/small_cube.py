"""A cube of 50 x 30 pixels and two bands in which every pixel has another value."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.open_cube import open_cube
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.extent.window import Window
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store import schema
from tests.strategies import cube_spec

GRID = Grid.from_bounds((15.0, 46.0, 15.5, 46.3), 0.01)  # 50 x 30 pixels
BANDS = ("red", "nir")
CHUNK = 16


def spec_at(place: Place, periods: int = 3, **more: object) -> CubeSpec:
    values: dict[str, object] = {"bands": BANDS, "varname": "rgb_median", "encoding": CubeEncoding(offset=-0.1)}
    return cube_spec(GRID, place.uri, periods=periods, **values | more)


def periods_until(month: int, step: int = 1) -> tuple[object, ...]:
    return calendar_periods(date(2023, 1, 1), date(2023, month, 1), step)


def create(place: Place, months: int = 3) -> CubeSpec:
    spec = spec_at(place, months)
    schema.create(place, spec, periods_until(months), CHUNK)
    return spec


def create_sharded(place: Place, chunk: int = 8, shard: int = 2, months: int = 2) -> CubeSpec:
    spec = spec_at(place, months)
    schema.create(place, spec, periods_until(months), chunk, shard)
    return spec


def pattern(window: Window, time_index: int = 0) -> NDArray[np.uint16]:
    """Return values (y, x, band) that differ for every pixel of the cube."""
    t, y, x, b = np.ix_(
        [time_index],
        np.arange(window.y0, window.y1),
        np.arange(window.x0, window.x1),
        np.arange(len(BANDS)),
    )
    return (1 + t * 20_000 + (y * GRID.width + x) * len(BANDS) + b)[0].astype(np.uint16)


def write_all(spec: CubeSpec, size: int = CHUNK) -> None:
    opened = open_cube(spec).store
    for index in range(spec.periods):
        for tile in GRID.tiles(size):
            count = np.full(tile.window.shape, index + 1, np.uint16)
            opened.write_chunk(index, tile.window, pattern(tile.window, index), count)


def objects(place: Place, array: str) -> set[str]:
    return {name for name in place.list(array) if "/c/" in name}
