"""A reader driver for odc-loader: the block reader and the resampler of this project under `odc.stac.load`.

``odc.stac.load(items, driver="ardcube.odc_driver.ExactDriver", ...)`` gives pixels that do not depend on Dask chunks,
because each is defined by its own position (docs/decisions/0002-own-resampler.md). Digital numbers are rounded half to
even, as in a cube. Files and grids that the resampler does not support are read by odc-loader's rasterio driver.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.loader import RasterLoadParams, RasterSource, RioDriver, resolve_dst_nodata, resolve_src_nodata

from ardcube.catalog.hrefs import local_file
from ardcube.errors import SceneError, TransientError
from ardcube.extent.grid import Window
from ardcube.pixels.bitmask import packed
from ardcube.pixels.lattice import ExactProjection, Lattice, nearest_pixels, project_window
from ardcube.pixels.projection import Projection
from ardcube.pixels.resample import fill_weighted, needed_blocks, resample_window
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.header import Header, Level
from ardcube.raster.open import Raster, open_raster

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

logger = logging.getLogger(__name__)

_KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}
"""Half-width in source pixels by resampling method."""
_PROJECTIONS_KEPT = 8
"""Projected windows that a process keeps: all scenes and bands of a chunk share a few."""

Region = tuple[slice, slice]
Read = tuple[Region, NDArray[Any]]
"""Rows and columns of the output that a source covers, and their values."""


@dataclass(frozen=True, slots=True)
class LoadContext:
    """State of one `odc.stac.load`, sent to its workers."""

    lattice: Lattice | None
    """Counts the pixels of the whole load; None where its geobox is rotated."""
    rasterio: Any
    """State of the rasterio driver."""


class ExactDriver:
    """Reader driver that implements `odc.loader.ReaderDriver`.

    Parameters
    ----------
    anchor : GeoBox, optional
        Grid whose first pixel the interpolation of coordinates is anchored to. With the grid of a cube, pixels are
        equal to the cube's to the last bit. Default: multiples of the resolution.
    """

    def __init__(self, anchor: GeoBox | None = None) -> None:
        self._anchor = anchor
        self._rasterio = RioDriver()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self._anchor is None else f'anchor={self._anchor!r}'})"

    def new_load(self, geobox: GeoBox, *, chunks: dict[str, int] | None = None) -> LoadContext:
        """Begin a load of the whole `geobox`."""
        lattice = None if self._anchor is None else Lattice.from_corner(self._anchor)
        if lattice is None or lattice.window(geobox) is None:
            lattice = Lattice.of_geobox(geobox)
        return LoadContext(lattice, self._rasterio.new_load(geobox, chunks=chunks))

    def finalise_load(self, load_state: LoadContext) -> Any:
        """End a load."""
        return self._rasterio.finalise_load(load_state.rasterio)

    def capture_env(self) -> dict[str, Any]:
        """Return GDAL's settings for the workers.

        odc-loader derives the names of Dask tasks from them. The driver's name among them keeps its tasks apart from
        those of another driver that loads the same items.
        """
        return {"driver": repr(self), "rasterio": self._rasterio.capture_env()}

    @contextmanager
    def restore_env(self, env: dict[str, Any], load_state: LoadContext) -> Iterator[LoadContext]:
        """Apply GDAL's settings on a worker."""
        with self._rasterio.restore_env(env["rasterio"], load_state.rasterio) as local:
            yield LoadContext(load_state.lattice, local)

    def open(self, src: RasterSource, ctx: LoadContext) -> ExactReader:
        """Return the reader of one band of an item; the file is opened when it is read."""
        return ExactReader(src, ctx.lattice, self._rasterio.open(src, ctx.rasterio))

    @property
    def md_parser(self) -> None:
        """No metadata beyond STAC's is needed."""

    @property
    def dask_reader(self) -> None:
        """Dask tasks are built by odc-loader."""

    @property
    def aux_reader(self) -> None:
        """Auxiliary bands are not supported."""


