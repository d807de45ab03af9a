"""Clipped cubes: the pixels of an unclipped cube inside of the geometries, nodata outside, however they are built."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
from numpy.typing import NDArray

import ardcube
from ardcube.ledger.clip_file import NAME
from ardcube.ledger.ledger import Ledger
from ardcube.planning import memory
from ardcube.storage.place import Place
from tests.ardcube.api_cube import BOUNDS, cube_of
from tests.oracle.polygons import covered

TRIANGLE = shapely.Polygon(
    [(11.94, 46.845), (12.06, 46.85), (12.0, 46.895)], [[(11.99, 46.86), (12.01, 46.86), (12, 46.87)]]
)
ISLAND = shapely.box(12.055, 46.885, 12.066, 46.896)
SHAPES = [TRIANGLE, ISLAND]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("areas") / "areas.gpkg", *SHAPES)


def write(file: Path, *shapes: shapely.Geometry) -> Path:
    geopandas.GeoDataFrame(geometry=list(shapes), crs="EPSG:4326").to_file(file)
    return file


def clipped(archive: Path, file: Path, **changes: Any) -> ardcube.CubeConfig:
    values = {"bbox": None, "geometry_file": str(file), "clip": True, "end_date": "2023-05-31"}
    return cube_of(archive, **values | changes)


def raw(uri: Path) -> xr.Dataset:
    with xr.open_zarr(uri, mask_and_scale=False, decode_coords="all") as cube:
        return cube.load()


def inside(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return the pixels whose centres are inside, by the oracle."""
    return _inside(tuple(cube.longitude.to_numpy().tolist()), tuple(cube.latitude.to_numpy().tolist()))


@cache
def _inside(longitudes: tuple[float, ...], latitudes: tuple[float, ...]) -> NDArray[np.bool_]:
    return covered(SHAPES, *np.meshgrid(longitudes, latitudes))


def assert_clipped(uri: Path, whole: xr.Dataset) -> None:
    """Compare a cube with an unclipped cube of a larger area on the same lattice."""
    cube = raw(uri)
    expected = whole.sel(longitude=cube.longitude, latitude=cube.latitude, method="nearest")
    within = inside(cube)
    assert 0.1 < within.mean() < 0.9
    for name, layer in cube.data_vars.items():
        mask = within.reshape(1, *within.shape, *[1] * (layer.ndim - 3))
        nodata = NODATA.get(str(name), 0)
        np.testing.assert_array_equal(layer.to_numpy(), np.where(mask, expected[name].to_numpy(), nodata), str(name))


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chunks of 64": ({"chunk_size": 64}, {}),
    "one chunk": ({"chunk_size": 400}, {}),
    "parts of a chunk": ({"chunk_size": 400}, {}),
    "shards": ({"chunk_size": 32, "shard": 3}, {}),
    "through GDAL": ({"chunk_size": 64}, {"reader": "gdal"}),
}
LAYERS: dict[str, Any] = {
    "composites": ("median", "std", "max-ndvi"),
    "quality": ("valid_count", "last_date", "clear_share"),
    "cloud_mask": "scl",
}
NODATA = {"std": 65535, "valid_count": 65535, "last_date": -(2**31), "clear_share": np.nan}


