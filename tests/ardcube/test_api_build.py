"""`ardcube.build` and `ardcube.retry`: threads of this process, with the promises of the flow."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

import ardcube
from ardcube.chunk import forked
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from tests.ardcube.api_cube import cube_of

Batch = Callable[..., list[Any]]


@pytest.fixture
def archive(sample_archive: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sample_archive, tmp_path / "archive"))


def records(uri: Path) -> dict[str, Any]:
    return {str(key): record for key, record in Ledger.of_store(Place.at(str(uri))).records().items()}


def pixels(uri: Path) -> Any:
    return ardcube.open(uri)["rgb_median"].to_numpy()


def test_a_build_writes_every_chunk_and_its_record(sample_archive: Path, tmp_path: Path) -> None:
    summary = ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", threads=2)
    assert isinstance(summary, ardcube.BuildSummary)
    assert (summary.chunks, summary.already_done, summary.failed, summary.left) == (12, 0, 0, 0)
    assert summary.written + summary.empty == 12
    assert len(records(tmp_path / "cube.zarr")) == 12
    assert np.isfinite(pixels(tmp_path / "cube.zarr")).mean() > 0.5


def test_the_number_of_threads_changes_no_pixel(sample_archive: Path, tmp_path: Path) -> None:
    cube = cube_of(sample_archive, cloud_mask="scl", end_date="2023-05-31")
    for threads in (1, 3):
        ardcube.build(cube, f"{tmp_path}/{threads}.zarr", threads=threads)
    assert np.array_equal(pixels(tmp_path / "1.zarr"), pixels(tmp_path / "3.zarr"), equal_nan=True)


def test_a_build_with_the_mask_auto_continues_one_with_the_mask_by_name(sample_archive: Path, tmp_path: Path) -> None:
    named = {"definition": "sentinel-2-c1-l2a", "cloud_mask_options": {"closing": 60}}
    auto, scl = (cube_of(sample_archive, cloud_mask=name, **named) for name in ("auto", "scl"))
    for number, (first, second) in enumerate([(auto, scl), (scl, auto)]):
        uri = tmp_path / f"{number}.zarr"
        ardcube.build(first, uri, limit=5)
        assert ardcube.build(second, uri, limit=1).already_done == 5
        assert ardcube.retry(uri, missing=True, limit=1) is not None
    other = cube_of(sample_archive, cloud_mask="none", definition="sentinel-2-c1-l2a")
    with pytest.raises(ardcube.InputError, match="cloud_mask is 'scl' there and 'none' here"):
        ardcube.build(other, uri)


def test_a_build_continues_where_another_one_ended(sample_archive: Path, tmp_path: Path) -> None:
    cube, uri = cube_of(sample_archive), tmp_path / "cube.zarr"
    first = ardcube.build(cube, uri, limit=5)
    assert (first.written + first.empty, first.left) == (5, 7)
    rest = ardcube.build(cube, uri)
    assert (rest.already_done, rest.written + rest.empty, rest.left) == (5, 7, 0)
    nothing = ardcube.build(cube, uri)
    assert (nothing.already_done, nothing.written, nothing.empty) == (12, 0, 0)


def test_a_run_writes_a_report_page_that_overwrite_removes(sample_archive: Path, tmp_path: Path) -> None:
    summary = ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", limit=1, report=True)
    page = tmp_path / "cube.zarr.ardcube" / "report.html"
    assert summary.report == str(page)
    assert "1 chunk written" in page.read_text()
    again = ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", limit=1, overwrite=True)
    assert again.report is None
    assert not page.exists()


def test_a_plan_that_is_refused_removes_no_cube(sample_archive: Path, tmp_path: Path) -> None:
    uri, area = tmp_path / "cube.zarr", tmp_path / "area.gpkg"
    ardcube.build(cube_of(sample_archive), uri, limit=1)
    geopandas.GeoDataFrame(geometry=[shapely.box(3, 46, 3.1, 46.1)], crs="EPSG:4326").to_file(area)
    clip = {"like": str(uri), "bbox": None, "resolution": None, "geometry_file": str(area), "clip": True}
    for options, message in (
        (clip, "clip: no pixel has its centre inside"),
        ({"encoding": "scale=0.00001,offset=0"}, "encoding scale=1e-05,offset=0.0: holds reflectance"),
    ):
        with pytest.raises(ardcube.InputError, match=message):
            ardcube.build(cube_of(sample_archive, **options), uri, overwrite=True)
        assert ardcube.status(uri).attrs["missing"] == 11
        assert (uri / "zarr.json").exists()


def test_a_dry_run_writes_nothing(sample_archive: Path, tmp_path: Path) -> None:
    summary = ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", dry_run=True)
    assert (summary.chunks, summary.left, summary.written) == (12, 12, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_chunk_is_reported_when_all_others_are_built_and_a_retry_builds_it(
    archive: Path, tmp_path: Path
) -> None:
    cube, uri = cube_of(archive, end_date="2023-05-31"), tmp_path / "cube.zarr"
    victim = next(archive.glob("*T33TTM*202305*/B08.tif"))
    shutil.move(victim, tmp_path / "away.tif")
    with pytest.raises(ardcube.ChunksFailedError, match="chunks failed") as caught:
        ardcube.build(cube, uri)
    summary = caught.value.summary
    assert 0 < summary.failed < summary.chunks
    assert summary.written + summary.empty + summary.failed == summary.chunks
    assert all("B08.tif" in failure.error for failure in summary.failures)
    assert {failure.attempts for failure in summary.failures} == {1}  # permanent: no further attempt

    with pytest.raises(ardcube.ChunksFailedError):
        ardcube.retry(uri)
    shutil.move(tmp_path / "away.tif", victim)
    again = ardcube.retry(uri)
    assert again.written + again.empty == summary.failed
    assert set(ardcube.status(uri)["status"]) <= {"written", "empty"}
    untouched = ardcube.retry(uri)
    assert (untouched.written, untouched.already_done) == (0, untouched.chunks)


def test_a_retry_builds_missing_chunks_where_it_is_asked_to(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    ardcube.build(cube_of(sample_archive), uri, limit=4)
    nothing = ardcube.retry(uri)
    assert (nothing.written, nothing.already_done, nothing.left) == (0, 4, 8)
    summary = ardcube.retry(uri, missing=True, threads=2)
    assert (summary.written + summary.empty, summary.left) == (8, 0)


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let the first attempts of each chunk fail with a network error; return the keys of the attempts."""
    real, asked = forked.process_batch, list[str]()

    def batch(spec: Any, jobs: Any, **options: Any) -> Any:
        key = str(jobs[0].key)
        asked.append(key)
        if asked.count(key) <= times:
            raise ardcube.TransientError("connection reset")
        return real(spec, jobs, **options)

    monkeypatch.setattr(forked, "process_batch", batch)
    return asked


