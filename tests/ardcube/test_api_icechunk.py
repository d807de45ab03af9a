"""Cubes with the storage backend icechunk, built by `ardcube.build`: published completely or not at all."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.prepare import finished
from ardcube.storage.place import Place, flush_filesystem
from ardcube.store import transaction
from tests.ardcube.api_cube import cube_of
from tests.ardcube.pyramid_cube import halved
from tests.servers.processes import S3

MONTH = {"end_date": "2023-05-31"}


@pytest.fixture
def archive(sample_archive: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(sample_archive, tmp_path / "archive"))


@pytest.fixture
def every_chunk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commit after every chunk."""
    monkeypatch.setattr(finished, "COMMIT_SECONDS", 0.0)
    return


def build(cube: ardcube.CubeConfig, uri: object, **options: Any) -> ardcube.BuildSummary:
    return ardcube.build(cube, uri, storage_backend="icechunk", **options)  # type: ignore[arg-type]


def content(uri: object, **options: Any) -> xr.Dataset:
    cube = ardcube.open(uri, **options).load()  # type: ignore[arg-type]
    cube.attrs = {}
    return cube


def tags(uri: Path) -> list[tuple[str, int]]:
    return [(version.tag, version.chunks) for version in ardcube.history(uri)]


@pytest.mark.parametrize("layout", ["flat", "geozarr"])
def test_a_cube_has_the_values_of_a_plain_one(sample_archive: Path, tmp_path: Path, layout: str) -> None:
    ice, plain = tmp_path / "ice", tmp_path / "plain.zarr"
    options = {"layout": layout, "shard": 2, "chunk_size": 50}
    cube = cube_of(sample_archive, **options)
    build(cube, ice, threads=2)
    ardcube.build(cube, plain, threads=2)
    xr.testing.assert_identical(content(ice), content(plain))
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(ice)))
    stored = zarr.open_group(repository.readonly_session(branch="main").store, mode="r")
    expected = zarr.open_group(plain, mode="r", use_consolidated=False)
    arrays = {name for name, array in expected.members(max_depth=None) if isinstance(array, zarr.Array)}
    assert {name for name, array in stored.members(max_depth=None) if isinstance(array, zarr.Array)} == arrays
    for name in arrays:
        assert stored[name][...].tobytes() == expected[name][...].tobytes()  # type: ignore[union-attr, index]
        assert stored[name].metadata.to_dict() == expected[name].metadata.to_dict()  # type: ignore[union-attr]


