"""Clear pixels of each scene: masks on the classification's own grid, before days are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.chunk.composite import ChunkPixels, composite_chunk
from ardcube.errors import SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.masks import CloudMaskHook, SCLCloudMaskHook
from ardcube.pixels.observations import Observations
from ardcube.raster.cog import Cog
from ardcube.raster.decode import FetchedBand
from ardcube.raster.header import Blocks
from tests.ardcube.pixels.naive_clean_up import naive_clean_up
from tests.strategies import cube_spec, raster_band, stac_item

LEFT, TOP = 499_980, 5_100_000  # UTM 33 North, about 15.0 E, 46.05 N
METRES = 6000
SIDE = METRES // 20  # pixels of the classification
TO_DEGREES = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
TO_METRES = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
PLAIN = SCLCloudMaskHook(closing=0, opening=0)
GRID = Grid.from_bounds((15.003, 46.0, 15.07, 46.045), 0.0005)
WHOLE = Window(0, GRID.height, 0, GRID.width)

CLEAR, CLOUD = np.full((SIDE, SIDE), 4, np.uint8), np.full((SIDE, SIDE), 9, np.uint8)


def write(file: Path, values: NDArray[Any], height: float, width: float) -> str:
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    with rasterio.open(
        file, "w", driver="GTiff", count=1, dtype=values.dtype, height=values.shape[0], width=values.shape[1],
        crs="EPSG:32633", transform=Affine(width, 0, LEFT, 0, -height, TOP), nodata=0, **profile,
    ) as target:  # fmt: skip
        target.write(values, 1)
    return str(file)


class Archive:
    """Scenes of one footprint, each with the given classes and digital numbers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[dict[str, Any]] = []

    def scene(self, name: str, classes: NDArray[np.uint8], bands: dict[str, Any], hour: int = 10, **more: Any) -> Scene:
        """Write a scene; a band is a digital number, or an array of pixels of 60 m."""
        assets: dict[str, Any] = {}
        for band, given in bands.items():
            values = np.broadcast_to(np.asarray(given, np.uint16), (METRES // 60, METRES // 60))
            href = write(self.folder / f"{name}-{band}.tif", values.copy(), 60, 60)
            assets[band] = {"href": href, "raster:bands": raster_band(0.0)}
        height, width = (METRES / count for count in classes.shape)
        href = write(self.folder / f"{name}-scl.tif", classes, height, width)
        assets["scl"] = {"href": href, "raster:bands": [{"data_type": "uint8", "nodata": 0}]}
        corners = ((0, 0), (METRES, 0), (METRES, METRES), (0, METRES))
        outline = shapely.Polygon([TO_DEGREES.transform(LEFT + x, TOP - y) for x, y in corners])
        item = stac_item(
            name, f"2023-08-10T{hour:02d}:00:00Z", geometry=shapely.geometry.mapping(outline), assets=assets, **more
        )
        self.items.append(item)
        return parse_scene(item, None, list(bands), ["scl"])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def composite(
    scenes: Sequence[Scene], mask: CloudMaskHook = PLAIN, grid: Grid = GRID, window: Window | None = None, **more: Any
) -> ChunkPixels:
    bands = tuple(band for band in scenes[0].bands if band != "scl")
    spec = cube_spec(grid, **{"bands": bands, "mask": mask, "resampling": "nearest"} | more)
    return composite_chunk(spec, window or Window(0, grid.height, 0, grid.width), scenes)


def blobs(seed: int, shape: tuple[int, int] = (SIDE, SIDE), size: int = 12) -> NDArray[np.uint8]:
    """Return classes 4 and 9 in squares with specks, and class 0 beyond a slanted edge."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-shape[0] // size), -(-shape[1] // size))) < 0.4
    cloud = coarse.repeat(size, axis=0).repeat(size, axis=1)[: shape[0], : shape[1]] ^ (rng.random(shape) < 0.02)
    row, column = np.indices(shape)
    return np.where(column > 0.8 * shape[1] - row // 5, 0, np.where(cloud, 9, 4)).astype(np.uint8)


def nearest_class_pixel(grid: Grid, shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the classification at each pixel of a grid, by exact projection."""
    x, y = TO_METRES.transform(*np.meshgrid(grid.x(np.arange(grid.width)), grid.y(np.arange(grid.height))))
    height, width = (METRES / count for count in shape)
    return np.floor((TOP - y) / height).astype(int), np.floor((x - LEFT) / width).astype(int)


# ---- masks on the grid of the classification -----------------------------------------------------


@pytest.mark.parametrize("resolution", [0.0001, 1 / 3600, 0.003])
@pytest.mark.parametrize("shape", [(SIDE, SIDE), (200, 300)], ids=["20 m", "30 x 20 m"])
def test_a_pixel_is_clear_as_the_nearest_pixel_of_the_cleaned_classification(
    archive: Archive, resolution: float, shape: tuple[int, int]
) -> None:
    classes, mask = blobs(1, shape), SCLCloudMaskHook.from_options(preset="odc", closing=60)
    grid = Grid.from_bounds(GRID.bounds, resolution)
    found = composite([archive.scene("a", classes, {"red": 700})], mask, grid)
    pixel = METRES / shape[0], METRES / shape[1]
    radii = (mask.closing, mask.opening, mask.buffer)
    clear = (classes != 0) & ~naive_clean_up(classes == 9, classes != 0, radii, pixel)
    expected = clear[nearest_class_pixel(grid, shape)]
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(found.count, expected)
    np.testing.assert_array_equal(found.values[..., 0], np.where(expected, 700, 0))


@pytest.mark.parametrize("side", [16, 37])
def test_the_mask_does_not_depend_on_chunks(archive: Archive, side: int) -> None:
    scenes = [archive.scene(f"s{hour}", blobs(hour), {"red": 100 * hour}, hour) for hour in (9, 10, 11)]
    mask = SCLCloudMaskHook(buffer=50)
    whole = composite(scenes, mask)
    assert 0 < np.count_nonzero(whole.count) < whole.count.size
    for part in WHOLE.split(side):
        chunk = composite(scenes, mask, window=part)
        np.testing.assert_array_equal(chunk.count, whole.count[part.slices])
        np.testing.assert_array_equal(chunk.values, whole.values[part.slices])


@pytest.mark.parametrize("resolution", [0.0002, 0.001])
def test_the_edge_of_a_swath_removes_no_clear_land(archive: Archive, resolution: float) -> None:
    classes = np.where(blobs(0) == 0, 0, 4).astype(np.uint8)
    grid = Grid.from_bounds(GRID.bounds, resolution)
    found = composite([archive.scene("a", classes, {"red": 1})], SCLCloudMaskHook(buffer=100), grid)
    covered = classes[nearest_class_pixel(grid, classes.shape)] != 0
    assert 0.1 < covered.mean() < 0.9
    np.testing.assert_array_equal(found.count, covered)


def test_only_blocks_under_the_chunk_and_its_reach_are_read(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = archive.scene("a", CLEAR, {"red": 1})
    read, needed = Cog.fetch, {}

    def fetch(self: Cog, blocks: Blocks) -> FetchedBand:
        needed[Path(self.href).stem] = blocks
        return read(self, blocks)

    monkeypatch.setattr(Cog, "fetch", fetch)
    window = Window(20, 40, 30, 50)
    rows, columns = (axis[window.slices] for axis in nearest_class_pixel(GRID, CLEAR.shape))
    for mask, reach in ((PLAIN, 0), (SCLCloudMaskHook(closing=155, opening=155), 31)):
        composite([scene], mask, window=window)
        blocks = needed["a-scl"]
        spare = 8 + 2  # a cell of the cube's pixels, and the margin of its corners
        assert rows.min() - reach - spare <= blocks.row <= rows.min() - reach
        assert columns.min() - reach - spare <= blocks.column <= columns.min() - reach
        assert rows.max() + reach < blocks.row + blocks.height <= rows.max() + reach + spare
        assert columns.max() + reach < blocks.column + blocks.width <= columns.max() + reach + spare
        first, last = np.argwhere(blocks.needed).min(axis=0), np.argwhere(blocks.needed).max(axis=0)
        assert first.tolist() == [blocks.row // 64, blocks.column // 64]
        assert last.tolist() == [(blocks.row + blocks.height - 1) // 64, (blocks.column + blocks.width - 1) // 64]


def test_a_scene_without_a_classification_is_a_bad_scene(archive: Archive) -> None:
    scene = archive.scene("a", CLEAR, {"red": 1})
    without = replace(scene, bands={"red": scene.bands["red"]})
    with pytest.raises(SceneError, match="a: its item has no asset for band scl") as caught:
        composite([without])
    assert caught.value.scene == "a"


# ---- masks before fusing -------------------------------------------------------------------------


def test_a_cloudy_pass_does_not_hide_the_clear_one_of_its_day(archive: Archive) -> None:
    west = CLOUD.copy()
    west[:, SIDE // 2 :] = 4
    first = archive.scene("a", west, {"red": 100}, 10)
    second = archive.scene("b", CLEAR, {"red": 200}, 11)
    found = composite([second, first])
    _, column = nearest_class_pixel(GRID, CLEAR.shape)
    np.testing.assert_array_equal(found.values[..., 0], np.where(column < SIDE // 2, 200, 100))
    assert (found.count == 1).all()


def test_each_band_takes_the_first_scene_that_is_valid_there(archive: Archive) -> None:
    row, _ = (axis // 3 for axis in nearest_class_pixel(GRID, CLEAR.shape))  # of bands
    numbers = np.full((100, 100), 100)
    numbers[:50] = 0
    scenes = [
        archive.scene("a", CLEAR, {"red": numbers, "nir": 110}, 10),
        archive.scene("b", CLEAR, {"red": 200, "nir": 210}, 11),
    ]
    found = composite(scenes)
    np.testing.assert_array_equal(found.values[..., 0], np.where(row < 50, 200, 100))
    assert (found.values[..., 1] == 110).all()
    assert (found.count == 1).all()


def test_the_count_is_that_of_days_with_a_clear_valid_pixel_in_any_band(archive: Archive) -> None:
    row, _ = (axis // 3 for axis in nearest_class_pixel(GRID, CLEAR.shape))
    red, nir = np.zeros((100, 100)), np.zeros((100, 100))
    red[20:50], nir[40:70] = 1, 1
    found = composite([archive.scene("a", CLEAR, {"red": red, "nir": nir})])
    np.testing.assert_array_equal(found.count, (row >= 20) & (row < 70))


class _Recorder:
    """A day mask that accepts all pixels of even columns, and keeps the observations that it gets."""

    name = "recorder"
    bands = ("scl",)
    halo = 2

    def __init__(self) -> None:
        self.seen: list[Observations] = []

    def clear(self, observations: Observations) -> NDArray[np.bool_]:
        self.seen.append(observations)
        clear: NDArray[np.bool_] = observations["scl"] == 4
        return clear


def test_a_day_mask_gets_a_day_once_for_each_sensor(archive: Archive) -> None:
    """Each sensor has its own classes there, and its own clear observation."""
    half = CLEAR.copy()
    half[:, : SIDE // 2] = 9
    scenes = [
        replace(archive.scene("a", CLEAR, {"red": 200}, 9), sensor="Sentinel-2 MSI"),
        replace(archive.scene("b", half, {"red": 300}, 10), sensor="Landsat OLI"),
        replace(archive.scene("c", CLEAR, {"red": 500}, 11), sensor="Landsat OLI"),
    ]
    mask = _Recorder()
    found = composite(scenes, mask)
    (observations,) = mask.seen
    assert [str(day)[:10] for day in observations.time] == ["2023-08-10", "2023-08-10"]
    assert observations.to_xarray().sizes["time"] == 2
    column = nearest_class_pixel(GRID, CLEAR.shape)[1]
    np.testing.assert_array_equal(found.count, np.where(column < SIDE // 2, 1, 2))
    np.testing.assert_array_equal(found.values[..., 0], np.where(column < SIDE // 2, 200, 250))
