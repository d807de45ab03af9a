"""The whole job through the real flow: equal to the oracle, whatever the chunking and the order."""

from __future__ import annotations

from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from ardcube.config import CubeConfig
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.report.summary import ChunksFailedError
from flows.build_cube import build_cube
from flows.console import print_summary
from tests.flows.jobs import copy_catalogue, expected, pixels, records, run_config, sample_cube
from tests.oracle.compare import assert_equals_oracle

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def whole(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube that was built in one run."""
    uri = tmp_path_factory.mktemp("whole") / "cube.zarr"
    build_cube(sample_cube(sample_archive), run_config(uri))
    return uri


@pytest.mark.parametrize(
    "changes",
    [
        {"cloud_mask": "scl"},
        {"cloud_mask": "none", "time_frequency_months": 2, "bands": ("nir", "red"), "varname": "two_bands"},
        {"cloud_mask": "scl", "resampling": "cubic", "end_date": "2023-05-31", "resolution": 0.0001, "chunk_size": 400},
        {"cloud_mask": "none", "resampling": "nearest", "end_date": "2023-05-31"},
    ],
    ids=["scl", "none", "cubic", "nearest"],
)
def test_the_sample_cube_equals_the_oracle_pixel_for_pixel(
    sample_archive: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    cube = sample_cube(sample_archive, **changes)
    if cube.resolution < 0.0005:  # full resolution, a smaller area
        cube = sample_cube(sample_archive, **changes, bbox=(11.99, 46.86, 12.03, 46.88))
    summary = build_cube(cube, run_config(tmp_path / "cube.zarr"))
    built = pixels(tmp_path / "cube.zarr", varname=cube.varname)
    assert summary.failed == 0
    assert summary.written + summary.empty == summary.chunks
    assert_equals_oracle(built.values, built.count, partial(expected, sample_archive, cube))


@pytest.mark.real
def test_real_scenes_equal_the_oracle_pixel_for_pixel(shared_real: Path, tmp_path: Path) -> None:
    archive = shared_real / "scenes" / "antwerp-2023q4"
    cube = sample_cube(
        archive,
        collection="sentinel-2-l2a",
        bbox=(4.2608, 51.3086, 4.2675, 51.3134),
        start_date="2023-10-01",
        end_date="2023-12-31",
        resolution=0.0001,
        chunk_size=32,
    )
    build_cube(cube, run_config(tmp_path / "cube.zarr"))
    built = pixels(tmp_path / "cube.zarr")
    assert_equals_oracle(built.values, built.count, partial(expected, archive, cube))


def test_pixels_are_equal_for_any_batch_size_worker_count_and_chunk_size(
    sample_archive: Path, whole: Path, tmp_path: Path
) -> None:
    for number, (chunk_size, run) in enumerate(
        [(80, {"threads": 1, "batch_size": 1}), (37, {"threads": 3, "batch_size": 7}), (400, {"threads": 2})]
    ):
        cube = sample_cube(sample_archive, chunk_size=chunk_size)
        build_cube(cube, run_config(tmp_path / f"{number}.zarr", **run))
        assert pixels(tmp_path / f"{number}.zarr") == pixels(whole)


def test_a_cube_opens_with_one_line(whole: Path) -> None:
    dataset = xr.open_zarr(str(whole))
    red = dataset.rgb_median.sel(band="red", time="2023-06").isel(time=0)
    raw = pixels(whole).values[1, ..., 0]
    assert red.dims == ("latitude", "longitude")
    np.testing.assert_allclose(red.to_numpy(), np.where(raw == 0, np.nan, raw * 0.0001 - 0.1), atol=1e-7)
    assert dataset.rgb_median.attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert dataset.spatial_ref.attrs["crs_wkt"].startswith("GEOGCRS")


def test_a_second_run_builds_nothing(sample_archive: Path, tmp_path: Path) -> None:
    cube, run = sample_cube(sample_archive, end_date="2023-05-31"), run_config(tmp_path / "cube.zarr")
    first = build_cube(cube, run)
    before = records(tmp_path / "cube.zarr")
    second = build_cube(cube, run)
    assert (second.written, second.empty, second.already_done) == (0, 0, first.chunks)
    assert records(tmp_path / "cube.zarr") == before


def test_limit_bounds_the_chunks_of_a_run_and_the_next_run_continues(
    sample_archive: Path, whole: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive)
    first = build_cube(cube, run_config(tmp_path / "cube.zarr", limit=2))
    assert (first.written + first.empty, first.left) == (2, first.chunks - 2)
    second = build_cube(cube, run_config(tmp_path / "cube.zarr"))
    assert (second.already_done, second.left) == (2, 0)
    assert pixels(tmp_path / "cube.zarr") == pixels(whole)


def test_a_later_end_date_extends_the_time_axis_and_changes_no_chunk(
    sample_archive: Path, whole: Path, tmp_path: Path
) -> None:
    early = sample_cube(sample_archive, end_date="2023-06-30")
    build_cube(early, run_config(tmp_path / "cube.zarr"))
    before = records(tmp_path / "cube.zarr")
    late = sample_cube(sample_archive)
    summary = build_cube(late, run_config(tmp_path / "cube.zarr"))
    assert summary.already_done == len(before) == summary.chunks * 2 // 3
    after = records(tmp_path / "cube.zarr")
    assert {key: after[key] for key in before} == before
    assert pixels(tmp_path / "cube.zarr") == pixels(whole)
    assert xr.open_zarr(str(tmp_path / "cube.zarr")).sizes["time"] == 3


def test_an_added_scene_makes_only_its_chunks_stale(sample_archive: Path, whole: Path, tmp_path: Path) -> None:
    late = max(
        folder.name for folder in sample_archive.iterdir() if folder.name.startswith("S2") and "32TQS" in folder.name
    )
    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue", without=[late])
    cube, run = sample_cube(catalogue), run_config(tmp_path / "cube.zarr")
    build_cube(cube, run)
    before = records(tmp_path / "cube.zarr")
    copy_catalogue(sample_archive / late, catalogue / late)
    build_cube(cube, run)
    after = records(tmp_path / "cube.zarr")
    rebuilt = {key for key in after if after[key] != before[key]}
    assert rebuilt == {key for key, record in after.items() if late in record.scenes}
    assert 0 < len(rebuilt) < len(after)
    assert pixels(tmp_path / "cube.zarr") == pixels(whole)


@pytest.mark.filterwarnings("ignore:Object at notes.txt is not recognized")  # zarr listing the group, with reason
def test_overwrite_builds_the_cube_again_and_keeps_other_files(sample_archive: Path, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    build_cube(sample_cube(sample_archive, end_date="2023-05-31"), run_config(uri))
    (uri / "notes.txt").write_text("mine")
    (tmp_path / "cube.zarr.ardcube" / "notes.txt").write_text("mine too")
    other = sample_cube(sample_archive, cloud_mask="none", end_date="2023-05-31", varname="other")
    summary = build_cube(other, run_config(uri, overwrite=True))
    assert summary.already_done == 0
    assert not (uri / "rgb_median").exists()
    assert (uri / "notes.txt").read_text() == "mine"
    assert (tmp_path / "cube.zarr.ardcube" / "notes.txt").read_text() == "mine too"
    build_cube(other, run_config(tmp_path / "alone.zarr"))
    assert pixels(uri, varname="other") == pixels(tmp_path / "alone.zarr", varname="other")


def test_a_chunk_that_always_fails_is_reported_and_all_others_are_written(
    sample_archive: Path, whole: Path, tmp_path: Path
) -> None:
    catalogue = copy_catalogue(sample_archive, tmp_path / "catalogue")
    broken = next(folder for folder in sorted(catalogue.iterdir()) if "33TTM" in folder.name)
    (broken / "B03.tif").unlink()
    cube, run = sample_cube(catalogue), run_config(tmp_path / "cube.zarr")
    with pytest.raises(ChunksFailedError) as caught:
        build_cube(cube, run)
    summary = caught.value.summary
    after = records(tmp_path / "cube.zarr")
    failed = {str(key) for key, record in after.items() if record.status == "failed"}
    assert failed == {failure.chunk for failure in summary.failures}
    assert 0 < len(failed) < summary.chunks == summary.written + summary.empty + summary.failed
    assert all("B03.tif" in failure.error and failure.attempts == 1 for failure in summary.failures)
    assert [(cause.scene, cause.chunks) for cause in summary.causes] == [(broken.name, len(failed))]
    assert f"scene {broken.name}: " in str(caught.value)
    assert str(caught.value).startswith(f"{len(failed)} of {summary.chunks} chunks failed: scene ")
    assert str(caught.value).endswith("; replace the file, or add --skip-bad-scenes 1; run again to build only these")
    copy_catalogue(sample_archive / broken.name, tmp_path / "spare")
    (tmp_path / "spare" / "B03.tif").rename(broken / "B03.tif")
    repaired = build_cube(cube, run)
    assert repaired.written == len(failed)
    assert pixels(tmp_path / "cube.zarr") == pixels(whole)
    assert all(len(records(tmp_path / "cube.zarr")[key].attempts) == 2 for key in after if str(key) in failed)


def test_a_build_without_any_scene_succeeds_and_warns(sample_archive: Path, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive, start_date="2021-05-01", end_date="2021-06-30", bands=("red",), chunk_size=400)
    run = run_config(tmp_path / "cube.zarr")
    warning = "no scene was found in any period; check collection, periods, area and bands"
    for done in (False, True):  # the second run has nothing to build, and warns too
        state = build_cube(cube, run, return_state=True)
        summary = state.result()
        assert state.is_completed()
        assert state.message == summary.message == f"2 chunks: 2 {'done before' if done else 'empty'}; {warning}"
        output = StringIO()
        print_summary(Console(file=output, width=80), summary)
        lines = output.getvalue().splitlines()
        assert f"warning  {warning}" in lines
        assert lines[0] == ("chunks   none built, 2 done before" if done else "chunks   0 written, 2 empty, 0 failed")
        assert any(line.startswith("scenes ") for line in lines) is not done


def test_a_mask_object_can_be_passed_from_python(sample_archive: Path, tmp_path: Path) -> None:
    changes = {"end_date": "2023-05-31"}
    strict = sample_cube(
        sample_archive, **changes, cloud_mask=SCLCloudMaskHook(closing=0, opening=0, allowed_values=(4,))
    )
    build_cube(strict, run_config(tmp_path / "strict.zarr"))
    build_cube(sample_cube(sample_archive, **changes), run_config(tmp_path / "usual.zarr"))
    assert isinstance(CubeConfig.model_validate_json(strict.model_dump_json()), CubeConfig)
    assert pixels(tmp_path / "strict.zarr").count.sum() != pixels(tmp_path / "usual.zarr").count.sum()


def test_dry_run_writes_nothing(sample_archive: Path, tmp_path: Path) -> None:
    summary = build_cube(sample_cube(sample_archive), run_config(tmp_path / "cube.zarr", dry_run=True))
    assert summary.left == summary.chunks
    assert summary.empty_periods.messages() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_without_any_scene_warns_in_the_message_of_its_state(sample_archive: Path, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive, start_date="2021-05-01", end_date="2021-06-30", bands=("red",), chunk_size=400)
    state = build_cube(cube, run_config(tmp_path / "cube.zarr", dry_run=True), return_state=True)
    warning = "no scene was found in any period; check collection, periods, area and bands"
    assert state.message == f"2 chunks: 2 left; {warning}"
