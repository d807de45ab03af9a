"""Quality layers of cubes, against plain NumPy and for every way to build a cube."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
import xarray as xr

import ardcube
from ardcube.chunk.composite import composite_chunk
from ardcube.errors import InputError, StoreError
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.pixels.composites.per_band import Median
from ardcube.pixels.composites.registry import composite
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.pixels.observations import Observations
from ardcube.pixels.quality.registry import quality_of
from ardcube.planning import memory
from tests import gdal_zarr
from tests.ardcube.chunk.test_clear import CLEAR, CLOUD, GRID, PLAIN, WHOLE, Archive
from tests.oracle.cube import oracle_cube
from tests.oracle.masks import SclMask
from tests.oracle.quality import NO_DAY, quality_layers
from tests.strategies import cube_spec
from tests.test_pools import write_archive

ALL = ("valid_count", "date", "first_date", "last_date", "spread", "clear_share", "sensor_share")
SENSORS = {
    "MSI": "sentinel_2_msi", "OLI": "landsat_oli", "ETM": "landsat_etm", "TM": "landsat_tm", "": "other",
}  # fmt: skip
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


def request_of(folder: Path, collections: list[str], **changes: Any) -> ardcube.CubeConfig:
    values: dict[str, Any] = {
        "stac_url": str(folder / "near"), "collection": collections, "bbox": GRID.bounds, "start_date": "2023-08",
        "end_date": "2023-08", "resolution": GRID.lattice.step_x, "chunk_size": 32, "bands": ("red", "nir"),
        "cloud_mask": "scl", "cloud_mask_options": {"closing": 0, "opening": 40}, "quality": ALL,
    }  # fmt: skip
    return ardcube.CubeConfig(**values | changes)


def stored(uri: Path) -> xr.Dataset:
    return xr.open_zarr(uri, mask_and_scale=False).load()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[dict[str, Any]], xr.Dataset]:
    """A pool of three sensors, its items, and its cube of a median with all quality layers."""
    folder = tmp_path_factory.mktemp("pool")
    collections, items = write_archive(folder, 3)
    ardcube.build(request_of(folder, collections), folder / "cube.zarr", threads=2)
    return folder, collections, items, stored(folder / "cube.zarr")


def test_layers_of_a_pool_equal_the_oracle(pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset]) -> None:
    _, _, items, cube = pool
    right = oracle_cube(
        items, None, bbox=GRID.bounds, start="2023-08", end="2023-08", resolution=GRID.lattice.step_x,
        bands=["red", "nir"], cloud_mask="scl", mask=SclMask(closing=0, opening=40),
    )  # fmt: skip
    expected = quality_layers(right.observations[0], AUGUST.start)
    np.testing.assert_array_equal(cube["rgb_median"], right.values)
    for name in ALL[:-1]:
        np.testing.assert_array_equal(cube[name][0], expected[name].astype(cube[name].dtype), err_msg=name)
    shares = expected["sensor_share"]
    assert set(shares) == {"MSI", "OLI", "ETM", ""}
    observed = right.count[0] > 0
    for sensor, variable in SENSORS.items():
        share = shares.get(sensor, np.where(observed, 0, np.nan))
        np.testing.assert_array_equal(cube[f"sensor_share_{variable}"][0], share.astype(np.float32), err_msg=sensor)
    assert (expected["valid_count"] > right.count[0]).mean() > 0.1
    assert 0 < observed.mean() < 1
    assert expected["clear_share"][observed].min() < 0.5


def test_strips_shards_threads_and_order_of_collections_change_no_layer(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, collections, _, cube = pool
    monkeypatch.setattr(memory, "STACK_BYTES", 20_000)
    changed = request_of(folder, collections[::-1], chunk_size=20, shard=2, quality=ALL[::-1])
    ardcube.build(changed, tmp_path / "other.zarr", threads=1, limit=2)
    ardcube.retry(tmp_path / "other.zarr", missing=True, threads=2)
    other = stored(tmp_path / "other.zarr")
    assert set(other.data_vars) == set(cube.data_vars)
    for name in cube.data_vars:
        np.testing.assert_array_equal(other[name], cube[name], err_msg=str(name))


def test_layers_are_opened_by_xarray_ardcube_and_gdal(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset],
) -> None:
    folder, _, _, cube = pool
    uri = folder / "cube.zarr"
    days = cube["first_date"].values
    with xr.open_zarr(uri) as decoded:  # warnings are errors in these tests
        assert decoded["first_date"].dtype == np.float64
        np.testing.assert_array_equal(decoded["first_date"], np.where(days == NO_DAY, np.nan, days))
        assert decoded["first_date"].attrs["units"] == "day"
    opened = ardcube.open(uri)
    for name in set(cube.data_vars) - {"observation_count"}:
        assert opened[name].dtype == np.float32
    unknown = cube["observation_count"].values == 0
    np.testing.assert_array_equal(np.isnan(opened["date"]), unknown)
    np.testing.assert_allclose(opened["spread"], np.where(cube["spread"] == 65535, np.nan, cube["spread"] * 1e-4), 1e-5)
    np.testing.assert_array_equal(np.isnan(opened["clear_share"]), cube["valid_count"] == 0)
    for name in ("date", "clear_share"):
        raster = gdal_zarr.read(uri, name)
        assert raster.pixels.shape == (1, GRID.height, GRID.width)
    assert set(cube["rgb_median"].attrs["ancillary_variables"].split()) == set(cube.data_vars) - {"rgb_median"}


def test_layers_are_part_of_the_cube_that_is_continued_extended_and_replaced(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset], tmp_path: Path
) -> None:
    folder, collections, _, cube = pool
    uri, plain = tmp_path / "cube.zarr", request_of(folder, collections, quality=())
    ardcube.build(request_of(folder, collections, chunk_size=64), uri)
    longer = request_of(folder, collections, chunk_size=64, end_date="2023-09")
    ardcube.build(longer, uri)
    assert ardcube.build(longer, uri).written == 0
    extended = stored(uri)
    for name in cube.data_vars:
        np.testing.assert_array_equal(extended[name][0], cube[name][0], err_msg=str(name))
    assert (extended["date"][1] == NO_DAY).all()
    assert (extended["valid_count"][1] == 0).all()
    identity = json.loads((tmp_path / "cube.zarr.ardcube/cube.json").read_text())["identity"]
    assert identity["quality"] == list(ALL)
    assert identity["sensors"] == ["Landsat ETM+", "Landsat OLI", "Landsat TM", "Sentinel-2 MSI"]
    with pytest.raises(InputError, match=r"quality is .* there and not given here"):
        ardcube.build(request_of(folder, collections, chunk_size=64, end_date="2023-09", quality=()), uri)
    ardcube.build(plain, uri, overwrite=True)
    assert {path.name for path in uri.iterdir()} & set(cube.data_vars) == {"rgb_median", "observation_count"}
    assert "quality" not in json.loads((tmp_path / "cube.zarr.ardcube/cube.json").read_text())["identity"]


def test_a_late_scene_changes_the_layers_of_its_pixels(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset], tmp_path: Path
) -> None:
    folder, collections, _, cube = pool
    shutil.copytree(folder / "near", tmp_path / "near")
    late = next((tmp_path / "near").glob("*.json"))
    content = late.read_text()
    late.unlink()
    request = request_of(tmp_path, [str(folder / "far#c1"), str(folder / "far#landsat"), "s2"], chunk_size=64)
    ardcube.build(request, tmp_path / "cube.zarr")
    before = stored(tmp_path / "cube.zarr")
    late.write_text(content)
    assert ardcube.build(request, tmp_path / "cube.zarr").written > 0
    after = stored(tmp_path / "cube.zarr")
    for name in cube.data_vars:
        np.testing.assert_array_equal(after[name], cube[name], err_msg=str(name))
    assert not np.array_equal(before["spread"], after["spread"])
    assert sorted(collections) == sorted(request.collection)


def test_layers_of_a_clipped_cube_are_unknown_outside(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset], tmp_path: Path
) -> None:
    folder, collections, _, cube = pool
    west, south, east, north = GRID.bounds
    field = shapely.Polygon([(west, south), (east, south), (west, north)])
    (tmp_path / "field.geojson").write_text(shapely.to_geojson(field))
    changes = {"bbox": None, "geometry_file": str(tmp_path / "field.geojson"), "clip": True, "chunk_size": 64}
    ardcube.build(request_of(folder, collections, **changes), tmp_path / "cube.zarr")
    clipped = stored(tmp_path / "cube.zarr")
    inside = shapely.contains_xy(field, *np.meshgrid(cube["longitude"], cube["latitude"]))
    assert 0.3 < inside.mean() < 0.7
    for name in cube.data_vars:
        found, right = clipped[name].values[0], cube[name].values[0]
        np.testing.assert_array_equal(found[inside], right[inside], err_msg=str(name))
    assert (clipped["valid_count"].values[0][~inside] == 65535).all()
    assert (clipped["date"].values[0][~inside] == NO_DAY).all()
    assert np.isnan(clipped["clear_share"].values[0][~inside]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quality": ["date"]}, r"quality is \('valid_count', .* in config and \['date'\] in identity"),
        ({"sensors": "Landsat OLI"}, "the sensors are 'Landsat OLI'"),
    ],
)
def test_an_edited_identity_is_refused(
    pool: tuple[Path, list[str], list[dict[str, Any]], xr.Dataset], tmp_path: Path, change: Any, message: str
) -> None:
    shutil.copytree(pool[0] / "cube.zarr", tmp_path / "cube.zarr")
    shutil.copytree(pool[0] / "cube.zarr.ardcube", tmp_path / "cube.zarr.ardcube")
    file = tmp_path / "cube.zarr.ardcube/cube.json"
    edited = json.loads(file.read_text())
    edited["identity"] |= change
    edited["fingerprint"] = digest(edited["identity"])
    file.write_text(json.dumps(edited))
    with pytest.raises(StoreError, match=message):
        ardcube.open(tmp_path / "cube.zarr")


# ---- single chunks -------------------------------------------------------------------------------


def layers_of(
    archive: Archive, *names: Any, texts: tuple[Any, ...] = ("median",), mask: Any = PLAIN, period: Period = AUGUST
) -> dict[str, Any]:
    """Return the variables of a chunk of the archive's scenes, by name."""
    composites = tuple(composite(text) if isinstance(text, str) else text for text in texts)
    spec = cube_spec(GRID, bands=("red", "nir"), mask=mask, resampling="nearest", composites=composites)
    spec = replace(spec, quality=quality_of(names, composites, spec.varname, mask, ("A", "B")))
    pixels = composite_chunk(spec, WHOLE, archive.parsed, period=period)
    return {layer.name: array for layer, array in zip(spec.variables, pixels.variables, strict=True)}


