"""The oracle against values by hand, closed forms, GDAL and real scenes: right before it may judge."""

import ast
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject

from tests.oracle.cube import calendar_periods, median, oracle_cube
from tests.oracle.footprints import footprint, near_longitude, reach
from tests.oracle.items import acquisition, processing, read_catalogue, solar_day
from tests.oracle.masks import SclMask, clean, disk, pixel_in_metres
from tests.oracle.resampling import Coordinates, Level, output_pixel_in, read_level, resample

UTM33 = "EPSG:32633"
ORIGIN = Affine(10.0, 0.0, 499_980.0, 0.0, -10.0, 5_100_000.0)  # about 15.0 E, 46.05 N
BBOX = (15.002, 46.0465, 15.008, 46.051)  # inside a 100 x 100 raster there
NATIVE = 0.00008  # degrees: 6.2 m by 8.9 m, so neither axis is downsampled
AUGUST = {"bbox": BBOX, "start": "2023-08-01", "end": "2023-08-31", "resolution": NATIVE}


def write_raster(path: Path, dn: np.ndarray, transform: Affine = ORIGIN, nodata: float | None = 0) -> str:
    """Write a raster in UTM 33N and return its path."""
    profile = {"driver": "GTiff", "count": 1, "crs": UTM33, "transform": transform, "nodata": nodata}
    with rasterio.open(path, "w", height=dn.shape[0], width=dn.shape[1], dtype=dn.dtype, **profile) as target:
        target.write(dn, 1)
    return str(path)


def make_item(
    folder: Path,
    name: str,
    rasters: dict[str, np.ndarray],
    when: str = "2023-08-10T10:00:00Z",
    **properties: Any,
) -> dict[str, Any]:
    """A STAC item on 10 m pixels from `ORIGIN`, its footprint the outline of its rasters."""
    height, width = next(iter(rasters.values())).shape
    corners = [utm(*corner) for corner in ((0, 0), (0, height), (width, height), (width, 0), (0, 0))]
    lonlat = Transformer.from_crs(UTM33, "EPSG:4326", always_xy=True)
    outline = shapely.Polygon([lonlat.transform(*corner) for corner in corners])
    stated = [{"scale": 0.0001, "offset": 0.0, "nodata": 0}]
    assets = {
        band: {"href": write_raster(folder / f"{name}_{band}.tif", dn), "raster:bands": stated}
        for band, dn in rasters.items()
    }
    return {
        "type": "Feature",
        "id": name,
        "geometry": shapely.geometry.mapping(outline),
        "properties": {"datetime": when, **properties},
        "assets": assets,
    }


def utm(column: float | np.ndarray, row: float | np.ndarray) -> tuple[Any, Any]:
    """Easting and northing of a position on the grid of `ORIGIN`."""
    return ORIGIN.c + ORIGIN.a * column, ORIGIN.f + ORIGIN.e * row


def full(value: int, dtype: type = np.uint16) -> np.ndarray:
    return np.full((100, 100), value, dtype)


def source_position(cube: Any) -> tuple[np.ndarray, np.ndarray]:
    """Continuous source column and row of the cube's pixel centres on the grid of `ORIGIN`."""
    lon, lat = np.meshgrid(cube.x, cube.y)
    x, y = Transformer.from_crs("EPSG:4326", UTM33, always_xy=True).transform(lon, lat)
    return (x - ORIGIN.c) / ORIGIN.a, (y - ORIGIN.f) / ORIGIN.e


def one_pixel(
    dn: list[list[int]],
    u: float,
    v: float,
    column: tuple[float, float] = (1.0, 0.0),
    row: tuple[float, float] = (0.0, 1.0),
    nodata: tuple[float, ...] = (),
    method: str = "bilinear",
) -> int:
    """Resample one output pixel at source position (u, v); `column`, `row` are the rows of the Jacobian."""
    pixels = np.array(dn, np.uint16)
    valid = ~np.isin(pixels, (0, *nodata))
    level = Level(pixels, Affine(10, 0, 1000, 0, -10, 2000), UTM33, valid)
    x, y, dxdc, dxdr, dydc, dydr = (
        np.full((1, 1), metres)
        for metres in (1000 + 10 * u, 2000 - 10 * v, *np.multiply(column, 10), *np.multiply(row, -10))
    )
    at = Coordinates(x, y, (dxdc, dxdr), (dydc, dydr))
    return int(resample(level, at, np.ones((1, 1), bool), method)[0, 0])


def test_oracle_imports_nothing_of_the_program() -> None:
    ours = {"ardcube", "flows", "tasks", "hooks"}
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not ours & {name.split(".")[0] for name in names}, path.name


# ---- resampling, one pixel at a time -------------------------------------------------------------


def test_bilinear_between_four_pixels() -> None:
    # Centre of the four pixels, then a quarter of a pixel right and down from the first pixel's centre.
    assert one_pixel([[100, 200], [300, 500]], 1.0, 1.0) == 275
    assert one_pixel([[100, 200], [300, 500]], 0.75, 0.75) == round(0.5625 * 100 + 0.1875 * 500 + 0.0625 * 500)


