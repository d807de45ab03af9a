"""`ardcube.open`, `ardcube.status` and `ardcube.observations`: what can be read of a cube."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers `.rio`)
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import ODCExtension  # noqa: F401  (registers `.odc`)

import ardcube
from tests.ardcube.api_cube import BOUNDS, cube_of


@pytest.fixture(scope="module")
def uri(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube without a mask, of which one chunk is not built."""
    store = tmp_path_factory.mktemp("api") / "cube.zarr"
    ardcube.build(cube_of(sample_archive), store, limit=11)
    return store


@pytest.fixture(scope="module")
def cube(uri: Path) -> Iterator[xr.Dataset]:
    with ardcube.open(uri) as opened:
        yield opened


# ---- open -----------------------------------------------------------------------------------------


def test_a_cube_opens_as_reflectance(uri: Path, cube: xr.Dataset) -> None:
    with xr.open_zarr(uri, mask_and_scale=False) as raw:
        numbers, counts = raw["rgb_median"].load(), raw["observation_count"].load()
    reflectance = cube["rgb_median"]
    assert reflectance.dtype == np.float32
    assert reflectance.dims == ("time", "latitude", "longitude", "band")
    expected = numbers * numbers.attrs["scale_factor"] + numbers.attrs["add_offset"]
    assert np.allclose(reflectance.fillna(-9), expected.where(numbers != 0, -9), atol=1e-6)
    assert reflectance.isnull().any()
    assert not {"valid_min", "valid_max", "scale_factor", "_FillValue"} & set(reflectance.attrs)
    assert cube["observation_count"].dtype == np.uint16
    assert np.array_equal(cube["observation_count"], counts)


def test_a_cube_opens_lazily_in_chunks_as_stored(
    uri: Path, cube: xr.Dataset, sample_archive: Path, tmp_path: Path
) -> None:
    assert cube["rgb_median"].chunks == ((1, 1), (100, 20), (100, 100, 80), (2,))
    assert cube["observation_count"].chunks == ((1, 1), (100, 20), (100, 100, 80))
    larger = ardcube.open(uri, chunks={"longitude": 200})
    assert larger["rgb_median"].chunks == ((1, 1), (100, 20), (200, 80), (2,))
    sharded = cube_of(sample_archive, chunk_size=50, shard=2)
    ardcube.build(sharded, tmp_path / "sharded.zarr", limit=1)
    assert ardcube.open(tmp_path / "sharded.zarr")["rgb_median"].chunks == ((1, 1), (100, 20), (100, 100, 80), (2,))


def test_rioxarray_and_odc_geo_find_the_crs(cube: xr.Dataset) -> None:
    assert cube.rio.crs.to_epsg() == 4326
    assert cube["rgb_median"].rio.crs.to_epsg() == 4326
    assert np.allclose(cube["rgb_median"].rio.bounds(), BOUNDS)
    assert cube.odc.crs.to_epsg() == 4326
    geobox = cube["observation_count"].odc.geobox
    assert isinstance(geobox, GeoBox)
    assert geobox.shape == (120, 280)
    assert np.allclose(geobox.boundingbox.bbox, BOUNDS)


def test_a_cube_opens_from_any_filesystem(sample_archive: Path, uri: Path, cube: xr.Dataset) -> None:
    address = f"memory://{uuid.uuid4().hex}/cube.zarr"
    ardcube.build(cube_of(sample_archive), address, limit=11)
    xr.testing.assert_equal(ardcube.open(address, storage_options={}).load(), cube.load())
    xr.testing.assert_equal(ardcube.open(f"file://{uri}").load(), cube.load())


@pytest.mark.parametrize(
    "call", [ardcube.open, ardcube.status, lambda uri: ardcube.observations(uri, "2023-05_y0000_x0000")]
)
def test_a_place_without_a_cube_is_refused_in_one_line(call: object, tmp_path: Path) -> None:
    for place, message in ((tmp_path, "no cube of ardcube"), (None, "neither text nor a path"), ("", "not a location")):
        with pytest.raises(ardcube.InputError, match=message) as caught:
            call(place)  # type: ignore[operator]
        assert "\n" not in str(caught.value)


