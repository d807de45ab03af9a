"""A build imports no large library that it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.flows.jobs import options, run_config, sample_cube
from tests.servers.processes import PrefectServer, environment

BUILD = """
import atexit, sys
atexit.register(lambda: print("imported:", sorted({"pandas", "xarray", "pyarrow"} & set(sys.modules))))
from flows.command import main
main()
"""


def test_a_build_imports_neither_pandas_nor_xarray(
    sample_archive: Path, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, bands=("red",), end_date="2023-05-31", chunk_size=96)
    arguments = ["build", *options(cube, run_config(tmp_path / "cube.zarr"))]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *arguments],
        env=environment(prefect_server.environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["imported: ['pyarrow']"], done.stderr
