"""Levels: the overview that a cube reads of categories and of reflectance, with both readers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from ardcube.raster.header import Header, Level
from ardcube.raster.levels import (
    PixelSize,
    category_level,
    overview_method,
    pixel_at,
    pixel_between,
    reflectance_levels,
)
from ardcube.raster.open import open_raster
from tests.grids import degrees_lattice
from tests.rasters import ORIGIN, TILED, pixels, write, write_cog

READERS = ("auto", "gdal")
COARSE = PixelSize(1000.0, 1000.0)


def levels(*methods: str, side: float = 10.0, height: float | None = None, **header: Any) -> Header:
    """Return the header of a raster of 10 m with an overview of 20 m, 40 m, ... for each method."""
    base = Affine(side, 0, 500_000, 0, -(height or side), 5_100_000)
    all_levels = [
        Level(n, 1024 >> n, 1024 >> n, base @ Affine.scale(2**n), (256, 256), method)
        for n, method in enumerate(["", *methods])
    ]
    return Header(**{"crs": "EPSG:32633", "dtype": "uint16", "nodata": 0, "levels": tuple(all_levels), **header})


def reflectance_level(header: Header, stated: int | None, pixel: PixelSize) -> int:
    return reflectance_levels([header], [stated], [pixel])[0].index


# ---- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "index"),
    [
        (9, 9, 0),
        (19.99, 100, 0),
        (100, 19.99, 0),
        (20, 20, 1),
        (20 * (1 - 5e-7), 20, 1),
        (20 * (1 - 5e-6), 20, 0),
        (27.8, 39.9, 1),
        (50, 40, 2),
        (500, 500, 3),
        (0, 0, 0),
    ],
)
def test_the_smaller_side_of_the_output_pixel_decides(x: float, y: float, index: int) -> None:
    header = levels("nearest", "nearest", "nearest")
    assert reflectance_level(header, 0, PixelSize(x, y)) == index
    assert category_level(header, PixelSize(x, y)).index == index


def test_each_axis_of_a_source_pixel_that_is_not_square_is_compared_with_its_own_side() -> None:
    header = levels("average", side=20, height=30)
    assert [reflectance_level(header, 0, PixelSize(x, y)) for x, y in [(40, 60), (40, 59), (39, 60)]] == [1, 0, 0]


def test_an_output_pixel_has_the_lengths_of_the_rows_of_the_jacobian() -> None:
    """At 60 degrees north a pixel of 1/3600 degrees is about 15.5 m wide and 31 m high."""
    base = Level(0, 100, 100, Affine(10, 0, 499_500, 0, -10, 6_651_500), (100, 100))
    pixel = pixel_at(degrees_lattice(1 / 3600), Header("EPSG:32633", "uint16", 0, (base,)))
    assert (pixel.x, pixel.y) == pytest.approx((15.5, 30.94), rel=0.01)
    turned = pixel_between([-3, 3, -4, 4], [-4, 4, -3, 3])
    assert (turned.x, turned.y) == (10, 10)


def test_a_centre_that_cannot_be_projected_leaves_the_full_raster() -> None:
    assert pixel_between([math.inf, 1, 1, 1], [1, 1, 1, 1]) == PixelSize(0, 0)


# ---- categories ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "described", "index"),
    [
        ("nearest", "", 1),
        ("mode", "", 1),
        ("average", "", 0),
        ("cubic", "mode", 0),
        ("wavelet", "mode", 0),
        ("", "", 0),
        ("", "mode", 1),
        ("", "nearest", 1),
        ("", "average", 0),
    ],
)
def test_categories_are_read_from_overviews_known_to_hold_categories(method: str, described: str, index: int) -> None:
    assert category_level(levels(method), COARSE, described).index == index


def test_of_overviews_of_several_methods_those_that_hold_categories_are_read() -> None:
    assert category_level(levels("mode", "average"), COARSE).index == 1


# ---- reflectance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "stated", "method", "index"),
    [
        (0, 0, "average", 1),
        (0, None, "average", 1),
        (None, None, "average", 1),
        (None, 0, "average", 0),
        (0, 65535, "average", 0),
        (65535, 65535, "", 1),
        (None, None, "wavelet", 1),
        (None, 0, "wavelet", 0),
        (0, None, "wavelet", 0),
        (0, 0, "wavelet", 0),
    ],
)
def test_reflectance_is_not_read_from_levels_into_which_nodata_can_have_leaked(
    declared: int | None, stated: int | None, method: str, index: int
) -> None:
    assert reflectance_level(levels(method, nodata=declared), stated, COARSE) == index


def test_bands_of_one_grid_are_read_at_one_level() -> None:
    """Whichever files have overviews, or state nodata."""
    both, one, none = levels("average", "average"), levels("average"), levels()
    coarse = replace(levels("average", "average", side=20.0))

    def chosen(*headers: Header, stated: int | None = 0) -> list[int]:
        found = reflectance_levels(headers, [stated] * len(headers), [COARSE] * len(headers))
        return [level.index for level in found]

    assert chosen(both, both, coarse) == [2, 2, 2]
    assert chosen(both, one) == [1, 1]
    assert chosen(none, both, one, coarse) == [0, 0, 0, 2]
    assert chosen(both, replace(both, nodata=None), coarse) == [0, 0, 2]


# ---- files ---------------------------------------------------------------------------------------


def tagged(file: Path, item: str, method: str, **options: Any) -> Path:
    """Write a cloud-optimized GeoTIFF whose metadata state how its overviews were computed."""
    with rasterio.open(
        file, "w", driver="COG", height=301, width=255, count=1, dtype="uint8", crs="EPSG:32633", transform=ORIGIN,
        blocksize=128, compress="deflate", overview_resampling=method, **options,
    ) as target:  # fmt: skip
        target.write(pixels(dtype="uint8"), 1)
        target.update_tags(**{item: method.upper(), "OTHER": "<&> MODE"})
    return file


def with_overviews(file: Path, method: str, **tags: str) -> Path:
    with rasterio.open(
        file, "w", driver="GTiff", height=301, width=255, count=1, dtype="uint8", crs="EPSG:32633", transform=ORIGIN,
        **TILED,
    ) as target:  # fmt: skip
        target.write(pixels(dtype="uint8"), 1)
        target.update_tags(**tags)
        target.build_overviews([2, 4], Resampling[method])
    return file


STATED_IN_A_COG = "mode" if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 11) else ""
"""Method that GDAL's COG driver writes for overviews by mode."""
FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "overviews added by GDAL, nearest": (lambda file: with_overviews(file, "nearest"), "nearest"),
    "overviews added by GDAL, mode": (lambda file: with_overviews(file, "mode"), "mode"),
    "overviews added by GDAL, average": (lambda file: with_overviews(file, "average"), "average"),
    "an older statement": (lambda file: with_overviews(file, "average", OVERVIEW_RESAMPLING="MODE"), "average"),
    "a COG": (lambda file: write_cog(file, pixels(dtype="uint8"), overview_resampling="mode"), STATED_IN_A_COG),
    "OVERVIEW_RESAMPLING": (lambda file: tagged(file, "OVERVIEW_RESAMPLING", "mode"), "mode"),
    "OVR_RESAMPLING_ALG": (lambda file: tagged(file, "OVR_RESAMPLING_ALG", "nearest"), "nearest"),
    "BigTIFF": (lambda file: tagged(file, "OVR_RESAMPLING_ALG", "mode", bigtiff="yes"), "mode"),
}


