"""A scheduled run whose catalogue or store is unreachable tries again, and no other error is repeated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ardcube.config import GrowingCubeConfig, RefreshConfig
from ardcube.errors import InputError, UnreachableError
from flows import try_again as subject
from flows.refresh_cube import refresh_cube
from tests.flows.jobs import SAMPLE, run_config
from tests.flows.remote import Remote
from tests.servers.earth_search import EarthSearch
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3, free_port
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")
AREA = {**SAMPLE, "chunk_size": 80, "bands": ("red",), "cloud_mask": "none", "start_date": "2023-06-01"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for a fraction of a second."""
    monkeypatch.setattr(subject, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(subject, "_LONGEST_PAUSE", 0.2)


def growing(stac_url: str) -> GrowingCubeConfig:
    return GrowingCubeConfig(**{name: value for name, value in AREA.items() if name != "end_date"}, stac_url=stac_url)


def test_a_scheduled_run_tries_again_while_its_catalogue_and_then_its_store_are_unreachable(
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    earth_search: Callable[..., EarthSearch],
    moto_s3: S3,
    quick: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    server = earth_search([remote.collection], remote.items)
    server.fail("v1", status=500, times=None)
    with FaultyProxy(moto_s3.endpoint_url) as proxy:
        proxy.stop()
        storage = {"endpoint_url": proxy.endpoint_url, "config_kwargs": {"retries": {"max_attempts": 1}}}

        def heal() -> None:
            until(lambda: any("fsspec-uri" in line and "tries again" in line for line in caplog.messages), "the store")
            proxy.start()
            until(lambda: any("stac-url" in line and "tries again" in line for line in caplog.messages), "the search")
            server.heal()

        healer = threading.Thread(target=heal)
        healer.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in moto_s3.environment.items():
                if name != "AWS_ENDPOINT_URL":
                    patch.setenv(name, value)
            run = run_config(moto_s3.uri("cube.zarr"), storage_options=storage)
            summary = refresh_cube(growing(server.url), run, RefreshConfig(as_of="2023-07-20"))
        healer.join(60)
    assert summary.written == summary.chunks == 2


@pytest.mark.parametrize(("hours", "expected"), [(0, UnreachableError), (12, InputError)])
def test_without_hours_and_after_any_other_error_the_run_fails_at_once(
    tmp_path: Path, quick: None, hours: int, expected: type[Exception]
) -> None:
    url = f"http://127.0.0.1:{free_port()}" if expected is UnreachableError else str(tmp_path / "no catalogue")
    with pytest.raises(expected) as raised:
        refresh_cube(
            growing(url), run_config(tmp_path / "cube.zarr"), RefreshConfig(as_of="2023-07-20", retry_hours=hours)
        )
    assert isinstance(raised.value, UnreachableError) == (expected is UnreachableError)
