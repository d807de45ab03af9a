"""Cubes of layout geozarr, built by `ardcube.build`: their levels follow the chunks below, however these came about."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import s3fs
from click.testing import CliRunner

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from flows.cli import cli
from tests.servers.processes import S3

CUBE = {
    "bbox": (11.93, 46.86, 12.07, 46.88),  # 1400 x 200 pixels: levels of 1400, 700 and 350 columns
    "start_date": "2023-05-01",
    "end_date": "2023-06-30",
    "resolution": 0.0001,
    "chunk_size": 200,
    "bands": ("red", "nir"),
    "layout": "geozarr",
}


def cube_of(archive: Path, **changes: object) -> ardcube.CubeConfig:
    return ardcube.CubeConfig(**{"stac_url": str(archive), **CUBE, **changes})


@pytest.fixture(scope="module")
def whole(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = tmp_path_factory.mktemp("geozarr") / "cube.zarr"
    ardcube.build(cube_of(sample_archive), uri, threads=2)
    return uri


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    for name in ("cube.zarr", "cube.zarr.ardcube"):
        shutil.copytree(whole.with_name(name), tmp_path / name)
    return tmp_path / "cube.zarr"


def objects(uri: Path) -> dict[str, bytes]:
    """Return the objects with pixels. A process that is killed while it writes leaves a file that no reader sees."""
    files = [file for file in uri.glob("*/*/c/**/*") if file.is_file() and file.suffix != ".partial"]
    return {str(file.relative_to(uri)): file.read_bytes() for file in files}


def remove_levels(uri: Path) -> None:
    """Leave a cube as a run that was killed before the first chunk of a level does."""
    for gone in (uri / "1", uri / "2"):
        for array in ("red", "nir", "observation_count"):
            shutil.rmtree(gone / array / "c")
    shutil.rmtree(uri.with_name("cube.zarr.ardcube") / "levels")


def records(uri: Path, level: int) -> dict[ChunkKey, ChunkRecord]:
    return Ledger.of_store(Place.at(str(uri))).of_level(level).records()


def test_each_level_has_pixels_and_records(whole: Path) -> None:
    names = objects(whole)
    for level, chunks in ((0, 14), (1, 8), (2, 4)):
        assert any(name.startswith(f"{level}/nir/c/") for name in names)
        assert len(records(whole, level)) == chunks


def test_an_appended_period_gives_the_same_bytes_and_builds_only_its_levels(
    whole: Path, sample_archive: Path, tmp_path: Path
) -> None:
    uri = tmp_path / "grown.zarr"
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31"), uri, threads=1)
    before = [records(uri, level) for level in range(3)]
    ardcube.build(cube_of(sample_archive), uri, threads=2)
    assert objects(uri) == objects(whole)
    for level, old in enumerate(before):
        new = records(uri, level)
        assert {key: new[key] for key in old} == old
        assert len(new) == 2 * len(old)


def test_a_run_that_was_killed_between_chunk_and_level_is_continued(
    whole: Path, copy: Path, sample_archive: Path
) -> None:
    remove_levels(copy)
    summary = ardcube.build(cube_of(sample_archive), copy, threads=2)
    assert summary.already_done == summary.chunks == 14
    assert objects(copy) == objects(whole)


KILLED = """
import os, signal, sys
import ardcube
from ardcube.ledger.ledger import Ledger
from tests.ardcube.test_api_geozarr import cube_of

write, written = Ledger.write, []

def counted(self, record):
    if "levels/" in self.place.path:
        written.append(record)
        if len(written) == int(sys.argv[3]):  # after the pixels of the chunk, before its record
            os.kill(os.getpid(), signal.SIGKILL)
    write(self, record)

