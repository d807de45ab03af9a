"""Sources in the CRS of the cube: coordinates of the affine transforms alone, and edges that pixels' centres are on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from ardcube.config.cube import Resampling
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.nodes import NODE_STEP, SourceAxes
from ardcube.pixels.projection import project
from ardcube.raster.header import Level
from tests.ardcube.chunk.test_overlap import Bounds, assert_equal_in_common, composite
from tests.grids import degrees_grid
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import oracle_cube, read_catalogue
from tests.strategies import COLLECTION_ID, raster_band, stac_collection, stac_item

PARTS = 12
"""Units to a pixel of the cube. All edges and centres here are whole numbers of units."""
SIDES = {"a third": 4, "half": 6, "the same": 12, "twice": 24}
"""Side of a source pixel, in units."""
PLACES = [(15.0, 46.0), (-68.2, -33.3), (179.8, 0.01), (-0.01, -0.01)]
"""Longitude and latitude of the north-western corner of a cube."""
RESAMPLINGS: list[Resampling] = ["nearest", "bilinear", "cubic"]
RESOLUTIONS = [1 / 3600, 0.0011, 0.00025]
PIXELS = 40
"""Side of a cube, in pixels."""


@dataclass(frozen=True, slots=True)
class Case:
    """A cube, and a source in degrees that covers more than the cube on its northern and western sides only."""

    grid: Grid
    side: int
    """Side of a source pixel, in units."""
    shift: int
    """Units between an edge of the source and an edge of the cube."""

    @property
    def edges(self) -> tuple[int, int]:
        """Upper and left edge of the source, in units, counted southward and eastward."""
        return (self.grid.row - 3) * PARTS + self.shift, (self.grid.column - 4) * PARTS + self.shift

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the source, which ends within the cube."""
        return (PIXELS - 5) * PARTS // self.side, (PIXELS - 2) * PARTS // self.side

    @property
    def transform(self) -> Affine:
        top, left = self.edges
        unit = self.grid.lattice.step_x / PARTS
        x0, y0 = self.grid.lattice.x0, self.grid.lattice.y0
        return Affine(self.side * unit, 0, x0 + left * unit, 0, -self.side * unit, y0 - top * unit)

    def nearest(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return row and column of the source pixel at each pixel of the cube, and if there is one, in whole numbers.

        A centre on an edge is divided without a remainder, so it belongs to the greater index.
        """
        rows, columns = (
            ((first + np.arange(PIXELS)) * PARTS + PARTS // 2 - edge) // self.side
            for first, edge in zip((self.grid.row, self.grid.column), self.edges, strict=True)
        )
        row, column = np.meshgrid(rows, columns, indexing="ij")
        height, width = self.shape
        return row, column, (row >= 0) & (row < height) & (column >= 0) & (column < width)


def grid_at(resolution: float, place: tuple[float, float]) -> Grid:
    return degrees_grid(*place, resolution, PIXELS, PIXELS)


def metres_grid(resolution: float, x: float, y: float, align: Literal["edge", "center"] = "edge") -> Grid:
    side = PIXELS * resolution
    return Grid.from_bounds((x, y, x + side, y + side), resolution, "EPSG:32633", align)


def cases(grid: Grid) -> list[Case]:
    """Return sources of all sides, whose pixels have edges or middles on edges or middles of the cube's pixels."""
    shifts = ((side, shift) for side in SIDES.values() for shift in sorted({0, side // 2, PARTS // 2, side // 4}))
    return [Case(grid, side, shift) for side, shift in shifts]


def case_on_edges(resolution: float, place: tuple[float, float], side: int) -> Case:
    """Return a source on whose edges centres of the cube are: all, or half of them where its pixels are larger."""
    return Case(grid_at(resolution, place), side, PARTS // 2 % side)


def numbers(case: Case) -> NDArray[np.uint16]:
    """Return pixels of a source, each another number."""
    height, width = case.shape
    return np.arange(1, height * width + 1, dtype=np.uint16).reshape(case.shape)


def write(
    folder: Path, case: Case, values: NDArray[np.uint16], classes: NDArray[np.uint8] | None = None
) -> dict[str, Any]:
    """Write an archive of one scene; return the request of a cube of it."""
    bands = {"red": values} | ({} if classes is None else {"scl": classes})
    for band, numbers in bands.items():
        with rasterio.open(
            folder / f"{band}.tif", "w", driver="GTiff", count=1, dtype=numbers.dtype, height=case.shape[0],
            width=case.shape[1], nodata=0, crs="EPSG:4326", transform=case.transform, tiled=True, blockxsize=64,
            blockysize=64,
        ) as file:  # fmt: skip
            file.write(numbers, 1)
            outline = shapely.box(*file.bounds)
    stated = {"red": raster_band(), "scl": [{"data_type": "uint8", "nodata": 0}]}
    item = stac_item(
        assets={band: {"href": f"{band}.tif", "raster:bands": stated[band]} for band in bands},
        geometry=shapely.geometry.mapping(outline),
    )
    (folder / "item.json").write_text(json.dumps(item))
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return {
        "start_date": "2023-08", "end_date": "2023-08", "resolution": case.grid.lattice.step_x, "bands": ("red",),
        "stac_url": str(folder), "collection": COLLECTION_ID,
    }  # fmt: skip


def inner(grid: Grid) -> Bounds:
    """Return bounds of a part of a cube."""
    west, south, east, north = grid.bounds
    side = grid.lattice.step_x
    return west + 7 * side, south + 9 * side, east - 5 * side, north - 6 * side


ALIGNED: list[Literal["edge", "center"]] = ["edge", "center"]
GRIDS = [
    *(grid_at(resolution, place) for resolution in RESOLUTIONS for place in PLACES),
    *(metres_grid(resolution, 499_990.0, 5_100_000.0, align) for resolution in (10.0, 0.7) for align in ALIGNED),
    metres_grid(30.0, 512_345.0, -3_456_789.0),
]
"""Grids in degrees, and in metres on both sides of the equator."""


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_coordinates_are_those_of_the_affine_transform(grid: Grid) -> None:
    window = Window(-5, PIXELS, 3, PIXELS + 70)
    crs, resolution = grid.lattice.crs, grid.lattice.step_x
    found = project(grid.lattice, grid.to_global(window), SourceAxes(crs, NODE_STEP)).coordinates()
    x, y = np.meshgrid(grid.x(np.arange(window.x0, window.x1)), grid.y(np.arange(window.y0, window.y1)))
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.y, y)
    assert (found.step_x == resolution).all()
    assert (found.step_y == resolution).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_centre_on_the_edge_of_two_pixels_belongs_to_the_greater_index(grid: Grid) -> None:
    """Also where coordinates are interpolated, because the source has another name of the same degrees."""
    on_edges = 0
    for crs in [grid.lattice.crs, *(["EPSG:4258"] if grid.lattice.is_degrees else [])]:
        window = grid.to_global(Window(0, PIXELS, 0, PIXELS))
        projection = project(grid.lattice, window, SourceAxes(crs, NODE_STEP))
        for case in cases(grid):
            found = projection.nearest_pixels(Level(0, *case.shape, case.transform, case.shape))
            row, column, inside = case.nearest()
            np.testing.assert_array_equal(found, np.where(inside, (row, column), np.iinfo(found.dtype).max))
            on_edges += (PARTS // 2 - case.edges[1]) % case.side == 0
    assert on_edges >= 4


@pytest.mark.parametrize("reader", ["auto", "gdal"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_cubes_of_nearest_pixels_have_those_of_the_greater_index(
    tmp_path: Path, reader: str, place: tuple[float, float], side: int
) -> None:
    case = case_on_edges(RESOLUTIONS[PLACES.index(place) % 3], place, side)
    request = write(tmp_path, case, numbers(case)) | {"resampling": "nearest"}
    large = composite(tmp_path, case.grid.bounds, reader, **request)
    row, column, inside = case.nearest()
    expected = np.where(inside, row * case.shape[1] + column + 1, 0)
    np.testing.assert_array_equal(large[1].values[..., 0], expected)
    assert_equal_in_common(large, composite(tmp_path, inner(case.grid), reader, **request))


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_a_mask_comes_from_the_class_of_the_greater_index(tmp_path: Path, side: int) -> None:
    case, rng = case_on_edges(0.00025, PLACES[1], side), np.random.default_rng(side)
    classes = rng.choice(np.array([0, 4, 9], np.uint8), case.shape)
    options = {"closing": 0, "opening": 0}
    request = write(tmp_path, case, np.full(case.shape, 7, np.uint16), classes)
    request |= {"cloud_mask": "scl", "cloud_mask_options": options, "resampling": "nearest"}
    _, found = composite(tmp_path, case.grid.bounds, **request)
    row, column, inside = case.nearest()
    clear = inside & (classes[np.where(inside, row, 0), np.where(inside, column, 0)] == 4)
    np.testing.assert_array_equal(found.count, clear)


@pytest.mark.parametrize("reader", ["auto", "gdal"])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
def test_cubes_equal_the_oracle_and_each_other(tmp_path: Path, reader: str, resampling: Resampling, side: int) -> None:
    """Holes have edges that centres are on."""
    case, rng = case_on_edges(1 / 3600, PLACES[side // 6 % 4], side), np.random.default_rng(side)
    values = rng.integers(1, 9000, case.shape).astype(np.uint16)
    values[rng.random(case.shape) < 0.2] = 0
    request = write(tmp_path, case, values) | {"resampling": resampling}
    large = composite(tmp_path, case.grid.bounds, reader, **request)
    assert_equal_in_common(large, composite(tmp_path, inner(case.grid), reader, **request))
    expected = partial(
        oracle_cube, *read_catalogue(tmp_path), bbox=case.grid.bounds, start="2023-08", end="2023-08",
        resolution=case.grid.lattice.step_x, bands=["red"], resampling=resampling,
    )  # fmt: skip
    pixels = large[1]
    assert_equals_oracle(pixels.values[None], pixels.count[None], lambda nudge: expected(nudge=nudge))


@pytest.mark.parametrize("reader", ["auto", "gdal"])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_pixels_pass_through_unchanged_where_source_and_cube_share_a_grid(
    tmp_path: Path, reader: str, resampling: str, place: tuple[float, float]
) -> None:
    case = Case(grid_at(0.00025, place), PARTS, 0)
    values = np.random.default_rng(1).choice(np.array([0, 1, 2, 7000, 65535], np.uint16), case.shape)
    request = write(tmp_path, case, values) | {"resampling": resampling}
    _, found = composite(tmp_path, case.grid.bounds, reader, **request)
    row, column, inside = case.nearest()
    expected = np.where(inside, values[np.where(inside, row, 0), np.where(inside, column, 0)], 0)
    np.testing.assert_array_equal(found.values[..., 0], expected)
