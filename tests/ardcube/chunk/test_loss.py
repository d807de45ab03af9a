"""A chunk that loses many of its clear pixels when it is built again is reported, and the stored one is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from tests.ardcube.chunk.test_build import REQUEST, write_scene
from tests.strategies import stac_collection

SHARE = 0.6
"""Part of the scene `half` that has no data, about."""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Return a catalogue of two scenes, of which one has data in its right part only."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    write_scene(folder, "whole", "2023-08-10T10:00:00Z")
    write_scene(folder, "half", "2023-08-15T10:00:00Z")
    for band in ("red", "nir"):
        with rasterio.open(folder / "half" / f"{band}.tif", "r+") as raster:
            values = raster.read(1)
            values[:, : round(SHARE * values.shape[1])] = 0
            raster.write(values, 1)
    (folder / "collection.json").write_text(json.dumps(stac_collection()))
    return folder


@pytest.fixture
def build(catalogue: Path, tmp_path: Path) -> Callable[..., ardcube.BuildSummary]:
    """Return a function that builds the cube of one chunk."""

    def built(**run: Any) -> ardcube.BuildSummary:
        cube = ardcube.CubeConfig(**REQUEST | {"stac_url": str(catalogue), "chunk_size": 64})
        return ardcube.build(cube, tmp_path / "cube.zarr", **run)

    return built


def retract(catalogue: Path, scene: str) -> Path:
    return Path(shutil.move(catalogue / scene, catalogue.parent / f"retracted-{scene}"))


def counts(tmp_path: Path) -> Any:
    with xr.open_zarr(tmp_path / "cube.zarr") as cube:
        return cube["observation_count"].to_numpy()


def the_record(tmp_path: Path) -> ChunkRecord:
    (record,) = Ledger.at(str(tmp_path / "cube.zarr.ardcube")).records().values()
    return record


def test_a_retracted_scene_does_not_remove_published_pixels(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]
) -> None:
    build()
    before = counts(tmp_path)
    retracted = retract(catalogue, "whole")
    with pytest.raises(ardcube.ChunksFailedError) as raised:
        build()
    (cause,) = raised.value.summary.causes
    clear = np.count_nonzero(before)
    assert cause.kind == "LossError"
    assert f"clear pixels instead of {clear}" in cause.problem
    assert "run again" not in str(raised.value)  # it would fail again
    needed = float(cause.problem.partition("--allow-loss ")[2].partition(" ")[0])
    with pytest.raises(ardcube.ChunksFailedError):
        build(allow_loss=needed - 0.001)
    assert np.array_equal(counts(tmp_path), before)
    record = the_record(tmp_path)
    assert (record.status, record.kept, record.attempts[-1].permanent) == ("failed", True, True)

    with pytest.raises(ardcube.ChunksFailedError):  # compared with the pixels in the store, not with the failed build
        build()
    assert np.array_equal(counts(tmp_path), before)
    assert f"({needed:.1%} less)" in cause.problem
    retracted.rename(catalogue / "whole")
    assert build().written == 1
    assert np.array_equal(counts(tmp_path), before)
    assert (the_record(tmp_path).status, the_record(tmp_path).kept) == ("written", False)


@pytest.mark.parametrize("again", ["build", "retry"])
def test_a_larger_allowance_publishes_the_loss(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary], again: str
) -> None:
    build()
    before = np.count_nonzero(counts(tmp_path))
    retract(catalogue, "whole")
    with pytest.raises(ardcube.ChunksFailedError):
        build()
    with pytest.raises(ardcube.ChunksFailedError):
        ardcube.retry(tmp_path / "cube.zarr")
    if again == "build":
        build(allow_loss=0.9)
    else:
        ardcube.retry(tmp_path / "cube.zarr", allow_loss=0.9)
    assert 0 < np.count_nonzero(counts(tmp_path)) < (1 - SHARE + 0.2) * before
    assert the_record(tmp_path).status == "written"


def test_a_small_loss_is_published(catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]) -> None:
    build()
    before = counts(tmp_path)
    retract(catalogue, "half")
    assert build().written == 1
    after = counts(tmp_path)
    assert after.max() == 1
    assert 0.9 * np.count_nonzero(before) < np.count_nonzero(after) < np.count_nonzero(before)


def test_a_period_without_scenes_does_not_empty_a_chunk(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]
) -> None:
    write_scene(catalogue, "september", "2023-09-10T10:00:00Z")  # a catalogue without any scene is refused
    build()
    for scene in ("whole", "half"):
        retract(catalogue, scene)
    with pytest.raises(ardcube.ChunksFailedError, match="has 0 clear pixels"):
        build()
    assert counts(tmp_path).any()


def test_a_damaged_stored_chunk_is_replaced(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]
) -> None:
    build()
    (chunk,) = (path for path in (tmp_path / "cube.zarr" / "observation_count" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    retract(catalogue, "whole")
    assert build().written == 1
    assert counts(tmp_path).any()


def test_an_error_in_a_new_scene_keeps_the_stored_pixels(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]
) -> None:
    build()
    before = counts(tmp_path)
    write_scene(catalogue, "late", "2023-08-20T10:00:00Z")
    (catalogue / "late" / "red.tif").write_bytes(b"II*\0damaged")
    with pytest.raises(ardcube.ChunksFailedError):
        build()
    assert the_record(tmp_path).kept
    assert np.array_equal(counts(tmp_path), before)


def test_kept_pixels_are_exported_and_filled_as_others_are(
    catalogue: Path, tmp_path: Path, build: Callable[..., ardcube.BuildSummary]
) -> None:
    build()
    before = counts(tmp_path)
    retract(catalogue, "whole")
    with pytest.raises(ardcube.ChunksFailedError):
        build()
    (file,) = ardcube.export(tmp_path / "cube.zarr", tmp_path / "files").written
    with rasterio.open(file) as raster:
        assert np.array_equal((raster.read() != raster.nodata).any(axis=0), before[0] > 0)
    filled = ardcube.fill(tmp_path / "cube.zarr", method="carry", max_periods=1)
    assert filled.observed == pytest.approx(np.mean(before > 0))