def test_twofold_downsampling_has_the_weights_of_a_wide_triangle() -> None:
    # |t| = 0.25, 0.75 of the half-width 2 at the taps around u = 2: weights 1/4, 3/4, 3/4, 1/4 on each axis.
    dn = [[16, 32, 48, 64], [80, 96, 112, 128], [144, 160, 176, 192], [1600, 1600, 1600, 1600]]
    rows = [(1 * a + 3 * b + 3 * c + 1 * d) / 8 for a, b, c, d in dn]  # 40, 104, 168, 1600
    assert rows == [40, 104, 168, 1600]
    assert one_pixel(dn, 2.0, 2.0, column=(2, 0), row=(0, 2)) == (40 + 3 * 104 + 3 * 168 + 1600) / 8 == 307


def test_half_width_is_the_length_of_the_jacobians_row() -> None:
    dn = [[16, 32, 48, 64]] * 4
    dn[3] = [1600] * 4
    straight = one_pixel(dn, 2.0, 2.0, column=(2, 0), row=(0, 2))
    assert one_pixel(dn, 2.0, 2.0, column=(1.2, 1.6), row=(-1.6, 1.2)) == straight
    # Different along the two axes: columns as they are, rows twofold.
    assert one_pixel(dn, 2.0, 2.0, column=(1, 0), row=(0, 2)) == round((40 * 7 + 1600) / 8) == 235


def test_upsampling_keeps_half_width_one() -> None:
    assert one_pixel([[100, 200], [300, 500]], 1.0, 1.0, column=(0.1, 0), row=(0, 0.1)) == 275


def test_weights_are_renormalised_over_valid_pixels() -> None:
    assert one_pixel([[100, 200], [300, 0]], 0.75, 0.75) == round((56.25 + 37.5 + 56.25) / 0.9375) == 160
    assert one_pixel([[100, 200], [300, 9]], 0.75, 0.75, nodata=(9.0,)) == 160
    # The edge of the raster is the edge of the data: only the pixel itself remains.
    assert one_pixel([[100, 200], [300, 500]], 0.25, 0.25) == 100


def test_a_pixel_is_valid_where_its_nearest_source_pixel_is() -> None:
    assert one_pixel([[0, 200], [300, 500]], 0.99, 0.99) == 0
    assert one_pixel([[0, 200], [300, 500]], 1.0, 0.99) == round((0.5 * 0.51 * 200 + 0.5 * 0.49 * 800) / 0.745)
    for u, v in ((-0.01, 1.0), (2.0, 1.0), (1.0, 2.0), (1.0, -0.01)):
        assert one_pixel([[100, 200], [300, 500]], u, v) == 0


def test_nearest_takes_the_pixel_that_holds_the_centre() -> None:
    dn = [[100, 200], [300, 500]]
    assert [one_pixel(dn, u, 1.5, method="nearest") for u in (0.0, 0.999, 1.0, 1.999, 2.0)] == [
        300,
        300,
        500,
        500,
        0,
    ]


def test_a_centre_on_the_edge_of_two_pixels_belongs_to_the_greater_index() -> None:
    dn = [[100, 200], [300, 500]]
    for noise in (-1e-9, 0.0, 1e-9):
        assert one_pixel(dn, 1.0 + noise, 1.0 - noise, method="nearest") == 500
        assert one_pixel(dn, noise, -noise, method="nearest") == 100
        assert one_pixel(dn, 2.0 + noise, 1.5, method="nearest") == one_pixel(dn, 1.5, 2.0 + noise) == 0
        assert one_pixel([[100, 0]], 1.0 + noise, 0.5) == 0, "the nearest pixel decides on validity"
        assert one_pixel([[0, 200]], 1.0 + noise, 0.5) == 200
    assert one_pixel(dn, 1.0 - 1e-5, 1.0 - 1e-5, method="nearest") == 100


def test_cubic_reproduces_a_parabola_and_never_turns_data_into_nodata() -> None:
    parabola = [[1000 + 100 * (c + r) ** 2 for c in range(6)] for r in range(6)]
    assert one_pixel(parabola, 2.75, 3.0, method="cubic") == round(1000 + 100 * 4.75**2)
    # Keys at 0.5: -1/16, 9/16, 9/16, -1/16, here (9 + 9 - 2 * 1000) / 16 < 0.
    assert one_pixel([[1000, 9, 9, 1000]] * 4, 2.0, 2.5, method="cubic") == 1


def test_halves_are_rounded_to_even() -> None:
    assert one_pixel([[1, 2]], 1.0, 0.5) == 2
    assert one_pixel([[2, 3]], 1.0, 0.5) == 2


# ---- overviews -----------------------------------------------------------------------------------


@pytest.fixture
def pyramid(tmp_path: Path) -> str:
    """A 101 x 100 chessboard of 100 and 300, whose averaged overviews are 200."""
    board = np.where(np.indices((100, 101)).sum(0) % 2, 300, 100).astype(np.uint16)
    path = write_raster(tmp_path / "pyramid.tif", board)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4], Resampling.average)
    return path


