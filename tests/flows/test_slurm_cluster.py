"""A cluster whose workers are jobs of SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows.build_cube import build_cube
from tests.flows.jobs import environment_of, pixels, run_config, sample_cube, server_for_machines
from tests.servers.processes import PrefectServer
from tests.servers.slurm import slurm


@pytest.mark.deep  # slurmctld, slurmd, slurm-client and munge are not installed by default
def test_a_build_on_jobs_of_slurm_equals_a_local_build(
    prefect_server: PrefectServer, sample_archive: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, chunk_size=80, bands=("red",), end_date="2023-05-31")
    build_cube(cube, run_config(tmp_path / "local.zarr"))
    logs, folder = tmp_path / "logs", tmp_path / "slurm"
    folder.mkdir()
    options = {
        "queue": "regular",
        "cores": 1,
        "processes": 1,
        "memory": "1 GB",
        "walltime": "00:10:00",
        "python": sys.executable,
        "log_directory": str(logs),
        "local_directory": str(tmp_path),
        "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        "worker_extra_args": ["--host", "127.0.0.1"],
    }
    run = run_config(
        tmp_path / "cube.zarr",
        threads=None,
        serverless_backend="dask",
        cluster_class="dask_jobqueue.SLURMCluster",
        cluster_options=options,
        adapt=(1, 2),
    )
    with slurm(folder) as environment, environment_of(environment), server_for_machines(prefect_server):
        summary = build_cube(cube, run)
        jobs = (folder / "slurmctld.log").read_text().count("_slurm_rpc_submit_batch_job: JobId=")
    assert (summary.written + summary.empty, summary.failed) == (summary.chunks, 0)
    assert jobs >= 1
    assert "Registered to" in "".join(file.read_text() for file in logs.iterdir())
    assert pixels(tmp_path / "cube.zarr") == pixels(tmp_path / "local.zarr")
