"""One cube for each feature of a geometry file: checked together, built one after another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

import ardcube
from ardcube.lease.acquire import holding
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from tests.ardcube.api_cube import cube_of
from tests.servers.processes import S3
from tests.stac_schemas import validate_folder

NORTH = shapely.box(11.95, 46.88, 12.0, 46.9)
SOUTH = shapely.box(11.95, 46.84, 12.0, 46.86)
EAST = shapely.box(12.02, 46.85, 12.04, 46.88)
AREAS = {"north": NORTH, "Süd 2": SOUTH, "e.a-s_t": EAST}


def write(file: Path, names: Any, shapes: list[Any] | None = None) -> Path:
    shapes = list(AREAS.values()) if shapes is None else shapes
    geopandas.GeoDataFrame({"name": names}, geometry=shapes, crs="EPSG:4326").to_file(file)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "areas.gpkg", list(AREAS))


def config(archive: Path, file: Path, **changes: Any) -> ardcube.CubeConfig:
    values = {"bbox": None, "geometry_file": str(file), "end_date": "2023-05-31", "chunk_size": 50}
    return cube_of(archive, **values | changes)


def pixels(uri: Path) -> Any:
    return ardcube.open(uri)["rgb_median"].to_numpy()


def test_each_cube_is_that_of_its_feature_alone(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cubes"
    summary = ardcube.build(config(sample_archive, file, clip=True), folder, each="name")
    assert [cube.name for cube in summary.cubes] == list(AREAS)
    assert summary.uri == str(folder)
    parts = [cube.summary for cube in summary.cubes]
    assert summary.chunks == sum(part.chunks for part in parts if part) > 3
    assert (summary.written, summary.failed, summary.left) == (summary.chunks, 0, 0)
    assert sorted(path.name for path in folder.glob("*.zarr")) == sorted(f"{name}.zarr" for name in AREAS)
    for name, shape in AREAS.items():
        alone = write(tmp_path / "alone.gpkg", ["x"], [shape])
        ardcube.build(config(sample_archive, alone, clip=True), tmp_path / "alone.zarr", overwrite=True)
        assert np.isfinite(pixels(tmp_path / "alone.zarr")).any()
        np.testing.assert_array_equal(pixels(folder / f"{name}.zarr"), pixels(tmp_path / "alone.zarr"))


def test_a_feature_builds_the_cube_that_each_builds(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    ardcube.build(config(sample_archive, file), tmp_path, each="name", stac=str(tmp_path / "stac"))
    documents = [validate_folder(tmp_path / "stac" / name) for name in AREAS]
    assert [collection["id"] for collection, *_ in documents] == ["north", "Süd-2", "e.a-s_t"]
    one = config(sample_archive, file, feature="name=Süd 2")
    assert ardcube.build(one, tmp_path / "Süd 2.zarr").already_done > 0
    retried = ardcube.retry(tmp_path / "Süd 2.zarr", missing=True)
    assert retried.left == retried.failed == 0
    with pytest.raises(ardcube.InputError, match=r"feature 'name=west': not in .*; the values of name are 'north', "):
        ardcube.plan(config(sample_archive, file, feature="name=west"))


def test_a_run_is_continued_by_the_same_call(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    cube = config(sample_archive, file)
    first = ardcube.build(cube, tmp_path, each="name", limit=1)
    assert [part.summary.left > 0 for part in first.cubes if part.summary] == [True, True, True]
    rest = ardcube.build(cube, tmp_path, each="name")
    assert (rest.already_done, rest.written + rest.empty) == (first.written + first.empty, first.left)
    assert ardcube.build(cube, tmp_path, each="name").already_done == rest.chunks


def test_a_cube_that_fails_does_not_stop_the_others(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    archive = Path(shutil.copytree(sample_archive, tmp_path / "archive"))
    held = Ledger.of_store(Place.at(str(tmp_path / "north.zarr"))).place
    cube = config(archive, file)
    with holding(held), pytest.raises(ardcube.ChunksFailedError) as caught:
        ardcube.build(cube, tmp_path, each="name")
    assert str(caught.value).startswith("1 of 3 cubes failed: north (")
    assert str(caught.value).endswith("run again to build only the missing chunks")
    north, *others = caught.value.summary.cubes
    assert north.summary is None
    assert all(other.summary and other.summary.written and not other.error for other in others)

    for band in archive.rglob("B04.tif"):
        band.rename(band.with_suffix(".away"))
    with pytest.raises(ardcube.ChunksFailedError) as again:
        ardcube.build(cube, tmp_path, each="name", retries=0)
    north, *others = again.value.summary.cubes
    assert north.summary is not None
    assert again.value.summary.failed == north.summary.failed > 0
    assert all(other.summary and other.summary.already_done and not other.error for other in others)


BAD: dict[str, tuple[Any, str]] = {
    "a missing name": (["a", None, "c"], r"each name: the field of .*areas.gpkg is empty in 1 of 3 features"),
    "a path": (["a", "../b", "c"], r"has values that are no names of cubes: '../b'; choose a field of letters"),
    "an absolute path": (["/a", "b", "c"], "no names of cubes: '/a'"),
    "dots": (["a", "..", "c"], "no names of cubes: '..'"),
    "a backslash": (["a", "b\\c", "d"], "no names of cubes"),
    "a query": (["a?b", "b#c", "c%2Fd"], "no names of cubes: 'a[?]b', 'b#c', 'c%2Fd'"),
    "a space at the end": (["a ", "b", "c"], "no names of cubes: 'a '"),
    "a long name": (["a" * 101, "b", "c"], "no names of cubes"),
    "an empty name": (["", "b", "c"], "no names of cubes: ''"),
    "equal names": (["a", "b", "a"], "has equal values: 'a'; choose a field whose values are distinct"),
    "names that a filesystem takes for equal": (["Graz", "b", "GRAZ"], "has equal values: 'Graz'"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_values_that_are_no_names_are_refused(case: str, sample_archive: Path, tmp_path: Path) -> None:
    names, message = BAD[case]
    file = write(tmp_path / "areas.gpkg", names)
    with pytest.raises(ardcube.InputError, match=message) as caught:
        ardcube.build(config(sample_archive, file), tmp_path / "cubes", each="name")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cubes").exists()


def test_whole_numbers_are_names(sample_archive: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "areas.gpkg", np.array([7, 8, 9], float))
    ardcube.build(config(sample_archive, file), tmp_path, each="name", limit=1)
    assert {path.name for path in tmp_path.glob("*.zarr")} == {"7.zarr", "8.zarr", "9.zarr"}


def test_nothing_is_written_if_one_cube_cannot_be_built(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    folder, cube = tmp_path / "cubes", config(sample_archive, file)
    (folder / "e.a-s_t.zarr").mkdir(parents=True)
    (folder / "e.a-s_t.zarr" / "other").touch()
    with pytest.raises(ardcube.InputError, match=r"^name=e.a-s_t: uri .* holds something that ardcube did not write"):
        ardcube.build(cube, folder, each="name")
    with pytest.raises(ardcube.InputError, match=r"the 3 cubes have \d+ chunks, more than max_chunks 4"):
        ardcube.build(cube, tmp_path / "others", each="name", max_chunks=4)
    with pytest.raises(ardcube.InputError, match=r"field 'town': not in .*areas.gpkg; choose from 'name'"):
        ardcube.build(cube, tmp_path / "others", each="town")
    with pytest.raises(ardcube.InputError, match="each name: needs a geometry_file; give one"):
        ardcube.build(cube_of(sample_archive), tmp_path / "others", each="name")
    with pytest.raises(ardcube.InputError, match="each name: feature chooses one cube; omit one"):
        ardcube.build(config(sample_archive, file, feature="name=north"), tmp_path / "others", each="name")
    assert {path.name for path in tmp_path.iterdir()} == {"areas.gpkg", "cubes"}
    assert [path.name for path in folder.iterdir()] == ["e.a-s_t.zarr"]


def test_a_plan_of_each_is_that_of_its_feature(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    plans = ardcube.plan(config(sample_archive, file), each="name")
    assert list(plans) == list(AREAS)
    for name, found in plans.items():
        alone = ardcube.plan(config(sample_archive, file, feature=f"name={name}"))
        assert repr(found) == repr(alone)
        assert found.tiles().equals(alone.tiles())
    assert {path.name for path in tmp_path.iterdir()} == {"areas.gpkg"}


def test_a_folder_of_cubes_on_s3(
    sample_archive: Path, file: Path, tmp_path: Path, moto_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    cube, folder = config(sample_archive, file), moto_s3.uri("cubes")
    there = ardcube.build(cube, folder, each="name")
    here = ardcube.build(cube, tmp_path / "cubes", each="name")
    assert (there.written, there.scenes) == (here.written, here.scenes)
    for name in AREAS:
        found = ardcube.open(f"{folder}/{name}.zarr")["rgb_median"].to_numpy()
        np.testing.assert_array_equal(found, pixels(tmp_path / "cubes" / f"{name}.zarr"))
    assert ardcube.build(cube, folder, each="name").already_done == there.chunks
    with pytest.raises(ardcube.InputError, match=r"a folder of cubes \(Süd 2.zarr, e.a-s_t.zarr, north.zarr\); give"):
        ardcube.status(folder)


def test_a_cube_is_no_folder_of_cubes(sample_archive: Path, file: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(config(sample_archive, file), uri, limit=1)
    with pytest.raises(ardcube.InputError, match=r"uri .*cube.zarr holds a cube .*give the folder that gets the cubes"):
        ardcube.build(config(sample_archive, file), uri, each="name")
    with pytest.raises(ardcube.InputError, match="each cannot be combined with a retry"):
        ardcube.retry(uri, each="name")
