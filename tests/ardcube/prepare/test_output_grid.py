"""The grid of a cube: that of `odc.stac.output_geobox`, or exactly that of a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import odc.geo.geom
import odc.geo.xr
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.geometry import Polygon

import ardcube
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.area import Area, load_area
from ardcube.extent.grid import Grid
from ardcube.prepare.output_grid import grid_like, output_grid
from tests.flows.jobs import run_config, sample_cube

MONTH: dict[str, Any] = {"start_date": "2023-06", "end_date": "2023-06"}
ALPS = (11.96, 46.85, 12.04, 46.89)
LAEA = CRS.from_proj4("+proj=laea +lat_0=50 +lon_0=-3 +datum=WGS84 +units=m").to_wkt()


def grid_of(finest: float = 10.0, **options: Any) -> Grid:
    cube = CubeConfig(**MONTH, **{"bbox": ALPS} | options)
    return output_grid(cube, load_area(cube), lambda: finest)


@pytest.mark.parametrize("align", ["edge", "center"])
@pytest.mark.parametrize(
    ("crs", "resolution", "bbox"),
    [
        ("EPSG:32632", 10, ALPS),
        ("EPSG:32633", 25, ALPS),
        ("EPSG:3035", 100, ALPS),
        ("EPSG:6933", 500, (-60.0, -10.0, -50.0, 3.0)),
        ("EPSG:5070", 30, (-96.2, 39.9, -96.0, 40.1)),
        ("EPSG:27700", 20, (-3.7, 50.6, -3.4, 50.8)),
        ("EPSG:3031", 100, (160.0, -78.0, 165.0, -77.0)),
        ("EPSG:3413", 100, (-50.0, 68.0, -45.0, 70.0)),
        ("EPSG:3857", 38.2, ALPS),
        ("EPSG:2263", 30, (-74.1, 40.6, -73.9, 40.8)),  # feet
        ("EPSG:4258", 0.001, ALPS),
        (LAEA, 20, (-3.7, 50.6, -3.4, 50.8)),
    ],
)
def test_a_grid_is_that_of_odc(crs: str, resolution: float, bbox: tuple[float, ...], align: Any) -> None:
    found = grid_of(crs=crs, resolution=resolution, bbox=bbox, align=align)
    side = max(bbox[2] - bbox[0], bbox[3] - bbox[1]) / 100
    area = odc.geo.geom.box(*bbox, crs="EPSG:4326").segmented(side)
    right = GeoBox.from_geopolygon(area, resolution=resolution, crs=crs, anchor=align)
    assert (found.height, found.width) == right.shape
    np.testing.assert_allclose(tuple(found.transform), tuple(right.transform), rtol=0, atol=1e-6 * resolution)
    assert found.geobox.crs == right.crs
    shift = 0.5 if align == "center" else 0.0
    for edge in found.bounds:
        assert edge / resolution - shift == pytest.approx(round(edge / resolution - shift), abs=1e-6)


@pytest.mark.parametrize(
    ("longitude", "latitude", "code"),
    [(12.0, 46.9, 32633), (11.9, 46.9, 32632), (-179.5, 10.0, 32601), (180.5, -17.0, 32701), (179.5, -17.0, 32760)],
)
def test_utm_is_the_zone_of_the_centre(longitude: float, latitude: float, code: int) -> None:
    west = longitude if longitude < 180 else longitude - 0.5
    bbox = (west - 0.04, latitude - 0.02, 2 * longitude - west + 0.04, latitude + 0.02)
    assert grid_of(crs="UTM", bbox=bbox).lattice.crs == f"EPSG:{code}"


def test_a_resolution_in_metres_is_by_default_that_of_the_finest_band() -> None:
    assert grid_of(20.0, crs="utm").lattice.step_x == 20
    assert grid_of(30.48, crs="EPSG:2263", bbox=(-74.1, 40.6, -73.9, 40.8)).lattice.step_x == pytest.approx(
        100, rel=1e-5
    )
    assert grid_of().lattice.step_x == 1 / 3600


def test_the_finest_band_is_found_in_the_catalogue(sample_archive: Path) -> None:
    cube = sample_cube(sample_archive, crs="utm", resolution=None, bbox=ALPS)
    assert str(ardcube.plan(cube)).splitlines()[1].endswith("pixels of 10 m, EPSG:32633")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": "EPSG:3413", "bbox": (-50.0, -90.0, -45.0, -80.0)}, "edge of its map cuts the area"),
        ({"crs": "EPSG:3857", "resolution": 100, "bbox": (179.0, -17.0, 181.0, -16.0)}, "build one cube on each side"),
        ({"crs": "utm", "bbox": (10.0, 85.0, 11.0, 86.0)}, "choose a polar CRS"),
        ({"crs": "EPSG:4979"}, "has no plane of two axes"),
        ({"crs": "+proj=nonsense"}, "unknown; give an EPSG code"),
    ],
)
def test_an_area_that_a_crs_cannot_hold_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid_of(**options)


def test_sides_of_an_area_may_have_any_length(tmp_path: Path) -> None:
    """A coast of short sides, a straight border, and a hole of shorter sides."""
    turn = np.linspace(0, np.pi, 4001)
    coast = np.stack([15 + 0.4 * np.cos(turn), 46 + 0.3 * np.sin(turn)], axis=1)
    lake = np.stack([15 + 0.01 * np.cos(turn), 46.1 + 0.01 * np.sin(turn)], axis=1)
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[Polygon(coast, [lake])], crs="EPSG:4326").to_file(area)
    grid = grid_of(100, crs="EPSG:32633", bbox=None, geometry_file=str(area))
    assert grid.width == grid_of(100, crs="EPSG:32633", bbox=(14.6, 46.0, 15.4, 46.3)).width


def write(path: Path, transform: Affine | None, crs: str | None) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", height=40, width=50, count=1, dtype="uint8", crs=crs, transform=transform
    ) as raster:
        raster.write(np.ones((1, 40, 50), np.uint8))
    return str(path)


@pytest.mark.parametrize("offset", [0.0, 15.0, 3.7])
def test_a_grid_like_a_raster_has_its_transform_shape_and_crs(tmp_path: Path, offset: float) -> None:
    transform = Affine(30.0, 0, 300000 + offset, 0, -20.0, 5000000 + offset)
    found = grid_like(write(tmp_path / "a.tif", transform, "EPSG:32633"))
    assert (found.height, found.width, found.lattice.crs) == (40, 50, "EPSG:32633")
    np.testing.assert_allclose(tuple(found.transform), tuple(transform), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (Affine(30, 0, 0, 0, -30, 0), None, "has no CRS; assign one"),
        (Affine(30, 5, 0, 5, -30, 0), "EPSG:32633", "is not north up"),
        (Affine(30, 0, 0, 0, 30, 0), "EPSG:32633", "is not north up"),
    ],
)
def test_a_raster_without_a_usable_grid_is_refused(
    tmp_path: Path, transform: Affine, crs: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        grid_like(write(tmp_path / "a.tif", transform, crs))


def test_a_raster_without_any_reference_is_refused_without_a_warning_of_the_library(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writing it
        path = write(tmp_path / "a.tif", None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="has no CRS; assign one"):
            grid_like(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("text")
    for path in (tmp_path / "a.tif", tmp_path / "missing.tif", tmp_path):
        with pytest.raises(InputError, match=r"cannot be read .*; give a raster file or a Zarr cube"):
            grid_like(str(path))


@pytest.mark.parametrize("crs", ["EPSG:4326", "utm"])
def test_a_cube_like_another_has_its_pixels_to_the_last_bit(sample_archive: Path, tmp_path: Path, crs: str) -> None:
    month = {"end_date": "2023-05-31", "bands": ("red",), "chunk_size": 100}
    resolution = 0.0003 if crs == "EPSG:4326" else 30
    cube = sample_cube(sample_archive, **month, crs=crs, resolution=resolution, bbox=(11.99, 46.86, 12.03, 46.88))
    ardcube.build(cube, tmp_path / "one", threads=2)
    like = sample_cube(sample_archive, **month, bbox=None, resolution=None, like=str(tmp_path / "one"))
    assert ardcube.build(like, tmp_path / "two", threads=2).written
    one, two = (ardcube.open(tmp_path / name) for name in ("one", "two"))
    assert one.rgb_median.identical(two.rgb_median)
    again = ardcube.build(like, tmp_path / "two", **run_config(tmp_path / "two").model_dump(include={"threads"}))
    assert again.already_done == again.chunks


def test_a_geometry_file_gives_the_bounds_in_the_crs(tmp_path: Path) -> None:
    """Not those of its box in degrees, which is larger."""
    triangle = shapely.Polygon([(11.0, 46.0), (13.0, 47.0), (11.0, 47.0)])
    cube = CubeConfig(**MONTH, bbox=ALPS, crs="EPSG:3035", resolution=100)
    found = output_grid(cube, Area(triangle), lambda: 10.0)
    boxed = output_grid(cube, Area(shapely.box(*triangle.bounds)), lambda: 10.0)
    assert found.height * found.width < boxed.height * boxed.width
