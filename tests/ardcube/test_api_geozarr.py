"""Cubes of layout geozarr, built by `ardcube.build`: their levels follow the chunks below, however these came about."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place

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
    """Return the objects with pixels."""
    return {str(file.relative_to(uri)): file.read_bytes() for file in uri.glob("*/*/c/**/*") if file.is_file()}


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
    for gone in (copy / "1", copy / "2"):
        for array in ("red", "nir", "observation_count"):
            shutil.rmtree(gone / array / "c")
    shutil.rmtree(copy.with_name("cube.zarr.ardcube") / "levels")
    summary = ardcube.build(cube_of(sample_archive), copy, threads=2)
    assert summary.already_done == summary.chunks == 14
    assert objects(copy) == objects(whole)


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
