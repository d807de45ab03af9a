"""A cube that ardcube 0.1.0 left unfinished is opened by this version, and not continued: its pixel rules differ."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import ardcube
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.planning.jobs import ChunkKey
from ardcube.prepare.check import check_request
from ardcube.prepare.retry import check_retry
from tests.flows.jobs import records, sample_cube

DATA = Path(__file__).parents[2] / "data" / "cube-0.1" / "cube.tar.gz"
"""Described in the README of its folder."""
FAILED = {ChunkKey("2023-05", 1, 2), ChunkKey("2023-05", 1, 3)}
MISSING = {ChunkKey("2023-06", 1, 3)}
RULES = r"was built with the pixel rules of an earlier version of ardcube \(1 there, 2 here\); choose another location"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    with tarfile.open(DATA) as archive:
        archive.extractall(tmp_path, filter="data")
    return str(tmp_path / "cube.zarr")


def contents(uri: str) -> dict[str, bytes]:
    folder = Path(uri).parent
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def cube_of(archive: Path) -> CubeConfig:
    """The configuration that the cube was written with."""
    return sample_cube(archive, resolution=0.001, chunk_size=20, bands=("red",), end_date="2023-06-30")


def test_it_is_opened_with_its_records_and_pixels(uri: str) -> None:
    found = records(uri)
    assert {key for key, record in found.items() if record.status == "failed"} == FAILED
    assert len(found) == 15
    assert not MISSING & found.keys()
    cube = ardcube.open(uri)
    assert cube["time"].dt.strftime("%Y-%m").values.tolist() == ["2023-05", "2023-06"]
    for key, record in found.items():
        if record.status != "failed":
            rows, cols = (slice(20 * position, 20 * position + 20) for position in (key.row, key.col))
            count = cube["observation_count"][int(key.period == "2023-06"), rows, cols]
            assert bool((count.fillna(0) > 0).any()) == (record.status == "written")


def test_the_state_of_its_chunks_is_listed(uri: str) -> None:
    states = ardcube.status(uri)["status"]
    assert states[[str(key) for key in sorted(FAILED, key=str)]].unique().tolist() == ["failed"]
    assert states[[str(key) for key in MISSING]].tolist() == ["missing"]
    assert len(states) == 16


def test_it_is_neither_continued_nor_retried_nor_are_its_observations_loaded(uri: str, sample_archive: Path) -> None:
    before = contents(uri)
    with pytest.raises(InputError, match=RULES):
        check_request(cube_of(sample_archive), RunConfig(fsspec_uri=uri), SCLCloudMaskHook())
    with pytest.raises(InputError, match=RULES):
        check_retry(RunConfig(fsspec_uri=uri))
    with pytest.raises(InputError, match=RULES):
        ardcube.observations(uri, "2023-05_y0000_x0000")
    assert contents(uri) == before


def test_it_may_be_overwritten(uri: str, sample_archive: Path) -> None:
    run = RunConfig(fsspec_uri=uri, overwrite=True)
    assert check_request(cube_of(sample_archive), run, SCLCloudMaskHook()).stored is None
