"""The coordinate `complete`: the share of finished tiles of each period, at the end of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import ardcube
from ardcube.storage.place import Place
from ardcube.store import schema
from tests.ardcube.api_cube import cube_of
from tests.ardcube.small_cube import create, periods_until


def complete(store: Path | str, **options: object) -> list[float]:
    with xr.open_zarr(store, **options) as cube:
        assert "complete" in cube.coords
        assert cube["complete"].dims == ("time",)
        return [round(float(share), 4) for share in cube["complete"]]


def test_a_run_writes_the_share_of_finished_tiles(sample_archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "cube.zarr"
    ardcube.build(cube_of(sample_archive), store, limit=7)  # six tiles, two months; jobs are ordered by tile
    assert complete(store) == [round(4 / 6, 4), 0.5]
    assert complete(store, consolidated=False) == [round(4 / 6, 4), 0.5]
    ardcube.build(cube_of(sample_archive), store)
    assert complete(store) == [1.0, 1.0]
    ardcube.build(cube_of(sample_archive, end_date="2023-07-31"), store, limit=1)
    assert complete(store) == [1.0, 1.0, round(1 / 6, 4)]
    with ardcube.open(store) as cube:
        ready = cube.isel(time=cube["complete"].to_numpy() == 1)
        assert ready.sizes["time"] == 2


def test_a_failed_chunk_is_not_finished(sample_archive: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(sample_archive, archive)
    cube = cube_of(archive, end_date="2023-05-31")
    scene = next(path for path in sorted(archive.rglob("B04.tif")) if "202305" in str(path))
    good = scene.read_bytes()
    scene.write_bytes(b"II*\0damaged")
    with pytest.raises(ardcube.ChunksFailedError) as raised:
        ardcube.build(cube, tmp_path / "cube.zarr")
    failed = raised.value.summary.failed
    assert failed > 0
    assert complete(tmp_path / "cube.zarr") == [round(1 - failed / 6, 4)]
    scene.write_bytes(good)
    ardcube.retry(tmp_path / "cube.zarr")
    assert complete(tmp_path / "cube.zarr") == [1.0]


def test_a_new_store_states_that_nothing_is_finished(place: Place) -> None:
    create(place)
    schema.extend(place, "rgb_median", periods_until(4))
    group = zarr.open_group(schema.zarr_store(place), mode="r")
    assert group["complete"][:].tolist() == [0, 0, 0, 0]
    schema.write_complete(place, np.array([1, 0.5, 0, 0], np.float32))
    schema.extend(place, "rgb_median", periods_until(5))
    assert zarr.open_group(schema.zarr_store(place), mode="r")["complete"][:].tolist() == [1, 0.5, 0, 0, 0]


def test_a_cube_of_an_earlier_version_gets_the_coordinate(local: Place) -> None:
    create(local)
    shutil.rmtree(Path(local.path) / "complete")
    schema.consolidate(local)
    schema.update_attributes(local, {"coordinates": "time_bnds spatial_ref"})
    schema.extend(local, "rgb_median", periods_until(4))
    assert "complete" not in zarr.open_group(local.path, mode="r")
    schema.write_complete(local, np.array([1, 1, 0.5, 0], np.float32))
    assert complete(local.path) == [1, 1, 0.5, 0]
    with xr.open_zarr(local.path) as cube:
        assert {"time_bnds", "spatial_ref"} <= set(cube.coords)


def test_overwrite_removes_the_coordinate(local: Place) -> None:
    create(local)
    schema.write_complete(local, np.ones(3, np.float32))
    schema.remove(local, "rgb_median")
    assert not Path(local.path).exists()
