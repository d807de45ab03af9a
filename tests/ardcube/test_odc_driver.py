"""`odc.stac.load` with this project's reader and resampler."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import rasterio.errors
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams, RasterSource, reader_driver
from pyproj import Transformer

from ardcube.catalog.items import parse_scene
from ardcube.chunk.fill import BandStack
from ardcube.chunk.fuse import fuse, fuse_categories, scene_areas
from ardcube.chunk.read import ChunkReader
from ardcube.chunk.solar_days import solar_days
from ardcube.config.encoding import CubeEncoding
from ardcube.errors import SceneError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.odc_driver import ExactDriver
from tests import rasters
from tests.oracle import resampling as oracle
from tests.strategies import FEW

DRIVER = "ardcube.odc_driver.ExactDriver"
BOUNDS = (11.92, 46.828, 12.08, 46.908)
BILINEAR = {"*": "bilinear", "scl": "nearest"}


@pytest.fixture(scope="module")
def items(sample_archive: Path) -> list[pystac.Item]:
    """The scenes of two dates of the sample archive, of two UTM zones."""
    found = [pystac.Item.from_file(str(path)) for path in sorted(sample_archive.glob("*_L2A/*.json"))]
    days = sorted({item.datetime.date() for item in found if item.datetime})[4:6]
    return [item for item in found if item.datetime and item.datetime.date() in days]


def load(items: list[pystac.Item], geobox: GeoBox, driver: Any = DRIVER, **options: Any) -> xr.Dataset:
    options = {"bands": ["red", "scl"], "groupby": "solar_day", "resampling": BILINEAR} | options
    return odc.stac.load(items, geobox=geobox, driver=driver, **options)


def item_of(file: Path, nodata: float | None = 0, **described: Any) -> pystac.Item:
    """An item with one asset, `band`, that describes a file truly."""
    with rasterio.open(file) as source:
        crs, transform, shape, dtype = source.crs, source.transform, list(source.shape), source.dtypes[0]
        west, south, east, north = source.bounds
    back = Transformer.from_crs(crs, 4326, always_xy=True)
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    ring = [list(back.transform(*corner)) for corner in corners]
    raster: dict[str, Any] = {"data_type": dtype} | ({} if nodata is None else {"nodata": nodata})
    asset = {
        "href": str(file),
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "raster:bands": [raster],
        "proj:shape": shape,
        "proj:transform": list(transform)[:6],
    }
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": file.stem,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [*map(min, zip(*ring, strict=True)), *map(max, zip(*ring, strict=True))],
        "properties": {"datetime": "2023-06-01T10:00:00Z", "proj:epsg": crs.to_epsg()} | described,
        "links": [],
        "assets": {"band": asset},
    }
    return pystac.Item.from_dict(document)


def band(item: pystac.Item, geobox: GeoBox, driver: Any = DRIVER, **options: Any) -> NDArray[Any]:
    loaded = odc.stac.load([item], bands=["band"], geobox=geobox, driver=driver, **options)
    values: NDArray[Any] = loaded["band"].to_numpy()[0]
    return values


def around(file: Path, crs: str, resolution: float) -> GeoBox:
    """A geobox that covers a file and a little more."""
    with rasterio.open(file) as source:
        box = GeoBox(source.shape, source.transform, source.crs).extent.to_crs(crs).boundingbox
    margin = 5 * resolution
    bounds = (box.left - margin, box.bottom - margin, box.right + margin, box.top + margin)
    return GeoBox.from_bbox(bounds, crs=crs, resolution=resolution)


# ---- pixels do not depend on chunks ---------------------------------------------------------------


GEOBOXES = {
    "degrees": GeoBox.from_bbox(BOUNDS, crs="EPSG:4326", resolution=0.0005),
    "the CRS of some scenes": GeoBox.from_bbox((722_000, 5_189_000, 728_000, 5_194_000), "EPSG:32632", resolution=20),
    "oblong pixels at odd edges": GeoBox((180, 210), Affine(27.3, 0, 722_003.7, 0, -26.1, 5_193_999.1), "EPSG:32632"),
    "Web Mercator": GeoBox.from_bbox((1_330_000, 5_910_000, 1_340_000, 5_918_000), "EPSG:3857", resolution=40),
    "rows to the north": GeoBox((150, 200), Affine(0.0005, 0, 11.95, 0, 0.0005, 46.83), "EPSG:4326"),
}


@pytest.mark.parametrize("name", GEOBOXES)
@settings(FEW, max_examples=8)
@given(chunks=st.tuples(st.integers(20, 230), st.integers(20, 230)))
def test_pixels_are_the_same_in_any_chunks(items: list[pystac.Item], name: str, chunks: tuple[int, int]) -> None:
    geobox = GEOBOXES[name]
    whole = load(items, geobox)
    parts = load(items, geobox, chunks=dict(zip(geobox.dimensions, chunks, strict=True)))
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(parts.compute(), whole)
    assert (whole["red"] != 0).any()


def test_pixels_are_the_same_in_loads_that_overlap(items: list[pystac.Item]) -> None:
    whole = GEOBOXES["degrees"]
    part = whole[37:90, 101:290]
    expected = load(items, whole).isel(latitude=slice(37, 90), longitude=slice(101, 290))
    for name in ("red", "scl"):
        assert np.array_equal(load(items, part)[name], expected[name])


# ---- pixels are those of a cube, and of the definition --------------------------------------------


@pytest.mark.parametrize(
    ("resampling", "resolution"),
    # The driver reads nearest pixels at full resolution, because they may be categories.
    [("nearest", 0.00015), ("bilinear", 0.00031), ("cubic", 0.00031)],
)
def test_pixels_equal_those_of_a_cube_on_its_grid(items: list[pystac.Item], resampling: str, resolution: float) -> None:
    grid, window = Grid.from_bounds(BOUNDS, resolution), Window(40, 160, 30, 290)
    scenes = [parse_scene(item.make_asset_hrefs_absolute().to_dict(), None, ["red"], ["scl"]) for item in items]
    reader, days = ChunkReader(grid, window), solar_days(scenes)
    stack = np.zeros((1, len(days), *window.shape), np.uint16)
    areas = [scene_areas(reader, day, {scene.id: reader.within_reach(scene) for scene in day.scenes}) for day in days]
    encoding = CubeEncoding(offset=scenes[0].bands["red"].offset)
    fuse(reader, areas, BandStack(stack, ["red"], resampling, encoding))
    classes = fuse_categories(reader, days, "scl")

    geobox = grid.geobox[window.slices]
    loaded = load(items, geobox, ExactDriver(), resampling={"red": resampling, "scl": "nearest"})
    # A cube also leaves out the pixels outside of a scene's footprint.
    for ours, cube in ((loaded["red"].to_numpy(), stack[0]), (loaded["scl"].to_numpy(), classes)):
        within = cube != 0
        assert within.mean() > 0.5
        assert np.array_equal(ours[within], cube[within])


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32632", "EPSG:4326", "EPSG:3035"])
@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_pixels_follow_the_definition_in_any_crs(tmp_path: Path, crs: str, resampling: str) -> None:
    """Against exact coordinates of each pixel and a plain loop over the taps; ties may be rounded either way."""
    file = rasters.write_cog(tmp_path / "scene.tif", rasters.pixels())
    resolution = 0.00021 if crs == "EPSG:4326" else 13.0
    geobox = around(file, crs, resolution)
    found = band(item_of(file), geobox, resampling=resampling, use_overviews=False)
    with rasterio.open(file) as source:
        dn = source.read(1)
        level = oracle.Level(dn, source.transform, source.crs.to_wkt(), dn != 0)
    expected = oracle.resample(level, centres(geobox, level.crs), np.ones(geobox.shape, bool), resampling)
    assert (expected != 0).any()
    assert np.array_equal(found == 0, expected == 0)
    assert (found != expected).mean() < 1e-3
    assert np.abs(found.astype(int) - expected).max() <= 1


def centres(geobox: GeoBox, crs: str) -> oracle.Coordinates:
    """Exact centres in a source CRS, and their change over one pixel."""
    transformer = Transformer.from_crs(geobox.crs, crs, always_xy=True)

    def at(right: float, down: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns, rows = np.meshgrid(np.arange(geobox.width) + 0.5 + right, np.arange(geobox.height) + 0.5 + down)
        t = geobox.transform
        x, y = transformer.transform(t.c + columns * t.a, t.f + rows * t.e)
        return x, y

    (x, y), (left, right), (up, down) = at(0, 0), (at(-0.5, 0), at(0.5, 0)), (at(0, -0.5), at(0, 0.5))
    return oracle.Coordinates(x, y, (right[0] - left[0], down[0] - up[0]), (right[1] - left[1], down[1] - up[1]))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
def test_pixels_of_the_same_grid_pass_unchanged(tmp_path: Path, resampling: str) -> None:
    values = rasters.pixels()
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    assert np.array_equal(band(item_of(file), geobox, resampling=resampling), values)
    assert np.array_equal(band(item_of(file), geobox[7:100, 11:90], resampling=resampling), values[7:100, 11:90])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("declared", [-9999, None])
def test_numbers_of_a_signed_file_have_a_bias_if_it_is_asked_for(
    tmp_path: Path, resampling: str, declared: int | None
) -> None:
    values = rasters.pixels(dtype="int16")
    values[10:14] = -9999
    file = rasters.write_cog(tmp_path / "scene.tif", values, nodata=declared)
    item = item_of(file, nodata=-9999 + 32768)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    options: dict[str, Any] = {"resampling": resampling, "dtype": "uint16", "nodata": 0}
    found = band(item, geobox, ExactDriver(with_bias=True), **options)
    missing = np.isin(values, (-9999,) if declared else (-9999, 0))
    np.testing.assert_array_equal(found, np.where(missing, 0, values.astype(int) + 32768))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_a_signed_file_is_otherwise_read_by_the_rasterio_driver(tmp_path: Path, resampling: str) -> None:
    values = rasters.pixels(dtype="int16")
    values[10:14] = -9999
    file = rasters.write_cog(tmp_path / "scene.tif", values, nodata=-9999)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")[3:200, 5:99]
    ours, plain = (band(item_of(file, -9999), geobox, driver, resampling=resampling) for driver in (DRIVER, "rio"))
    assert (ours < 0).any()
    np.testing.assert_array_equal(ours, plain)


def test_a_coordinate_on_an_edge_belongs_to_the_next_pixel(tmp_path: Path) -> None:
    values = np.arange(1, 101, dtype=np.uint16).reshape(10, 10)
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    geobox = GeoBox((9, 9), rasters.ORIGIN @ Affine.translation(0.5, 0.5), "EPSG:32633")
    assert np.array_equal(band(item_of(file), geobox, resampling="nearest"), values[1:, 1:])


def test_bilinear_pixels_are_close_to_those_of_the_rasterio_driver(tmp_path: Path) -> None:
    """On smooth land at the resolution of the file: GDAL approximates coordinates to an eighth of a pixel."""
    rows, columns = np.mgrid[0:300, 0:300]
    values = (3000 + 800 * np.sin(rows / 17) * np.cos(columns / 23)).astype(np.uint16)
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    geobox = GeoBox.from_bbox((15.005, 46.03, 15.03, 46.045), crs="EPSG:4326", resolution=0.0001)
    ours, plain = (band(item_of(file), geobox, driver, resampling="bilinear").astype(int) for driver in (DRIVER, "rio"))
    both = (ours != 0) & (plain != 0)
    assert both.mean() > 0.9
    assert (both == (ours != 0)).mean() > 0.99
    difference = np.abs(ours - plain)[both]
    assert difference.mean() < 2
    assert difference.max() < 20  # 0.3 % of the range, the slope of the land over an eighth of a pixel


def test_longitudes_across_the_antimeridian_are_found(tmp_path: Path) -> None:
    values = np.arange(1, 360 * 4 + 1, dtype=np.uint16).reshape(4, 360)
    file = rasters.write(
        tmp_path / "world.tif", values, overviews=False, crs="EPSG:4326", transform=Affine(1, 0, -180, 0, -1, 2)
    )
    geobox = GeoBox.from_bbox((-200_000, 10_000, 900_000, 100_000), crs="EPSG:32601", resolution=10_000)
    found = band(item_of(file), geobox, resampling="nearest")
    back = Transformer.from_crs("EPSG:32601", 4326, always_xy=True)
    t = geobox.transform
    x, y = np.meshgrid(t.c + (np.arange(geobox.width) + 0.5) * t.a, t.f + (np.arange(geobox.height) + 0.5) * t.e)
    lon, lat = back.transform(x, y)
    assert (lon > 179).any()
    assert (lon < -179).any()
    assert np.array_equal(found, values[np.floor(2 - lat).astype(int), np.floor(lon + 180).astype(int)])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize(("west", "bounds"), [(0, (-5, -2, 5, 2)), (-180, (175, -2, 185, 2)), (0, (-9, -2, -4, 2))])
def test_longitudes_of_a_grid_in_degrees_are_equal_modulo_360(
    tmp_path: Path, resampling: str, west: int, bounds: tuple[float, float, float, float]
) -> None:
    values = np.arange(1, 360 * 4 + 1, dtype=np.uint16).reshape(4, 360)
    file = rasters.write(
        tmp_path / "world.tif", values, overviews=False, crs="EPSG:4326", transform=Affine(1, 0, west, 0, -1, 2)
    )
    geobox = GeoBox.from_bbox(bounds, crs="EPSG:4326", resolution=1)
    columns = np.mod(bounds[0] + np.arange(geobox.width) - west, 360).astype(int)
    source = RasterSource(str(file), meta=None)
    driver = reader_driver(DRIVER)
    reader = driver.open(source, driver.new_load(geobox))
    _, found = reader.read(RasterLoadParams(dtype="uint16", fill_value=0, resampling=resampling), geobox)
    np.testing.assert_array_equal(found, values[:, columns])


# ---- nodata and data types ------------------------------------------------------------------------


def test_nodata_of_the_file_and_of_its_item_both_count(tmp_path: Path) -> None:
    values = np.full((40, 40), 500, np.uint16)
    values[:20], values[20:, :20] = 0, 7
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    declared = rasters.write(tmp_path / "declared.tif", values, overviews=False, nodata=7)
    for resampling in ("nearest", "bilinear"):
        assert set(np.unique(band(item_of(file), geobox, resampling=resampling))) == {0, 7, 500}
        assert set(np.unique(band(item_of(declared), geobox, resampling=resampling))) == {0, 500}


def test_zero_is_a_value_where_nobody_states_it_as_nodata(tmp_path: Path) -> None:
    values = np.array([[0, 1, 255], [2, 0, 255]], np.uint8).repeat(8, 0).repeat(8, 1)
    file = rasters.write(tmp_path / "classes.tif", values, overviews=False, nodata=255)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    for resampling in ("nearest", "bilinear"):
        found = band(item_of(file, 255), geobox, resampling=resampling)
        assert np.array_equal(found, band(item_of(file, 255), geobox, "rio", resampling=resampling))
        assert np.array_equal(found, values)


def test_floats_have_nan_for_nodata(tmp_path: Path) -> None:
    values = rasters.pixels(60, 50)
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    found = band(item_of(file), geobox, resampling="bilinear", dtype="float32", nodata=np.nan)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.where(values == 0, np.nan, values), equal_nan=True)


def test_cubic_pixels_stay_within_the_type_of_the_file(tmp_path: Path) -> None:
    values = np.where(np.indices((40, 40)).sum(axis=0) // 4 % 2, 255, 1).astype(np.uint8)
    file = rasters.write_cog(tmp_path / "scene.tif", values)
    found = band(item_of(file), around(file, "EPSG:32632", 7.0), resampling="cubic")
    assert found.dtype == np.uint8
    assert found.max() == 255
    assert found[found != 0].min() < 5


def test_overviews_are_read_where_they_are_fine_enough_and_wanted(tmp_path: Path) -> None:
    noisy = rasters.pixels(256, 256)
    file = rasters.write(tmp_path / "scene.tif", noisy, nodata=0)
    geobox = GeoBox((64, 64), rasters.ORIGIN @ Affine.scale(4), "EPSG:32633")
    with rasterio.open(file, overview_level=1) as overview:
        assert np.array_equal(band(item_of(file), geobox, resampling="bilinear"), overview.read(1))
    full = band(item_of(file), geobox, resampling="bilinear", use_overviews=False)
    assert full.std() < 0.5 * noisy.std()  # a mean of 64 pixels and more


# ---- what the rasterio driver reads ---------------------------------------------------------------


def test_files_of_other_types_are_read_by_the_rasterio_driver(tmp_path: Path) -> None:
    heights = (rasters.pixels(80, 70).astype(np.float32) - 3000) / 7
    file = rasters.write(tmp_path / "heights.tif", heights, layout=rasters.STRIPED | {"predictor": 3}, nodata=-9999)
    geobox = around(file, "EPSG:32632", 11.0)
    ours, plain = (band(item_of(file, -9999), geobox, driver, resampling="bilinear") for driver in (DRIVER, "rio"))
    assert np.array_equal(ours, plain)
    assert (ours != -9999).any()


def test_other_resampling_and_rotated_grids_are_left_to_the_rasterio_driver(tmp_path: Path) -> None:
    file = rasters.write_cog(tmp_path / "scene.tif", rasters.pixels())
    straight = around(file, "EPSG:32633", 20.0)
    rotated = GeoBox((60, 50), rasters.ORIGIN @ Affine.rotation(20) @ Affine.scale(2), "EPSG:32633")
    for geobox, resampling in ((straight, "mode"), (rotated, "bilinear")):
        ours, plain = (band(item_of(file), geobox, driver, resampling=resampling) for driver in (DRIVER, "rio"))
        assert np.array_equal(ours, plain)
        assert (ours != 0).any()


def test_a_missing_file_is_the_error_of_the_rasterio_driver_or_is_left_out(tmp_path: Path) -> None:
    file = rasters.write_cog(tmp_path / "scene.tif", rasters.pixels())
    item, geobox = item_of(file), around(file, "EPSG:4326", 0.001)
    file.unlink()
    with pytest.raises(rasterio.errors.RasterioIOError, match=r"scene\.tif"):
        band(item, geobox, resampling="bilinear")
    assert not band(item, geobox, resampling="bilinear", fail_on_error=False).any()


def test_a_damaged_file_is_an_error_or_is_left_out(tmp_path: Path) -> None:
    file = rasters.write_cog(tmp_path / "scene.tif", rasters.pixels())
    item, geobox = item_of(file), around(file, "EPSG:4326", 0.0001)
    content = bytearray(file.read_bytes())
    content[-20_000:] = bytes(20_000)
    file.write_bytes(content)
    with pytest.raises(SceneError, match="damaged block"):
        band(item, geobox, resampling="bilinear")
    assert not band(item, geobox, resampling="bilinear", fail_on_error=False).any()


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    values = rasters.pixels(60, 50)
    geobox = GeoBox(values.shape, rasters.ORIGIN, "EPSG:32633")
    for version in (values, values[::-1]):
        file = rasters.write_cog(tmp_path / "scene.tif", version)
        assert np.array_equal(band(item_of(file), geobox, resampling="nearest"), version)


# ---- odc-loader -----------------------------------------------------------------------------------


def test_odc_loader_finds_the_driver_by_its_name() -> None:
    assert isinstance(reader_driver(DRIVER), ExactDriver)
    assert repr(ExactDriver()) == "ExactDriver()"


def test_lazy_loads_of_two_drivers_stay_apart(items: list[pystac.Item]) -> None:
    """odc-loader names tasks by items and settings alone: two drivers would share their pixels."""
    chunks = {"latitude": 100, "longitude": 100}
    ours, plain = (load(items, GEOBOXES["degrees"], driver, chunks=chunks)["red"] for driver in (DRIVER, "rio"))
    # One thread, because rasterio suppresses a warning by `catch_warnings`, which other threads undo.
    assert (ours != plain).any().compute(scheduler="synchronous")


def test_readers_travel_to_other_processes(tmp_path: Path) -> None:
    file = rasters.write_cog(tmp_path / "scene.tif", rasters.pixels())
    geobox = around(file, "EPSG:4326", 0.0005)
    driver = pickle.loads(pickle.dumps(ExactDriver()))
    state = pickle.loads(pickle.dumps(driver.new_load(geobox, chunks={"y": 10, "x": 10})))
    cfg = RasterLoadParams("uint16", 0, resampling="bilinear")
    with driver.restore_env(driver.capture_env(), state) as context:
        reader = pickle.loads(pickle.dumps(driver.open(RasterSource(str(file)), context)))
        region, pixels = reader.read(cfg, geobox)
        target = np.zeros(geobox.shape, np.uint16)
        reader.read(cfg, geobox, dst=target)
        nowhere, nothing = reader.read(cfg, geobox.pad(10_000)[:10, :10])
    driver.finalise_load(state)
    assert np.array_equal(target[region], pixels)
    assert pixels.any()
    assert (nowhere, nothing.shape) == (np.s_[0:0, 0:0], (0, 0))