class Scenes(Archive):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.parsed: list[Any] = []

    def add(self, when: str, red: Any, nir: Any = 500, classes: Any = CLEAR) -> None:
        scene = self.scene(f"s{len(self.parsed)}", classes, {"red": red, "nir": nir})
        self.parsed.append(replace(scene, datetime=scene.datetime.fromisoformat(f"{when}+00:00")))


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    return Scenes(tmp_path)


def test_a_solar_day_before_the_period_is_negative_and_one_after_it_is_its_length(scenes: Scenes) -> None:
    scenes.add("2023-08-01T00:30", 100)
    scenes.add("2023-08-31T23:30", 200)
    scenes.parsed = [replace(scenes.parsed[0], solar_hours=-9), replace(scenes.parsed[1], solar_hours=9)]
    found = layers_of(scenes, "date", "first_date", "last_date", texts=("last",))
    assert (found["first_date"] == -1).all()
    assert (found["last_date"] == found["date"]).all()
    assert (found["date"] == 31).all()


def test_the_date_is_that_of_the_choice_and_several_choices_have_one_each(scenes: Scenes) -> None:
    for day, red in (("05", 100), ("09", 300), ("20", 220)):
        scenes.add(f"2023-08-{day}T10:00", red)
    assert (layers_of(scenes, "date", texts=("median",))["date"] == 8).all()
    assert (layers_of(scenes, "date", texts=("median", "medoid"))["date"] == 19).all()
    found = layers_of(scenes, "date", texts=("mean", "medoid", "max:red", "first", "best-pixel", "least-cloudy"))
    assert "date" not in found
    for variable, day in (("medoid", 19), ("max_red", 8), ("first", 4), ("best_pixel", 19), ("least_cloudy", 4)):
        assert (found[f"{variable}_date"] == day).all()