Ledger.write = counted
ardcube.build(cube_of(sys.argv[1]), sys.argv[2], threads=2)
"""


@pytest.mark.parametrize("chunk", [3, 10], ids=["in level 1", "in level 2"])
def test_a_run_that_is_killed_while_it_builds_levels_gives_the_same_bytes_in_the_end(
    whole: Path, copy: Path, sample_archive: Path, chunk: int
) -> None:
    remove_levels(copy)
    assert ardcube.status(copy).attrs["levels"] == [(8, 0), (4, 0)]
    ended = subprocess.run([sys.executable, "-c", KILLED, sample_archive, copy, str(chunk)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (_, built), (_, built_above) = ardcube.status(copy).attrs["levels"]
    assert 0 < built + built_above < 12
    assert (built < 8) == (chunk == 3)
    summary = ardcube.retry(copy) if chunk == 10 else ardcube.build(cube_of(sample_archive), copy)
    assert (summary.failed, summary.already_done) == (0, 14)
    assert objects(copy) == objects(whole)
    assert ardcube.status(copy).attrs["levels"] == [(8, 8), (4, 4)]


def test_a_cube_on_s3_has_the_same_bytes(
    whole: Path, sample_archive: Path, moto_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    uri, options = moto_s3.uri("cube.zarr"), {"endpoint_url": moto_s3.endpoint_url}
    ardcube.build(cube_of(sample_archive, end_date="2023-05-31"), uri, threads=2, storage_options=options)
    fs = s3fs.S3FileSystem(**moto_s3.storage_options)
    names = [name for name in fs.find(uri) if "/c/" in name]
    found = {name.partition("cube.zarr/")[2]: fs.cat_file(name) for name in names}
    expected = {name: content for name, content in objects(whole).items() if "/c/0/" in name and "time" not in name}
    assert {name.partition("/")[0] for name in expected} == {"0", "1", "2"}
    assert {name: found.get(name) for name in expected} == expected


def test_a_retry_without_failed_chunks_builds_missing_levels(whole: Path, copy: Path) -> None:
    ledger = Ledger.of_store(Place.at(str(copy)))
    shutil.rmtree(ledger.of_level(2).place.path)
    shutil.rmtree(copy / "2/nir/c")
    status = ["status", str(copy)]
    lines = CliRunner().invoke(cli, status, catch_exceptions=False).output.splitlines()
    assert "levels   8 of 8 chunks of level 1, 0 of 4 chunks of level 2" in lines
    summary = ardcube.retry(copy, threads=1)
    assert (summary.already_done, summary.written, summary.failed) == (14, 0, 0)
    assert objects(copy) == objects(whole)
    lines = CliRunner().invoke(cli, status, catch_exceptions=False).output.splitlines()
    assert "levels   8 of 8 chunks of level 1, 4 of 4 chunks of level 2" in lines


def test_a_chunk_that_is_built_again_builds_the_chunks_above_it_again_and_no_other(whole: Path, copy: Path) -> None:
    ledger = Ledger.of_store(Place.at(str(copy)))
    broken = ChunkKey("2023-06", 0, 4)
    ledger.write(replace(records(copy, 0)[broken], status="failed"))
    for array in ("red", "nir"):
        (copy / "0" / array / "c/1/0/4").unlink()
    summary = ardcube.retry(copy, threads=1)
    assert (summary.written, summary.failed) == (1, 0)
    assert objects(copy) == objects(whole)
    for level, col in enumerate((4, 2, 1)):
        old, new = records(whole, level), records(copy, level)
        again = {key for key, record in new.items() if record.attempts != old[key].attempts}
        assert again == {ChunkKey("2023-06", 0, col)}


def test_another_layout_than_the_stores_is_refused(copy: Path, sample_archive: Path) -> None:
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    with pytest.raises(ardcube.InputError, match="layout is 'geozarr' there and 'flat' here; choose"):
        ardcube.build(cube_of(sample_archive, layout="flat"), copy)
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


def test_overwrite_removes_all_levels(copy: Path, sample_archive: Path) -> None:
    small = cube_of(sample_archive, layout="flat", resolution=0.001, end_date="2023-05-31")
    ardcube.build(small, copy, overwrite=True)
    assert not [number for number in "012" if (copy / number).exists()]
    assert not (copy.with_name("cube.zarr.ardcube") / "levels").exists()
    assert dict(ardcube.open(copy).sizes)["longitude"] == 140


@pytest.mark.parametrize("band", ["time", "a/b"])
def test_a_band_that_cannot_name_an_array_is_refused(sample_archive: Path, band: str) -> None:
    with pytest.raises(ValueError, match=r"layout geozarr: '.*' cannot be the name of an array; choose layout flat"):
        cube_of(sample_archive, bands=("red", band))
