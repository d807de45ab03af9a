"""A retry builds the failed chunks of a cube from its ledger and the planned scenes, without a catalogue."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ardcube.config import CubeConfig, Reader, RunConfig
from ardcube.errors import AccessError, InputError, StoreError
from ardcube.lease.acquire import LeaseHeldError, holding
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.masks import DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.report.summary import ChunksFailedError
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.retry_cube import retry_cube
from tests.flows import jobs
from tests.flows.jobs import Pixels, copy_catalogue, pixels, records, run_config, sample_cube
from tests.flows.remote import Remote
from tests.servers.range_server import RangeServer

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
BROKEN = "33TTM_20230503"

needs_prefect = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def undisturbed(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of an undisturbed build."""
    uri = tmp_path_factory.mktemp("undisturbed") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(uri))
    return pixels(uri)


@pytest.fixture
def failed(sample_archive: Path, prefect_server: object, tmp_path: Path) -> tuple[CubeConfig, RunConfig, Path]:
    """A cube with failed chunks, its run, and the path of the file that is missing."""
    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue")
    file = next(folder for folder in sorted(catalogue.iterdir()) if BROKEN in folder.name) / "B04.tif"
    file.rename(tmp_path / "B04.tif")
    cube, run = sample_cube(catalogue, **SIX_CHUNKS), run_config(tmp_path / "cube.zarr")
    with pytest.raises(ChunksFailedError):
        build_cube(cube, run)
    return cube, run, file


def test_a_retry_builds_the_failed_chunks_from_the_planned_scenes_without_the_catalogue(
    failed: tuple[CubeConfig, RunConfig, Path], undisturbed: Pixels, tmp_path: Path
) -> None:
    _, run, file = failed
    (tmp_path / "B04.tif").rename(file)
    for described in (tmp_path / "catalogue").rglob("*.json"):
        described.unlink()
    before = records(run.fsspec_uri)
    summary = retry_cube(run)
    after = records(run.fsspec_uri)
    broken = {key for key, record in before.items() if record.status == "failed"}
    assert (summary.written, summary.failed, summary.already_done) == (len(broken), 0, 6 - len(broken))
    assert {key for key in after if after[key] != before[key]} == broken
    assert all(after[key].inputs == before[key].inputs for key in broken)
    assert pixels(run.fsspec_uri) == undisturbed
    assert retry_cube(run).written == 0


def test_a_chunk_that_fails_again_fails_the_retry_and_keeps_its_attempts(
    failed: tuple[CubeConfig, RunConfig, Path],
) -> None:
    _, run, _ = failed
    with pytest.raises(ChunksFailedError, match=r"B04\.tif"):
        retry_cube(run)
    attempts = [len(record.attempts) for record in records(run.fsspec_uri).values() if record.status == "failed"]
    assert attempts
    assert set(attempts) == {2}


@needs_prefect
def test_missing_builds_chunks_that_were_never_built(sample_archive: Path, undisturbed: Pixels, tmp_path: Path) -> None:
    run = run_config(tmp_path / "cube.zarr")
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(tmp_path / "cube.zarr", limit=2))
    assert retry_cube(run).written == 0
    summary = retry_cube(run, missing=True)
    assert (summary.written, summary.already_done, summary.left) == (4, 2, 0)
    assert pixels(run.fsspec_uri) == undisturbed


@needs_prefect
def test_a_retry_is_refused_while_another_run_holds_the_lease(failed: tuple[CubeConfig, RunConfig, Path]) -> None:
    _, run, _ = failed
    with (
        holding(Ledger.of_store(Place.at(run.fsspec_uri)).place, run="eager-otter"),
        pytest.raises(LeaseHeldError, match="flow run eager-otter"),
    ):
        retry_cube(run)


def test_the_command_builds_the_failed_chunks_and_reports_if_there_are_none(
    failed: tuple[CubeConfig, RunConfig, Path], tmp_path: Path
) -> None:
    _, run, file = failed
    (tmp_path / "B04.tif").rename(file)
    done = jobs.run(["retry", run.fsspec_uri, "--threads", "2"])
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout
    again = jobs.run(["retry", run.fsspec_uri])
    assert (again.returncode, again.stdout) == (0, "nothing to retry: no chunk of 6 failed\n")


