"""Open one band of one item and decide how it is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.loader import RasterLoadParams, RasterSource, resolve_dst_nodata, resolve_src_nodata

from ardcube.catalog.hrefs import local_file
from ardcube.errors import SceneError
from ardcube.extent.lattice import Lattice
from ardcube.raster.block_cache import File
from ardcube.raster.conversion import BIAS, dtype_as_read
from ardcube.raster.header import Header, Level, usable_nodata
from ardcube.raster.levels import category_level, pixel_at, reflectance_levels
from ardcube.raster.open import Raster, open_raster

logger = logging.getLogger(__name__)

KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}
"""Half-width in source pixels by resampling method."""


@dataclass(frozen=True, slots=True)
class BandSource:
    """An open file and the choices made for reading it."""

    file: File
    raster: Raster
    level: Level
    resampling: str
    missing: frozenset[int]
    """Digital numbers that are nodata."""
    dtype: np.dtype[Any]
    """Data type of the output."""
    fill: Any
    """Value of output pixels without data."""


def open_source(
    src: RasterSource, cfg: RasterLoadParams, lattice: Lattice | None, *, with_bias: bool = False
) -> BandSource | None:
    """Open a file; None where the rasterio driver has to read it.

    With `with_bias`, numbers of a signed file and their nodata have a bias, and no other driver can read the file.
    """
    if lattice is None or cfg.resampling not in KERNELS or src.band != 1 or src.subdataset or cfg.extra_dims:
        return None
    try:
        file = src.uri, _revision(src.uri)
        raster = open_raster(*file, "signed")
    except SceneError as error:
        if with_bias:
            raise
        logger.debug("rasterio reads %s: %s", src.uri, error)
        return None
    header = raster.header
    as_read = dtype_as_read(header.dtype)
    dtype = np.dtype(cfg.dtype or as_read)
    missing = _missing(src, cfg, header)
    # Weighted means count 0 and two further numbers as nodata.
    unsuitable = len(missing - {0}) > 2 or (cfg.resampling != "nearest" and 0 not in missing)
    unsuitable = unsuitable or (header.dtype in BIAS and not with_bias)
    if unsuitable or not np.can_cast(as_read, dtype):
        logger.debug("rasterio reads %s: its values do not suit the resampler", src.uri)
        return None
    fill = resolve_dst_nodata(dtype, cfg, resolve_src_nodata(cfg.fill_value, cfg))
    level = _level(header, lattice, cfg, src) if cfg.use_overviews else header.levels[0]
    return BandSource(file, raster, level, cfg.resampling, missing, dtype, dtype.type(0 if fill is None else fill))


def _level(header: Header, lattice: Lattice, cfg: RasterLoadParams, src: RasterSource) -> Level:
    """Return the level to read. Nearest pixels may be categories, which not every overview holds."""
    pixel = pixel_at(lattice, header)
    if cfg.resampling == "nearest":
        return category_level(header, pixel)
    stated = next((meta.nodata for meta in (src.meta, cfg.meta) if meta is not None and meta.nodata is not None), None)
    stated = None if stated is None else stated - BIAS.get(header.dtype, 0)
    return reflectance_levels([header], [usable_nodata(stated, header.dtype)], [pixel])[0]


def _missing(src: RasterSource, cfg: RasterLoadParams, header: Header) -> frozenset[int]:
    """Digital numbers that are nodata: an override, else what the file, its item and the caller state."""
    if cfg.src_nodata_override is not None:
        stated: list[float | None] = [cfg.src_nodata_override]
    else:
        described = [meta.nodata for meta in (src.meta, cfg.meta) if meta is not None]
        bias = BIAS.get(header.dtype, 0)
        # A block of a signed file that was never written is 0, unless the file declares a number.
        declared = bias if header.nodata is None and bias else None
        declared = header.nodata + bias if header.nodata is not None else declared
        stated = [declared, cfg.src_nodata_fallback, *described, cfg.fill_value]
    valid = range(np.iinfo(dtype_as_read(header.dtype)).max + 1)
    return frozenset(int(value) for value in stated if value is not None and value in valid)


def _revision(uri: str) -> str:
    """Time of the last change of a local file: its header is read again after one. Empty for remote files."""
    path = local_file(uri)
    try:
        return "" if path is None else str(Path(path).stat().st_mtime_ns)
    except OSError:
        return ""
