"""`ardcube.plan`: what a build would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

import ardcube
from tests.ardcube.api_cube import BOUNDS, cube_of


def test_a_plan_counts_chunks_and_scenes_and_writes_nothing(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planned = ardcube.plan(cube_of(sample_archive))
    counts = planned.estimate
    assert (counts.tiles, counts.periods, counts.chunks) == (6, 2, 12)
    assert counts.scenes == sum(planned.scenes.values()) > 10
    assert planned.cost.bytes_to_read.likely > 0
    assert counts.bytes_per_chunk > 0
    assert list(planned.scenes) == ["2023-05", "2023-06"]
    assert list(tmp_path.iterdir()) == []


def test_tiles_have_footprints_and_scene_counts(sample_archive: Path) -> None:
    planned = ardcube.plan(cube_of(sample_archive))
    tiles = planned.tiles()
    assert tiles.index.name == "tile"
    assert list(tiles.index[:3]) == ["y0000_x0000", "y0000_x0001", "y0000_x0002"]
    assert tiles.crs == "EPSG:4326"
    assert np.array_equal(tiles["scenes"], tiles["2023-05"] + tiles["2023-06"])
    assert tiles["scenes"].sum() == planned.estimate.chunk_scenes
    assert tiles["scenes"].max() <= planned.estimate.scenes
    assert np.allclose(tiles.total_bounds, BOUNDS)
    assert shapely.area(tiles.geometry.to_numpy()).sum() == pytest.approx(shapely.box(*BOUNDS).area)


def test_a_plan_shows_itself_in_text_and_in_a_notebook(sample_archive: Path) -> None:
    planned = ardcube.plan(cube_of(sample_archive, cloud_mask="scl"))
    text = repr(planned)
    assert text.startswith("Plan\n  grid    120 x 280 pixels of 0.0005 degrees, EPSG:4326\n")
    assert "  periods 2, 2023-05 to 2023-06\n" in text
    assert "  defined by sentinel-2-c1-l2a" in text
    html = planned._repr_html_()
    for part in ("grid", "periods", "scenes", "size", "2023-06", f"{planned.scenes['2023-06']} scenes"):
        assert part in html
    assert html.count("<table>") == html.count("</table>") == 1


def test_a_plan_takes_options_of_the_run(sample_archive: Path) -> None:
    with pytest.raises(ardcube.InputError, match=r"memory_limit 10 MB is too little"):
        ardcube.plan(cube_of(sample_archive), memory_limit="10 MB")
    assert ardcube.plan(cube_of(sample_archive), max_chunks=5).estimate.chunks == 12, "the limit is one of builds"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_chunk": 5}, "max_chunk: no such option; see the fields of ardcube.RunConfig"),
        ({"max_chunks": 0}, "max_chunks 0: Input should be greater than or equal to 1"),
        ({"price_per_gb": -1}, "price_per_gb -1: Input should be greater than or equal to 0"),
        ({"price_per_gb": float("nan")}, "price_per_gb nan: Input should be a finite number"),
        ({"calibrate": 0}, "calibrate 0: give the number of chunks to build, at least 1"),
        ({"calibrate": 2, "like_cube": "x"}, "calibrate: the ledger of like-cube replaces it; omit one of them"),
        ({"like_cube": "x.zarr"}, ".*x.zarr.*"),
        ({"storage_options": {"key": "x"}}, "storage_options: key would be stored .*"),
    ],
)
def test_options_that_cannot_be_used_are_refused_in_one_line(
    sample_archive: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ardcube.InputError, match=message) as caught:
        ardcube.plan(cube_of(sample_archive), **options)
    assert "\n" not in str(caught.value)


def test_a_cube_is_described_by_the_model_alone(sample_archive: Path) -> None:
    with pytest.raises(ardcube.InputError, match=r"not a CubeConfig; give ardcube\.CubeConfig"):
        ardcube.plan({"bbox": BOUNDS})  # type: ignore[arg-type]
    with pytest.raises(ardcube.InputError, match="band purple: not in the collection"):
        ardcube.plan(cube_of(sample_archive, bands=("purple",)))


def test_a_plan_without_any_scene_shows_a_warning(sample_archive: Path) -> None:
    planned = ardcube.plan(cube_of(sample_archive, start_date="2021-05-01", end_date="2021-06-30"))
    warning = "no scene was found in any period; check collection, periods, area and bands"
    assert repr(planned).endswith(f"\n  warning {warning}")
    assert warning in planned._repr_html_()
    assert "warning" not in repr(ardcube.plan(cube_of(sample_archive)))