def test_overview_pixels_are_the_files_own_and_its_ratio_is_exact(pyramid: str) -> None:
    with rasterio.open(pyramid, OVERVIEW_LEVEL=0) as overview:
        stored = overview.read(1)
    level = read_level(pyramid, 0.0003)  # 23 m by 33 m: level 20 m
    assert level.pixels.shape == stored.shape == (50, 51)
    assert (level.pixels == stored).all()
    assert (level.pixels[:, :50] == 200).all()
    assert level.transform.a == pytest.approx(10 * 101 / 51)
    assert level.transform.e == -20.0
    assert (level.transform.c, level.transform.f) == (ORIGIN.c, ORIGIN.f)


def test_overview_is_the_coarsest_not_larger_than_the_output_pixel_on_either_axis(pyramid: str) -> None:
    x, y = output_pixel_in(UTM33, utm(50.5, 50), 0.001)
    assert y / x == pytest.approx(1 / np.cos(np.radians(46.05)), rel=5e-3)
    side = 10 * 101 / 51  # metres, of the overview's pixel along x, where an output pixel is smaller
    for metres, shape in ((5, (100, 101)), (side * 0.999, (100, 101)), (side, (50, 51)), (500, (25, 26))):
        assert read_level(pyramid, 0.001 * metres / x).pixels.shape == shape


def test_a_reduced_level_replaces_the_file_only_where_it_can(tmp_path: Path, pyramid: str) -> None:
    assert read_level(pyramid, 0.0003, categories=True).pixels.shape == (100, 101), "how it was made is unknown"
    assert read_level(pyramid, 0.0003, 0).pixels.shape == (50, 51)
    assert read_level(pyramid, 0.0003, 7).pixels.shape == (100, 101), "7 was averaged as data"
    with rasterio.open(pyramid, "r+") as raster:
        raster.update_tags(OVR_RESAMPLING_ALG="NEAREST")
    assert read_level(pyramid, 0.0003, categories=True).pixels.shape == (50, 51)


