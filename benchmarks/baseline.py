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
from odc.algo import geomedian_with_mads, mask_cleanup
from odc.geo.geobox import GeoBox

from benchmarks.products import MASK, Product

CLEAR_CLASSES = (4, 5)
RADIUS = 5


def median(
    items: Sequence[pystac.Item], geobox: GeoBox, product: Product, *, masked: bool, dask_chunk: int
) -> xr.DataArray:
    """Return the lazy median of one chunk: float32 (y, x, band).

    Pixels without observation are NaN.

    Parameters
    ----------
    items : sequence of pystac.Item
        Items of the period.
    geobox : GeoBox
        Grid of the chunk.
    product : Product
        Product of the items.
    masked : bool
        Whether the classification masks clouds.
    dask_chunk : int
        Rows and columns of a Dask chunk.
    """
    clear = _clear(items, geobox, product, masked=masked, dask_chunk=dask_chunk)
    return clear.median("time").transpose(*geobox.dims, "band")


def geomedian(
    items: Sequence[pystac.Item], geobox: GeoBox, product: Product, *, masked: bool, dask_chunk: int
) -> xr.DataArray:
    """Return the lazy geometric median and its deviations of one chunk by odc-algo: float32 (y, x, band).

    The parameters are those of `median`. The deviations follow the bands. The values are computed in reflectance, and
    the bands are digital numbers.
    """
    clear = _clear(items, geobox, product, masked=masked, dask_chunk=dask_chunk).to_dataset("band")
    found = geomedian_with_mads(clear * np.float32(1e-4), compute_count=False).to_dataarray("band")
    bands = [product.assets[band] for band in product.bands]
    scaled = found.where(~found["band"].isin(bands), found * 1e4)
    return scaled.transpose(*geobox.dims, "band")


def _clear(
    items: Sequence[pystac.Item], geobox: GeoBox, product: Product, *, masked: bool, dask_chunk: int
) -> xr.DataArray:
    """Return the lazy clear observations of one chunk: float32 (band, time, y, x), NaN where there is none."""
    scenes = load(items, geobox, product, masked=masked, dask_chunk=dask_chunk)
    reflectance = scenes[[product.assets[band] for band in product.bands]].to_dataarray("band")
    valid = reflectance != product.nodata
    if masked:
        classes = scenes[product.assets[MASK]]
        bad = (classes & product.bad_bits) != 0 if product.bad_bits else ~classes.isin(CLEAR_CLASSES)
        valid = valid & ~mask_cleanup(bad, [("closing", RADIUS), ("opening", RADIUS)])
    return reflectance.where(valid)


def load(
    items: Sequence[pystac.Item],
    geobox: GeoBox,
    product: Product,
    *,
    masked: bool,
    dask_chunk: int,
    driver: str = "rio",
) -> xr.Dataset:
    """Return the lazy scenes of one chunk: reflectance and classification (time, y, x).

    Parameters
    ----------
    items : sequence of pystac.Item
        Items of the period.
    geobox : GeoBox
        Grid of the chunk.
    product : Product
        Product of the items.
    masked : bool
        Whether to read the classification.
    dask_chunk : int
        Rows and columns of a Dask chunk.
    driver : str
        Reader driver of odc-loader.
    """
    return odc.stac.load(
        items,
        bands=[product.assets[band] for band in (*product.bands, *([MASK] if masked else []))],
        geobox=geobox,
        chunks={"time": 1, **dict.fromkeys(geobox.dims, dask_chunk)},
        groupby="solar_day",
        resampling={"*": "bilinear", product.assets[MASK]: "nearest"},
        fail_on_error=True,
        driver=driver,
    )


def build_chunk(
    items: Sequence[pystac.Item],
    geobox: GeoBox,
    product: Product,
    store: Path,
    *,
    masked: bool,
    dask_chunk: int,
    threads: int,
    with_geomedian: bool = False,
) -> NDArray[np.integer[Any]]:
    """Build and write one chunk; return its pixels (y, x, band) in the encoding of the product."""
    with dask.config.set(scheduler="threads", num_workers=threads):
        composite = geomedian if with_geomedian else median
        found = composite(items, geobox, product, masked=masked, dask_chunk=dask_chunk)
        bands = found.isel(band=slice(len(product.bands)))
        numbers = bands.fillna(product.nodata).round().astype(product.dtype).compute()
    rows, columns = geobox.dims
    region = {rows: slice(0, geobox.shape.y), columns: slice(0, geobox.shape.x), "band": slice(0, len(product.bands))}
    numbers.drop_vars(list(numbers.coords)).to_dataset(name="composite").to_zarr(store, region=region, zarr_format=3)
    return numbers.to_numpy()


def create_store(geobox: GeoBox, product: Product, store: Path) -> None:
    """Create an empty store of one chunk with xarray's defaults."""
    empty = dask.array.zeros((*geobox.shape, len(product.bands)), dtype=product.dtype, chunks=-1)
    dataset = xr.Dataset({"composite": ((*geobox.dims, "band"), empty)})
    dataset.to_zarr(store, compute=False, zarr_format=3, consolidated=False)


def parse_items(documents: Sequence[dict[str, Any]]) -> list[pystac.Item]:
    """Return the items of JSON documents."""
    return [pystac.Item.from_dict(document) for document in documents if document["type"] == "Feature"]
