"""Builds of the sample archive, and their results."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.config import CubeConfig, RunConfig
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from tests.oracle.cube import OracleCube, oracle_cube, read_catalogue
from tests.servers.processes import PrefectServer, environment

# A corner of the sample: two granules of one zone and one of the other, swath edges, an empty tile, every flaw.
SAMPLE = {
    "bbox": (11.96, 46.85, 12.04, 46.89),
    "start_date": "2023-05-01",
    "end_date": "2023-07-31",
    "resolution": 0.0005,
    "chunk_size": 48,
    "cloud_mask": "scl",
}


@dataclass(frozen=True, slots=True)
class Pixels:
    """All arrays of a cube."""

    values: NDArray[np.uint16]
    count: NDArray[np.uint16]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Pixels)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.count, other.count)
        )

    __hash__ = None  # type: ignore[assignment]


def sample_cube(archive: Path | str, **changes: Any) -> CubeConfig:
    """Return the configuration of a small cube of the sample archive."""
    return CubeConfig(**{**SAMPLE, "stac_url": str(archive), **changes})


def run_config(uri: Path | str, **changes: Any) -> RunConfig:
    """Return a run without delay between attempts."""
    return RunConfig(**{"fsspec_uri": str(uri), "retry_delay_seconds": 0, "threads": 2, "batch_size": 6, **changes})


def pixels(uri: Path | str, storage_options: Mapping[str, Any] | None = None, varname: str = "rgb_median") -> Pixels:
    """Read the arrays of a cube without decoding them."""
    group = zarr.open_group(str(uri), mode="r", storage_options=dict(storage_options) if storage_options else None)
    return Pixels(np.asarray(group[varname][...]), np.asarray(group["observation_count"][...]))


def records(uri: Path | str, storage_options: Mapping[str, Any] | None = None) -> dict[ChunkKey, ChunkRecord]:
    """Read the records of a cube."""
    return Ledger.of_store(Place.at(str(uri), storage_options)).records()


def expected(
    archive: Path, cube: CubeConfig, nudge: float = 0.0, periods: Sequence[tuple[date, date]] = ()
) -> OracleCube:
    """Return the cube that the oracle computes."""
    items, collection = read_catalogue(archive)
    assert cube.bbox is not None
    return oracle_cube(
        items,
        collection,
        bbox=cube.bbox,
        start=cube.start_date,
        end=cube.end_date,
        months=cube.time_frequency_months or 1,
        periods=periods,
        resolution=cube.resolution,
        bands=cube.bands,
        cloud_mask=cube.cloud_mask,
        resampling=cube.resampling,
        nudge=nudge,
    )


def copy_catalogue(archive: Path, folder: Path, without: Sequence[str] = ()) -> Path:
    """Copy a catalogue with hard links, and leave some items out."""
    shutil.copytree(archive, folder, copy_function=os.link, ignore=lambda _, names: [n for n in names if n in without])
    return folder


def options(cube: CubeConfig, run: RunConfig) -> list[str]:
    """Return the command line of a build."""
    arguments = []
    for model in (cube, run):
        for name, value in model.model_dump(mode="json", exclude_defaults=True).items():
            option = "--" + name.replace("_", "-")
            if isinstance(value, bool):
                arguments.append(option if value else f"--no-{option[2:]}")
            elif name == "bbox":
                arguments += [option, *map(str, value)]
            elif isinstance(value, list):
                arguments += [part for entry in value for part in (option, str(entry))]
            elif isinstance(value, dict):
                arguments += [part for key, entry in value.items() for part in (option[:-1], f"{key}={entry}")]
            else:
                arguments += [option, str(value)]
    return arguments


def command(*arguments: str) -> list[str]:
    """Return the command line of the installed `ardcube`."""
    return [str(Path(sys.executable).parent / "ardcube"), *arguments]


def start(arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command as the leader of a process group."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command(*arguments), stdout=output, stderr=output, env=environment(env), start_new_session=True
        )


def run(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, seconds: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments), env=environment(env), capture_output=True, text=True, timeout=seconds, check=False
    )


@contextlib.contextmanager
def server_for_machines(server: PrefectServer) -> Any:
    """Give this process an address of a Prefect server that is not loopback, as workers of other machines need it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # slow to import

    direct = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1,0.0.0.0")
    address = server.api_url.replace("127.0.0.1", "0.0.0.0")
    with environment_of(direct), temporary_settings({PREFECT_API_URL: address}):
        yield


@contextlib.contextmanager
def environment_of(variables: Mapping[str, str]) -> Any:
    """Set environment variables of this process in a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