def test_a_reduced_jpeg_2000_level_never_holds_classes_nor_leaked_nodata(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jp2")
    profile = {"driver": "JP2OpenJPEG", "count": 1, "crs": UTM33, "transform": ORIGIN, "dtype": "uint16"}
    with rasterio.open(path, "w", height=2048, width=2048, QUALITY=100, REVERSIBLE="YES", **profile) as target:
        target.write(np.full((2048, 2048), 5, np.uint16), 1)
    assert read_level(path, 0.0003).pixels.shape == (1024, 1024)
    assert read_level(path, 0.0003, 0).pixels.shape == (2048, 2048)
    assert read_level(path, 0.0003, categories=True).pixels.shape == (2048, 2048)


def test_validity_is_the_nodata_of_file_and_item_and_the_mask(tmp_path: Path) -> None:
    dn = np.array([[1, 2], [3, 0]], np.uint16)
    path = write_raster(tmp_path / "a.tif", dn, nodata=2)
    assert read_level(path, NATIVE, 3).valid.tolist() == [[True, False], [False, False]]
    masked = write_raster(tmp_path / "b.tif", dn, nodata=None)
    with rasterio.open(masked, "r+") as raster:
        raster.write_mask(np.array([[0, 255], [255, 255]], np.uint8))
    assert read_level(masked, NATIVE).valid.tolist() == [[False, True], [True, False]]


# ---- whole cubes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("resolution", [NATIVE / 3, NATIVE, 0.0005])
def test_a_constant_field_stays_constant(tmp_path: Path, resolution: float, resampling: Any) -> None:
    item = make_item(tmp_path, "a", {"red": full(1234)})
    request = AUGUST | {"resolution": resolution}
    cube = oracle_cube([item], None, **request, bands=["red"], resampling=resampling)
    assert (cube.values == 1234).all()
    assert (cube.count == 1).all()


def test_the_grid_is_snapped_outward_to_multiples_of_the_resolution() -> None:
    cube = oracle_cube(
        [], None, **AUGUST | {"bbox": (15.0005, 46.0, 15.0035, 46.0025), "resolution": 0.001}, bands=["red"]
    )
    np.testing.assert_allclose(cube.x, [15.0005, 15.0015, 15.0025, 15.0035], atol=1e-12)
    np.testing.assert_allclose(cube.y, [46.0025, 46.0015, 46.0005], atol=1e-12)
    assert cube.values.shape == (1, 3, 4, 1)
    assert not cube.values.any()


def test_a_linear_ramp_is_reproduced_by_bilinear(tmp_path: Path) -> None:
    row, column = np.indices((100, 100))
    item = make_item(tmp_path, "ramp", {"red": (1000 + 30 * column + 20 * row).astype(np.uint16)})
    cube = oracle_cube([item], None, **AUGUST, bands=["red"])
    u, v = source_position(cube)
    assert 1 < min(u.min(), v.min()) <= max(u.max(), v.max()) < 99, "the closed form holds in the interior"
    ramp = 1000 + 30 * (u - 0.5) + 20 * (v - 0.5)
    assert np.abs(cube.values[0, :, :, 0] - ramp).max() <= 0.5 + 1e-6


def test_nearest_is_exact_to_the_pixel(tmp_path: Path) -> None:
    dn = np.random.default_rng(1).integers(1, 9000, (100, 100)).astype(np.uint16)
    cube = oracle_cube([make_item(tmp_path, "n", {"red": dn})], None, **AUGUST, bands=["red"], resampling="nearest")
    u, v = source_position(cube)
    assert (cube.values[0, :, :, 0] == dn[v.astype(int), u.astype(int)]).all()


def test_items_are_brought_to_the_offset_of_the_collection(tmp_path: Path) -> None:
    days = ["2023-08-10T10:00:00Z", "2023-08-12T10:00:00Z", "2023-08-14T10:00:00Z"]
    shifted = make_item(tmp_path, "shifted", {"red": full(2000)}, days[0])
    shifted["assets"]["red"]["raster:bands"] = [{"offset": -0.1, "scale": 0.0001}]
    applied = make_item(tmp_path, "applied", {"red": full(1500)}, days[1], **{"earthsearch:boa_offset_applied": True})
    applied["assets"]["red"]["raster:bands"] = [{"offset": -0.1}]
    silent = make_item(tmp_path, "silent", {"red": full(3000)}, days[2])
    del silent["assets"]["red"]["raster:bands"]
    collection = {"item_assets": {"red": {"raster:bands": [{"offset": -0.1}]}}}

    def value(*items: Any, of: Any = collection) -> tuple[int, float]:
        cube = oracle_cube(items, of, **AUGUST, bands=["red"])
        assert np.unique(cube.values).size == 1
        return int(cube.values[0, 0, 0, 0]), cube.offset

    assert value(shifted) == (2000, -0.1)
    assert value(applied) == (2500, -0.1)
    assert value(silent) == (3000, -0.1)
    assert value(silent, applied, shifted) == (2500, -0.1)
    # Without a collection's word the cube's offset is 0, whatever the items say.
    with pytest.raises(ValueError, match="states an offset"):
        value(silent, of=None)
    assert value(applied, of=None) == (1500, 0.0)
    assert value(shifted, applied, of=None) == ((1000 + 1500) // 2, 0.0)
    new_terms = json.loads(json.dumps(shifted))
    new_terms["assets"]["red"] = {
        "href": shifted["assets"]["red"]["href"],
        "bands": [{"raster:offset": -0.1}],
    }
    assert value(new_terms, of=None) == (1000, 0.0)


def test_shifted_values_stay_valid_at_both_ends(tmp_path: Path) -> None:
    dark = make_item(tmp_path, "dark", {"red": full(500), "nir": full(65000)})
    dark["assets"]["red"]["raster:bands"] = [{"offset": -0.1}]
    dark["assets"]["nir"]["raster:bands"] = [{"offset": 0.1}]
    collection = {"item_assets": {"red": {"raster:bands": [{"offset": 0.0}]}}}
    cube = oracle_cube([dark], collection, **AUGUST, bands=["red", "nir"])
    assert cube.values[0, 0, 0].tolist() == [1, 65535]


def test_the_median_of_an_even_number_goes_to_even(tmp_path: Path) -> None:
    values = np.array([[1, 2, 7, 7], [2, 3, 7, 7], [9, 9, 5, 7]]).reshape(3, 1, 4)
    counted = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0]], bool).reshape(3, 1, 4)
    assert median(values, counted).tolist() == [[2, 2, 6, 0]]
    assert median(values, np.ones_like(counted)).tolist() == [[2, 3, 7, 7]]
    assert median(np.array([[65535], [65534]]), np.ones((2, 1), bool)).tolist() == [65534]
    items = [
        make_item(tmp_path, f"d{day}", {"red": full(dn)}, f"2023-08-{day}T10:00:00Z")
        for day, dn in ((10, 100), (12, 103), (14, 0), (16, 5000), (18, 1))
    ]
    cube = oracle_cube(items, None, **AUGUST, bands=["red"])
    assert (cube.values == 102).all()
    assert (cube.count == 4).all()


def test_first_valid_pixel_of_a_solar_day_wins_in_each_band(tmp_path: Path) -> None:
    holed = full(100)
    holed[:, 50:] = 0
    late = make_item(tmp_path, "a", {"red": full(300), "nir": full(301)}, "2023-08-10T10:00:05Z")
    tied = make_item(tmp_path, "c", {"red": full(200), "nir": full(201)}, "2023-08-10T10:00:00Z")
    first = make_item(tmp_path, "b", {"red": holed, "nir": full(101)}, "2023-08-10T10:00:00Z")
    cube = oracle_cube([late, tied, first], None, **AUGUST, bands=["red", "nir"])
    u, _ = source_position(cube)
    assert (cube.values[0, :, :, 0] == np.where(u < 50, 100, 200)).all()
    assert (cube.values[0, :, :, 1] == 101).all()
    assert (cube.count == 1).all()


