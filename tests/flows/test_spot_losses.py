"""Spot machines of Coiled that are lost during a build, and the pixels of the cube."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest

from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from tests.flows.jobs import pixels, run_config, sample_cube, server_for_machines
from tests.flows.remote import Remote
from tests.servers.earth_search import EarthSearch
from tests.servers.processes import S3, PrefectServer
from tests.servers.range_server import RangeServer
from tests.servers.spot_cluster import SpotCluster, losses, quick_starts

MANY = {"bbox": (11.96, 46.85, 12.048, 46.898), "chunk_size": 16}
"""198 chunks: 66 tiles in three months."""


@pytest.fixture
def coiled(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Coiled with a token, whose cluster is a substitute, and a Prefect server at an address that is not loopback."""
    monkeypatch.setattr("coiled.Cluster", SpotCluster)
    monkeypatch.setattr(SpotCluster, "started", [])
    with server_for_machines(prefect_server), dask.config.set({"coiled.token": "hush"}), quick_starts():
        yield


@pytest.mark.parametrize(
    ("cube", "seconds", "least"),
    [
        pytest.param({"chunk_size": 48}, None, 3, id="24 chunks, a worker after every fourth"),
        pytest.param(MANY, 2.0, 5, id="198 chunks, a worker every 2 s", marks=pytest.mark.deep),
    ],
)
def test_a_cube_of_spot_machines_that_are_lost_equals_an_undisturbed_one(
    cube: dict[str, Any],
    seconds: float | None,
    least: int,
    coiled: None,
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    moto_s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    for name, value in moto_s3.environment.items():
        if name != "AWS_ENDPOINT_URL":  # it would apply to the scenes too
            monkeypatch.setenv(name, value)
    uri, stored = moto_s3.uri("cube.zarr"), {"endpoint_url": moto_s3.endpoint_url}
    ledger = Ledger.of_store(Place.at(uri, stored))
    marks: list[tuple[float, int]] = []
    """Time and number of records at the first question after each loss."""

    def due(lost: int) -> bool:
        if seconds is None:
            return len(ledger.records(brief=True)) >= 4 * (lost + 1)
        if len(marks) <= lost:
            marks.append((time.monotonic(), len(ledger.records(brief=True))))
        since, done = marks[lost]
        # On a busy machine a chunk may take longer than that: workers that complete none would be lost for ever.
        return time.monotonic() - since > seconds and len(ledger.records(brief=True)) > done

    with EarthSearch([remote.collection], remote.items) as api:
        asked = sample_cube(api.url, bands=("red",), **cube)
        run = run_config(
            uri, storage_options=stored, threads=1, batch_size=2, serverless_backend="coiled", adapt=(2, 3)
        )
        with losses(due, left=0 if seconds is None else 1) as lost:
            summary = build_cube(asked, run)
        build_cube(asked, run_config(tmp_path / "cube.zarr"))
    assert len(lost) >= least
    assert (summary.written + summary.empty, summary.failed) == (summary.chunks, 0)
    (cluster,) = SpotCluster.started
    assert cluster.adapted == {"minimum": 2, "maximum": 3, "target_duration": "20s"}
    assert pixels(uri, stored) == pixels(tmp_path / "cube.zarr")
