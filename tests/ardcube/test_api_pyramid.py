"""`ardcube.pyramid`: missing levels, and copies in the other layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from flows.cli import cli

CUBE = {
    "bbox": (11.95, 46.86, 12.05, 46.88),  # 1000 x 200 pixels: levels of 1000 and 500 columns
    "start_date": "2023-05-01",
    "end_date": "2023-05-31",
    "resolution": 0.0001,
    "chunk_size": 100,
    "shard": 2,
    "bands": ("red", "nir"),
    "composites": ("median", "std"),
    "quality": ("last_date", "spread"),
}


def cube_of(archive: Path, **changes: object) -> ardcube.CubeConfig:
    return ardcube.CubeConfig(**{"stac_url": str(archive), **CUBE, **changes})


@pytest.fixture(scope="module")
def flat(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = tmp_path_factory.mktemp("flat") / "cube.zarr"
    ardcube.build(cube_of(sample_archive), uri, threads=2)
    return uri


@pytest.fixture(scope="module")
def geozarr(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = tmp_path_factory.mktemp("geozarr") / "cube.zarr"
    ardcube.build(cube_of(sample_archive, layout="geozarr"), uri, threads=2)
    return uri


def copied(uri: Path, folder: Path) -> Path:
    for name in ("cube.zarr", "cube.zarr.ardcube"):
        shutil.copytree(uri.with_name(name), folder / name)
    return folder / "cube.zarr"


def objects(uri: Path) -> dict[str, bytes]:
    """Return the objects with pixels of either layout."""
    files = [file for file in uri.rglob("*") if "/c/" in str(file) and file.is_file()]
    return {str(file.relative_to(uri)): file.read_bytes() for file in files}


def pixels_of(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return the objects without coordinates, which may be written in another way."""
    return {name: content for name, content in found.items() if "time" not in name}


def records(uri: Path, level: int = 0) -> dict[ChunkKey, object]:
    return dict(Ledger.of_store(Place.at(str(uri))).of_level(level).records())


def test_both_layouts_open_as_the_same_dataset(flat: Path, geozarr: Path) -> None:
    with ardcube.open(flat) as one, ardcube.open(geozarr) as other:
        assert set(one.variables) == set(other.variables)
        for name in one.variables:
            assert one[name].attrs == other[name].attrs
        drop = {"history", "date_created", "date_modified", "ardcube_fingerprint"}  # the layout is part of the identity
        assert {k: v for k, v in one.attrs.items() if k not in drop} == {
            k: v for k, v in other.attrs.items() if k not in drop
        }
        xr.testing.assert_equal(one.load(), other.load())


def test_a_flat_cube_is_copied_into_the_pyramid_that_a_build_makes(
    flat: Path, geozarr: Path, sample_archive: Path, tmp_path: Path
) -> None:
    before = {file: file.read_bytes() for file in flat.rglob("*") if file.is_file()}
    output = tmp_path / "copy.zarr"
    summary = ardcube.pyramid(flat, output=output, threads=2)
    assert (summary.chunks, summary.already_done, summary.failed) == (5, 0, 0)
    assert objects(output) == objects(geozarr)
    assert records(output) == records(flat)
    assert {file: file.read_bytes() for file in flat.rglob("*") if file.is_file()} == before
    with ardcube.open(output) as copy, ardcube.open(flat) as cube, ardcube.open(geozarr) as made:
        assert copy.attrs == cube.attrs | {"ardcube_fingerprint": made.attrs["ardcube_fingerprint"]}
    # The copy is a cube like any other: the same build continues it, and nothing is left to do.
    again = ardcube.build(cube_of(sample_archive, layout="geozarr"), output, threads=1)
    assert (again.chunks, again.already_done) == (5, 5)


def test_a_pyramid_is_copied_back_into_the_same_flat_cube(flat: Path, geozarr: Path, tmp_path: Path) -> None:
    ardcube.pyramid(geozarr, output=tmp_path / "flat.zarr", threads=1)
    assert pixels_of(objects(tmp_path / "flat.zarr")) == pixels_of(objects(flat))


def test_a_copy_that_was_interrupted_or_is_old_gets_only_the_other_chunks(
    flat: Path, geozarr: Path, sample_archive: Path, tmp_path: Path
) -> None:
    source, output = copied(flat, tmp_path), tmp_path / "copy.zarr"
    ardcube.pyramid(source, output=output, threads=1)
    assert ardcube.pyramid(source, output=output, threads=1).already_done == 5
    before = records(output, 1)
    ardcube.build(cube_of(sample_archive, end_date="2023-06-30"), source, threads=2)
    summary = ardcube.pyramid(source, output=output, threads=2)
    assert (summary.chunks, summary.already_done) == (10, 5)
    assert {key: records(output, 1)[key] for key in before} == before
    with ardcube.open(output) as copy, ardcube.open(source) as cube:
        xr.testing.assert_equal(copy.load(), cube.load())


def test_missing_levels_are_built_in_place(geozarr: Path, tmp_path: Path) -> None:
    uri = copied(geozarr, tmp_path)
    shutil.rmtree(tmp_path / "cube.zarr.ardcube/levels")
    shutil.rmtree(uri / "1/median_red/c")
    done = CliRunner().invoke(cli, ["pyramid", str(uri), "--threads", "1"], catch_exceptions=False)
    assert done.output == "5 chunks: 5 done before\n"
    assert objects(uri) == objects(geozarr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{flat}"], "its layout is flat, which has no levels; give --output for a copy of layout geozarr"),
        (["{tmp}/none.zarr"], "no cube of ardcube"),
        (["{flat}", "--output", "{flat}"], "is the cube itself; choose another location"),
        (["{flat}", "--output", "{tmp}"], "holds something that ardcube did not write; choose another location"),
        (["{flat}", "--output", "{other}"], "holds another cube, or a longer one; choose another location"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    flat: Path, sample_archive: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    other = tmp_path / "other.zarr"
    if "{other}" in arguments:
        ardcube.build(cube_of(sample_archive, resolution=0.001, composites=("median",), layout="geozarr"), other)
    places = {"flat": flat, "tmp": tmp_path, "other": other}
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    command = ["pyramid", *(text.format(**places) for text in arguments)]
    with pytest.raises(ardcube.InputError, match=message):
        CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