@dataclass
class Darkest:
    """A choice of another package; it counts how often it chooses."""

    name: ClassVar[str] = "darkest"
    parameters: ClassVar[str] = ""
    bands: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[tuple[ardcube.Layer, ...]] = (ardcube.Layer("darkest observation"),)
    calls: int = 0

    def choose(self, stack: ardcube.Stack) -> Any:
        self.calls += 1
        assert stack.sensors == ("", "")
        return np.where(stack.numbers[0] == 0, 65535, stack.numbers[0]).argmin(axis=0).astype(np.int16)

    def reduce(self, stack: ardcube.Stack, out: tuple[Any, ...]) -> None:
        chosen = ardcube.chosen_of(self, stack)
        out[0][...] = np.moveaxis(np.take_along_axis(stack.numbers, chosen[None, None], axis=1)[:, 0], 0, -1)


def test_a_choice_of_another_package_is_made_once_and_has_a_date(scenes: Scenes) -> None:
    for day, red in (("05", 300), ("09", 100)):
        scenes.add(f"2023-08-{day}T10:00", red)
    darkest = Darkest()
    found = layers_of(scenes, "date", texts=(darkest,))
    assert (found["date"] == 8).all()
    assert (found["median"][..., 0] == 100).all()
    assert darkest.calls == 1


