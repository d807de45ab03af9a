"""Files as an estimate knows them: what items state, and headers of other scenes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from affine import Affine

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.planning.cost.files import HEADER_BYTES, File, SampledScene, scene_files
from ardcube.raster.header import Header, Level
from tests.strategies import scene

BOX = (15.0, 0.0, 15.1, 0.1)
"""11.1 km a side, at the equator and at the central meridian of UTM zone 33."""


def with_file(name: str = "a", box: tuple[float, float, float, float] = BOX, granule: str = "", **fields: Any) -> Scene:
    values = {"size": 1_000_000, "pixels": 1112**2, "height": 1112, "width": 1112, "crs": "EPSG:32633"} | fields
    asset = BandAsset(href="/a.tif", scale=0.0001, offset=0.0, nodata=0, pixel_size=10.0, **values)
    return replace(scene(name, box=box), bands={"red": asset}, granule=granule)


def sample(of: Scene, level_bytes: tuple[float, ...] = (600_000, 300_000), side: int = 1112) -> SampledScene:
    levels = tuple(
        Level(
            number, side // factor, side // factor, Affine(10 * factor, 0, 500_000, 0, -10 * factor, 11_120), (512, 512)
        )
        for number, factor in enumerate((1, 4))
    )
    size = of.bands["red"].size or 1_000_000
    return SampledScene(of, {"red": File(Header("EPSG:32633", "uint16", 0, levels), level_bytes, size, 2, 40_000)})


def red(of: Scene, *samples: SampledScene) -> File:
    return scene_files(of, samples, 1024, ("red",))["red"]


def test_without_headers_a_file_is_what_its_item_states() -> None:
    file = red(with_file())
    assert file.header.levels[0].shape == (1112, 1112)
    assert file.header.levels[0].block == (256, 256), "a raster has at least four blocks along a side"
    assert file.header.levels[1].shape == (556, 556)
    assert sum(file.level_bytes) == pytest.approx(1_000_000, rel=0.01)
    left, top = file.header.levels[0].transform @ (0, 0)
    assert (left, top) == pytest.approx((500_000, 11_090), abs=60), "at its footprint"
    assert red(with_file(size=1000)).header_bytes == 1000
    assert red(with_file(size=0)).header_bytes == HEADER_BYTES


def test_a_footprint_far_from_the_stated_crs_is_placed_in_its_utm_zone() -> None:
    file = red(with_file(box=(104.9, 0.0, 105.1, 0.2)))
    assert file.header.crs == "EPSG:32648"
    assert file.header.levels[0].centre == pytest.approx((500_000, 11_060), abs=60)
    assert red(with_file(crs="")).header.crs == "EPSG:32633"


def test_a_scene_whose_header_was_read_has_that_header() -> None:
    read = sample(with_file())
    assert red(read.scene, read) is read.files["red"]


def test_other_files_have_the_levels_of_a_sample_and_their_share_of_the_bytes() -> None:
    read = sample(with_file(granule="MGRS-33NWA"))
    same = red(with_file("b", granule="MGRS-33NWA", size=2_000_000), read)
    assert same.header == read.files["red"].header
    assert same.level_bytes == (1_200_000, 600_000)
    assert (same.header_requests, same.header_bytes) == (2, 40_000)
    other = red(with_file("c", (15.2, 0.0, 15.3, 0.1), "MGRS-33NXA", size=2_000_000), read)
    assert [level.block for level in other.header.levels] == [(512, 512)] * 2
    assert other.header.levels[0].transform.c == pytest.approx(522_260, abs=60)
    assert other.header.levels[1].transform.a == 40


def test_bytes_of_scene_files_unknown_size_are_those_of_pixels_with_data() -> None:
    """The sample has data everywhere, and the footprint of the other scene covers half of its raster."""
    read = sample(with_file(size=0))
    half = red(with_file("b", (15.0, 0.0, 15.05, 0.1), size=0), read)
    assert half.level_bytes[0] == pytest.approx(300_000, rel=0.02)


def test_bytes_are_the_mean_of_all_samples() -> None:
    one, two = sample(with_file()), sample(with_file("b"), (800_000, 100_000))
    assert red(with_file("c"), one, two).level_bytes == pytest.approx((700_000, 200_000))


def test_a_sample_of_another_sensor_is_not_used() -> None:
    read = sample(replace(with_file(), sensor="Landsat OLI"))
    assert red(with_file("b"), read).header.levels[0].block == (256, 256)