@dataclass(frozen=True, slots=True)
class _Source:
    """An open file and the choices made for reading it."""

    raster: Raster
    level: Level
    resampling: str
    missing: frozenset[int]
    """Digital numbers that are nodata."""
    dtype: np.dtype[Any]
    """Data type of the output."""
    fill: Any
    """Value of output pixels without data."""


class ExactReader:
    """Reads one band of one item onto any part of a load's grid.

    Parameters
    ----------
    src : RasterSource
        File and band.
    lattice : Lattice or None
        Of the load.
    fallback : RasterReader
        Reads what this reader does not.
    """

    def __init__(self, src: RasterSource, lattice: Lattice | None, fallback: Any) -> None:
        self._src = src
        self._lattice = lattice
        self._fallback = fallback

    def read(
        self,
        cfg: RasterLoadParams,
        dst_geobox: GeoBox,
        *,
        dst: NDArray[Any] | None = None,
        selection: Any | None = None,
    ) -> Read:
        """Read the pixels of a geobox.

        Parameters
        ----------
        cfg : RasterLoadParams
            Resampling, nodata and data type.
        dst_geobox : GeoBox
            Part of the load's grid.
        dst : optional
            Array (y, x) to fill.
        selection : optional
            Part of further dimensions; left to the rasterio driver.

        Returns
        -------
        region : (slice, slice)
            Rows and columns of `dst_geobox`; empty where the file covers none of it.
        pixels : array (y, x)
            Their values.

        Raises
        ------
        SceneError, TransientError
            If the file cannot be read and `cfg.fail_on_error` is set.
        """
        window = None if self._lattice is None else self._lattice.window(dst_geobox)
        try:
            source = None if window is None else _open(self._src, cfg, self._lattice)
            if source is None or window is None or self._lattice is None:
                read: Read = self._fallback.read(cfg, dst_geobox, dst=dst, selection=selection)
                return read
            pixels = _read(source, self._lattice, window)
        except (SceneError, TransientError) as error:
            if cfg.fail_on_error:
                raise
            logger.warning("%s is left out: %s", self._src.uri, error)
            pixels = None
        if pixels is None:
            return np.s_[0:0, 0:0], np.empty((0, 0), cfg.dtype) if dst is None else dst[0:0, 0:0]
        if dst is not None:
            dst[...] = pixels
            pixels = dst
        return np.s_[0 : pixels.shape[0], 0 : pixels.shape[1]], pixels


def _open(src: RasterSource, cfg: RasterLoadParams, lattice: Lattice | None) -> _Source | None:
    """Open a file; None where the rasterio driver has to read it."""
    if lattice is None or cfg.resampling not in _KERNELS or src.band != 1 or src.subdataset or cfg.extra_dims:
        return None
    try:
        raster = open_raster(src.uri, _revision(src.uri), "signed")
    except SceneError as error:
        logger.debug("rasterio reads %s: %s", src.uri, error)
        return None
    header = raster.header
    dtype = np.dtype(cfg.dtype or header.dtype)
    missing = _missing(src, cfg, header)
    # Weighted means count 0 and one further number as nodata.
    weighted = cfg.resampling != "nearest" and (0 not in missing or len(missing) > 2)
    if weighted or not np.can_cast(header.dtype, dtype):
        logger.debug("rasterio reads %s: its values do not suit the resampler", src.uri)
        return None
    fill = resolve_dst_nodata(dtype, cfg, resolve_src_nodata(cfg.fill_value, cfg))
    level = lattice.level_for(header) if cfg.use_overviews else header.levels[0]
    return _Source(raster, level, cfg.resampling, missing, dtype, dtype.type(0 if fill is None else fill))


