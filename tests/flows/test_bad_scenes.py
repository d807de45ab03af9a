"""Scenes that cannot be read and are left out: they are reported, and a run that does not allow it includes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ardcube.extent.grid import Tiles
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.summary import ChunksFailedError, LeftOut
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.console import print_records, print_summary
from flows.retry_cube import retry_cube
from tests.flows.jobs import copy_catalogue, pixels, records, run_config, sample_cube
from tests.flows.remote import Remote
from tests.servers.range_server import RangeServer

pytestmark = pytest.mark.usefixtures("prefect_server")

MAY = {"chunk_size": 80, "bands": ("red",), "end_date": "2023-05-31"}
"""Two chunks."""


def broken_scene(archive: Path) -> str:
    return next(folder.name for folder in sorted(archive.iterdir()) if "33TTM_20230503" in folder.name)


def tiles_of(uri: Path) -> Tiles:
    cube = StoredCube.read(Ledger.of_store(Place.at(str(uri))))
    assert cube is not None
    return cube.grid.tiles(cube.config.tile_size)


def shown(print_to: Callable[[Console], None]) -> str:
    """Return the printed text with white space folded."""
    output = io.StringIO()
    print_to(Console(file=output, width=300))
    return " ".join(output.getvalue().split())


def test_a_scene_that_was_left_out_is_reported_until_a_run_includes_it(sample_archive: Path, tmp_path: Path) -> None:
    scene = broken_scene(sample_archive)
    build_cube(sample_cube(sample_archive, **MAY), run_config(tmp_path / "whole.zarr"))
    lacking = copy_catalogue(sample_archive, tmp_path / "lacking", without=[scene])
    build_cube(sample_cube(lacking, **MAY), run_config(tmp_path / "lacking.zarr"))

    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue")
    file = catalogue / scene / "B04.tif"
    file.rename(tmp_path / "B04.tif")
    uri, cube = tmp_path / "cube.zarr", sample_cube(catalogue, **MAY)
    run = run_config(uri, skip_bad_scenes=1)
    summary = build_cube(cube, run)
    assert (summary.written, summary.failed) == (2, 0)
    (left_out,) = summary.left_out
    assert left_out.scene == scene
    assert str(file) in left_out.reason
    assert pixels(uri) == pixels(tmp_path / "lacking.zarr") != pixels(tmp_path / "whole.zarr")
    without = {key for key, record in records(uri).items() if list(record.skipped) == [scene]}
    assert len(without) == left_out.chunks > 0
    assert all(scene not in records(uri)[key].scenes for key in without)
    title = "skipped 1 scene left out, each with the chunks built without it: "
    for text in (
        shown(lambda console: print_summary(console, summary)),
        shown(lambda console: print_records(console, list(records(uri).values()), tiles_of(uri))),
    ):
        assert f"{title}{left_out.chunks} {scene}: {file}" in text

    again = build_cube(cube, run)
    assert (again.already_done, again.written) == (2, 0)
    assert again.left_out == (left_out,)
    with pytest.raises(ChunksFailedError, match=r"B04\.tif"):
        retry_cube(run_config(uri))  # it allows no scene to be left out
    (tmp_path / "B04.tif").rename(file)
    repaired = retry_cube(run_config(uri))
    assert (repaired.written, repaired.left_out) == (len(without), ())
    assert pixels(uri) == pixels(tmp_path / "whole.zarr")


def test_a_scene_with_transient_errors_is_left_out_by_the_last_attempt_only(
    sample_archive: Path, tmp_path: Path, range_server: Callable[[Path], RangeServer]
) -> None:
    scene = broken_scene(sample_archive)
    remote = Remote.of(sample_archive, range_server(sample_archive))
    remote.files.fail(f"{scene}/B04.tif", times=None, status=503)
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **MAY)
    summary = build_cube(cube, run_config(tmp_path / "cube.zarr", skip_bad_scenes=1, retries=1, batch_size=1))
    assert summary.failed == 0
    assert [type(row) for row in summary.left_out] == [LeftOut]
    attempts = {len(record.attempts) for record in records(tmp_path / "cube.zarr").values() if record.skipped}
    assert attempts == {2}
