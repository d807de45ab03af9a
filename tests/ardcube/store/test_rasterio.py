"""Whether the GDAL of the pinned rasterio reads a cube."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from ardcube.extent.window import Window
from ardcube.storage.place import Place
from tests.ardcube.small_cube import BANDS, GRID, create, pattern, write_all


@pytest.mark.unit
def test_rasterio_reads_a_cube_from_1_5_on_and_refuses_it_before(local: Place) -> None:
    periods = 2
    write_all(create(local, periods))
    array = f'ZARR:"{local.path}":/rgb_median'
    if rasterio.__version__ < "1.5":  # Python 3.11
        with pytest.raises(RasterioIOError, match="Unsupported codec: bytes"):
            rasterio.open(array)
        return
    with rasterio.open(array) as raster:
        assert raster.crs.to_epsg() == 4326
        np.testing.assert_allclose(raster.transform, GRID.transform, rtol=0, atol=1e-9)
        pixels = raster.read()
    # GDAL's raster bands run over period and band, the band fastest.
    pixels = pixels.reshape(periods, len(BANDS), GRID.height, GRID.width)
    whole = Window(0, GRID.height, 0, GRID.width)
    for period in range(periods):
        np.testing.assert_array_equal(pixels[period], pattern(whole, period).transpose(2, 0, 1))
