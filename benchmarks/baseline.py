"""Build a chunk with the baseline: odc.stac, Dask and xarray without tuning.

The baseline loads the chunk lazily, cleans up the scene classification with odc.algo, computes xarray's median and
writes the region with xarray. Its pixels differ from the pixel contract in four ways. GDAL's warper derives its kernel
and an approximate transform from the window. odc.stac rounds the overview down to a whole ratio. Masks are cleaned up
without a halo. Footprints are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
import odc.stac
import pystac
import xarray as xr
from numpy.typing import NDArray
from odc.algo import mask_cleanup
from odc.geo.geobox import GeoBox

CLEAR_CLASSES = (4, 5)
RADIUS = 5


def composite(
    items: Sequence[pystac.Item], geobox: GeoBox, bands: Sequence[str], *, scl: bool, dask_chunk: int
) -> xr.DataArray:
    """Return the lazy composite of one chunk: float32 (latitude, longitude, band).

    Pixels without observation are NaN.

    Parameters
    ----------
    items : sequence of pystac.Item
        Items of the period.
    geobox : GeoBox
        Grid of the chunk.
    bands : sequence of str
        Reflectance bands.
    scl : bool
        Whether the scene classification masks clouds.
    dask_chunk : int
        Rows and columns of a Dask chunk.
    """
    scenes = load(items, geobox, [*bands, "scl"] if scl else list(bands), dask_chunk=dask_chunk)
    reflectance = scenes[list(bands)].to_dataarray("band")
    valid = reflectance != 0
    if scl:
        bad = mask_cleanup(~scenes["scl"].isin(CLEAR_CLASSES), [("closing", RADIUS), ("opening", RADIUS)])
        valid = valid & ~bad
    return reflectance.where(valid).median("time").transpose("latitude", "longitude", "band")


def load(
    items: Sequence[pystac.Item], geobox: GeoBox, bands: Sequence[str], *, dask_chunk: int, driver: str = "rio"
) -> xr.Dataset:
    """Return the lazy scenes of one chunk: uint16, uint8 (time, latitude, longitude).

    Parameters
    ----------
    items : sequence of pystac.Item
        Items of the period.
    geobox : GeoBox
        Grid of the chunk.
    bands : sequence of str
        Bands to read.
    dask_chunk : int
        Rows and columns of a Dask chunk.
    driver : str
        Reader driver of odc-loader.
    """
    return odc.stac.load(
        items,
        bands=bands,
        geobox=geobox,
        chunks={"time": 1, "latitude": dask_chunk, "longitude": dask_chunk},
        groupby="solar_day",
        resampling={"*": "bilinear", "scl": "nearest"},
        fail_on_error=True,
        driver=driver,
    )


def build_chunk(
    items: Sequence[pystac.Item],
    geobox: GeoBox,
    bands: Sequence[str],
    store: Path,
    *,
    scl: bool,
    dask_chunk: int,
    threads: int,
) -> NDArray[np.uint16]:
    """Build and write one chunk; return its pixels, uint16 (y, x, band)."""
    with dask.config.set(scheduler="threads", num_workers=threads):
        median = composite(items, geobox, bands, scl=scl, dask_chunk=dask_chunk)
        numbers = median.fillna(0).round().astype(np.uint16).compute()
    region = {"latitude": slice(0, geobox.shape.y), "longitude": slice(0, geobox.shape.x), "band": slice(0, len(bands))}
    numbers.drop_vars(list(numbers.coords)).to_dataset(name="composite").to_zarr(store, region=region, zarr_format=3)
    return numbers.to_numpy()


def create_store(geobox: GeoBox, bands: Sequence[str], store: Path) -> None:
    """Create an empty store of one chunk with xarray's defaults."""
    empty = dask.array.zeros((*geobox.shape, len(bands)), dtype=np.uint16, chunks=-1)
    dataset = xr.Dataset({"composite": (("latitude", "longitude", "band"), empty)})
    dataset.to_zarr(store, compute=False, zarr_format=3, consolidated=False)


def parse_items(documents: Sequence[dict[str, Any]]) -> list[pystac.Item]:
    """Return the items of JSON documents."""
    return [pystac.Item.from_dict(document) for document in documents if document["type"] == "Feature"]
