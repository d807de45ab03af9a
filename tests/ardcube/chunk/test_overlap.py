"""Two cubes of one grid are equal where they overlap, whatever their bounding boxes are."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely

from ardcube.catalog.spatial_index import SceneIndex
from ardcube.chunk.composite import ChunkPixels, composite_chunk
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.prepare.check import check_request
from ardcube.prepare.make_plan import make_plan, search_scenes
from tests.servers.range_server import RangeServer
from tests.strategies import COLLECTION_ID, raster_band, stac_collection, stac_item

Bounds = tuple[float, float, float, float]


def composite(store: Path, bounds: Bounds, reader: str = "auto", **cube: Any) -> tuple[Grid, ChunkPixels]:
    """Return the pixels of the first period of a cube of some bounds, without a store."""
    run = RunConfig(fsspec_uri=str(store / "cube.zarr"), reader=reader, skip_bad_scenes=0)
    request = check_request(CubeConfig(bbox=bounds, **cube), run, build=False)
    found = search_scenes(request)
    plan = make_plan(request, found, build=False)
    grid = request.grid
    window = Window(0, grid.height, 0, grid.width)
    scenes = SceneIndex(found[request.periods[0].label]).query(grid.window_outline(window.grow(request.mask.halo)))
    return grid, composite_chunk(plan.spec, window, scenes)


def assert_equal_in_common(large: tuple[Grid, ChunkPixels], small: tuple[Grid, ChunkPixels]) -> None:
    row, column, first_row, first_column = small[0].row, small[0].column, large[0].row, large[0].column
    rows, columns = row - first_row, column - first_column
    where = slice(rows, rows + small[0].height), slice(columns, columns + small[0].width)
    np.testing.assert_array_equal(small[1].values, large[1].values[where])
    np.testing.assert_array_equal(small[1].count, large[1].count[where])


@pytest.mark.real
@pytest.mark.parametrize(
    ("scenes", "month", "mask", "resolution"),
    [("zagreb-2023-08", "2023-08", "scl", 0.0011), ("inn-2021", "2021-06", "none", 0.0007)],
)
@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_small_boxes_of_real_scenes_equal_a_large_one(
    shared_real: Path, tmp_path: Path, scenes: str, month: str, mask: str, resolution: float, reader: str
) -> None:
    archive = shared_real / "scenes" / scenes
    collection = json.loads((archive / "collection.json").read_text())["id"]
    items = [
        json.loads(file.read_text()) for file in archive.rglob("*.json") if not file.name.endswith("recorded.json")
    ]
    area = shapely.union_all([shapely.geometry.shape(item["geometry"]) for item in items if item.get("geometry")])
    west, south, east, north = area.bounds
    rng = random.Random(scenes)
    side = min(0.25, east - west, north - south)
    x, y = (west + east - side) / 2, (south + north - side) / 2
    request = {
        "start_date": month, "end_date": month, "resolution": resolution, "bands": ("red",), "stac_url": str(archive),
        "collection": collection, "cloud_mask": mask,
    }  # fmt: skip
    large = composite(tmp_path, (x, y, x + side, y + side), reader, **request)
    assert large[1].count.any()
    for _ in range(6):
        width, height = (side * rng.uniform(0.02, 0.3) for _ in range(2))
        left, low = x + rng.uniform(0, side - width), y + rng.uniform(0, side - height)
        assert_equal_in_common(large, composite(tmp_path, (left, low, left + width, low + height), reader, **request))


def write(
    folder: Path, west: float, geometry: shapely.Geometry | None = None, crs: str = "EPSG:4326"
) -> dict[str, Any]:
    """Write an archive of one raster of 2 x 1 degrees in degrees."""
    values = np.arange(1, 200 * 100 + 1, dtype=np.uint16).reshape(1, 100, 200)
    with rasterio.open(
        folder / "red.tif", "w", driver="GTiff", count=1, dtype="uint16", height=100, width=200, nodata=0, crs=crs,
        transform=rasterio.Affine(0.01, 0, west, 0, -0.01, 1.0),
    ) as file:  # fmt: skip
        file.write(values)
    assets = {"red": {"href": "red.tif", "raster:bands": raster_band()}}
    outline = geometry or shapely.box(west, 0, west + 2, 1)
    item = stac_item(assets=assets, geometry=shapely.geometry.mapping(outline))
    (folder / "item.json").write_text(json.dumps(item))
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return {
        "start_date": "2023-08", "end_date": "2023-08", "resolution": 0.01, "bands": ("red",), "stac_url": str(folder),
        "collection": COLLECTION_ID,
    }  # fmt: skip


def test_a_footprint_that_ends_within_the_margin_of_a_small_box_gives_it_the_pixels_of_a_large_one(
    tmp_path: Path,
) -> None:
    request = write(tmp_path, 15.0, shapely.box(15.0, 0.0, 16.0, 1.0))
    large = composite(tmp_path, (15.5, 0.2, 16.5, 0.8), **request)
    small = composite(tmp_path, (16.01, 0.2, 16.3, 0.8), **request)
    assert small[1].count.any()
    assert_equal_in_common(large, small)


@pytest.mark.parametrize("west", [-161.0, 199.0])
@pytest.mark.parametrize("bounds", [(-160.5, 0.2, -159.5, 0.8), (-161.5, -0.2, -158.5, 1.2)])
def test_rasters_in_degrees_may_have_longitudes_from_0_to_360(tmp_path: Path, west: float, bounds: Bounds) -> None:
    request = write(tmp_path, west)
    grid, pixels = composite(tmp_path, bounds, **request)
    columns = np.round((grid.x(np.arange(grid.width)) + 160.995) / 0.01).astype(int)
    rows = np.round((0.995 - grid.y(np.arange(grid.height))) / 0.01).astype(int)
    inside = ((columns >= 0) & (columns < 200)) & ((rows >= 0) & (rows < 100))[:, None]
    np.testing.assert_array_equal(pixels.values[..., 0], np.where(inside, rows[:, None] * 200 + columns + 1, 0))


@pytest.mark.parametrize("west", [-181.0, 179.0])
def test_rasters_in_degrees_may_cross_the_antimeridian(tmp_path: Path, west: float) -> None:
    request = write(tmp_path, west)
    _, pixels = composite(tmp_path, (179.0, 0.0, 181.0, 1.0), **request)
    np.testing.assert_array_equal(pixels.values[..., 0].ravel(), np.arange(1, 20001))


def test_a_wrong_footprint_of_a_remote_file_is_found_when_its_header_is_read(
    tmp_path: Path, range_server: Callable[[Path], RangeServer]
) -> None:
    """The search trusts it, because reading each header would cost a request."""
    bounds = (15.5, 0.2, 16.5, 0.8)
    _, whole = composite(tmp_path, bounds, **write(tmp_path, 15.0))
    server = range_server(tmp_path)
    for footprint, is_bad in ((shapely.box(14, -1, 18, 2), False), (shapely.box(16, 0, 18, 1), True)):
        request = write(tmp_path, 15.0, footprint)
        item = tmp_path / "item.json"
        item.write_text(item.read_text().replace('"red.tif"', f'"{server.url}/red.tif"'))
        if is_bad:
            with pytest.raises(SceneError, match=r"its footprint is not that of .*/red\.tif; correct its geometry"):
                composite(tmp_path, bounds, **request)
        else:
            np.testing.assert_array_equal(composite(tmp_path, bounds, **request)[1].values, whole.values)


def write_around(folder: Path, west: float, columns: int) -> dict[str, Any]:
    """Write an archive of a raster of pixels of one degree, and a classification whose even columns are clear."""
    numbers = np.arange(1, columns + 1)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 1, "height": 4, "width": columns, "nodata": 0, "crs": "EPSG:4326",
        "transform": rasterio.Affine(1, 0, west, 0, -1, 2),
    }  # fmt: skip
    for name, values in (("red", numbers.astype(np.uint16)), ("scl", np.where(numbers % 2, 9, 4).astype(np.uint8))):
        with rasterio.open(folder / f"{name}.tif", "w", dtype=values.dtype, **profile) as file:
            file.write(np.tile(values, (4, 1)), 1)
    assets = {"red": {"href": "red.tif", "raster:bands": raster_band()}, "scl": {"href": "scl.tif"}}
    outline = shapely.geometry.mapping(shapely.box(west, -2, west + columns, 2))
    (folder / "item.json").write_text(json.dumps(stac_item(assets=assets, geometry=outline)))
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return {
        "start_date": "2023-08", "end_date": "2023-08", "resolution": 1.0, "bands": ("red",), "stac_url": str(folder),
        "collection": COLLECTION_ID, "cloud_mask_options": {"closing": 0, "opening": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("west", "columns", "bounds"),
    [
        (177.0, 6, (-180.0, -1.0, 180.0, 1.0)),
        (-183.0, 6, (-180.0, -1.0, 180.0, 1.0)),
        (0.0, 360, (-5.0, -1.0, 5.0, 1.0)),
        (-180.0, 360, (175.0, -1.0, 185.0, 1.0)),
        (0.0, 360, (-180.0, -1.0, 180.0, 1.0)),
        (-175.0, 350, (170.0, -1.0, 190.0, 1.0)),
    ],
)
@pytest.mark.parametrize("mask", ["none", "scl"])
def test_a_raster_in_degrees_may_meet_a_cube_at_both_ends(
    tmp_path: Path, west: float, columns: int, bounds: Bounds, mask: str
) -> None:
    request = write_around(tmp_path, west, columns)
    if mask == "none":
        del request["cloud_mask_options"]
    grid, pixels = composite(tmp_path, bounds, cloud_mask=mask, **request)
    numbers = np.floor(np.mod(grid.x(np.arange(grid.width)) - west, 360)).astype(int) + 1
    clear = (numbers <= columns) & ((numbers % 2 == 0) | (mask == "none"))
    assert clear[:3].any()
    assert clear[-3:].any()
    np.testing.assert_array_equal(pixels.values[..., 0], np.tile(np.where(clear, numbers, 0), (grid.height, 1)))
    np.testing.assert_array_equal(pixels.count, np.tile(clear, (grid.height, 1)))
