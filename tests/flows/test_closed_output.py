"""A run completes although the reader of its output ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.flows import jobs
from tests.flows.jobs import options, records, run_config, sample_cube
from tests.servers.processes import environment

pytestmark = pytest.mark.usefixtures("prefect_server")

# A Prefect worker reads the log lines of its run; the command reduces them to errors.
LOGS = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}


@pytest.mark.parametrize(
    "variables",
    [pytest.param({}, id="head", marks=pytest.mark.deep), pytest.param(LOGS, id="a worker that is killed")],
)
def test_a_run_completes_after_the_reader_of_its_output_has_ended(
    variables: dict[str, str], sample_archive: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, chunk_size=80, bands=("red",))
    arguments = options(cube, run_config(tmp_path / "cube.zarr", batch_size=1))
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            jobs.command("build", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if variables else errors,
            env=environment(variables),
        )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(240) == 0, (tmp_path / "errors").read_text()
    assert (tmp_path / "errors").read_text() == ""
    assert [record.status for record in records(tmp_path / "cube.zarr").values()] == ["written"] * 6
