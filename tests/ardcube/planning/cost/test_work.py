"""The sizes of a chunk that its cost depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.planning.cost.work import Case, Work, WorkModel, evenly
from tests.strategies import cube_spec, raster_band, scene

BOX = (15.0, 0.0, 15.1, 0.1)
"""11.1 km a side, at the equator."""


def work(*scenes: Scene, pixels: int = 270, masked: bool = False, case: Case = "likely", block: int = 256) -> Work:
    grid = Grid.from_bounds(BOX, 0.1 / pixels)
    spec = cube_spec(grid, mask=SCLCloudMaskHook()) if masked else cube_spec(grid)
    return WorkModel.of(spec, scenes, case, block).of_chunk(Window(0, pixels, 0, pixels), scenes)


def with_cover(cover: float | None) -> Scene:
    return replace(scene("a", box=BOX), cloud_cover=cover)


def test_bytes_are_near_the_sizes_of_the_files() -> None:
    """At native resolution about the whole file; at half of it a quarter, from the overview."""
    raster = {
        "href": "/a.tif",
        "proj:shape": [1112, 1112],
        "proj:transform": [10, 0, 0, 0, -10, 0],
        "file:size": 1_000_000,
        "raster:bands": raster_band(-0.1),
    }
    one = scene("a", box=BOX, assets={"red": raster})
    native, half = (work(one, pixels=pixels).band_bytes for pixels in (1112, 550))
    assert 600_000 < native < 800_000
    assert native / half == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("band", "changes", "in_full"),
    [
        ("scl", {}, True),
        ("scl", {"overviews": "mode"}, False),
        ("scl", {"overviews": "mode", "href": "/SCL.jp2"}, True),
        ("red", {}, False),
        ("red", {"href": "/B04.jp2"}, True),
        ("red", {"href": "/B04.jp2", "nodata": None}, False),
    ],
)
def test_bytes_are_those_of_the_level_that_is_read(band: str, changes: dict[str, Any], in_full: bool) -> None:
    """At a quarter of the resolution, the full raster has 16 times the bytes of the overview."""
    asset = BandAsset(
        href="/a.tif", scale=0.0001, offset=0.0, nodata=0, size=1_000_000, pixels=1112**2, pixel_size=10.0, height=1112,
        width=1112, crs="EPSG:32633",
    )  # fmt: skip
    found = work(replace(scene("a", box=BOX), bands={band: replace(asset, **changes)}))
    read = found.mask_bytes + found.band_bytes
    assert read == pytest.approx(750_000 if in_full else 750_000 / 16, rel=0.05)
    assert (found.mask_bytes > 0) == (band == "scl")


def test_whole_blocks_are_read() -> None:
    asset = BandAsset("/a.tif", 0.0001, 0.0, 0, 60_000_000, 4448**2, 2.5, 4448, 4448, "EPSG:32633")
    one = replace(with_cover(None), bands={"red": asset})
    spec = cube_spec(Grid.from_bounds(BOX, 0.1 / 4448))
    small, whole = (
        WorkModel.of(spec, [one], "likely", block).of_chunk(Window(600, 1000, 600, 1000), [one]).band_bytes
        for block in (256, 1024)
    )
    assert whole > 1.2 * small


def test_cloudy_scenes_are_read_less() -> None:
    clear, half, cloudy = (work(with_cover(cover), masked=True) for cover in (0, 50, 100))
    assert clear.band_bytes > half.band_bytes > cloudy.band_bytes == 0
    assert clear.clear == pytest.approx(2 * half.clear)
    assert cloudy.arrays == cloudy.observed == 0
    assert half.observed == pytest.approx(half.output / 2)


def test_an_unknown_cloud_cover_is_not_zero_and_widens_the_range() -> None:
    spans = {}
    for cover in (50.0, None):
        low, likely, high = (work(with_cover(cover), masked=True, case=case) for case in ("low", "likely", "high"))
        assert low.band_bytes < likely.band_bytes < high.band_bytes
        spans[cover] = high.band_bytes - low.band_bytes
    assert spans[None] > 1.5 * spans[50.0]


def test_without_a_mask_cloudy_pixels_count() -> None:
    assert work(with_cover(100)).band_bytes == work(with_cover(0)).band_bytes > 0


def test_a_scene_outside_of_the_chunk_reads_nothing() -> None:
    outside = replace(scene("a", box=(15.105, 0.0, 15.2, 0.1)), cloud_cover=0.0)  # its margin reaches the chunk
    found = work(outside)
    assert (found.band_bytes, found.clear, found.arrays) == (0, 0, 0)
    assert found.opened == 0


def test_a_chunk_without_scenes_has_no_objects() -> None:
    assert work() == Work(chunks=1, output=270 * 270 * 4)


def test_a_sample_is_spread_over_all_positions() -> None:
    assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly(1001, 3).tolist() == [0, 500, 1000]
    assert evenly(0, 3).tolist() == []