def test_a_solar_day_begins_at_local_midnight_in_whole_hours(tmp_path: Path) -> None:
    # The footprint's centroid is at 15.006 E: one hour ahead of UTC.
    before = make_item(tmp_path, "x", {"red": full(100)}, "2023-08-10T22:59:59Z")
    after = make_item(tmp_path, "y", {"red": full(200)}, "2023-08-10T23:00:00Z")
    next_day = make_item(tmp_path, "z", {"red": full(900)}, "2023-08-11T10:00:00Z")
    cube = oracle_cube([next_day, after, before], None, **AUGUST, bands=["red"])
    assert (cube.values == 150).all()
    assert (cube.count == 2).all()
    box = shapely.geometry.mapping(shapely.box(-179.9, 10, -179.1, 11))
    far = {"geometry": box, "properties": {"datetime": "2023-08-10T13:30:00Z"}}
    outline = shapely.geometry.shape(far["geometry"])
    assert solar_day(far, outline) == dt.date(2023, 8, 10)
    east = near_longitude(outline, 180.0)
    assert east.bounds == pytest.approx((180.1, 10, 180.9, 11))
    assert solar_day(far, east) == dt.date(2023, 8, 10), "whatever the cube's longitudes are"


def test_items_belong_to_periods_by_utc_instants(tmp_path: Path) -> None:
    items = [
        make_item(tmp_path, f"i{dn}", {"red": full(dn)}, when)
        for dn, when in (
            (10, "2023-06-30T23:59:59.999Z"),
            (20, "2023-07-01T00:00:00Z"),
            (30, "2023-08-31T23:59:59.999Z"),
            (40, "2023-09-01T01:30:00+02:00"),
            (50, "2023-09-01T00:00:00Z"),
            (60, "2023-10-01T00:00:00Z"),
        )
    ]
    request = AUGUST | {"start": "2023-07-31", "end": "2023-09-01"}
    cube = oracle_cube(items, None, **request, months=2, bands=["red"])
    assert cube.periods == [
        (dt.date(2023, 7, 1), dt.date(2023, 9, 1)),
        (dt.date(2023, 9, 1), dt.date(2023, 10, 1)),
    ]
    # 30 and 40 are one solar day, on which 40, at 23:30 UTC, comes first.
    assert cube.values[:, 0, 0, 0].tolist() == [30, 50]
    assert cube.count[:, 0, 0].tolist() == [2, 1]


def test_periods_are_half_open_and_the_last_is_clipped() -> None:
    periods = calendar_periods(dt.date(2022, 11, 30), dt.date(2023, 3, 1), 3)
    assert periods == [
        (dt.date(2022, 11, 1), dt.date(2023, 2, 1)),
        (dt.date(2023, 2, 1), dt.date(2023, 4, 1)),
    ]
    assert calendar_periods("2023-12-31", "2023-12-01", 24) == [(dt.date(2023, 12, 1), dt.date(2024, 1, 1))]


def test_processings_of_one_acquisition_are_recognized_and_ordered() -> None:
    def item(name: str, **properties: Any) -> dict[str, Any]:
        properties = {
            "datetime": "2023-08-15T09:58:11Z",
            "platform": "sentinel-2a",
            "grid:code": "MGRS-05QKB",
        } | properties
        return {
            "id": name,
            "properties": {key.replace("__", ":"): value for key, value in properties.items()},
        }

    uri = "S2A_MSIL2A_20230815T095031_{}_R079_T05QKB_20230815T155057.SAFE"
    old = item("old", s2__datatake_id="GS2A_20230815T095031_042547_N05.09", s2__processing_baseline="05.09")
    new = item("new", s2__datatake_id="GS2A_20230815T095031_042547_N05.10", s2__processing_baseline="05.10")
    later = item("a", **new["properties"] | {"s2:generation_time": "2024-01-01T00:00:00Z"})
    by_uri = item("uri", s2__product_uri=uri.format("N0509"))
    spelled = {"grid:code": "", "mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"}
    same = [new, by_uri, item("s", **old["properties"] | spelled), item("o", s2__product_uri=uri.format("N0511"))]
    same.append(item("tile", **old["properties"] | {"grid:code": "", "s2:mgrs_tile": "05QKB"}))
    assert {acquisition(found) for found in same} == {acquisition(old)} != {None}
    assert processing(old) < processing(new) < processing(later) < processing(same[3])
    # Another tile, platform or datatake is another acquisition; without a tile none is known.
    for change in (
        {"grid:code": "MGRS-05QKA"},
        {"platform": "sentinel-2b"},
        {"s2:datatake_id": "GS2A_20230818T095031_042547_N05.09"},
        {"grid:code": ""},
    ):
        assert acquisition(item("o", **old["properties"] | change)) != acquisition(old)
    assert acquisition(item("o", **old["properties"] | {"grid:code": ""})) is None