@pytest.mark.parametrize("kind", FILES)
def test_both_readers_find_how_overviews_were_computed(kind: str, tmp_path: Path) -> None:
    make, method = FILES[kind]
    file = str(make(tmp_path / "scl.tif"))
    block_reader, gdal = (open_raster(file, "", "unsigned", reader).header for reader in READERS)  # type: ignore[arg-type]
    assert block_reader == gdal
    assert {level.resampling for level in gdal.levels[1:]} == {method}


def test_metadata_at_the_end_of_a_file_are_read(tmp_path: Path) -> None:
    """GDAL moves metadata there if they grow after the file was written."""
    noise = np.random.default_rng(0).integers(1, 255, (600, 600)).astype(np.uint8)
    file = write_cog(tmp_path / "scl.tif", noise)
    with rasterio.open(file, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as target:
        target.update_tags(OVERVIEW_RESAMPLING="MODE", COMMENT="x" * 1000)
    headers = [open_raster(str(file), "", "unsigned", reader).header for reader in READERS]  # type: ignore[arg-type]
    assert headers[0] == headers[1]
    assert {level.resampling for level in headers[0].levels[1:]} == {"mode"}


def test_statements_that_contradict_each_other_are_unknown() -> None:
    both = {"OVERVIEW_RESAMPLING": "MODE", "OVR_RESAMPLING_ALG": "AVERAGE"}
    assert overview_method(both, {}) == ""
    assert overview_method(both, {"RESAMPLING": "NEAREST"}) == "nearest"
    assert overview_method({"OVERVIEW_RESAMPLING": "MODE", "OVR_RESAMPLING_ALG": "mode"}, {}) == "mode"


def test_reduced_levels_of_jpeg_2000_are_wavelets(tmp_path: Path) -> None:
    file = tmp_path / "red.jp2"
    with rasterio.open(
        file, "w", driver="JP2OpenJPEG", count=1, dtype="uint16", height=1024, width=1024, crs="EPSG:32633",
        transform=ORIGIN, QUALITY=100, REVERSIBLE="YES",
    ) as target:  # fmt: skip
        target.write(pixels(1024, 1024), 1)
    header = open_raster(str(file), "", "unsigned").header
    assert len(header.levels) > 2
    assert {level.resampling for level in header.levels[1:]} == {"wavelet"}
    assert category_level(header, COARSE, "mode").index == reflectance_level(header, 0, COARSE) == 0
    assert reflectance_level(header, None, COARSE) > 0


@pytest.mark.parametrize("resolution", [0.00001, 0.0001, 1 / 3600, 0.0004, 0.0008, 0.0016, 0.05])
def test_levels_that_gdal_leaves_out_are_too_coarse_for_the_cube(tmp_path: Path, resolution: float) -> None:
    file = str(write(tmp_path / "red.tif", pixels(), nodata=0))
    lattice = degrees_lattice(resolution)
    headers = [open_raster(file, "", "unsigned", "gdal", lattice=known).header for known in (None, lattice)]
    pixel = pixel_at(lattice, headers[0])
    whole, known = (reflectance_levels([header], [0], [pixel])[0] for header in headers)
    assert whole == known
