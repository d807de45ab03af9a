"""Clear pixels by bits and probabilities: numbers without data, masks of files, overviews."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.chunk.composite import composite_chunk
from ardcube.collections.registry import load_definitions
from ardcube.config import Reader
from ardcube.errors import SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.masks import CloudMaskHook, cloud_mask
from ardcube.pixels.morphology import CleanUp
from ardcube.prepare.scene_mask import categories_of
from tests.ardcube.chunk.test_clear import GRID, LEFT, METRES, TO_DEGREES, TOP, nearest_class_pixel
from tests.ardcube.pixels.naive_clean_up import naive_clean_up
from tests.strategies import cube_spec, raster_band, stac_item

SIDE = METRES // 30
READERS: tuple[Reader, ...] = ("auto", "gdal")
RNG = np.random.default_rng(4)


def write(
    file: Path, numbers: NDArray[Any], *, nodata: int | None = None, average: bool = False,
    masked: NDArray[np.bool_] | None = None, internal: bool = True,
) -> str:  # fmt: skip
    """Write a raster of the test area, with overviews of means or a mask."""
    height, width = (METRES / count for count in numbers.shape)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(
            file, "w", driver="GTiff", count=1, dtype=numbers.dtype, height=numbers.shape[0], width=numbers.shape[1],
            crs="EPSG:32633", transform=Affine(width, 0, LEFT, 0, -height, TOP), nodata=nodata, tiled=True,
            blockxsize=64, blockysize=64,
        ) as target,
    ):  # fmt: skip
        target.write(numbers, 1)
        if masked is not None:
            target.write_mask(~masked)
        if average:
            target.build_overviews([2, 4, 8], Resampling.average)
    return str(file)


def scene(folder: Path, href: str, mask: CloudMaskHook, definition: str, stated: dict[str, Any]) -> Scene:
    """Return a scene with red pixels of 700, and a file that its mask reads."""
    definitions = load_definitions(definition)
    assert definitions.chosen is not None
    keys = {name: definitions.chosen.bands[name].assets[0] for name in ("red", mask.bands[0])}
    red = write(folder / "red.tif", np.full((METRES // 60, METRES // 60), 700, np.uint16), nodata=0)
    assets = {
        keys["red"]: {"href": red, "raster:bands": raster_band(0.0)},
        keys[mask.bands[0]]: {"href": href, "raster:bands": [stated]},
    }
    corners = ((0, 0), (METRES, 0), (METRES, METRES), (0, METRES))
    outline = shapely.Polygon([TO_DEGREES.transform(LEFT + x, TOP - y) for x, y in corners])
    item = stac_item("a", geometry=shapely.geometry.mapping(outline), assets=assets)
    return parse_scene(item, None, ["red"], categories_of(mask), definitions)


def clear(found: Scene, mask: CloudMaskHook, grid: Grid = GRID, reader: Reader = "auto") -> NDArray[np.bool_]:
    spec = cube_spec(grid, bands=("red",), mask=mask, resampling="nearest", reader=reader)
    return composite_chunk(spec, Window(0, grid.height, 0, grid.width), [found]).count > 0


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "definition", "numbers"),
    [
        ("qa_pixel", "landsat-c2-l2", np.array([21824, 22280, 23888, 5504], np.uint16)),
        ("fmask", "hls-l30", np.array([64, 66, 72, 192], np.uint8)),
        ("cloud_probability", "cdse-sentinel-2-l2a", np.array([0, 100, 40, 39], np.uint8)),
    ],
)
def test_overviews_of_means_are_not_read(
    tmp_path: Path, name: str, definition: str, numbers: NDArray[Any], reader: Reader
) -> None:
    """The file says how its overviews were made, and a definition does not change that."""
    mask, chosen = cloud_mask(name), RNG.integers(0, 4, (SIDE, SIDE))
    href = write(tmp_path / "quality.tif", numbers[chosen], average=True)
    with rasterio.open(href) as file:
        assert file.overviews(1) == [2, 4, 8]
    grid = Grid.from_bounds(GRID.bounds, 0.003)
    found = scene(tmp_path, href, mask, definition, {"data_type": str(numbers.dtype)})
    if found.bands[mask.bands[0]].overviews == "nearest":
        with rasterio.open(href, "r+", OVERVIEW_LEVEL=None) as file:
            file.update_tags(OVR_RESAMPLING_ALG="AVERAGE")
    expected = np.isin(chosen, [0, 3])[nearest_class_pixel(grid, chosen.shape)]
    assert 0.2 < expected.mean() < 0.8
    np.testing.assert_array_equal(clear(found, mask, grid, reader), expected)


@pytest.mark.parametrize("internal", [True, False], ids=["internal", "next to the file"])
def test_pixels_that_a_file_masks_have_no_probability(tmp_path: Path, internal: bool) -> None:
    """0 is a probability, but not where the file is masked. No buffer grows from such pixels."""
    mask = cloud_mask("cloud_probability", {"buffer": 65})
    probability = np.where(RNG.random((SIDE, SIDE)) < 0.02, 90, 0).astype(np.uint8)
    masked = np.zeros((SIDE, SIDE), bool)
    masked[60:120, 40:110] = True
    href = write(tmp_path / "quality.tif", probability, masked=masked, internal=internal)
    cloud = naive_clean_up((probability >= 40) & ~masked, ~masked, (0, 0, 65), (30.0, 30.0))
    expected = (~masked & ~cloud)[nearest_class_pixel(GRID, (SIDE, SIDE))]
    assert 0.2 < expected.mean() < 0.8
    found = scene(tmp_path, href, mask, "cdse-sentinel-2-l2a", {"nodata": 0})
    np.testing.assert_array_equal(clear(found, mask), expected)


@pytest.mark.parametrize("stated", [{}, {"nodata": 255}, {"nodata": 64}])
def test_numbers_without_data_are_those_of_the_file_the_item_and_the_definition(
    tmp_path: Path, stated: dict[str, Any]
) -> None:
    """The item takes precedence over the definition; the file counts too. No buffer grows from such pixels."""
    mask = cloud_mask("fmask", {"buffer": 65})
    numbers = RNG.choice(np.array([0, 64, 128, 194, 255], np.uint8), (SIDE, SIDE), p=[0.3, 0.3, 0.3, 0.02, 0.08])
    href = write(tmp_path / "quality.tif", numbers, nodata=128)
    missing = np.isin(numbers, [128, stated.get("nodata", 255)])
    bad = ~missing & (numbers & 0b1110 != 0)
    cloud = naive_clean_up(bad, ~missing, (0, 0, 65), (30.0, 30.0))
    expected = (~missing & ~cloud)[nearest_class_pixel(GRID, (SIDE, SIDE))]
    assert expected.any()
    found = scene(tmp_path, href, mask, "hls-l30", stated)
    np.testing.assert_array_equal(clear(found, mask), expected)


def test_a_signed_quality_band_is_a_bad_scene(tmp_path: Path) -> None:
    mask = cloud_mask("fmask")
    href = write(tmp_path / "quality.tif", np.full((SIDE, SIDE), 64, np.int16))
    found = scene(tmp_path, href, mask, "hls-l30", {})
    with pytest.raises(SceneError, match="holds int16, and neither its item nor a definition states this data type"):
        clear(found, mask)


@dataclass(frozen=True)
class SnowOnly:
    """Mask as another package may write it: only pixels of snow, and of number 0, are clear."""

    name: ClassVar[str] = "snow-only"
    bands: ClassVar[tuple[str, ...]] = ("fmask",)
    halo: ClassVar[int] = 0
    classes: ClassVar[tuple[str, ...]] = ("snow", "water")
    clean_up: ClassVar[CleanUp] = CleanUp()

    def is_clear(self, numbers: NDArray[Any], members: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        return (members["snow"] & ~members["water"]) | (numbers == 0)


def test_a_mask_of_another_package_may_name_classes(tmp_path: Path) -> None:
    """It says nothing of no data, so that 0 is no data although the mask accepts it."""
    mask: Any = SnowOnly()
    numbers = RNG.choice(np.array([0, 80, 112, 64], np.uint8), (SIDE, SIDE))
    href = write(tmp_path / "quality.tif", numbers)
    found = scene(tmp_path, href, mask, "hls-s30", {})
    expected = (numbers == 80)[nearest_class_pixel(GRID, (SIDE, SIDE))]
    assert 0.2 < expected.mean() < 0.3
    np.testing.assert_array_equal(clear(found, mask), expected)
