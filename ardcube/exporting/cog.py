"""Write one variable of one period as a cloud-optimized GeoTIFF, with bounded memory.

GDAL's COG driver takes overviews that exist. They are made here, because those of GDAL round half up and differ from
the levels of a pyramid. The pixels and each overview are first written as plain GeoTIFF, each the overview of the one
before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from ardcube.exporting.request import Export, ExportFile
from ardcube.exporting.source import SourceVariable
from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from ardcube.extent.window import Window
from ardcube.pixels.halve import halve_mean, halve_nearest

_TILE = 512
"""Rows and columns of a tile of the file."""
_BLOCK = 2048
"""Rows and columns of the blocks of which overviews are made."""
_COG = {"driver": "COG", "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": str(_TILE), "BIGTIFF": "IF_SAFER"}
_TEXTS = ("title", "source", "instrument", "ardcube_version")
"""Global attributes of a cube that a file has as tags."""


def write_cog(export: Export, file: ExportFile, path: Path) -> None:
    """Write a file and its overviews; the folder of the path is also used for parts of it.

    Raises
    ------
    StoreError
        If a chunk of the cube is damaged.
    UnwritableError, TransientError
        If a store refuses to read or write, permanently or for a while.
    """
    (variable,), (period,) = file.variables, file.periods
    grids = level_grids(export.cube.grid.part(export.window))
    levels = [_Level(path.with_name("base.tif" + ".ovr" * level), grid) for level, grid in enumerate(grids)]
    with levels[0].create(variable) as base:
        _describe(base, export, file)
        for part in export.window.aligned(export.cube.config.tile_size):
            near = part.relative_to(export.window)
            base.write(variable.read(period.index, part), window=_raster_window(near))
    for finer, coarser in pairwise(levels):
        _reduce(finer, coarser, variable)
    # One file at a time for each thread: the tiles are compressed by the thread itself.
    overviews = "FORCE_USE_EXISTING" if len(levels) > 1 else "NONE"
    rasterio.shutil.copy(levels[0].path, path, **_COG, OVERVIEWS=overviews)


@dataclass(frozen=True, slots=True)
class _Level:
    """A plain GeoTIFF of one level."""

    path: Path
    grid: Grid

    def create(self, variable: SourceVariable) -> Any:
        """Create the file and return it open for writing."""
        return rasterio.open(
            self.path,
            "w",
            driver="GTiff",
            width=self.grid.width,
            height=self.grid.height,
            count=max(1, len(variable.bands)),
            dtype=variable.dtype,
            nodata=variable.nodata,
            crs=self.grid.lattice.crs,
            transform=self.grid.transform,
            tiled=True,
            blockxsize=_TILE,
            blockysize=_TILE,
            interleave="pixel",
            bigtiff="IF_SAFER",
        )


def _reduce(finer: _Level, coarser: _Level, variable: SourceVariable) -> None:
    """Write a level from the one below it."""
    size = Window(0, finer.grid.height, 0, finer.grid.width)
    with rasterio.open(finer.path) as below, coarser.create(variable) as above:
        for part in size.aligned(_BLOCK):
            values = below.read(window=_raster_window(part))
            halved = np.stack(
                [halve_mean(band, variable.nodata) if variable.is_averaged else halve_nearest(band) for band in values]
            )
            corner = Window(part.y0 // 2, part.y0 // 2 + halved.shape[1], part.x0 // 2, part.x0 // 2 + halved.shape[2])
            above.write(halved, window=_raster_window(corner))


def _describe(base: Any, export: Export, file: ExportFile) -> None:
    """Set names, colours, scales, units and tags of the bands and of the file."""
    (variable,), (period,) = file.variables, file.periods
    attributes, names = variable.attributes, variable.bands or (variable.name,)
    base.descriptions = names
    base.colorinterp = [_colour(name) for name in names] if variable.bands else [ColorInterp.gray]
    if "scale_factor" in attributes:
        base.scales = (float(attributes["scale_factor"]),) * len(names)
        base.offsets = (float(attributes.get("add_offset", 0.0)),) * len(names)
    if "units" in attributes:
        base.units = (str(attributes["units"]),) * len(names)
    kept = ("long_name", "standard_name", "flag_values", "flag_meanings", "comment")
    tags = {name: _text(attributes[name]) for name in kept if name in attributes}
    tags |= {name: _text(export.attributes[name]) for name in _TEXTS if name in export.attributes}
    base.update_tags(**tags, variable=variable.name, period_start=str(period.start), period_end=str(period.end))


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _colour(band: str) -> ColorInterp:
    return {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}.get(
        band, ColorInterp.undefined
    )


def _raster_window(window: Window) -> RasterWindow:
    return RasterWindow.from_slices(*window.slices)
