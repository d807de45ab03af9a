"""Cubes of layout geozarr, built by the flow: the levels are tasks of the same run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.planning.jobs import ChunkKey
from ardcube.report.summary import ChunksFailedError
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from tests.flows.jobs import run_config, sample_cube
from tests.servers.processes import DaskCluster

pytestmark = pytest.mark.usefixtures("prefect_server")

CUBE = {
    "bbox": (11.96, 46.86, 12.04, 46.88),  # 800 x 200 pixels: levels of 800 and 400 columns
    "start_date": "2023-05-01",
    "end_date": "2023-05-31",
    "resolution": 0.0001,
    "chunk_size": 200,
    "bands": ("red",),
    "cloud_mask": "none",
    "layout": "geozarr",
}


@pytest.fixture(scope="module")
def whole(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube that was built without a flow."""
    uri = tmp_path_factory.mktemp("whole") / "cube.zarr"
    ardcube.build(sample_cube(sample_archive, **CUBE), uri, threads=1)
    return uri


def objects(uri: Path) -> dict[str, bytes]:
    return {str(file.relative_to(uri)): file.read_bytes() for file in uri.glob("*/*/c/**/*") if file.is_file()}


def test_the_flow_builds_levels_on_the_workers_of_a_cluster(
    whole: Path, sample_archive: Path, tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    uri = tmp_path / "cube.zarr"
    run = run_config(uri, serverless_backend="dask", scheduler_address=dask_cluster.address)
    summary = build_cube(sample_cube(sample_archive, **CUBE), run)
    assert (summary.chunks, summary.failed) == (4, 0)
    assert objects(uri) == objects(whole)


def test_a_level_chunk_that_fails_fails_the_run_and_the_next_one_builds_it(
    whole: Path, sample_archive: Path, tmp_path: Path
) -> None:
    for name in ("cube.zarr", "cube.zarr.ardcube"):
        shutil.copytree(whole.with_name(name), tmp_path / name)
    uri = tmp_path / "cube.zarr"
    ledger = Ledger.of_store(Place.at(str(uri))).of_level(1)
    key = ChunkKey("2023-05", 0, 1)
    record = ledger.records()[key]
    shutil.rmtree(ledger.place.path)
    pixels = uri / "0/red/c/0/0/3"
    content = pixels.read_bytes()
    pixels.write_bytes(content[:200])
    cube, run = sample_cube(sample_archive, **CUBE), run_config(uri, retries=0)
    with pytest.raises(ChunksFailedError, match=r"1 of 4 chunks failed: .*0 is damaged") as caught:
        build_cube(cube, run)
    assert [failure.chunk for failure in caught.value.summary.failures] == [f"{key} of level 1"]
    pixels.write_bytes(content)
    assert build_cube(cube, run).failed == 0
    assert objects(uri) == objects(whole)
    assert ledger.records()[key].inputs == record.inputs
