"""The arrays that `benchmarks.components` works on: a scene as large as a chunk needs, and a month of one band."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.nodes import NODE_STEP, SourceAxes
from ardcube.pixels.projection import project
from benchmarks.archive import FULL, RESOLUTION, SEED, scenes
from benchmarks.scenery import strips

EPSG = 32633
PIXEL = 20.0
"""Metres, of the level that a cube at 1/3600 degree reads."""
CLEAR = (4, 5)
"""Vegetation and bare soil, of the scene classification."""
_COVER = 0.28
"""Share under cloud of the scene that is decoded, resampled and masked: one that a composite does use."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the arrays are, in pixels."""

    block: int
    """Rows and columns of a block; a raster has two by two of them."""
    chunk: int
    masked: int
    """Rows and columns of a chunk and the mask's halo."""
    days: int
    """Of a month; ten times as many are tried too, of a tenth of the pixels."""


REAL = Size(1024, 1200, 1240, 12)
TINY = Size(128, 60, 100, 4)


@dataclass(frozen=True, slots=True)
class Scene:
    """The input of the steps before the median."""

    numbers: NDArray[np.uint16]
    """Digital numbers of four bands, none missing, (band, y, x)."""
    classes: NDArray[np.uint8]
    """Scene classification, (y, x)."""
    grid: Grid
    """Grid of a chunk within the raster."""
    transform: Affine


def scene(size: Size) -> Scene:
    """A raster of two by two blocks, from means of two by two pixels of 10 m, as in a granule's first overview."""
    side = 2 * size.block
    numbers = np.empty((4, side, side), np.uint16)
    classes = np.empty((side, side), np.uint8)
    seed = (SEED, EPSG, 0)
    for strip in strips((2 * side, 2 * side), seed=seed, land_seed=EPSG, cover=_COVER, edge=None):
        rows = slice(strip.row // 2, strip.row // 2 + strip.classes.shape[0])
        fine = strip.numbers.reshape(4, -1, 2, side, 2)
        numbers[:, rows] = np.rint(fine.mean(axis=(2, 4), dtype=np.float32))
        classes[rows] = strip.classes
    west, north = FULL.bbox[0], FULL.bbox[3]
    span = size.chunk * RESOLUTION
    grid = Grid.from_bounds((west, north - span, west + span, north), RESOLUTION)
    found = project(
        grid.lattice, grid.to_global(Window(0, size.chunk, 0, size.chunk)), SourceAxes(f"EPSG:{EPSG}", NODE_STEP)
    ).coordinates()
    left, top = (PIXEL * round(value / PIXEL) for value in (found.x.min() - 5 * PIXEL, found.y.max() + 5 * PIXEL))
    return Scene(numbers, classes, grid, Affine(PIXEL, 0, left, 0, -PIXEL, top))


def days(size: Size) -> NDArray[np.uint16]:
    """Clear digital numbers of one band in one month, 0 where cloudy: (day, y, x)."""
    covers = {one.number: one.cover for one in scenes(FULL)}
    shape = (size.chunk, size.chunk)
    stack = np.empty((size.days, *shape), np.uint16)
    for day in range(size.days):
        for strip in strips(shape, seed=(SEED, EPSG, day), land_seed=EPSG, cover=covers[day], edge=None):
            clear = np.isin(strip.classes, CLEAR).repeat(2, axis=0).repeat(2, axis=1)
            stack[day, strip.row : strip.row + len(clear)] = np.where(clear, strip.numbers[0], 0)
    return stack


def write_bands(given: Scene, size: Size, folder: Path) -> list[Path]:
    """Write each band as the archive does: blocks, DEFLATE at level 6, predictor 2."""
    paths = []
    for band, layer in enumerate(given.numbers):
        paths.append(folder / f"{band}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", height=layer.shape[0], width=layer.shape[1], count=1, dtype=layer.dtype,
            crs=f"EPSG:{EPSG}", transform=given.transform, nodata=0, tiled=True, blockxsize=size.block,
            blockysize=size.block, compress="DEFLATE", zlevel=6, predictor=2,
        ) as file:  # fmt: skip
            file.write(layer, 1)
    return paths
