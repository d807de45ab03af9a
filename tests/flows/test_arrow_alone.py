"""A build imports pyarrow without pandas, and later uses of pandas are not disturbed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.flows.jobs import options, run_config, sample_cube
from tests.servers.processes import PrefectServer, environment

CONVERT = """
import sys
from flows.arrow_alone import import_arrow_alone
import_arrow_alone()
import pyarrow as pa
table = pa.table({"a": [1.0, None]})
print("pandas" in sys.modules, table.to_pylist())
print(table.to_pandas()["a"].isna().tolist())
import pandas
print(pa.array(pandas.Series([1.0, float("nan")])).null_count)  # NaN is null in a Series only
"""
BUILD = """
import atexit, sys
atexit.register(lambda: print("imported:", sorted({"pandas", "xarray", "pyarrow"} & set(sys.modules))))
from flows.command import main
main()
"""


def printed(*arguments: str, **variables: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pandas_is_imported_when_it_is_used() -> None:
    assert printed(CONVERT) == ["False [{'a': 1.0}, {'a': None}]", "[False, True]", "1"]


def test_a_build_imports_no_pandas(sample_archive: Path, prefect_server: PrefectServer, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive, bands=("red",), end_date="2023-05-31", chunk_size=96)
    lines = printed(BUILD, "build", *options(cube, run_config(tmp_path / "cube.zarr")), **prefect_server.environment)
    assert lines[-1] == "imported: ['pyarrow']"