# ---- status ---------------------------------------------------------------------------------------


def test_status_has_a_row_for_every_planned_chunk(uri: Path) -> None:
    table = ardcube.status(uri)
    assert len(table) == 12
    assert list(table.columns) == ["period", "tile", "status", "attempts", "error", "scenes", "footprint"]
    assert table.index[0] == "2023-05_y0000_x0000"
    assert table.index.is_monotonic_increasing
    assert table.crs == "EPSG:4326"
    assert table.geometry.name == "footprint"
    assert np.allclose(table.total_bounds, BOUNDS)
    missing = table[table["status"] == "missing"]
    assert len(missing) == 1
    assert (missing["attempts"].iloc[0], missing["error"].iloc[0]) == (0, None)
    built = table[table["status"] != "missing"]
    assert set(built["status"]) <= {"written", "empty"}
    assert (built["attempts"] == 1).all()


def test_status_draws_a_map(uri: Path) -> None:
    page = ardcube.status(uri).explore("status")
    assert "2023-05_y0000_x0001" in page.get_root().render()


# ---- observations ---------------------------------------------------------------------------------


def test_the_median_of_the_observations_is_the_cube(uri: Path, cube: xr.Dataset) -> None:
    """Without a mask: the first valid scene of each solar day, then the median of the days."""
    for key in ("2023-05_y0000_x0001", "2023-06_y0001_x0000"):
        scenes = ardcube.observations(uri, key)
        days = scenes["red"].compute().groupby("solar_day").first(skipna=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice")
            median = days.median("solar_day").to_numpy()
        row, col = int(key[9:13]), int(key[15:19])
        chunk = (
            cube["rgb_median"]
            .sel(band="red", time=f"{key[:7]}-01")
            .isel(latitude=slice(100 * row, 100 * row + 100), longitude=slice(100 * col, 100 * col + 100))
        )
        difference = np.abs(median - chunk.to_numpy())
        assert np.array_equal(np.isnan(difference), np.isnan(chunk.to_numpy()))
        assert np.nanmax(difference) < 0.00006  # half a digital number: the cube rounds


def test_observations_are_lazy_and_name_their_scenes(uri: Path, sample_archive: Path) -> None:
    scenes = ardcube.observations(uri, "2023-06_y0000_x0000")
    table = ardcube.status(uri)
    assert scenes.sizes["time"] == table.loc["2023-06_y0000_x0000", "scenes"]
    assert all((sample_archive / name).is_dir() for name in scenes["scene"].to_numpy())
    assert scenes["red"].dtype == np.float32
    assert set(scenes["red"].chunks[0]) == {1}
    assert scenes.odc.geobox == cube_geobox(uri)[:100, :100]
    again = ardcube.observations(uri, ardcube.ChunkKey("2023-06", 0, 0))
    xr.testing.assert_identical(again.compute(), scenes.compute())


def cube_geobox(uri: Path) -> GeoBox:
    from ardcube.api.existing import find_cube

    return find_cube(uri).cube.grid.geobox


def test_bands_of_the_mask_are_digital_numbers(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "masked.zarr"
    ardcube.build(cube_of(sample_archive, cloud_mask="scl"), uri, limit=1)
    scenes = ardcube.observations(uri, "2023-05_y0000_x0000")
    assert scenes["scl"].dtype == np.uint8
    assert set(np.unique(scenes["scl"])) <= set(range(12))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("2023-05", "not a chunk's key; give one such as 2023-06_y0000_x0003"),
        (7, "not a chunk's key"),
        ("2024-05_y0000_x0000", "no scenes are recorded for this period; the cube has 2023-05, 2023-06"),
        ("2023-05_y0002_x0000", "the cube has no such tile"),
    ],
)
def test_an_unknown_chunk_is_refused(uri: Path, key: str, message: str) -> None:
    with pytest.raises(ardcube.InputError, match=message):
        ardcube.observations(uri, key)
