"""A store that takes nothing more in the middle of a run: the run stops at once and says what to do, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ardcube.errors import UnwritableError
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from tests.flows.jobs import environment_of, pixels, records, run_config, sample_cube
from tests.leases import current_claim
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3

pytestmark = pytest.mark.usefixtures("prefect_server")

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",), "cloud_mask": "none"}


def test_a_run_whose_credentials_expire_stops_at_once_and_the_next_one_builds_the_rest(
    sample_archive: Path, tmp_path: Path, moto_s3: S3
) -> None:
    cube, uri = sample_cube(sample_archive, **SIX_CHUNKS), moto_s3.uri("cube.zarr")
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    with FaultyProxy(moto_s3.endpoint_url) as proxy, environment_of(credentials):
        storage = {"endpoint_url": proxy.endpoint_url}
        run = run_config(uri, storage_options=storage, threads=1, batch_size=2)
        # A batch of two is done, then one chunk of the next: all that comes after is refused, its record too.
        expired = [
            proxy.fail("status", path=path, skip=3, times=None, status=400, code="ExpiredToken")
            for path in ("*/rgb_median/c/*", "*/chunks/*.json")
        ]
        with pytest.raises(UnwritableError) as stopped:
            build_cube(cube, run)
        line = str(stopped.value)
        assert line.startswith("s3://")
        assert "does not accept the credentials (ExpiredToken" in line
        assert line.endswith("run again: finished chunks are kept, and the next run continues from there")
        # A batch may have been sent before the first one said so; of each, one chunk is built in vain, and not again.
        assert all(1 <= strike.fired <= 2 for strike in expired)
        proxy.heal()
        assert current_claim(Ledger.of_store(Place.at(uri, storage)).place) is None

        before = len(proxy.requests("PUT", "*/rgb_median/c/*"))
        summary = build_cube(cube, run)
        assert (summary.already_done, summary.written, summary.failed) == (3, 3, 0)
        assert len(proxy.requests("PUT", "*/rgb_median/c/*")) == before + 3
        assert {len(record.attempts) for record in records(uri, storage).values()} == {1}
        build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
        assert pixels(uri, storage) == pixels(tmp_path / "undisturbed.zarr")


def test_transient_errors_of_a_store_do_not_change_the_cube(sample_archive: Path, tmp_path: Path, moto_s3: S3) -> None:
    cube, uri = sample_cube(sample_archive, **SIX_CHUNKS), moto_s3.uri("cube.zarr")
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    with FaultyProxy(moto_s3.endpoint_url) as proxy, environment_of(credentials):
        storage = {
            "endpoint_url": proxy.endpoint_url,
            "config_kwargs": {"read_timeout": 0.5, "retries": {"max_attempts": 2}},
        }
        strikes = [
            proxy.fail("lost", path="*/lease.json"),  # taken, and the answer lost: it is known as our own
            proxy.fail("status", path="*/cube.json"),
            proxy.fail("lost", path="*/rgb_median/zarr.json"),
            proxy.fail("reset", method="GET", path="*/items/*"),
            proxy.fail("hang", path="*/rgb_median/c/0/0/0/0"),
            proxy.fail("lost", path="*/observation_count/c/1/0/0"),
            proxy.fail("lost", path="*/ledger.parquet"),
            proxy.fail("status", method="POST", path="*", status=503),
        ]
        summary = build_cube(cube, run_config(uri, storage_options=storage))
        assert (summary.written, summary.failed, summary.retried) == (6, 0, 1)
        assert [strike.fired for strike in strikes] == [1] * len(strikes)
        build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
        assert pixels(uri, storage) == pixels(tmp_path / "undisturbed.zarr")
