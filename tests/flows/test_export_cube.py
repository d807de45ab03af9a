"""Exports on the workers of a cluster: equal to those of this process, and continued after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

import ardcube
from ardcube.config import RunConfig
from ardcube.exporting.request import Wanted
from ardcube.exporting.selection import LIST
from flows.export_cube import export_cube
from tests.ardcube.api_cube import cube_of
from tests.flows import jobs
from tests.servers.processes import DaskCluster
from tests.wait_for import until

FILES = {f"{name}_2023-0{month}.tif" for name in ("rgb_median", "observation_count") for month in (5, 6)}
VARIABLES = ("rgb_median", "observation_count")


@pytest.fixture(scope="module")
def built(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = tmp_path_factory.mktemp("built") / "cube.zarr"
    ardcube.build(cube_of(sample_archive), uri)
    return uri


@pytest.fixture(scope="module")
def local(built: Path) -> dict[str, bytes]:
    """The files that threads of this process write."""
    folder = built.with_name("local")
    ardcube.export(built, folder, variables=VARIABLES)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on(cluster: DaskCluster, output: Path | str) -> RunConfig:
    return jobs.run_config(output, serverless_backend="dask", scheduler_address=cluster.address, retries=0)


@pytest.mark.usefixtures("prefect_server")
def test_workers_of_a_cluster_write_the_files_that_threads_write(
    built: Path, local: dict[str, bytes], tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    run, wanted = on(dask_cluster, tmp_path / "out"), Wanted(variables=VARIABLES)
    done = export_cube(str(built), wanted, run)
    assert {Path(file).name for file in done.written} == FILES
    assert contents(tmp_path / "out") == local
    assert len(export_cube(str(built), wanted, run).kept) == len(FILES)
    (tmp_path / "out" / LIST).write_text("{}")
    with pytest.raises(ardcube.InputError, match="exists with other content; add --overwrite"):
        export_cube(str(built), wanted, run)
    assert len(export_cube(str(built), wanted, run, overwrite=True).written) == len(FILES)


@pytest.mark.usefixtures("prefect_server")
def test_a_worker_that_sees_another_cube_exports_nothing(
    built: Path, tmp_path: Path, dask_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that a worker does not see would be exported as nodata."""
    uri = tmp_path / "cube.zarr"
    for suffix in ("", ".ardcube"):
        shutil.copytree(f"{built}{suffix}", f"{uri}{suffix}")
    monkeypatch.setattr("ardcube.exporting.request.read_attributes", lambda _: {"title": "another"})
    with pytest.raises(ardcube.StoreError, match=r"worker tcp://\S+ does not see \S+/cube\.zarr as the flow does"):
        export_cube(str(uri), Wanted(), on(dask_cluster, tmp_path / "out"))
    assert set(contents(tmp_path / "out")) == {LIST}


@pytest.mark.usefixtures("prefect_server")
def test_a_killed_export_continues_with_the_files_that_are_left(
    built: Path, local: dict[str, bytes], tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    uri, folder = tmp_path / "cube.zarr", tmp_path / "out"
    for suffix in ("", ".ardcube"):
        shutil.copytree(f"{built}{suffix}", f"{uri}{suffix}")
    slow = next(path for path in sorted((uri / "rgb_median/c/1").rglob("*")) if path.is_file())
    content = slow.read_bytes()
    slow.unlink()
    os.mkfifo(slow)  # its reader waits
    words = ["export", str(uri), "--output", str(folder), "--serverless-backend", "dask"]
    words += ["--scheduler-address", dask_cluster.address, *(f"--variable={name}" for name in VARIABLES)]
    process = jobs.start(words, tmp_path / "log")

    def unfinished() -> set[str]:
        listed = json.loads((folder / LIST).read_text()) if (folder / LIST).exists() else {}
        return {name for name, one in listed.items() if one["bytes"] is None}

    try:
        until(lambda: unfinished() == {"rgb_median_2023-06.tif"} or process.poll() is not None, "one file is left")
        assert process.poll() is None, (tmp_path / "log").read_text()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        slow.write_bytes(content)  # the worker that was left reads it, and finds that its run has lost the folder
        slow.unlink()
    slow.write_bytes(content)
    assert not (folder / "rgb_median_2023-06.tif").exists()
    done = ardcube.export(uri, folder, variables=VARIABLES)
    assert [Path(file).name for file in done.written] == ["rgb_median_2023-06.tif"]
    assert {**contents(folder), LIST: b""} == {**local, LIST: b""}