def test_transient_errors_are_tried_again_with_growing_delays(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = failing(monkeypatch, 2)
    start = time.monotonic()
    summary = ardcube.build(
        cube_of(sample_archive), tmp_path / "cube.zarr", limit=2, threads=1, retries=2, retry_delay_seconds=0.2
    )
    assert summary.failed == 0
    assert [asked.count(key) for key in dict.fromkeys(asked)] == [3, 3]
    assert time.monotonic() - start > 2 * (0.2 + 0.4)


def test_transient_errors_end_after_the_last_attempt(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = failing(monkeypatch, 99)
    with pytest.raises(ardcube.ChunksFailedError):
        ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", limit=3, retries=1, retry_delay_seconds=0.0)
    assert [asked.count(key) for key in dict.fromkeys(asked)] == [2, 2, 2]


def test_an_interrupt_stops_soon_and_releases_the_lease(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, uri, real = cube_of(sample_archive), tmp_path / "cube.zarr", forked.process_batch
    begun = list[str]()

    def batch(spec: Any, jobs: Any, **options: Any) -> Any:
        begun.append(str(jobs[0].key))
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if len(begun) >= 3:
            raise ardcube.TransientError("try again in ten minutes")
        return real(spec, jobs, **options)

    monkeypatch.setattr(forked, "process_batch", batch)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            ardcube.build(cube, uri, threads=2, retry_delay_seconds=600.0)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.monotonic() - start < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ardcube-chunk")]
    assert len(begun) <= 5
    monkeypatch.undo()
    assert ardcube.build(cube, uri).already_done == 2


def test_a_store_that_cannot_be_written_stops_the_build(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def batch(spec: Any, jobs: Any, **options: Any) -> Any:
        asked.append(str(jobs[0].key))
        raise ardcube.UnwritableError("no space left on device")

    monkeypatch.setattr(forked, "process_batch", batch)
    with pytest.raises(ardcube.UnwritableError):
        ardcube.build(cube_of(sample_archive), tmp_path / "cube.zarr", threads=2)
    assert len(asked) <= 3


def test_one_run_at_a_time_builds_a_cube(sample_archive: Path, tmp_path: Path) -> None:
    from ardcube.lease.acquire import holding

    cube, uri = cube_of(sample_archive), tmp_path / "cube.zarr"
    ardcube.build(cube, uri, limit=1)
    with holding(Ledger.of_store(Place.at(str(uri))).place, run="other"):
        for call in (lambda: ardcube.build(cube, uri), lambda: ardcube.retry(uri)):
            with pytest.raises(ardcube.LeaseHeldError):
                call()


def test_bad_input_is_refused_before_anything_is_written(sample_archive: Path, tmp_path: Path) -> None:
    cube = cube_of(sample_archive)
    with pytest.raises(ardcube.InputError, match="uri 3: neither text nor a path"):
        ardcube.build(cube, 3)  # type: ignore[arg-type]
    with pytest.raises(ardcube.InputError, match="workers: chunks are built by threads of this process"):
        ardcube.build(cube, tmp_path / "cube.zarr", workers=3)
    with pytest.raises(ardcube.InputError, match="threads 0: Input should be greater"):
        ardcube.build(cube, tmp_path / "cube.zarr", threads=0)
    with pytest.raises(ardcube.InputError, match=r"cube\.json"):
        ardcube.retry(tmp_path / "cube.zarr")
    assert list(tmp_path.iterdir()) == []
