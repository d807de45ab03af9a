"""Whether the GDAL of the pinned rasterio reads a cube."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.storage.place import Place
from ardcube.store import schema
from tests.ardcube.small_cube import BANDS, CHUNK, GRID, create, pattern, periods_until, spec_at, write_all


@contextmanager
def raster_of(place: Place, array: str) -> Iterator[Any]:
    """Open an array of a cube; with rasterio below 1.5 (Python 3.11), check that it is refused and yield None."""
    address = f'ZARR:"{place.path}":/{array}'
    if rasterio.__version__ < "1.5":
        with pytest.raises(RasterioIOError, match="Unsupported codec: bytes"):
            rasterio.open(address)
        yield None
        return
    with rasterio.open(address) as raster:
        yield raster


@pytest.mark.unit
def test_rasterio_reads_a_cube_from_1_5_on_and_refuses_it_before(local: Place) -> None:
    periods = 2
    write_all(create(local, periods))
    with raster_of(local, "rgb_median") as raster:
        if raster is None:
            return
        assert raster.crs.to_epsg() == 4326
        np.testing.assert_allclose(raster.transform, GRID.transform, rtol=0, atol=1e-9)
        pixels = raster.read()
    # GDAL's raster bands run over period and band, the band fastest.
    pixels = pixels.reshape(periods, len(BANDS), GRID.height, GRID.width)
    whole = Window(0, GRID.height, 0, GRID.width)
    for period in range(periods):
        np.testing.assert_array_equal(pixels[period], pattern(whole, period).transpose(2, 0, 1))


@pytest.mark.unit
@pytest.mark.parametrize("epsg", [32633, 3031])
def test_rasterio_reads_the_grid_of_a_cube_in_metres(local: Place, epsg: int) -> None:
    grid = Grid.from_bounds((500_000, 5_000_000, 500_900, 5_000_600), 30.0, f"EPSG:{epsg}", "edge")
    schema.create(local, replace(spec_at(local, 2), grid=grid), periods_until(2), CHUNK)
    with raster_of(local, "observation_count") as raster:
        if raster is not None:
            assert raster.crs.to_epsg() == epsg
            np.testing.assert_allclose(raster.transform, grid.transform, rtol=0, atol=1e-6)
            assert raster.shape == (grid.height, grid.width)
