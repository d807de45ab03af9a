"""Unfinished cubes of earlier versions: opened by this one, and continued unless their pixel rules differ."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyarrow import parquet

import ardcube
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.ledger.cube_file import FORMAT
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.planning.jobs import ChunkKey
from ardcube.prepare.check import check_request
from ardcube.prepare.retry import check_retry
from tests.flows.jobs import Pixels, pixels, records, run, sample_cube

DATA = Path(__file__).parents[2] / "data"
"""Folders of cubes; each README describes its cube."""
FAILED = {ChunkKey("2023-05", 1, 2), ChunkKey("2023-05", 1, 3)}
MISSING = {ChunkKey("2023-06", 1, 3)}
RULES = r"was built with the pixel rules of an earlier version of ardcube \(1 there, 2 here\); choose another location"


def extracted(name: str, folder: Path) -> str:
    """Return the URI of a copy of a cube."""
    with tarfile.open(DATA / name / "cube.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return str(folder / "cube.zarr")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A cube of ardcube 0.1.0."""
    return extracted("cube-0.1", tmp_path)


@pytest.fixture
def unfinished(tmp_path: Path, sample_archive: Path) -> str:
    """A cube of ardcube 0.2 whose archive has moved to the sample archive."""
    uri = extracted("cube-0.2", tmp_path)
    for manifest in Path(f"{uri}.ardcube", "items").glob("*.parquet"):
        table = parquet.read_table(manifest)
        moved = pc.replace_substring(table["bands"], '"/archive/', f'"{sample_archive}/')
        parquet.write_table(table.set_column(table.column_names.index("bands"), "bands", moved), manifest)
    return uri


@pytest.fixture(scope="module")
def complete(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of the same cube, built by this version."""
    uri = tmp_path_factory.mktemp("complete") / "cube.zarr"
    ardcube.build(cube_of(sample_archive), uri)
    return pixels(uri)


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
    again = RunConfig(fsspec_uri=uri, overwrite=True)
    assert check_request(cube_of(sample_archive), again, SCLCloudMaskHook()).stored is None


# ---- format 2, ardcube 0.2 -------------------------------------------------------------------------


def test_a_cube_of_format_2_is_opened(unfinished: str, complete: Pixels) -> None:
    found = records(unfinished)
    assert sum(record.status == "failed" for record in found.values()) == 3
    assert len(found) == 15
    assert ardcube.open(unfinished)["time"].dt.strftime("%Y-%m").values.tolist() == ["2023-05", "2023-06"]
    stored = pixels(unfinished)
    for key, record in found.items():
        if record.status != "failed":
            chunk = (int(key.period == "2023-06"), *(slice(20 * at, 20 * at + 20) for at in (key.row, key.col)))
            assert (stored.values[chunk] == complete.values[chunk]).all()


def test_a_cube_of_format_2_is_continued(unfinished: str, sample_archive: Path, complete: Pixels) -> None:
    done = {key: record for key, record in records(unfinished).items() if record.status != "failed"}
    summary = ardcube.build(cube_of(sample_archive), unfinished)
    assert (summary.already_done, summary.written + summary.empty) == (12, 4)
    after = records(unfinished)
    assert {key: after[key] for key in done} == done, "a finished chunk was built again"
    assert pixels(unfinished) == complete


def test_a_cube_of_format_2_is_retried(unfinished: str, complete: Pixels) -> None:
    summary = ardcube.retry(unfinished, missing=True)
    assert (summary.written + summary.empty, summary.failed) == (4, 0)
    assert pixels(unfinished) == complete


# ---- later formats -----------------------------------------------------------------------------------


def test_a_cube_of_a_later_format_is_refused_in_one_line(unfinished: str, sample_archive: Path) -> None:
    file = Path(f"{unfinished}.ardcube", "cube.json")
    later = {**json.loads(file.read_text()), "version": FORMAT + 1, "ardcube": "9.1.0"}
    del later["fingerprint"], later["identity"]  # a later format may have neither
    file.write_text(json.dumps(later))
    before = contents(unfinished)
    line = rf"^{unfinished}\.ardcube/cube\.json: has format {FORMAT + 1} of ardcube '9\.1\.0', and this version knows"
    for use in (
        lambda: ardcube.open(unfinished),
        lambda: ardcube.status(unfinished),
        lambda: ardcube.retry(unfinished),
        lambda: ardcube.build(cube_of(sample_archive), unfinished),
        lambda: ardcube.build(cube_of(sample_archive), unfinished, overwrite=True),
    ):
        with pytest.raises(InputError, match=line):
            use()
    refused = run(["status", unfinished])
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert contents(unfinished) == before
