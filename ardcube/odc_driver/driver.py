"""The driver and its reader, as odc-loader calls them (`odc.loader.ReaderDriver`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.loader import RasterLoadParams, RasterSource, RioDriver

from ardcube.errors import SceneError, TransientError
from ardcube.extent.lattice import Lattice
from ardcube.odc_driver.source import open_source
from ardcube.odc_driver.window import read_window
from ardcube.raster.open import forget

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

logger = logging.getLogger(__name__)

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

    Coordinates are anchored at multiples of the resolution. On the grid of a cube, pixels are therefore equal to the
    cube's to the last bit.

    Parameters
    ----------
    with_bias : bool
        Whether numbers of signed files are returned with the bias with which they are read
        (`ardcube.raster.conversion.BIAS`), as unsigned ones. Otherwise the rasterio driver reads signed files.
    """

    def __init__(self, *, with_bias: bool = False) -> None:
        self._rasterio = RioDriver()
        self._with_bias = with_bias

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'with_bias=True' if self._with_bias else ''})"

    def new_load(self, geobox: GeoBox, *, chunks: dict[str, int] | None = None) -> LoadContext:
        """Begin a load of the whole `geobox`."""
        return LoadContext(Lattice.of_geobox(geobox), self._rasterio.new_load(geobox, chunks=chunks))

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
        return ExactReader(src, ctx.lattice, self._rasterio.open(src, ctx.rasterio), with_bias=self._with_bias)

    @property
    def md_parser(self) -> None:
        """No metadata beyond STAC's is needed."""

    @property
    def dask_reader(self) -> None:
        """Dask tasks are built by odc-loader."""

    @property
    def aux_reader(self) -> None:
        """Auxiliary bands are not supported."""


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
    with_bias : bool
        Whether numbers of signed files are returned with their bias.
    """

    def __init__(self, src: RasterSource, lattice: Lattice | None, fallback: Any, *, with_bias: bool = False) -> None:
        self._with_bias = with_bias
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
            source = None if window is None else open_source(self._src, cfg, self._lattice, with_bias=self._with_bias)
            if source is None or window is None or self._lattice is None:
                read: Read = self._fallback.read(cfg, dst_geobox, dst=dst, selection=selection)
                return read
            pixels = read_window(source, self._lattice, window)
        except (SceneError, TransientError) as error:
            forget(self._src.uri)
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