def test_a_choice_needs_all_bands_and_has_no_date_without_them(scenes: Scenes) -> None:
    half = np.where(np.arange(100) < 50, 0, 700)
    scenes.add("2023-08-05T10:00", 100, half)
    found = layers_of(scenes, "date", "first_date", texts=("medoid",))
    west = found["median"][..., 0] == 0
    assert 0.2 < west.mean() < 0.8
    np.testing.assert_array_equal(found["date"], np.where(west, NO_DAY, 4))
    assert (found["first_date"] == 4).all()


def test_valid_observations_are_counted_by_the_bands_where_clear_and_by_the_classes_elsewhere(scenes: Scenes) -> None:
    east = np.arange(100) >= 50
    scenes.add("2023-08-05T10:00", np.where(east, 100, 0), np.where(east, 100, 0))  # clear, half of it without data
    scenes.add("2023-08-06T10:00", 0, 0, CLOUD)
    scenes.add("2023-08-07T10:00", 0, 0, np.where(CLEAR, 0, 0).astype(np.uint8))
    found = layers_of(scenes, "valid_count", "clear_share")
    observed = found["observation_count"] == 1
    assert 0.2 < observed.mean() < 0.8
    np.testing.assert_array_equal(found["valid_count"], np.where(observed, 2, 1))
    np.testing.assert_array_equal(found["clear_share"], np.where(observed, np.float32(0.5), 0))
    unmasked = layers_of(scenes, "valid_count", mask=DefaultCloudMaskHook())
    np.testing.assert_array_equal(unmasked["valid_count"], unmasked["observation_count"])


class EvenDays:
    """A day mask: only days of even numbers are clear."""

    name: ClassVar[str] = "even"
    halo: ClassVar[int] = 2
    bands: ClassVar[tuple[str, ...]] = ("scl",)

    def clear(self, observations: Observations) -> Any:
        even = observations.time.astype("datetime64[D]").astype(int) % 2 == 0
        return np.broadcast_to(even[:, None, None], observations.shape).copy()


def test_a_day_mask_counts_pixels_with_a_class(scenes: Scenes) -> None:
    column = np.broadcast_to(np.arange(CLEAR.shape[1]), CLEAR.shape)
    for day in ("05", "06"):
        scenes.add(f"2023-08-{day}T10:00", 100, classes=np.where(column < 150, 0, 4).astype(np.uint8))
    found = layers_of(scenes, "valid_count", mask=EvenDays())
    assert (found["observation_count"] == 1).all()
    assert set(np.unique(found["valid_count"])) == {1, 2}


@pytest.mark.parametrize(
    ("names", "texts", "message"),
    [
        (("valid_count",), ("median",), "quality valid_count: the cloud mask odd reads no band"),
        (("spread",), ("median",), "quality spread: another variable has this name"),
        (("sensor_share",), ("median",), "quality sensor_share: all scenes have the sensor A"),
    ],
)
def test_layers_that_cannot_be_computed_are_refused(
    names: tuple[Any, ...], texts: tuple[str, ...], message: str
) -> None:
    class Odd(EvenDays):
        name = "odd"
        bands = ()

    with pytest.raises(InputError, match=message):
        quality_of(names, (Median(),), "spread", Odd(), ("A",))