def test_readers_see_the_old_version_until_the_new_one_is_complete(archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube"
    build(cube_of(archive, **MONTH), uri, limit=3)
    with pytest.raises(ardcube.InputError, match="no version is published yet; run the build until it completes"):
        ardcube.open(uri)
    assert tags(uri) == [("", 3)]
    build(cube_of(archive, **MONTH), uri)
    assert tags(uri) == [("v1", 6)]
    first = content(uri)
    shutil.rmtree(archive / "S2A_T32TQS_20230523T101539_L2A")  # some chunks of May are built again
    later = build(cube_of(archive), uri, limit=5)
    assert later.left > 0
    xr.testing.assert_identical(content(uri), first)
    build(cube_of(archive), uri)
    assert [tag for tag, _ in tags(uri)] == ["v2", "v1"]
    second = content(uri)
    assert second.sizes["time"] == 2
    assert not second.isel(time=[0]).equals(first)
    xr.testing.assert_identical(content(uri, at="v1"), first)
    xr.testing.assert_identical(content(uri, at="v2"), second)
    plain = tmp_path / "plain.zarr"
    ardcube.build(cube_of(archive), plain)
    xr.testing.assert_identical(second, content(plain))
    for version, seen in (("v1", first), ("v2", second)):
        files = ardcube.export(uri, tmp_path / version, at=version, variables=["rgb_median"]).written
        assert len(files) == seen.sizes["time"]
        with rasterio.open(files[0]) as raster:
            exported = raster.read(1) * raster.scales[0] + raster.offsets[0]
            expected = seen["rgb_median"].isel(time=0, band=0).to_numpy()
            np.testing.assert_allclose(exported[~np.isnan(expected)], expected[~np.isnan(expected)], atol=1e-6)
    with pytest.raises(ardcube.InputError, match="2023-06"):
        ardcube.export(uri, tmp_path / "v1", at="v1", periods=["2023-06"])
    with pytest.raises(ardcube.InputError, match=r"rgb_median_2023-05\.tif exists with other content"):
        ardcube.export(uri, tmp_path / "v1")
    assert len(ardcube.export(uri, tmp_path / "v2").kept) == 2  # the newest version is v2
    build(cube_of(archive), uri)  # nothing to build: no further version
    assert [tag for tag, _ in tags(uri)] == ["v2", "v1"]
    assert all(version.time.tzinfo == UTC for version in ardcube.history(uri))


def test_an_exported_period_is_kept_until_a_version_changes_it(sample_archive: Path, tmp_path: Path) -> None:
    uri, files = tmp_path / "cube", tmp_path / "files"
    build(cube_of(sample_archive, **MONTH), uri)
    (may,) = ardcube.export(uri, files).written
    build(cube_of(sample_archive), uri, limit=2)  # chunks of June that no reader sees
    with pytest.raises(ardcube.InputError, match="a build with more periods is not published"):
        ardcube.export(uri, files)
    assert ardcube.export(uri, files, at="v1").kept == (may,)
    build(cube_of(sample_archive), uri)
    done = ardcube.export(uri, files)
    assert (done.kept, len(done.written)) == ((may,), 1)
    assert ardcube.export(uri, files, at="v1").kept == (may,)
    build(cube_of(sample_archive, resampling="nearest"), uri, overwrite=True)
    with pytest.raises(ardcube.InputError, match=r"2023-05\.tif, rgb_median_2023-06\.tif exists with other content"):
        ardcube.export(uri, files)


def test_overwrite_keeps_the_earlier_versions(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube"
    build(cube_of(sample_archive, **MONTH), uri)
    first, other = content(uri), cube_of(sample_archive, **MONTH, resampling="nearest")
    build(other, uri, overwrite=True, limit=1)
    xr.testing.assert_identical(content(uri), first)
    with pytest.raises(ardcube.InputError, match="resampling is 'nearest' there"):
        build(cube_of(sample_archive, **MONTH), uri)
    build(other, uri)
    assert not content(uri).equals(first)
    assert [tag for tag, _ in tags(uri)] == ["v2", "v1"]
    xr.testing.assert_identical(content(uri, at="v1"), first)
    with pytest.raises(ardcube.InputError, match="was another cube then, before an overwrite; open it with icechunk"):
        ardcube.export(uri, tmp_path / "files", at="v1")
    build(cube_of(sample_archive, **MONTH, varname="other"), uri, overwrite=True)
    with pytest.raises(ardcube.InputError, match="had no other then, before an overwrite; open it with icechunk"):
        ardcube.open(uri, at="v1")


def test_cubes_of_one_second_that_differ_in_the_grid_alone_are_different_cubes(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr("ardcube.prepare.initialize.datetime", Stopped)
    coarse = MONTH | {"resolution": 0.002}
    build(cube_of(sample_archive, **coarse), tmp_path / "cube")
    build(cube_of(sample_archive, **coarse | {"resolution": 0.0025}), tmp_path / "cube", overwrite=True)
    with pytest.raises(ardcube.InputError, match="was another cube then, before an overwrite; open it with icechunk"):
        ardcube.export(tmp_path / "cube", tmp_path / "files", at="v1")
    assert ardcube.export(tmp_path / "cube", tmp_path / "files", at="v2").written


KILLED = """
import os, signal, sys
import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.prepare import finished
from tests.ardcube.api_cube import cube_of
from tests.ardcube.pyramid_cube import halved

finished.COMMIT_SECONDS = 0.0
merge, merged = Ledger.merge, []

def counted(self, records):
    if len(merged) == 3:  # after its pixels were committed
        os.kill(os.getpid(), signal.SIGKILL)
    merged.append(records)
    merge(self, records)

Ledger.merge = counted
ardcube.build(cube_of(sys.argv[1], end_date="2023-05-31"), sys.argv[2], threads=1, storage_backend="icechunk")
"""


def test_a_killed_run_publishes_nothing_and_is_continued(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube"
    ended = subprocess.run([sys.executable, "-c", KILLED, sample_archive, uri], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert tags(uri) == [("", 4)]
    with pytest.raises(ardcube.InputError, match="no version is published"):
        ardcube.open(uri)
    rest = build(cube_of(sample_archive, **MONTH), uri)
    assert (rest.already_done, rest.written + rest.empty) == (3, 3)
    plain = tmp_path / "plain.zarr"
    ardcube.build(cube_of(sample_archive, **MONTH), plain)
    xr.testing.assert_identical(content(uri), content(plain))


def test_a_commit_is_on_the_disk_before_the_records_of_its_chunks(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure must not leave records of chunks without pixels."""
    steps, merge = list[str](), Ledger.merge

    def flushed(path: Path) -> None:
        steps.append(f"flush {path}")
        flush_filesystem(path)

    def merged(ledger: Ledger, records: Any) -> None:
        steps.append(f"{len(records)} records")
        merge(ledger, records)

    monkeypatch.setattr(transaction, "flush_filesystem", flushed)
    monkeypatch.setattr(Ledger, "merge", merged)
    build(cube_of(sample_archive, **MONTH), tmp_path / "cube", limit=2)
    flush_line = f"flush {tmp_path}/cube"
    merges = [number for number, step in enumerate(steps) if step in ("1 records", "2 records")]
    assert merges
    assert {steps[number - 1] for number in merges} == {flush_line}
    build(cube_of(sample_archive, **MONTH), tmp_path / "cube")
    assert [version for version, _ in tags(tmp_path / "cube")] == ["v1"]
    assert steps[-1] == flush_line  # of the version


@pytest.mark.usefixtures("every_chunk")
def test_chunks_that_fail_are_not_published_and_retried(archive: Path, tmp_path: Path) -> None:
    uri, scene = tmp_path / "cube", archive / "S2A_T32TQS_20230612T101539_L2A"
    band = next(scene.glob("*B04*"))
    content_of_band = band.read_bytes()
    band.write_bytes(b"no raster")
    with pytest.raises(ardcube.ChunksFailedError) as failed:
        build(cube_of(archive), uri, retries=0)
    lost = failed.value.summary.failed
    assert 0 < lost < 12
    assert tags(uri) == [("", 12 - lost)]
    statuses = [record.status for record in Ledger.of_store(Place.at(str(uri))).records().values()]
    assert statuses.count("failed") == lost
    band.write_bytes(content_of_band)
    ardcube.retry(uri)
    assert tags(uri) == [("v1", 12)]
    plain = tmp_path / "plain.zarr"
    ardcube.build(cube_of(archive), plain)
    xr.testing.assert_identical(content(uri), content(plain))


def test_a_change_by_another_program_is_a_conflict(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = tmp_path / "cube"
    build(cube_of(sample_archive, **MONTH), uri)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(uri)))
    merge = Ledger.merge

    def other(ledger: Ledger, records: Any) -> None:
        session = repository.writable_session("main")
        zarr.open_group(session.store, mode="r+").attrs["note"] = str(len(records))
        session.commit("by another program")
        merge(ledger, records)

    monkeypatch.setattr(Ledger, "merge", other)
    with pytest.raises(ardcube.StoreError, match="another program has changed the branch main"):
        build(cube_of(sample_archive), uri)
    monkeypatch.undo()
    assert ardcube.open(uri).sizes["time"] == 1
    with pytest.raises(ardcube.StoreError, match="another program has changed the branch main"):
        build(cube_of(sample_archive), uri)


def test_a_cube_on_s3_is_published_and_read(
    sample_archive: Path, tmp_path: Path, moto_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    uri, options = moto_s3.uri("cubes/ice"), {"endpoint_url": moto_s3.endpoint_url}
    for end in ("2023-05-31", "2023-06-30"):
        build(cube_of(sample_archive, end_date=end), uri, storage_options=options)
    plain = tmp_path / "plain.zarr"
    ardcube.build(cube_of(sample_archive), plain)
    xr.testing.assert_identical(content(uri, storage_options=options), content(plain))
    assert content(uri, storage_options=options, at="v1").sizes["time"] == 1
    assert [version.tag for version in ardcube.history(uri, storage_options=options)] == ["v2", "v1"]


@pytest.mark.parametrize(
    ("uri", "changes", "options", "message"),
    [
        ("memory://cubes/ice", {}, {}, "storage_backend icechunk stores cubes on local disk and S3; choose such"),
        ("https://example.com/ice", {}, {}, "storage_backend icechunk stores cubes on local disk and S3; choose such"),
        ("plain.zarr", {}, {}, "storage_backend is fsspec there and icechunk here; choose another location"),
        ("plain.zarr", {}, {"overwrite": True}, "storage_backend is fsspec there and icechunk here; choose another"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(
    sample_archive: Path, tmp_path: Path, uri: str, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    if uri == "plain.zarr":
        ardcube.build(cube_of(sample_archive, **MONTH), tmp_path / uri, limit=1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ardcube.InputError, match=message) as refused:
        build(cube_of(sample_archive, **MONTH, **changes), uri if "://" in uri else tmp_path / uri, **options)
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("every_chunk")
def test_copies_in_the_other_layout_have_versions(sample_archive: Path, tmp_path: Path) -> None:
    """The copy of a cube that is extended, and the missing levels of a cube."""
    ice, copy = tmp_path / "ice", tmp_path / "copy"
    fine = {"resolution": 0.00025, "chunk_size": 200, "bands": ("red",)}
    for end in ("2023-05-31", "2023-06-30"):
        build(cube_of(sample_archive, **fine, end_date=end), ice)
        assert ardcube.pyramid(ice, output=copy).failed == 0
        xr.testing.assert_equal(content(copy), content(ice))
    assert [tag for tag, _ in tags(copy)] == ["v2", "v1"]
    assert content(copy, at="v1").sizes["time"] == 1
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(copy)))
    stored = zarr.open_group(repository.readonly_session(tag="v2").store, mode="r")
    for values, level in zip(stored["0/red"][...], stored["1/red"][...], strict=True):  # type: ignore[index]
        np.testing.assert_array_equal(level, halved(values, 0, mean=True))
    ardcube.pyramid(ice, output=copy)
    assert [tag for tag, _ in tags(copy)] == ["v2", "v1"]  # nothing to copy: no further version
    for file in Path(f"{copy}.ardcube/levels").rglob("*.parquet"):
        file.unlink()
    assert ardcube.pyramid(copy).failed == 0
    assert [tag for tag, _ in tags(copy)] == ["v3", "v2", "v1"]
    back = tmp_path / "back"
    ardcube.pyramid(copy, output=back)
    xr.testing.assert_equal(content(back), content(ice))


def test_a_missing_package_is_named(sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(ardcube.InputError, match=r"icechunk is not installed; install ardcube\[icechunk\]"):
        build(cube_of(sample_archive), tmp_path / "cube")
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_does_not_exist_is_refused(sample_archive: Path, tmp_path: Path) -> None:
    ice, plain = tmp_path / "ice", tmp_path / "plain.zarr"
    build(cube_of(sample_archive, **MONTH), ice)
    ardcube.build(cube_of(sample_archive, **MONTH), plain, limit=1)
    with pytest.raises(ardcube.InputError, match=r"at 'v2': .* has no such version; choose one of v1"):
        ardcube.open(ice, at="v2")
    with pytest.raises(ardcube.InputError, match=r"at 'v1': .* keeps no versions"):
        ardcube.open(plain, at="v1")
    with pytest.raises(ardcube.InputError, match="keeps no versions"):
        ardcube.history(plain)