@pytest.fixture(scope="module")
def whole(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """An unclipped cube."""
    uri = tmp_path_factory.mktemp("whole") / "cube.zarr"
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31", **LAYERS), uri)
    return raw(uri)


@pytest.mark.parametrize("options", list(OPTIONS))
def test_pixels_inside_are_those_of_an_unclipped_cube(
    options: str,
    whole: xr.Dataset,
    sample_archive: Path,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if options == "parts of a chunk":
        monkeypatch.setattr(memory, "PART_SIDE", 60)
    layout, run = OPTIONS[options]
    cube = clipped(sample_archive, file, **LAYERS, **layout)
    summary = ardcube.build(cube, tmp_path / "cube.zarr", **run)
    assert summary.failed == 0
    assert_clipped(tmp_path / "cube.zarr", whole)


def test_tiles_without_a_pixel_inside_are_not_built(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    plan = ardcube.plan(clipped(sample_archive, file, chunk_size=16))
    ardcube.build(clipped(sample_archive, file, chunk_size=16), tmp_path / "cube.zarr")
    within = inside(raw(tmp_path / "cube.zarr"))
    rows, cols = (-(-length // 16) for length in within.shape)
    expected = {
        f"y{row:04d}_x{col:04d}"
        for row in range(rows)
        for col in range(cols)
        if within[16 * row : 16 * row + 16, 16 * col : 16 * col + 16].any()
    }
    assert len(expected) < rows * cols
    assert set(plan.tiles().index) == expected


def test_shares_are_those_of_the_pixels_inside(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    ardcube.build(clipped(sample_archive, file, chunk_size=400), tmp_path / "cube.zarr")
    cube = raw(tmp_path / "cube.zarr")
    count = cube.observation_count.to_numpy()[0][inside(cube)]
    (record,) = Ledger.of_store(Place.at(str(tmp_path / "cube.zarr"))).records().values()
    assert record.statistics["observed_share"] == pytest.approx((count > 0).mean())
    assert record.statistics["mean_clear_days"] == pytest.approx(count.mean())
    filled = ardcube.fill(tmp_path / "cube.zarr", method="carry", max_periods=1)
    assert filled.observed == pytest.approx((count > 0).mean())
    (record,) = Ledger.of_store(Place.at(filled.uri)).records().values()
    assert record.statistics["mean_clear_days"] == pytest.approx(count.mean())
    assert record.statistics["observed_share"] == pytest.approx((count > 0).mean())


def test_a_retry_needs_no_geometry_file(whole: xr.Dataset, sample_archive: Path, tmp_path: Path) -> None:
    file, uri = write(tmp_path / "areas.gpkg", *SHAPES), tmp_path / "cube.zarr"
    cube = clipped(sample_archive, file, **LAYERS)
    first = ardcube.build(cube, uri, limit=1)
    file.unlink()
    rest = ardcube.retry(uri, missing=True)
    assert (first.left, rest.left, rest.failed) == (rest.written + rest.empty, 0, 0)
    assert_clipped(uri, whole)


def test_other_geometries_are_another_cube(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(clipped(sample_archive, file), uri, limit=1)
    with pytest.raises(ardcube.InputError, match=r"clip is '[0-9a-f]{16}' there and not given here"):
        ardcube.build(clipped(sample_archive, file, clip=False), uri)
    other = write(tmp_path / "other.gpkg", shapely.Polygon(TRIANGLE.exterior), ISLAND)
    with pytest.raises(ardcube.InputError, match=r"clip is '[0-9a-f]{16}' there and '[0-9a-f]{16}' here"):
        ardcube.build(clipped(sample_archive, other), uri)
    assert ardcube.build(clipped(sample_archive, other), uri, overwrite=True).failed == 0
    with_mask = clipped(sample_archive, other, use_geometry_mask=True)  # which is the same, because clip decides
    assert ardcube.build(with_mask, uri).written == 0


def test_a_cube_on_a_given_grid_is_clipped(whole: xr.Dataset, sample_archive: Path, file: Path, tmp_path: Path) -> None:
    like = tmp_path / "like.zarr"
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31", bbox=(11.96, 46.85, 12.06, 46.9)), like, limit=1)
    given = {"like": str(like), "resolution": None, **LAYERS}
    ardcube.build(clipped(sample_archive, file, **given), tmp_path / "cube.zarr")
    assert raw(tmp_path / "cube.zarr").sizes == raw(like).sizes
    assert_clipped(tmp_path / "cube.zarr", whole)
    elsewhere = write(tmp_path / "elsewhere.gpkg", shapely.box(3, 46, 3.1, 46.1))
    with pytest.raises(ardcube.InputError, match="clip: no pixel has its centre inside"):
        ardcube.plan(clipped(sample_archive, elsewhere, **given))


@pytest.mark.parametrize("damage", ["missing", "other", "torn"])
def test_a_ledger_with_other_geometries_is_refused(
    damage: str, sample_archive: Path, file: Path, tmp_path: Path
) -> None:
    uri, other = tmp_path / "cube.zarr", tmp_path / "other.zarr"
    ardcube.build(clipped(sample_archive, file), uri, limit=1)
    path = tmp_path / "cube.zarr.ardcube" / NAME
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        ardcube.build(clipped(sample_archive, write(tmp_path / "b.gpkg", shapely.box(*BOUNDS))), other, limit=1)
        shutil.copy(tmp_path / "other.zarr.ardcube" / NAME, path)
    with pytest.raises(ardcube.ChunksFailedError, match=r"clip.json .*run the build again with the geometry file"):
        ardcube.retry(uri, missing=True, retries=0)
    assert ardcube.build(clipped(sample_archive, file), uri).failed == 0