def test_an_older_processing_counts_only_where_the_newer_has_no_valid_pixel(tmp_path: Path) -> None:
    take = {"platform": "sentinel-2a", "grid:code": "MGRS-33TWL", "s2:datatake_id": "GS2A_20230810T100000_1_N05.09"}
    upper, clouds = full(3000), full(4, np.uint8)
    upper[50:] = 0
    clouds[:, :50] = 9
    classes = np.where(upper > 0, clouds, 0).astype(np.uint8)
    old = make_item(
        tmp_path, "a", {"red": full(1000), "scl": full(4, np.uint8)}, **take | {"s2:processing_baseline": "05.09"}
    )
    new = make_item(tmp_path, "b", {"red": upper, "scl": classes}, **take | {"s2:processing_baseline": "05.10"})
    cube = oracle_cube([old, new], None, **AUGUST, bands=["red"])
    u, v = source_position(cube)
    assert (cube.values[0, :, :, 0] == np.where(v < 50, 3000, 1000)).all()
    as_is = SclMask(closing=0, opening=0)
    clear = oracle_cube([old, new], None, **AUGUST, bands=["red"], cloud_mask="scl", mask=as_is)
    expected = np.where(v < 50, np.where(u < 50, 0, 3000), 1000)
    assert (clear.values[0, :, :, 0] == expected).all(), "a cloud that the newer one saw stays a cloud"
    # Reflectance alone decides: data without a class hide the older processing, a cloud over nodata does not.
    for number in (0, 9):
        unclear = make_item(tmp_path, "b", {"red": upper, "scl": full(number, np.uint8)}, **new["properties"])
        found = oracle_cube([old, unclear], None, **AUGUST, bands=["red"], cloud_mask="scl", mask=as_is)
        assert (found.values[0, :, :, 0] == np.where(v < 50, 0, 1000)).all()


def test_a_band_is_found_by_key_then_by_name(tmp_path: Path) -> None:
    item = make_item(tmp_path, "a", {"B04": full(7), "nir": full(8)})
    item["assets"]["B04"]["eo:bands"] = [{"name": "B4", "common_name": "red"}]
    cube = oracle_cube([item], None, **AUGUST, bands=["red", "B4", "nir"])
    assert cube.values[0, 0, 0].tolist() == [7, 7, 8]
    assert (cube.count == 1).all()


def test_pixels_count_within_the_reach_whatever_the_bounding_box_is(tmp_path: Path) -> None:
    item = make_item(tmp_path, "wide", {"red": np.full((700, 900), 50, np.uint16)})
    item["geometry"] = shapely.geometry.mapping(shapely.box(15.0, 46.04, 15.005, 46.05))
    request = AUGUST | {"bbox": (15.001, 46.045, 15.06, 46.046), "resolution": 0.001}
    cube = oracle_cube([item], None, **request, bands=["red"])
    margin = 0.02 / np.cos(np.radians(46.045))
    assert (cube.values[0, :, :, 0] == np.where(cube.x <= 15.005 + margin, 50, 0)).all()
    outside = oracle_cube([item], None, **request | {"bbox": (15.01, 46.045, 15.06, 46.046)}, bands=["red"])
    assert (outside.values == cube.values[:, :, -outside.values.shape[2] :]).all()
    assert outside.values.any()


def test_the_reach_is_round_on_the_ground() -> None:
    west, south, east, north = reach(shapely.box(10, 60, 11, 60.5), 10.0).bounds
    assert (south, north) == pytest.approx((59.98, 60.52))
    margin = 0.02 / np.cos(np.radians(60.25))
    assert (west, east) == pytest.approx((10 - margin, 11 + margin))
    assert reach(shapely.box(-180, 0, -179, 1), 179.5).bounds[0] == pytest.approx(179.98)