def _missing(src: RasterSource, cfg: RasterLoadParams, header: Header) -> frozenset[int]:
    """Digital numbers that are nodata: an override, else what the file, its item and the caller state."""
    if cfg.src_nodata_override is not None:
        stated: list[float | None] = [cfg.src_nodata_override]
    else:
        described = [meta.nodata for meta in (src.meta, cfg.meta) if meta is not None]
        # A nodata value of 0 in a header may also mean that the file declares none.
        stated = [header.nodata or None, cfg.src_nodata_fallback, *described, cfg.fill_value]
    valid = range(np.iinfo(header.dtype).max + 1)
    return frozenset(int(value) for value in stated if value is not None and value in valid)


def _revision(uri: str) -> str:
    """Time of the last change of a local file: its header is read again after one. Empty for remote files."""
    path = local_file(uri)
    try:
        return "" if path is None else str(Path(path).stat().st_mtime_ns)
    except OSError:
        return ""


def _read(source: _Source, lattice: Lattice, window: Window) -> NDArray[Any] | None:
    """Read and resample a window, (y, x); None where the file covers none of it."""
    header, level, kernel = source.raster.header, source.level, _KERNELS[source.resampling]
    projection = _project(lattice, window, header.crs)
    if isinstance(projection, ExactProjection):
        blocks = projection.needed_blocks(level, kernel)
    else:
        blocks = needed_blocks(projection, packed(np.ones(window.shape, bool)), level, source.resampling)
    if blocks is None:
        return None
    encoding = Encoding(max(source.missing, default=0))
    pixels = SourcePixels.decode([source.raster.fetch(blocks)], blocks, header.dtype, encoding, find_holes=kernel > 0)
    values = np.full(window.shape, source.fill, source.dtype)
    if kernel == 0:
        for rows, indices in _nearest(projection, level):
            _take(values[rows], indices, pixels, source.missing)
        return values
    numbers = _weighted(projection, pixels, source)
    np.copyto(values, np.minimum(numbers, np.iinfo(header.dtype).max), where=numbers != 0, casting="unsafe")
    return values


def _nearest(projection: Projection | ExactProjection, level: Level) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Rows of a window, and row and column of the nearest source pixel of each of their pixels, (2, y, x)."""
    if isinstance(projection, ExactProjection):
        yield from ((rows, nearest_pixels(at, level)) for rows, at in projection.strips())
    else:
        yield slice(None), projection.nearest_pixels(level)


def _take(values: NDArray[Any], indices: NDArray[Any], pixels: SourcePixels, missing: frozenset[int]) -> None:
    """Fill values with source pixels; 0 counts as data unless it is named as nodata."""
    height, width, _ = pixels.values.shape
    rows, columns = (
        axis.astype(np.int64) - first
        for axis, first in zip(indices, (pixels.blocks.row, pixels.blocks.column), strict=True)
    )
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    numbers = pixels.values[np.where(inside, rows, 0), np.where(inside, columns, 0), 0]
    for number in missing:
        inside &= numbers != number
    np.copyto(values, numbers, where=inside, casting="unsafe")


def _weighted(projection: Projection | ExactProjection, pixels: SourcePixels, source: _Source) -> NDArray[np.uint16]:
    """Resample by weighted means: uint16 (y, x), 0 without data."""
    numbers = np.zeros((1, *projection.window.shape), np.uint16)
    wanted = np.ones(projection.window.shape, bool)
    if isinstance(projection, ExactProjection):
        for rows, at in projection.strips():
            fill_weighted(numbers[:, rows], [0], wanted[rows], at, pixels, source.resampling)
    else:
        resample_window(numbers, [0], wanted, projection, pixels, source.resampling)
    filled: NDArray[np.uint16] = numbers[0]
    return filled


@lru_cache(maxsize=_PROJECTIONS_KEPT)
def _project(lattice: Lattice, window: Window, crs: str) -> Projection | ExactProjection:
    """Project a window once for all files that share a CRS."""
    return project_window(lattice, window, crs)