def test_the_command_needs_a_cube(tmp_path: Path) -> None:
    done = jobs.run(["retry", str(tmp_path / "none.zarr")])
    assert done.returncode == 2
    assert done.stderr.startswith(f"ardcube: {tmp_path}/none.zarr: no cube of ardcube (there is no ")
    assert list(tmp_path.iterdir()) == []


def test_a_retry_is_refused_if_mask_plan_or_store_have_changed(
    failed: tuple[CubeConfig, RunConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run, _ = failed
    monkeypatch.setattr("ardcube.ledger.manifest._kept", {})  # a process keeps the scenes that it has read
    for mask in (DefaultCloudMaskHook(), SCLCloudMaskHook(closing=1)):
        with pytest.raises(InputError, match="the cloud mask scl has options"):
            plan_retry(check_retry(run), missing=False, mask=mask)
    with pytest.raises(InputError, match="cannot be combined"):
        check_retry(run.model_copy(update={"overwrite": True}))
    items = Path(f"{run.fsspec_uri}.ardcube") / "items"
    planned = (items / "planned.json").read_text()
    for damage in ('{"manifests": {}, "tiles": [[0, 99]]}', "[]", planned.replace("items/", "../")):
        (items / "planned.json").write_text(damage)
        with pytest.raises(StoreError, match=r"planned\.json is damaged"):
            check_retry(run)
    (items / "planned.json").write_text(planned)
    for scenes in items.glob("*.parquet"):
        scenes.rename(tmp_path / scenes.name)
    with pytest.raises(StoreError, match="planned scenes are missing; run the build again"):
        plan_retry(check_retry(run), missing=False)
    (items / "planned.json").unlink()
    with pytest.raises(InputError, match="records no plan; run the build again"):
        check_retry(run)
    shutil.rmtree(run.fsspec_uri)
    with pytest.raises(InputError, match="is missing or incomplete"):
        check_retry(run)


@needs_prefect
def test_a_later_build_keeps_the_plan_of_periods_that_it_does_not_search(sample_archive: Path, tmp_path: Path) -> None:
    run = run_config(tmp_path / "cube.zarr")
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS, end_date="2023-05-31"), run)
    planned = tmp_path / "cube.zarr.ardcube" / "items" / "planned.json"
    first = json.loads(planned.read_text())
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run)
    second = json.loads(planned.read_text())
    assert list(second["manifests"]) == ["2023-05", "2023-06", "2023-07"]
    assert second["manifests"]["2023-05"] == first["manifests"]["2023-05"]
    assert second["tiles"] == first["tiles"] == [[0, 2]]


@needs_prefect
@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_after_signatures_have_expired_a_retry_names_the_build_which_fetches_new_addresses(
    sample_archive: Path,
    undisturbed: Pixels,
    tmp_path: Path,
    range_server: Callable[[Path], RangeServer],
    reader: Reader,
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    catalogue = remote.write(tmp_path / "catalogue")

    def sign(signature: str) -> None:
        items = json.loads(json.dumps(remote.items))
        for asset in (asset for item in items for asset in item["assets"].values()):
            asset["href"] += f"?se=2024-05-01T10%3A00%3A00Z&sig={signature}"
        (catalogue / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))

    sign("old")
    cube = sample_cube(catalogue, **SIX_CHUNKS)
    run = run_config(tmp_path / "cube.zarr", reader=reader, batch_size=1, threads=1)
    remote.files.fail("*_202307*", times=None, status=403)  # the last period is read last
    with pytest.raises(AccessError):
        build_cube(cube, run)
    for again, missing in ((run, False), (run.model_copy(update={"skip_bad_scenes": 9}), True)):
        with pytest.raises(AccessError) as refused:
            retry_cube(again, missing=missing)
        assert str(refused.value).endswith(
            "cannot be read: access is refused (HTTP 403), the address expired at 2024-05-01 10:00 UTC; run ardcube "
            "build with the same options: it fetches new addresses, and ardcube retry uses those of the last search"
        )
    done = {key for key, record in records(run.fsspec_uri).items() if record.status != "failed"}
    assert {key.period for key in done} == {"2023-05", "2023-06"}
    remote.files.heal()
    remote.files.reset()
    sign("new")
    summary = build_cube(cube, run)
    assert (summary.already_done, summary.failed) == (len(done), 0)
    assert {request.query["sig"] for request in remote.files.requests} == {"new"}
    assert pixels(run.fsspec_uri) == undisturbed