def test_a_footprint_that_cannot_be_right_is_replaced_by_the_rasters_outline(tmp_path: Path) -> None:
    item = make_item(tmp_path, "a", {"red": full(5)})
    right = footprint(item)
    corners = list(right.exterior.coords)[:4]
    outline = footprint(item | {"geometry": None})
    assert outline.symmetric_difference(right).area < 1e-4 * right.area

    def with_ring(ring: list[Any]) -> dict[str, Any]:
        return item | {"geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}

    crossed = with_ring([corners[0], corners[1], corners[3], corners[2]])
    swapped = with_ring([(lat, lon) for lon, lat in corners])
    shifted = with_ring([(lon + 0.03, lat) for lon, lat in corners])
    world = with_ring([(-170, -80), (170, -80), (170, 80), (-170, 80)])
    for wrong in (crossed, swapped, shifted, world):
        assert footprint(wrong).equals(outline)
    near = with_ring([(lon + 0.01, lat) for lon, lat in corners])
    assert footprint(near).bounds[0] == pytest.approx(right.bounds[0] + 0.01), "a hint within the margin stays"
    fields = {"proj:epsg": 32633, "proj:shape": [100, 100], "proj:transform": list(ORIGIN)}
    assert footprint(crossed | {"properties": crossed["properties"] | fields}).equals(outline)


# ---- mask ----------------------------------------------------------------------------------------


def test_mask_closes_gaps_and_opens_specks_but_keeps_clouds() -> None:
    bad = np.zeros((80, 80), bool)
    bad[20:60, 20:60] = True
    bad[40, 20:60] = False  # a crack in a cloud
    bad[5, 40] = True  # a speck
    everywhere = np.ones_like(bad)
    five = SclMask(closing=50, opening=50)
    cleaned = clean(bad, everywhere, (10, 10), five)
    assert cleaned[40, 22:58].all()
    assert cleaned[30, 20]
    assert not cleaned[:20].any()
    assert clean(bad, everywhere, (20, 20), SclMask(closing=100, opening=100)).tolist() == cleaned.tolist()
    grown = clean(bad, everywhere, (10, 10), SclMask(closing=0, opening=0, buffer=20))
    assert grown[3:8, 40].all()
    assert not grown[2, 40]
    assert grown[5, 38:43].all()


def test_uncovered_pixels_are_neither_clear_nor_cloudy() -> None:
    covered = np.ones((60, 60), bool)
    covered[:, :20] = False  # beyond the edge of a swath
    clear_land = clean(np.zeros_like(covered), covered, (20, 20), SclMask())
    assert not clear_land.any(), "an edge alone removes nothing"
    cloud = np.zeros_like(covered)
    cloud[20:40, 20:23] = True  # too thin to be kept, were it not at the edge
    assert clean(cloud, covered, (20, 20), SclMask(closing=0, opening=50))[22:38, 20:23].all()
    assert not clean(cloud, np.ones_like(covered), (20, 20), SclMask(closing=0, opening=50)).any()


def test_mask_equals_its_definition_with_sets_of_pixels() -> None:
    random = np.random.default_rng(0)
    covered = random.random((40, 44)) < 0.9
    covered[:, 40:] = False
    bad = (random.random(covered.shape) < 0.08) & covered
    bad[10:25, 15:35] = covered[10:25, 15:35]
    pixel, mask = (12.0, 9.0), SclMask(closing=25, opening=31, buffer=18)
    all_pixels = [(int(y), int(x)) for y, x in np.argwhere(covered)]

    def near(radius: float, pixels: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return {(y, x) for y, x in all_pixels if any(np.hypot((y - i) * 9, (x - j) * 12) <= radius for i, j in pixels)}

    def grow(pixels: set[tuple[int, int]], radius: float) -> set[tuple[int, int]]:
        return near(radius, pixels)

    def shrink(pixels: set[tuple[int, int]], radius: float) -> set[tuple[int, int]]:
        return set(all_pixels) - near(radius, set(all_pixels) - pixels)

    found = {(int(y), int(x)) for y, x in np.argwhere(bad)}
    found = grow(shrink(shrink(grow(found, 25), 25), 31), 31)
    found = grow(found, 18)
    assert {(int(y), int(x)) for y, x in np.argwhere(clean(bad, covered, pixel, mask))} == found


def test_disks_are_measured_in_metres() -> None:
    assert disk(155, (20, 20)).sum() == sum(x * x + y * y <= 7.75**2 for x in range(-8, 9) for y in range(-8, 9))
    assert disk(20, (20, 10)).astype(int).tolist() == [[0, 1, 0], [0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 0]]
    assert disk(19, (20, 20)).tolist() == [[True]]
    degrees = Level(np.zeros((10, 10)), Affine(0.001, 0, 10, 0, -0.001, 60.005), "EPSG:4326", np.ones((10, 10), bool))
    across, along = pixel_in_metres(degrees)
    assert along == pytest.approx(111.4, abs=0.1)
    assert across == pytest.approx(55.8, abs=0.1)


def test_scl_masks_scenes_before_they_are_fused(tmp_path: Path) -> None:
    cloudy = full(4, np.uint8)
    cloudy[:, :60] = 9
    first = make_item(tmp_path, "a", {"red": full(100), "scl": cloudy}, "2023-08-10T10:00:00Z")
    second = make_item(tmp_path, "b", {"red": full(200), "scl": full(5, np.uint8)}, "2023-08-10T10:00:09Z")
    cube = oracle_cube([first, second], None, **AUGUST, bands=["red"], cloud_mask="scl")
    u, _ = source_position(cube)
    assert (cube.values[0, :, :, 0] == np.where(u < 60, 200, 100)).all()
    assert (cube.count == 1).all()


def test_only_allowed_classes_are_clear(tmp_path: Path) -> None:
    for value in range(12):
        item = make_item(tmp_path, f"c{value}", {"red": full(9), "scl": full(value, np.uint8)})
        cube = oracle_cube([item], None, **AUGUST, bands=["red"], cloud_mask="scl")
        assert (cube.count == (value in (4, 5))).all(), value
    blind = make_item(tmp_path, "blind", {"red": full(9)})
    with pytest.raises(ValueError, match="has no scl"):
        oracle_cube([blind], None, **AUGUST, bands=["red"], cloud_mask="scl")


# ---- catalogue -----------------------------------------------------------------------------------


def test_catalogue_is_read_with_absolute_hrefs_and_without_recorded_copies(tmp_path: Path) -> None:
    folder = tmp_path / "scenes" / "a"
    folder.mkdir(parents=True)
    item = {
        "type": "Feature",
        "id": "a",
        "assets": {"red": {"href": "./B04.tif"}, "nir": {"href": "s3://b/B08.tif"}},
    }
    for name in ("a.json", "a.recorded.json"):
        (folder / name).write_text(json.dumps(item))
    (tmp_path / "scenes" / "collection.json").write_text(json.dumps({"type": "Collection", "id": "c"}))
    items, collection = read_catalogue(tmp_path)
    assert [i["id"] for i in items] == ["a"]
    assert collection is not None
    assert collection["id"] == "c"
    assert items[0]["assets"]["red"]["href"] == str(folder / "B04.tif")
    assert items[0]["assets"]["nir"]["href"] == "s3://b/B08.tif"


# ---- GDAL and real scenes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A scene like the archive's: smooth relief with noise of 50 DN from pixel to pixel."""
    row, column = np.indices((400, 500))
    noise = np.random.default_rng(5).normal(0, 50, row.shape)
    dn = 3000 + 1500 * np.sin(row / 23) * np.cos(column / 31) + noise
    return make_item(tmp_path_factory.mktemp("textured"), "textured", {"red": dn.astype(np.uint16)})


def with_gdal(item: dict[str, Any], resolution: float, resampling: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Oracle's values of an item, and GDAL's keyword arguments for the same pixels."""
    request = AUGUST | {"bbox": (15.001, 46.02, 15.06, 46.045), "resolution": resolution}
    cube = oracle_cube([item], None, **request, bands=["red"], resampling=resampling)
    corner = (cube.x[0] - resolution / 2, cube.y[0] + resolution / 2)
    transform = Affine(resolution, 0, corner[0], 0, -resolution, corner[1])
    return cube.values[0, :, :, 0].astype(int), {"transform": transform, "resampling": Resampling[resampling]}


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_values_equal_gdals_where_its_coordinates_are_exact(textured: Any, resampling: Any) -> None:
    # Without downsampling GDAL's kernel does not depend on the window, and a tolerance of a millionth of a
    # pixel leaves nothing of its approximation; both round, so a tie may fall one DN apart.
    values, gdal = with_gdal(textured, NATIVE, resampling)
    height, width = values.shape
    with (
        rasterio.open(textured["assets"]["red"]["href"]) as source,
        WarpedVRT(source, crs="EPSG:4326", width=width, height=height, tolerance=1e-6, **gdal) as warped,
    ):
        difference = np.abs(values - warped.read(1))
    assert values.all()
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


@pytest.mark.parametrize("resolution", [0.00011, 0.00025])
def test_downsampling_agrees_with_gdals_warper(textured: Any, resolution: float) -> None:
    # A sanity check: `reproject` approximates coordinates to an eighth of a source pixel, and its kernel is
    # the window's and not the pixel's. On this texture that makes up to some 10 DN. Asked for are 5 DN in
    # 90 % of the pixels; a box kernel, one a quarter too wide or a shift by a fifth of it misses that by far.
    values, gdal = with_gdal(textured, resolution, "bilinear")
    warped = np.zeros(values.shape, np.uint16)
    with rasterio.open(textured["assets"]["red"]["href"]) as source:
        reproject(
            rasterio.band(source, 1),
            warped,
            dst_crs="EPSG:4326",
            dst_transform=gdal["transform"],
            resampling=gdal["resampling"],
        )
    difference = np.abs(values - warped)
    assert values.all()
    assert (difference <= 5).mean() >= 0.9, f"median {np.median(difference)}, largest {difference.max()} DN"


@pytest.mark.real
def test_real_antwerp_scenes_give_plausible_values(shared_real: Path) -> None:
    items, collection = read_catalogue(shared_real / "scenes" / "antwerp-2023q4")
    assert len(items) == 19
    request = {
        "bbox": (4.2608, 51.3086, 4.2675, 51.3134),
        "resolution": 0.0001,
        "start": "2023-10-01",
        "end": "2023-12-31",
        "bands": ["red", "green", "blue", "nir"],
    }
    every = oracle_cube(items, collection, **request)
    assert every.values.shape == (3, 48, 67, 4)
    assert every.offset == 0.0
    assert every.count.max(axis=(1, 2)).tolist() == [6, 6, 7], "one observation per date"
    clear = oracle_cube(items, collection, **request, cloud_mask="scl")
    assert (clear.count <= every.count).all()
    assert 0 < clear.count.sum() < every.count.sum()
    assert ((clear.values[..., 0] > 0) == (clear.count > 0)).all()
    seen = clear.values[clear.count > 0]
    assert seen.max() < 10000, "reflectance below one"
    assert np.median(seen[:, 3]) > 0
    assert np.median(seen[:, 0]) < np.median(every.values[every.count > 0][:, 0]), "clouds are bright"
