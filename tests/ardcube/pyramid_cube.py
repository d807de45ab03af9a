"""A cube of layout geozarr with random pixels, built without scenes, and the levels that NumPy computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import OpenCube
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.pixels.composites.registry import composites_of
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.levels import level_jobs
from ardcube.storage.place import Place
from ardcube.store import layouts
from tests.ardcube.small_cube import BANDS, periods_until
from tests.strategies import cube_spec

GRID = Grid.from_bounds((500_000, 5_000_000, 511_270, 5_005_150), 10.0, "EPSG:32633")  # 1127 x 515: odd at each level
COMPOSITES = ("median", "std", "mads")
"""Reflectance, differences of reflectance, and float32 without bands."""


def spec_of(place: Place, composites: Sequence[str] = COMPOSITES, periods: int = 1, grid: Grid = GRID) -> CubeSpec:
    made = composites_of(("median", "geomedian", *composites[1:]) if "mads" in composites else composites, "v", BANDS)
    return cube_spec(grid, place.uri, bands=BANDS, composites=made, periods=periods, layout="geozarr")


def create(place: Place, spec: CubeSpec, chunk: int, shard: int = 1) -> None:
    layouts.create(place, spec, periods_until(spec.periods), chunk, shard)


def random_values(spec: CubeSpec, seed: int) -> dict[str, NDArray[Any]]:
    """Return values of each array (y, x): a third is nodata, in patches and in single pixels."""
    rng = np.random.default_rng(seed)
    shape = (spec.grid.height, spec.grid.width)
    values = {}
    for array in spec.arrays:
        layer = array.layer
        numbers = rng.integers(1, 60_000, shape) if layer.dtype != "float32" else rng.random(shape)
        invalid = rng.random(shape) < 0.2
        invalid[50:200, 30:400] = True
        values[array.name] = np.where(invalid, layer.fill, numbers).astype(layer.dtype)
    return values


def write_base(spec: CubeSpec, values: Mapping[str, NDArray[Any]], tile: int, period: int = 0) -> dict[Any, Any]:
    """Write values of a period, and return records of the chunks as a build makes them."""
    label = f"2023-{1 + period:02d}"
    cube, records = OpenCube(spec), {}
    for one in spec.grid.tiles(tile):
        parts = [values[array.name][one.window.slices] for array in spec.arrays]
        cube.store.write_chunk(period, one.window, *parts)
        key = ChunkKey(label, one.row, one.col)
        records[key] = ChunkRecord(key, "written", f"inputs {seed_of(values)}", (Attempt("2026-01-01", "host", 1.0),))
    return records


def seed_of(values: Mapping[str, NDArray[Any]]) -> int:
    return int(sum(np.nansum(array.astype(np.float64)) for array in values.values()))


def jobs_of(level: CubeSpec, below: Mapping[ChunkKey, ChunkRecord], tile: int) -> list[ChunkJob]:
    periods: dict[str, Period] = {period.label: period for period in periods_until(level.periods)}  # type: ignore[attr-defined, misc]
    return level_jobs(below, level.grid, tile, periods)


def build_levels(spec: CubeSpec, records: Mapping[ChunkKey, ChunkRecord], tile: int) -> None:
    """Build all levels, chunk by chunk."""
    for level in layouts.levels_of(spec)[1:]:
        cube = OpenCube(level)
        built = [process_chunk(cube, job) for job in jobs_of(level, records, tile)]
        records = {record.key: record for record in built}


def opened(spec: CubeSpec, level: int) -> xr.Dataset:
    uri = replace(spec, level=level).group_uri
    with xr.open_zarr(uri, mask_and_scale=False, decode_times=False, chunks=None) as cube:
        return cube.load()


def halved(values: NDArray[Any], fill: float, *, mean: bool) -> NDArray[Any]:
    """Return what NumPy computes for a level from the level below, (y, x)."""
    if not mean:
        return values[::2, ::2]
    height, width = values.shape
    blocks = np.full((-(-height // 2) * 2, -(-width // 2) * 2), np.nan)
    blocks[:height, :width] = np.where(values == fill, np.nan, values)
    blocks = blocks.reshape(blocks.shape[0] // 2, 2, -1, 2)
    valid = ~np.isnan(blocks)
    count = valid.sum((1, 3))
    # In the order of the pixels, row by row, because a sum of floats depends on it.
    pixels = np.where(valid, blocks, 0)
    total = pixels[:, 0, :, 0] + pixels[:, 0, :, 1] + pixels[:, 1, :, 0] + pixels[:, 1, :, 1]
    means = total / np.maximum(count, 1)
    means = np.rint(means) if values.dtype.kind == "u" else means
    return np.where(count > 0, means, fill).astype(values.dtype)
