"""A plan reads a few headers, so that its cost is that of the blocks which the files have."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic

import pytest

import ardcube
from ardcube.api.calibrate import calibrate
from ardcube.config import RunConfig
from ardcube.prepare import sample_headers
from ardcube.prepare.check import check_request
from ardcube.prepare.make_plan import search_scenes
from ardcube.report.cost_rows import basis_text
from tests.ardcube.api_cube import cube_of
from tests.oracle.items import read_catalogue
from tests.servers.range_server import RangeServer


def served(url: str, archive: Path, folder: Path) -> Path:
    """Write a catalogue of an archive whose files are at an address."""
    folder.mkdir()
    items, collection = read_catalogue(archive)
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"{url}/{Path(asset['href']).relative_to(archive)}"
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    (folder / "collection.json").write_text(json.dumps(collection))
    return folder


def test_bytes_and_requests_of_a_build_are_those_of_its_plan(sample_archive: Path, tmp_path: Path) -> None:
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "catalogue"), cloud_mask="scl")
        planned = ardcube.plan(cube, threads=1).cost
        assert len(server.requests) == 6, "three bands of two scenes"
        assert all(request.range == "bytes=0-32767" for request in server.requests)
        summary = ardcube.build(cube, tmp_path / "cube.zarr", threads=1)
    assert basis_text(planned) == "coefficients of sentinel-2-c1-l2a, median, 30.9 m; blocks of 2 scenes"
    assert summary.cost is not None
    used = summary.cost.used
    assert planned.bytes_to_read.likely == pytest.approx(used.received, rel=0.25)
    assert planned.requests.likely == pytest.approx(used.requests, rel=0.25)
    assert [path.name for path in tmp_path.iterdir() if "cube" not in path.name] == ["catalogue"]


def test_a_plan_without_headers_assumes_blocks_and_says_so(sample_archive: Path, tmp_path: Path) -> None:
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "catalogue"))
        server.fail(times=None, status=403)
        planned = ardcube.plan(cube, threads=1).cost
    assert basis_text(planned).endswith("; assumed blocks, because no header could be read")
    assert planned.bytes_to_read.likely > 0


def test_scenes_whose_headers_could_be_read_suffice(sample_archive: Path, tmp_path: Path) -> None:
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "catalogue"))
        ardcube.plan(cube, threads=1)
        (first, *_) = {request.path.split("/")[0] for request in server.requests}
        server.fail(f"*{first}*", times=None, status=404)
        planned = ardcube.plan(cube, threads=1).cost
    assert planned.headers == "blocks of 1 scene"


def test_a_server_that_does_not_answer_delays_a_plan_for_some_seconds(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_headers, "_SECONDS", 0.5)
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "catalogue"))
        server.fail(times=None, kind="delay", seconds=5)
        begun = monotonic()
        planned = ardcube.plan(cube, threads=1).cost
        assert monotonic() - begun < 4
    assert planned.headers.startswith("assumed blocks")


@pytest.mark.parametrize("options", [{}, {"reader": "gdal"}])
def test_files_that_gdal_reads_are_not_requested(options: dict[str, str], sample_archive: Path, tmp_path: Path) -> None:
    with RangeServer(sample_archive) as server:
        url = "s3://missing-bucket" if not options else server.url
        cube = cube_of(served(url, sample_archive, tmp_path / "catalogue"))
        planned = ardcube.plan(cube, threads=1, **options).cost
        assert server.requests == []
    assert planned.headers == "assumed blocks, because GDAL reads the files"


def test_headers_of_few_files_are_read_for_many_bands(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_headers, "_MOST_FILES", 5)
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "catalogue"), cloud_mask="scl")
        planned = ardcube.plan(cube, threads=1).cost
        assert len(server.requests) == 3
    assert planned.headers == "blocks of 1 scene"


def test_a_calibration_does_not_expect_headers_that_were_read_before(sample_archive: Path, tmp_path: Path) -> None:
    """The first chunk is not counted. It has the same scenes as the others, so it reads all headers."""
    with RangeServer(sample_archive) as server:
        catalogue = served(server.url, sample_archive, tmp_path / "catalogue")
        cube = cube_of(catalogue, end_date="2023-05-31", bbox=(11.96, 46.84, 12.04, 46.88), chunk_size=40)
        request = check_request(cube, RunConfig(fsspec_uri="memory://plan", dry_run=True), build=False)
        measured = calibrate(request, search_scenes(request), 3)
    assert len(measured.used) == 3
    assert measured.files == 0


def test_a_cube_whose_headers_cannot_be_read_is_compared_without_headers(sample_archive: Path, tmp_path: Path) -> None:
    with RangeServer(sample_archive) as server:
        cube = cube_of(served(server.url, sample_archive, tmp_path / "old"))
        ardcube.build(cube, tmp_path / "cube.zarr", threads=1)
        known = ardcube.plan(cube, threads=1, like_cube=tmp_path / "cube.zarr").cost
    with RangeServer(sample_archive) as server:
        again = cube_of(served(server.url, sample_archive, tmp_path / "new"))
        unknown = ardcube.plan(again, threads=1, like_cube=tmp_path / "cube.zarr").cost
    assert known.headers == "blocks of 2 scenes"
    assert unknown.headers == "assumed blocks, because no header of that cube could be read"
    assert unknown.bytes_to_read.likely == pytest.approx(known.bytes_to_read.likely, rel=0.05)
